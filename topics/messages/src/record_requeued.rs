use serde::{Deserialize, Serialize};

use crate::{RecordId, StageName, wire::Unsayable};

/// A person put a dead letter's record back on its topic: what it was about has not ended after all.
///
/// Written under the revision of the dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordRequeued {
    /// Id of the [`crate::DeadLetter`].
    pub dead_letter: RecordId,
    /// Stage that had given up.
    pub stage: StageName,
    /// Clip the record is about, if it is about one.
    pub clip: Option<RecordId>,
    /// The record's key.
    pub key: Vec<u8>,
}

/// Version 1, of release 0.1: the same fields, and no word of the fetcher.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct V1(RecordRequeued);

impl From<V1> for RecordRequeued {
    fn from(V1(same): V1) -> Self {
        same
    }
}

impl TryFrom<&RecordRequeued> for V1 {
    type Error = Unsayable;

    fn try_from(message: &RecordRequeued) -> Result<Self, Unsayable> {
        let V2(sayable) = V2::try_from(message)?;
        match sayable.stage == StageName::Fetcher {
            true => Err(Unsayable("the fetcher")),
            false => Ok(Self(sayable)),
        }
    }
}

/// Version 2: the same fields, and no word of the stages that ask models.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct V2(RecordRequeued);

impl From<V2> for RecordRequeued {
    fn from(V2(same): V2) -> Self {
        same
    }
}

impl TryFrom<&RecordRequeued> for V2 {
    type Error = Unsayable;

    fn try_from(message: &RecordRequeued) -> Result<Self, Unsayable> {
        match message.stage.is_of_level_2() {
            true => Ok(Self(message.clone())),
            false => Err(Unsayable("a stage that asks models")),
        }
    }
}

/// Version 3: the same fields, and no word of trainings.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct V3(RecordRequeued);

impl From<V3> for RecordRequeued {
    fn from(V3(same): V3) -> Self {
        same
    }
}

impl TryFrom<&RecordRequeued> for V3 {
    type Error = Unsayable;

    fn try_from(message: &RecordRequeued) -> Result<Self, Unsayable> {
        match message.stage.is_of_level_3() {
            true => Ok(Self(message.clone())),
            false => Err(Unsayable("a stage that trains models")),
        }
    }
}
