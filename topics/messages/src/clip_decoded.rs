use serde::{Deserialize, Serialize};

use crate::{Clip, MediaFile, MediaObject, RecordId};

/// A clip in its one normal form: an mp4 that every later stage reads, and its sound without loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClipDecoded {
    /// Hash of the decoder's settings and the curated clip.
    pub id: RecordId,
    /// The clip.
    pub clip: Clip,
    /// Its class.
    pub class: String,
    /// The file it was made from.
    pub origin: MediaFile,
    /// The normalised mp4 (H.264 and AAC).
    pub media: MediaObject,
    /// FLAC of the PCM from which the mp4's AAC was encoded.
    pub sound: MediaObject,
    /// What the file was before.
    pub container: ContainerFacts,
    /// What picture and sound are like.
    pub statistics: SignalStatistics,
    /// Length of the normalised mp4 in milliseconds.
    pub duration_ms: u64,
    /// Silence and still picture added at the end to reach that length, in milliseconds (eval only).
    pub padded_ms: u64,
}

/// Facts of the file as it was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerFacts {
    /// Container format, e.g. `mp4`, `matroska`.
    pub container: String,
    /// Video codec, e.g. `h264`, `vp9`.
    pub video_codec: String,
    /// Audio codec, e.g. `aac`, `opus`.
    pub audio_codec: String,
    /// Width as displayed, after rotation, in pixels.
    pub width: u32,
    /// Height as displayed, after rotation, in pixels.
    pub height: u32,
    /// Mean frames a second.
    pub frame_rate: f64,
    /// Length of the longest stream in milliseconds.
    pub duration_ms: u64,
    /// Samples a second and channel.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u32,
}

/// Measured on the normalised clip (its loudness before it was normalised).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SignalStatistics {
    /// Integrated loudness of the source sound in LUFS (EBU R 128), at least -70, which stands for silence.
    pub loudness_lufs: f64,
    /// Share of 100 ms windows below -60 dBFS RMS, 0 to 1.
    pub silent_share: f64,
    /// Share of frames whose mean luma is below 16/255 + 2 %, 0 to 1.
    pub black_share: f64,
    /// Mean absolute change of luma, averaged over blocks of 8 x 8 pixels, between consecutive frames of the
    /// normalised clip, 0 to 1 of full scale. A still picture has about 0.
    pub motion: f64,
    /// Number of hard cuts: a frame that changes by at least 8 % of full scale, three times more than the frame
    /// before it did, to another brightness histogram (35 % of the blocks change their bin).
    pub cuts: u32,
}
