//! What the source remembers of the files it has seen.

use counterpoint_messages::{ContentHash, IdSum, RecordId, RejectReason, Split};
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
    /// Why a later stage turned it away, if one did.
    #[serde(default)]
    pub rejected: Option<RejectReason>,
}

impl KnownClip {
    pub fn is_unchanged(&self, file: &Candidate) -> bool {
        (self.path.as_str(), self.bytes, self.modified_ms) == (&file.path, file.bytes, file.modified_ms)
    }

    /// Whether its bytes were gone before anybody could judge them.
    pub fn was_lost(&self) -> bool {
        use RejectReason::{MediaChanged, MediaMissing, UnreadableFile};
        matches!(self.rejected, Some(MediaMissing | MediaChanged | UnreadableFile))
    }

    /// Whether the same file deserves another try with these bytes.
    pub fn may_come_again(&self, hash: ContentHash) -> bool {
        self.was_lost() || (self.rejected.is_some() && self.hash != hash)
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
