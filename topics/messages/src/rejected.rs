use serde::{Deserialize, Serialize};

use crate::{RecordId, Split, StageName, wire::Unsayable};

/// A clip that a stage turned away, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Hash of the stage's settings and the record it turned away.
    pub id: RecordId,
    /// Clip, or for the source the hash of the file's path, as it never became a clip.
    pub clip: RecordId,
    /// Source video or file stem.
    pub video: String,
    /// Path of the media file.
    pub path: String,
    /// Split, where a list gave one.
    pub split: Option<Split>,
    /// Stage that turned it away.
    pub stage: StageName,
    /// Why.
    pub reason: RejectReason,
    /// The value that decided and what would mend it, for people.
    pub detail: String,
}

/// Why a clip was turned away. New reasons are added at the end: the codec writes the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// No label list names the clip (source).
    Unlabelled,
    /// Another file brought the same clip with the same bytes (source).
    RepeatedClip,
    /// Another file brought the same clip with other bytes; the first one was kept (source).
    ConflictingMedia,
    /// The file cannot be opened or read (source, decoder).
    UnreadableFile,
    /// No label maps to a class (curator).
    NoClass,
    /// The labels map to more than one class (curator).
    SeveralClasses,
    /// The file was there when it was found and is gone now (decoder).
    MediaMissing,
    /// The file's bytes are no longer those that were found (decoder).
    MediaChanged,
    /// The file has no bytes (decoder).
    EmptyFile,
    /// The file is no media file (decoder).
    NotMedia,
    /// The file ends early or its data cannot be decoded (decoder).
    CorruptMedia,
    /// No decoder for its codec (decoder).
    UnsupportedCodec,
    /// No video stream (decoder).
    NoPicture,
    /// No audio stream (decoder).
    NoSound,
    /// Shorter than the clip length (decoder).
    TooShort,
    /// Neither the whole video nor the segment: its length fits neither (decoder).
    SegmentUnclear,
    /// More pixels, streams, frames or bytes than the limits allow (decoder, fetcher).
    TooLarge,
    /// Decoding took more processor time than the limit (decoder).
    CpuLimit,
    /// Decoding took more memory than the limit (decoder).
    MemoryLimit,
    /// Too large a share of the sound is silent (gate).
    Silent,
    /// The sound is quieter than the limit (gate).
    TooQuiet,
    /// Too large a share of the picture is black (gate).
    Black,
    /// The picture hardly moves (gate).
    Static,
    /// More cuts than the limit: a slideshow or a montage (gate).
    TooManyCuts,
    /// The labels name one class and a sound beside it that belongs to none (curator).
    OtherSound,
    /// The video is no longer there (fetcher).
    Gone,
    /// The video is for chosen people only (fetcher).
    Private,
    /// The video is not shown in this country (fetcher).
    Region,
    /// The video asks for an account of some age (fetcher).
    Age,
    /// The other side asks for fewer requests (fetcher).
    TooManyRequests,
    /// The other side could not be reached (fetcher).
    Network,
    /// The fetch command took longer than its limit (fetcher).
    TimedOut,
    /// The fetch command failed in a way that no rule names (fetcher).
    FetchFailed,
    /// The judge does not see the class where the sound is removed (gate).
    NotVisibleAlone,
    /// The judge does not hear the class where the picture is black (gate).
    NotAudibleAlone,
    /// The judge does not see the class where it also hears the sound (gate).
    NotVisibleTogether,
    /// The judge does not hear the class where it also sees the picture (gate).
    NotAudibleTogether,
}

impl RejectReason {
    /// Name as written in summaries, e.g. `no_sound`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unlabelled => "unlabelled",
            Self::RepeatedClip => "repeated_clip",
            Self::ConflictingMedia => "conflicting_media",
            Self::UnreadableFile => "unreadable_file",
            Self::NoClass => "no_class",
            Self::SeveralClasses => "several_classes",
            Self::MediaMissing => "media_missing",
            Self::MediaChanged => "media_changed",
            Self::EmptyFile => "empty_file",
            Self::NotMedia => "not_media",
            Self::CorruptMedia => "corrupt_media",
            Self::UnsupportedCodec => "unsupported_codec",
            Self::NoPicture => "no_picture",
            Self::NoSound => "no_sound",
            Self::TooShort => "too_short",
            Self::SegmentUnclear => "segment_unclear",
            Self::TooLarge => "too_large",
            Self::CpuLimit => "cpu_limit",
            Self::MemoryLimit => "memory_limit",
            Self::Silent => "silent",
            Self::TooQuiet => "too_quiet",
            Self::Black => "black",
            Self::Static => "static",
            Self::TooManyCuts => "too_many_cuts",
            Self::OtherSound => "other_sound",
            Self::Gone => "gone",
            Self::Private => "private",
            Self::Region => "region",
            Self::Age => "age",
            Self::TooManyRequests => "too_many_requests",
            Self::Network => "network",
            Self::TimedOut => "timed_out",
            Self::FetchFailed => "fetch_failed",
            Self::NotVisibleAlone => "not_visible_alone",
            Self::NotAudibleAlone => "not_audible_alone",
            Self::NotVisibleTogether => "not_visible_together",
            Self::NotAudibleTogether => "not_audible_together",
        }
    }
}

/// Version 1, of release 0.1: the same fields, and no word of the fetcher.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct V1(Rejected);

impl From<V1> for Rejected {
    fn from(V1(same): V1) -> Self {
        same
    }
}

impl TryFrom<&Rejected> for V1 {
    type Error = Unsayable;

    fn try_from(message: &Rejected) -> Result<Self, Unsayable> {
        let V2(sayable) = V2::try_from(message)?;
        match sayable.stage == StageName::Fetcher || sayable.reason >= RejectReason::Gone {
            true => Err(Unsayable("the fetcher")),
            false => Ok(Self(sayable)),
        }
    }
}

/// Version 2: the same fields, and no word of the stages that ask models.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct V2(Rejected);

impl From<V2> for Rejected {
    fn from(V2(same): V2) -> Self {
        same
    }
}

impl TryFrom<&Rejected> for V2 {
    type Error = Unsayable;

    fn try_from(message: &Rejected) -> Result<Self, Unsayable> {
        match message.stage.is_of_level_2() && message.reason < RejectReason::NotVisibleAlone {
            true => Ok(Self(message.clone())),
            false => Err(Unsayable("a judge")),
        }
    }
}
