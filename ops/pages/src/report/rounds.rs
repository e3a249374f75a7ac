//! The rounds of training of a run that follows, and what their checkpoints answer.

use serde::{Deserialize, Serialize};

use super::Evaluation;

/// The rounds of a run, as far as they have ended.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Rounds {
    /// In their order; the page shows the last [`crate::MAX_ROWS`].
    pub ended: Vec<Round>,
    /// What could not be read, as sentences.
    pub problems: Vec<String>,
}

/// A round that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Its number, the first is 1.
    pub number: u32,
    /// Id of its training.
    pub training: String,
    /// Samples that it learned from.
    pub samples: u64,
    /// What it came to.
    pub outcome: RoundOutcome,
}

/// What a round came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoundOutcome {
    /// A checkpoint.
    Saved {
        /// What `--model` takes to ask it.
        model: String,
        /// Loss of the first step and of the last, in nats.
        losses: [f64; 2],
        /// What it answers; `None` where it was not asked.
        evaluation: Option<Box<Evaluation>>,
    },
    /// Nothing.
    Failed {
        /// Why, and what to do.
        detail: String,
    },
}
