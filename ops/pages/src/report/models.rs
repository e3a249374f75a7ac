//! What models make of the samples: filled from the folders that trainings and evaluations leave behind.

use serde::{Deserialize, Serialize};

use crate::scores::ScoreRow;

/// Answers that the page shows word by word at most.
pub const MAX_CONFLICTS: usize = 12;

/// A model before and after its tuning, and what both came from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Models {
    /// What the model answers before its tuning.
    pub before: Option<Evaluation>,
    /// What it answers afterwards.
    pub after: Option<Evaluation>,
    /// Both side by side on the questions that both were asked.
    pub changes: Vec<Change>,
    /// Answers about samples whose picture and sound show different classes; the page shows at most
    /// [`MAX_CONFLICTS`].
    pub conflicts: Vec<Conflict>,
    /// How the models were taught, in the order in which that was done.
    pub trainings: Vec<TrainingFacts>,
    /// Which clips the judge and the gate let through.
    pub judged: Option<Judged>,
    /// What could not be read, as sentences.
    pub problems: Vec<String>,
}

/// An evaluation of one model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Evaluation {
    /// The model, as it was named.
    pub model: String,
    /// Its identity, as answers name it.
    pub identity: String,
    /// Object that holds the questions, options, splits, decoding and frames.
    pub inquiry: String,
    /// Splits of the samples.
    pub splits: Vec<String>,
    /// Samples asked about.
    pub samples: u64,
    /// Questions answered.
    pub questions: u64,
    /// Questions given up on, which are in no score.
    pub unanswered: u64,
    /// Tokens of sound that the model read; `None` where it does not tell.
    pub audio_tokens: Option<u64>,
    /// Its traces, one each time that it was begun; none where nothing is recorded.
    pub traces: Vec<String>,
    /// What is wrong with it, as sentences.
    pub warnings: Vec<String>,
    /// A row a condition and question.
    pub rows: Vec<ScoreRow>,
}

/// How strict accuracy differs on the questions that both were asked.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Change {
    /// Condition.
    pub condition: String,
    /// Question.
    pub question: String,
    /// Accuracy after less accuracy before, from -1 to 1.
    pub difference: f64,
    /// Its 95 % interval, clustered by source video.
    pub interval: [f64; 2],
}

/// The answers to one question about a sample whose streams disagree.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Conflict {
    /// Id of the sample.
    pub sample: String,
    /// Trace of the clip that gives the picture, where it is recorded.
    pub trace: Option<String>,
    /// Class of what the picture shows.
    pub class_seen: String,
    /// Class of what can be heard.
    pub class_heard: String,
    /// Question.
    pub question: String,
    /// Answer before the tuning; `None` where the question was not asked.
    pub before: Option<Given>,
    /// Answer afterwards; `None` where the question was not asked.
    pub after: Option<Given>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Given {
    /// Its words; `None` where there were none.
    pub words: Option<String>,
    /// Whether it is right, strictly.
    pub is_right: bool,
}

/// A training and its result.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TrainingFacts {
    /// What the model is for, e.g. `base`.
    pub name: String,
    /// Its identity, as answers name it.
    pub identity: String,
    /// The model that it began with; `None` for one from nothing.
    pub base: Option<String>,
    /// What each part taught, in words.
    pub recipe: Vec<String>,
    /// Seed of each part.
    pub seeds: Vec<u64>,
    /// Steps of all parts.
    pub steps: u64,
    /// Name of the samples that it learned from.
    pub data_set: String,
    /// Its trace, where it is recorded.
    pub trace: Option<String>,
    /// Clips learned from.
    pub clips: u64,
    /// Lessons learned from.
    pub lessons: u64,
    /// Version of the program.
    pub version: String,
    /// Every step, in order.
    pub losses: Vec<LossPoint>,
    /// What the model knew of held-out conflicts while it learned, in order; empty where it was not asked.
    pub exams: Vec<ExamPoint>,
}

/// How a model did at a step in the questions about one stream of samples whose streams disagree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExamPoint {
    /// Part, from 1.
    pub part: u64,
    /// Steps of that part that were taken before.
    pub step: u64,
    /// The questions' name: that of the stream.
    pub asked: String,
    /// Questions answered right, word for word.
    pub right: u64,
    /// All of them.
    pub of: u64,
}

/// The loss of a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LossPoint {
    /// Part, from 1.
    pub part: u64,
    /// Step of that part, from 1.
    pub step: u64,
    /// Mean surprise of a token of the answers, in nats.
    pub loss: f64,
}

/// Which clips came through, held against how they were made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Judged {
    /// Clips without a fault.
    pub good: Passed,
    /// Clips with a planted fault, by fault.
    pub planted: Vec<Planted>,
}

impl Judged {
    /// Clips with a planted fault, whichever it is.
    pub fn bad(&self) -> Passed {
        self.planted.iter().fold(Passed::default(), |sum, planted| Passed {
            accepted: sum.accepted.saturating_add(planted.passed.accepted),
            of: sum.of.saturating_add(planted.passed.of),
        })
    }

    /// Whether fewer than half of the clips without a fault came through, as of a judge that does not know its classes.
    pub fn loses_most(&self) -> bool {
        self.good.accepted < self.good.of.div_ceil(2)
    }
}

/// Clips of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Passed {
    /// Those let through.
    pub accepted: u64,
    /// All of them.
    pub of: u64,
}

/// Clips with one fault.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Planted {
    /// The fault.
    pub fault: String,
    /// How many came through.
    #[serde(flatten)]
    pub passed: Passed,
}
