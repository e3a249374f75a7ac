use serde::{Deserialize, Serialize};

use crate::RecordId;

/// Inputs have ended: every clip of them, and every pool that was sealed is composed. Of inputs that are followed, which
/// never end by themselves, also those that a later one stands for.
///
/// Each process of `run` exits on this record; nothing ends by an idle time-out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFinished {
    /// The inputs that this record ends, in the order in which they were sealed.
    pub inputs: Vec<RecordId>,
    /// Clips accepted, over all inputs of the revision.
    pub accepted: u64,
    /// Clips rejected after the source, over all inputs of the revision.
    pub rejected: u64,
    /// Clips that ended in dead letters, over all inputs of the revision.
    pub dead_letters: u64,
}
