use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Fingerprint, StageName, wire::Unsayable};

/// The settings under which the pipeline works from here on, and what each stage is called under them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionDeclared {
    /// Counts the revisions declared on this log, from 1.
    pub number: u64,
    /// Every setting that decides what comes out, by stage and by name, as text.
    pub settings: BTreeMap<String, BTreeMap<String, String>>,
    /// How often each stage was told to start again from the beginning (`run --from STAGE`).
    pub replays: BTreeMap<StageName, u32>,
    /// Fingerprint of each stage: its settings, its replays and those of the stages above it.
    pub fingerprints: BTreeMap<StageName, Fingerprint>,
}

/// Version 1, of release 0.1: the same fields, and no word of the fetcher.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct V1(RevisionDeclared);

impl From<V1> for RevisionDeclared {
    fn from(V1(same): V1) -> Self {
        same
    }
}

impl TryFrom<&RevisionDeclared> for V1 {
    type Error = Unsayable;

    fn try_from(message: &RevisionDeclared) -> Result<Self, Unsayable> {
        let V2(sayable) = V2::try_from(message)?;
        match sayable.replays.contains_key(&StageName::Fetcher) {
            true => Err(Unsayable("the fetcher")),
            false => Ok(Self(sayable)),
        }
    }
}

/// Version 2: the same fields, and no word of the stages that ask models.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct V2(RevisionDeclared);

impl From<V2> for RevisionDeclared {
    fn from(V2(same): V2) -> Self {
        same
    }
}

impl TryFrom<&RevisionDeclared> for V2 {
    type Error = Unsayable;

    fn try_from(message: &RevisionDeclared) -> Result<Self, Unsayable> {
        match message.replays.keys().chain(message.fingerprints.keys()).all(|stage| stage.is_of_level_2()) {
            true => Ok(Self(message.clone())),
            false => Err(Unsayable("a judge")),
        }
    }
}

/// Version 3: the same fields, and no word of trainings.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct V3(RevisionDeclared);

impl From<V3> for RevisionDeclared {
    fn from(V3(same): V3) -> Self {
        same
    }
}

impl TryFrom<&RevisionDeclared> for V3 {
    type Error = Unsayable;

    fn try_from(message: &RevisionDeclared) -> Result<Self, Unsayable> {
        match message.replays.keys().chain(message.fingerprints.keys()).all(|stage| stage.is_of_level_3()) {
            true => Ok(Self(message.clone())),
            false => Err(Unsayable("rounds of training")),
        }
    }
}
