use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{RecordId, TraceParent, TrainingPlanned};

/// A training has come to an end without a result, and would again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingFailed {
    /// Hash of the training's id.
    pub id: RecordId,
    /// What was to be trained, on what.
    pub training: TrainingPlanned,
    /// Why it failed.
    pub reason: TrainingFault,
    /// What happened and what to do, for people.
    pub detail: String,
    /// Span of the training.
    pub trace: Option<TraceParent>,
}

/// Why a training cannot come to a result. New reasons are added at the end: the codec writes the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainingFault {
    /// The data set is empty, or has no sample of a recipe that is learned from.
    NoSamples,
    /// Samples of the data set are not on the log any more.
    SamplesGone,
    /// All samples are of one class: there is nothing to tell apart.
    OneClass,
    /// The model that it begins with is not there, or cannot be read.
    BaseGone,
    /// The model that it begins with is another one than was planned.
    BaseChanged,
    /// The loss or its gradient is no number any more.
    LossNotANumber,
    /// It takes more memory than there is.
    OutOfMemory,
    /// Settings, samples and model do not fit together, or the folder of the result holds something else.
    Refused,
}

impl TrainingFault {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::NoSamples,
        Self::SamplesGone,
        Self::OneClass,
        Self::BaseGone,
        Self::BaseChanged,
        Self::LossNotANumber,
        Self::OutOfMemory,
        Self::Refused,
    ];

    /// Name as written in JSON and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoSamples => "no_samples",
            Self::SamplesGone => "samples_gone",
            Self::OneClass => "one_class",
            Self::BaseGone => "base_gone",
            Self::BaseChanged => "base_changed",
            Self::LossNotANumber => "loss_not_a_number",
            Self::OutOfMemory => "out_of_memory",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for TrainingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
