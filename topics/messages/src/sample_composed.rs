use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ContentHash, RecordId, Split};

/// A sample as a recipe: everything needed to make its file, and what is true of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleComposed {
    /// Hash of the plan, the seed, the recipe and the parents.
    pub id: RecordId,
    /// How picture and sound are put together.
    pub recipe: Recipe,
    /// Class of what the picture shows; `None` where the picture is black.
    pub class_seen: Option<String>,
    /// Classes of what can be heard, the one a sound question asks for first; empty without sound.
    pub classes_heard: Vec<String>,
    /// Split of the sample and of all its parents.
    pub split: Split,
    /// Host first, then donors in the order in which the recipe uses them.
    pub parents: Vec<Parent>,
    /// Seed of the plan.
    pub seed: u64,
    /// Hash of the plan.
    pub plan: ContentHash,
    /// Id of the sealed pool the donors came from.
    pub pool: RecordId,
    /// Generation of that pool.
    pub generation: u32,
    /// Length in milliseconds.
    pub duration_ms: u64,
}

impl SampleComposed {
    /// The clip that gives the picture (and, where the recipe keeps it, the sound).
    pub fn host(&self) -> Option<&Parent> {
        self.parents.iter().find(|parent| parent.role == ParentRole::Host)
    }

    /// The clips that give sound to the host.
    pub fn donors(&self) -> impl Iterator<Item = &Parent> {
        self.parents.iter().filter(|parent| parent.role == ParentRole::Donor)
    }
}

/// A clip that a sample is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Host or donor.
    pub role: ParentRole,
    /// Id of the clip ([`crate::Clip::id`]).
    pub clip: RecordId,
    /// Its source video.
    pub video: String,
    /// Its class.
    pub class: String,
    /// Its normalised mp4.
    pub media: MediaObject,
    /// FLAC of its sound.
    pub sound: MediaObject,
}

/// What a parent gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParentRole {
    /// The picture.
    Host,
    /// Sound for another clip's picture.
    Donor,
}

/// An object of the media store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MediaObject {
    /// BLAKE3 of its bytes, which is its name.
    pub hash: ContentHash,
    /// Length in bytes.
    pub bytes: u64,
}

impl fmt::Debug for MediaObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({} bytes)", self.hash, self.bytes)
    }
}

/// How picture and sound of a sample are put together (paper section 3.3, appendix C, I.2 and M.3).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Recipe {
    /// The clip as it is.
    Aligned,
    /// The sound of a clip of another class.
    Misaligned,
    /// The sound of another clip of the same class (appendix M.3, semantic audio swap).
    Swapped,
    /// Further sounds laid over the clip's own (appendix M.3, audio mixup).
    Mixup {
        /// Host's sound over the sum of the donors' sounds, in dB.
        snr_db: f64,
    },
    /// The sound moved against the picture (appendix M.3, temporal shift).
    Shift {
        /// Milliseconds; positive: the sound comes later.
        offset_ms: i64,
    },
    /// No sound track (appendix I.2).
    AudioRemoved,
    /// Black frames of the same size and number (appendix I.2).
    FramesZeroed,
}

impl Recipe {
    /// The recipe without its parameters.
    pub fn name(&self) -> RecipeName {
        match self {
            Self::Aligned => RecipeName::Aligned,
            Self::Misaligned => RecipeName::Misaligned,
            Self::Swapped => RecipeName::Swapped,
            Self::Mixup { .. } => RecipeName::Mixup,
            Self::Shift { .. } => RecipeName::Shift,
            Self::AudioRemoved => RecipeName::AudioRemoved,
            Self::FramesZeroed => RecipeName::FramesZeroed,
        }
    }
}

/// Name of a recipe, as it stands in plans, manifests and flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecipeName {
    /// See [`Recipe::Aligned`].
    Aligned,
    /// See [`Recipe::Misaligned`].
    Misaligned,
    /// See [`Recipe::Swapped`].
    Swapped,
    /// See [`Recipe::Mixup`].
    Mixup,
    /// See [`Recipe::Shift`].
    Shift,
    /// See [`Recipe::AudioRemoved`].
    AudioRemoved,
    /// See [`Recipe::FramesZeroed`].
    FramesZeroed,
}

impl RecipeName {
    /// Every recipe, in the order in which reports list them.
    pub const ALL: [Self; 7] = [
        Self::Aligned,
        Self::Misaligned,
        Self::Swapped,
        Self::Mixup,
        Self::Shift,
        Self::AudioRemoved,
        Self::FramesZeroed,
    ];

    /// Name as written in plans and manifests, e.g. `audio_removed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aligned => "aligned",
            Self::Misaligned => "misaligned",
            Self::Swapped => "swapped",
            Self::Mixup => "mixup",
            Self::Shift => "shift",
            Self::AudioRemoved => "audio_removed",
            Self::FramesZeroed => "frames_zeroed",
        }
    }
}

impl fmt::Display for RecipeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
