//! What parent and worker say to each other.
//!
//! The parent's first frame is [`Limits`]; then, one at a time, each frame with a [`Job`] and its file
//! descriptors is answered by one frame with an [`Outcome`].

use counterpoint_core::corpus::ClipScript;
use counterpoint_core::media_job::{
    ComposeOutcome, ComposeRequest, ElementCheck, MediaReject, PrepareOutcome, PrepareRequest, SampleOutcome,
    SampleRequest, Sandbox,
};
use serde::{Deserialize, Serialize};

pub use counterpoint_core::media_job::Limits;

/// Something to do. The comments give the file descriptors that come with it, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Job {
    /// Input, mp4 output, FLAC output.
    Prepare(PrepareRequest),
    /// Input, output.
    Sample(SampleRequest),
    /// Output, then mp4 and FLAC of the host, then of each donor.
    Compose(ComposeRequest),
    /// Output.
    Synthesize(Box<ClipScript>),
    /// None.
    Check,
}

/// The worker has the job and begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken;

/// What came of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// The clip is in its normal form.
    Prepared(PrepareOutcome),
    /// Frames and sound are in the output.
    Sampled(SampleOutcome),
    /// The variant is in the output.
    Composed(ComposeOutcome),
    /// The synthetic clip is in the output, so many bytes long.
    Synthesized(u64),
    /// Every element the graphs need, and what the worker gave up.
    Checked(Vec<ElementCheck>, Sandbox),
    /// The input was turned away.
    Rejected(MediaReject),
    /// The result could not be written: the operating system's error number, and its text.
    OutputFailed(Option<i32>, String),
    /// GStreamer lacks an element: its name, and the package that brings it.
    ElementMissing(String, String),
    /// A graph failed on data of ours, in words.
    Broken(String),
}
