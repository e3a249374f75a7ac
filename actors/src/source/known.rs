//! What the source remembers of the files it has seen.

use counterpoint_messages::{ContentHash, Fingerprint, IdSum, RecordId, RejectReason, Split};
use serde::{Deserialize, Serialize};

use super::listing::Candidate;

/// A clip that was brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownClip {
    pub input: RecordId,
    pub path: String,
    pub hash: ContentHash,
    pub bytes: u64,
    pub modified_ms: i64,
    pub split: Split,
    pub labels: Vec<String>,
    /// How often it was brought before, each time with other bytes that were rejected.
    #[serde(default)]
    pub brought_before: u32,
    /// Revision of the decoder or gate that turned it away, if one did.
    #[serde(default)]
    pub rejected: Option<Fingerprint>,
}

impl KnownClip {
    pub fn is_unchanged(&self, file: &Candidate) -> bool {
        (self.path.as_str(), self.bytes, self.modified_ms) == (&file.path, file.bytes, file.modified_ms)
    }

    /// Whether the same file deserves another try with these bytes: the first ones were turned away by one
    /// of these revisions. Another revision may have accepted them.
    pub fn may_come_again(&self, hash: ContentHash, judges: &[Fingerprint]) -> bool {
        self.hash != hash && self.rejected.is_some_and(|judge| judges.contains(&judge))
    }
}

/// A file that did not become a clip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnedAway {
    pub reason: RejectReason,
    pub bytes: u64,
    pub modified_ms: i64,
}

/// Clips brought in all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    pub total: u64,
    pub total_ids: IdSum,
    pub input: RecordId,
    pub of_input: u64,
}
