//! The client side of the media worker: the jobs, and a pool of worker processes that do them.
//!
//! Untrusted media is touched by the program `counterpoint-worker` alone: it limits itself before it reads,
//! is given open file descriptors instead of paths, and is replaced when it dies. This library holds
//! what its parents need ([`WorkerPool`]) and what both sides say to each other ([`protocol`], [`wire`]);
//! it uses nothing of GStreamer.

mod fault;
mod pool;
mod process;
pub mod protocol;
mod requests;
pub mod wire;

pub use counterpoint_core::media_job::{
    COMPOSE_TRANSFORM, ComposeOutcome, ComposeRequest, ElementCheck, Limits, MediaReject, PREPARE_TRANSFORM,
    PrepareRequest, SOUND_RATE, SampleRequest, Sandbox, ShortClips,
};
pub use fault::WorkerFault;
pub use pool::{WorkerPool, WorkerSettings, worker_program};
pub use requests::{ParentPaths, Prepared, Sampled};
