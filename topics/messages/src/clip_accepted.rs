use serde::{Deserialize, Serialize};

use crate::{Clip, MediaObject, RecordId, SignalStatistics};

/// A clip that may become a host or a donor: picture and sound show one and the same thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClipAccepted {
    /// Hash of the gate's settings and the decoded clip.
    pub id: RecordId,
    /// The clip.
    pub clip: Clip,
    /// Its class.
    pub class: String,
    /// The normalised mp4.
    pub media: MediaObject,
    /// FLAC of its sound.
    pub sound: MediaObject,
    /// What picture and sound are like.
    pub statistics: SignalStatistics,
    /// Length in milliseconds.
    pub duration_ms: u64,
}
