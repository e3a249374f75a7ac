use serde::{Deserialize, Serialize};

use crate::{Clip, MediaFile, RecordId};

/// A clip whose labels name exactly one class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClipCurated {
    /// Hash of the curator's settings and the clip.
    pub id: RecordId,
    /// The clip.
    pub clip: Clip,
    /// Where its bytes are.
    pub media: MediaFile,
    /// The one class.
    pub class: String,
    /// The labels that name the class.
    pub mids: Vec<String>,
}
