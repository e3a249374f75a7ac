use serde::{Deserialize, Serialize};

use crate::{ContentHash, RecordId, TraceParent, TrainingPlanned};

/// A training has come to its end, and its result lies in a folder. The first one of a training counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckpointSaved {
    /// Hash of the training's id.
    pub id: RecordId,
    /// What was trained, on what.
    pub training: TrainingPlanned,
    /// Object that holds what the result says of itself: its parts with all settings and seeds, clips and lessons.
    pub config: ContentHash,
    /// How it went.
    pub losses: Losses,
    /// Version of the program.
    pub version: String,
    /// Device that it ran on, e.g. `cpu` or `cuda:0`.
    pub device: String,
    /// Folder of the result, as an absolute path.
    pub folder: String,
    /// Hash of the files in it, apart from those that tell of the way there.
    pub content: ContentHash,
    /// What `--model` takes to ask it.
    pub model: String,
    /// What its answers depend on, e.g. the hash of its weights.
    pub identity: String,
    /// Span of the training, which links to the traces of its samples.
    pub trace: Option<TraceParent>,
}

/// Losses of a training: mean surprise of a token of the answers, in nats, before each step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Losses {
    /// Steps of all parts.
    pub steps: u64,
    /// Loss of the first step.
    pub first: f64,
    /// Loss of the last step.
    pub last: f64,
    /// The lowest loss of any step.
    pub lowest: f64,
    /// Object that holds all of them, a line of JSON each.
    pub lines: ContentHash,
}
