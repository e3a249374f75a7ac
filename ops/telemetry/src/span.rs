//! Stable names of spans: dashboards and tests look for them, so a name is never reused for another thing.
//!
//! ```
//! use counterpoint_telemetry::span;
//! let work = tracing::info_span!(span::STAGE_WORK, stage = "decoder");
//! ```

/// The source found a clip: the root of the clip's trace.
pub const CLIP_FOUND: &str = "clip.found";
/// A stage works on one record.
pub const STAGE_WORK: &str = "stage.work";
/// A stage commits a batch; linked to the traces of the records in it.
pub const STAGE_COMMIT: &str = "stage.commit";
/// The worker normalises a media file.
pub const MEDIA_PREPARE: &str = "media.prepare";
/// The worker makes the file of a sample.
pub const MEDIA_COMPOSE: &str = "media.compose";
/// The coordinator seals a pool: a trace of its own.
pub const POOL_SEAL: &str = "pool.seal";
/// The composer plans the samples of a sealed pool: a trace of its own.
pub const POOL_COMPOSE: &str = "pool.compose";
/// The reporter writes manifest, summary and page.
pub const REPORT_WRITE: &str = "report.write";

/// Every name, in the order in which a clip meets them.
pub const ALL: [&str; 8] = [
    CLIP_FOUND,
    STAGE_WORK,
    STAGE_COMMIT,
    MEDIA_PREPARE,
    POOL_SEAL,
    POOL_COMPOSE,
    MEDIA_COMPOSE,
    REPORT_WRITE,
];
