//! What a media job asks for and what it answers: the words that the stages, the worker's client and the
//! worker program share. Plain data; the graphs that do the work live in the media crate.

use counterpoint_messages::{ContainerFacts, Recipe, RejectReason, Segment, SignalStatistics};
use serde::{Deserialize, Serialize};

/// Version of what `prepare` does to a clip: raised whenever the same input would give other bytes.
pub const PREPARE_TRANSFORM: u32 = 2;

/// Version of what `compose` does to its parents: raised whenever the same parents would give other bytes.
pub const COMPOSE_TRANSFORM: u32 = 1;

/// Samples a second and channel of a normalised clip's sound.
pub const SOUND_RATE: u32 = 48_000;

/// Bytes of the longest file that is looked at. Far more than any clip has; hashing a longer one would keep a
/// run busy for minutes before anything can be said of it.
pub const MOST_INPUT_BYTES: u64 = 16 << 30;

/// What becomes of a clip that is shorter than the clip length (design section 11, "short clips").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShortClips {
    /// It is rejected as too short.
    Reject,
    /// Its last frame is held and its sound continued by silence; the length of both is on the record.
    Pad,
}

/// The normal form of a clip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrepareRequest {
    /// The annotated part of the source video; `None` takes the first `seconds` of the file.
    pub segment: Option<Segment>,
    /// Width and height in pixels; even.
    pub size: u32,
    /// Length in seconds.
    pub seconds: u32,
    /// Frames a second.
    pub frame_rate: u32,
    /// What becomes of shorter clips.
    pub short: ShortClips,
    /// Integrated loudness of the result in LUFS (EBU R 128).
    pub loudness_lufs: f64,
}

impl Default for PrepareRequest {
    fn default() -> Self {
        Self {
            segment: None,
            size: 504,
            seconds: 10,
            frame_rate: 25,
            short: ShortClips::Reject,
            loudness_lufs: -23.0,
        }
    }
}

/// A clip in its normal form; the files themselves went to the two outputs of the job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrepareOutcome {
    /// What the file was before.
    pub container: ContainerFacts,
    /// What picture and sound are like.
    pub statistics: SignalStatistics,
    /// Length of the normalised mp4 in milliseconds.
    pub duration_ms: u64,
    /// Held picture and silence added at the end, in milliseconds.
    pub padded_ms: u64,
}

/// Which frames and which sound a model is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleRequest {
    /// Frames a second; any positive number.
    pub frames_per_second: f64,
    /// Width and height in pixels.
    pub size: u32,
    /// Samples of sound a second.
    pub rate: u32,
}

impl Default for SampleRequest {
    fn default() -> Self {
        Self { frames_per_second: 2.0, size: 504, rate: 16_000 }
    }
}

/// Shapes of what a sample job wrote: `frames * size * size * 3` bytes of RGB, then `samples` values of f32.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleOutcome {
    /// Frames.
    pub frames: u64,
    /// Width and height of each in pixels.
    pub size: u32,
    /// Samples of mono sound; none where the file has no sound.
    pub samples: u64,
}

/// One variant of a clip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComposeRequest {
    /// How picture and sound are put together.
    pub recipe: Recipe,
    /// Integrated loudness of a mixed or moved sound in LUFS; that of the parents.
    pub loudness_lufs: f64,
}

/// What a compose job wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComposeOutcome {
    /// Length in milliseconds.
    pub duration_ms: u64,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// H.264 packets.
    pub video_packets: u64,
    /// AAC packets; none without sound.
    pub audio_packets: u64,
}

/// A file that was turned away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaReject {
    /// Why.
    pub reason: RejectReason,
    /// The value that decided and what would mend it, for people.
    pub detail: String,
}

impl MediaReject {
    /// A reject with its reason and the sentence for people.
    pub fn new(reason: RejectReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// What untrusted media may cost. The worker program sets and checks them on itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Processor seconds of one job.
    pub cpu_seconds: u64,
    /// Resident memory in bytes, looked at between frames; a quarter more is all that can ever be written to.
    pub memory_bytes: u64,
    /// Length of any file the worker writes, in bytes.
    pub file_bytes: u64,
    /// Streams of a file.
    pub streams: u32,
    /// Pixels of a frame as stored.
    pub frame_pixels: u64,
    /// Frames decoded in one job.
    pub frames: u64,
    /// Seconds of sound decoded in one job.
    pub sound_seconds: u64,
    /// Bytes of decoded picture for each stored byte, looked at once a gigabyte has been decoded.
    pub decoded_ratio: u64,
    /// Bytes of RGB a sample job may write.
    pub sampled_bytes: u64,
    /// Jobs after which a worker process is replaced.
    pub jobs: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu_seconds: 120,
            memory_bytes: 1 << 30,
            file_bytes: 4 << 30,
            streams: 32,
            frame_pixels: 8192 * 4320,
            frames: 50_000,
            sound_seconds: 3600,
            decoded_ratio: 200_000,
            sampled_bytes: 2 << 30,
            jobs: 500,
        }
    }
}

/// Whether a GStreamer element that the graphs need is installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElementCheck {
    /// Name of the element, e.g. `x264enc`.
    pub element: String,
    /// Whether it was found.
    pub found: bool,
    /// Debian package that brings it.
    pub package: String,
}

/// What keeps a media worker from the rest of the machine: the means that the kernel has, and what came of
/// trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// Landlock forbids paths, ports and signals.
    pub landlock: bool,
    /// A filter of system calls leaves those that decoding needs.
    pub seccomp: bool,
    /// The worker tried to open a path and could not.
    pub opens_no_path: bool,
    /// The worker tried to make a socket and could not.
    pub makes_no_socket: bool,
    /// The worker tried to start a process and could not.
    pub starts_no_process: bool,
}

impl Sandbox {
    /// Whether nothing is left to reach for.
    pub fn is_shut(&self) -> bool {
        self.opens_no_path && self.makes_no_socket && self.starts_no_process
    }
}
