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
/// The worker normalises a media file.
pub const MEDIA_PREPARE: &str = "media.prepare";
/// The worker makes the file of a sample.
pub const MEDIA_COMPOSE: &str = "media.compose";
/// The worker reads the frames and the sound that a model is given.
pub const MEDIA_SAMPLE: &str = "media.sample";
/// A model is asked about one sample or clip: in the trace of its evaluation, linked to the sample's.
pub const MODEL_ASK: &str = "model.ask";
/// A picture or a sound goes through its tower, for a question or a training. This name and the next two are written out
/// in the crate of the models, which depends on nothing that is told here.
pub const MODEL_TOWER: &str = "model.tower";
/// A model answers questions in words.
pub const MODEL_GENERATE: &str = "model.generate";
/// A model weighs the options of a question.
pub const MODEL_CHOOSE: &str = "model.choose";
/// A model is asked about the samples of a run: the root of the evaluation's trace.
pub const EVALUATION: &str = "evaluation";
/// A training was planned, by a run or by somebody: the root of the training's trace.
pub const TRAINING_PLAN: &str = "training.plan";
/// A model is trained: linked to the traces of its samples.
pub const TRAINING: &str = "training";
/// A step of a training.
pub const TRAINING_STEP: &str = "training.step";
/// The coordinator seals a pool: the root of the pool's trace, linked to the clip that was its last.
pub const POOL_SEAL: &str = "pool.seal";
/// The composer plans some samples of a sealed pool.
pub const POOL_COMPOSE: &str = "pool.compose";
/// A sample was composed, or a recipe skipped: in the trace of the host, linked to the pool's.
pub const SAMPLE_COMPOSE: &str = "sample.compose";
/// The coordinator ends a run: the root of the trace of its end.
pub const RUN_FINISHED: &str = "run.finished";
/// The reporter writes manifest, summary and page.
pub const REPORT_WRITE: &str = "report.write";

/// Every name, in the order in which a clip meets them.
pub const ALL: [&str; 18] = [
    CLIP_FOUND,
    STAGE_WORK,
    MEDIA_PREPARE,
    POOL_SEAL,
    POOL_COMPOSE,
    SAMPLE_COMPOSE,
    MEDIA_COMPOSE,
    TRAINING_PLAN,
    TRAINING,
    TRAINING_STEP,
    EVALUATION,
    MODEL_ASK,
    MEDIA_SAMPLE,
    MODEL_TOWER,
    MODEL_GENERATE,
    MODEL_CHOOSE,
    RUN_FINISHED,
    REPORT_WRITE,
];
