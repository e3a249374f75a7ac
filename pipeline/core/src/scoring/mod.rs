//! What answers come to: accuracy by three measures, intervals, biases, and comparisons of models.
//!
//! A missing answer is wrong. Intervals and comparisons are clustered by source video: samples of one video are
//! alike, and counting them as independent would promise more certainty than there is. All shares are from 0 to 1.

mod effect;
mod interval;
mod paired;
mod qa;
mod score;

pub use effect::{Claim, claims};
pub use interval::{Interval, interval, wilson};
pub use paired::{Pair, Paired, paired};
pub use qa::{Match, Prediction, QaError, QaItem, QaScores, QaTally, read_jsonl, score_qa};
pub use score::{Baselines, ClassScore, ConstantAnswer, Score, Scores, Selection, scores};

#[cfg(test)]
mod tests;
