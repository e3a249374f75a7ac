use serde::{Deserialize, Serialize};

use crate::RecordId;

/// A person put a dead letter's record back on its topic: what it was about has not ended after all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordRequeued {
    /// Id of the [`crate::DeadLetter`].
    pub dead_letter: RecordId,
    /// Clip the record is about, if it is about one.
    pub clip: Option<RecordId>,
}
