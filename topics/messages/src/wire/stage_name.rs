use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A stage of the pipeline. New stages are added at the end: the codec writes the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageName {
    /// Reads label lists and folders.
    Source,
    /// Maps labels to one class.
    Curator,
    /// Normalises media.
    Decoder,
    /// Accepts or rejects by what was measured.
    Gate,
    /// Ends runs and seals pools.
    Coordinator,
    /// Plans samples.
    Composer,
    /// Writes manifest, summary and report.
    Reporter,
    /// Brings clips that the label lists want and the folder lacks, by the user's command.
    Fetcher,
    /// Has a model judge whether a clip's class is to be seen and to be heard.
    Prober,
    /// Asks a model about samples.
    Evaluator,
    /// Plans a training whenever enough new samples have come.
    Planner,
    /// Trains models on samples.
    Trainer,
}

impl StageName {
    /// Every stage, in the order in which a clip meets them.
    pub const ALL: [Self; 12] = [
        Self::Fetcher,
        Self::Source,
        Self::Curator,
        Self::Decoder,
        Self::Prober,
        Self::Gate,
        Self::Coordinator,
        Self::Composer,
        Self::Planner,
        Self::Trainer,
        Self::Evaluator,
        Self::Reporter,
    ];

    /// The stages of a run without models. The prober joins them where the settings name a judge, planner and trainer
    /// where they name a model to train; the evaluator belongs to an evaluation, of which one run may have many.
    pub const RUN: [Self; 8] = [
        Self::Fetcher,
        Self::Source,
        Self::Curator,
        Self::Decoder,
        Self::Gate,
        Self::Coordinator,
        Self::Composer,
        Self::Reporter,
    ];

    /// Whether messages of format level 2 have words for it.
    pub(crate) fn is_of_level_2(self) -> bool {
        self.is_of_level_3() && !matches!(self, Self::Prober | Self::Evaluator)
    }

    /// Whether messages of format level 3 have words for it.
    pub(crate) fn is_of_level_3(self) -> bool {
        !matches!(self, Self::Planner | Self::Trainer)
    }

    /// Name as written in flags, topics and summaries.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fetcher => "fetcher",
            Self::Prober => "prober",
            Self::Evaluator => "evaluator",
            Self::Planner => "planner",
            Self::Trainer => "trainer",
            Self::Source => "source",
            Self::Curator => "curator",
            Self::Decoder => "decoder",
            Self::Gate => "gate",
            Self::Coordinator => "coordinator",
            Self::Composer => "composer",
            Self::Reporter => "reporter",
        }
    }
}

impl fmt::Display for StageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for StageName {
    type Err = UnknownStage;

    fn from_str(text: &str) -> Result<Self, UnknownStage> {
        Self::ALL
            .into_iter()
            .find(|stage| stage.as_str() == text)
            .ok_or_else(|| UnknownStage { text: text.to_owned() })
    }
}

/// A text that names no stage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no stage: choose from fetcher, source, curator, decoder, prober, gate, coordinator, composer, \
     planner, trainer, evaluator, reporter"
)]
pub struct UnknownStage {
    text: String,
}
