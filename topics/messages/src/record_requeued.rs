use serde::{Deserialize, Serialize};

use crate::{RecordId, StageName};

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
