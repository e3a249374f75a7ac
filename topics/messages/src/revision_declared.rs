use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Fingerprint, StageName};

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
