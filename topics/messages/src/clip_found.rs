use serde::{Deserialize, Serialize};

use crate::{ContentHash, RecordId};

/// A media file that carries at least one label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClipFound {
    /// What the clip is, apart from its bytes.
    pub clip: Clip,
    /// Where its bytes are.
    pub media: MediaFile,
}

/// A clip's identity and labels; every later message about the clip repeats it unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clip {
    /// Id of the [`ClipFound`] record, under which the clip is known in every later stage.
    pub id: RecordId,
    /// Source video: the eleven characters YouTube gives it, or the whole file stem for other clips.
    /// Two clips of one source video never stand on both sides of the split.
    pub video: String,
    /// The annotated part of the source video; `None` where no list gives one.
    pub segment: Option<Segment>,
    /// Train or eval.
    pub split: Split,
    /// AudioSet MIDs as listed, in the order of the list, without repeats.
    pub labels: Vec<String>,
}

/// A stretch of a source video, in milliseconds from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Segment {
    /// First millisecond.
    pub start_ms: u64,
    /// One past the last millisecond; always after the start.
    pub end_ms: u64,
}

impl Segment {
    /// Length in milliseconds.
    pub fn duration_ms(&self) -> u64 {
        self.end_ms.saturating_sub(self.start_ms)
    }
}

/// The part of the corpus a clip may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Models may be tuned on it.
    Train,
    /// Models are only measured on it.
    Eval,
}

impl Split {
    /// Name as written in manifests: `train` or `eval`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Eval => "eval",
        }
    }
}

/// A media file as the source found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaFile {
    /// Path of the file.
    pub path: String,
    /// BLAKE3 of its bytes when it was found.
    pub hash: ContentHash,
    /// Length in bytes when it was found.
    pub bytes: u64,
}
