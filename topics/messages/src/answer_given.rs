use serde::{Deserialize, Serialize};

use crate::{ContentHash, RecipeName, RecordId, Split, TraceParent};

/// A model's answer to one question on one sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnswerGiven {
    /// Hash of sample, question, condition, identity of the model and decoding.
    pub id: RecordId,
    /// The sample.
    pub sample: RecordId,
    /// Source video of its host, by which intervals are clustered.
    pub video: String,
    /// Split of the sample.
    pub split: Split,
    /// Its recipe.
    pub recipe: RecipeName,
    /// Class of what the picture shows; `None` where it is black.
    pub class_seen: Option<String>,
    /// Classes of what can be heard; empty without sound.
    pub classes_heard: Vec<String>,
    /// Under which condition it was asked: the recipe, or what was done to the text.
    pub condition: String,
    /// Name of the question, e.g. `audio` or `match`.
    pub question: String,
    /// The right answer.
    pub expected: String,
    /// The model's words, as they came; `None` if it gave no answer, which is wrong.
    pub text: Option<String>,
    /// Why it gave none.
    pub problem: Option<String>,
    /// What the words name.
    pub chosen: Chosen,
    /// For each option, in their order, the logarithm of how likely it is; `None` if the model does not tell.
    pub option_scores: Option<Vec<f32>>,
    /// How likely yes was, 0 to 1; `None` if that was not asked or the model does not tell.
    pub yes_probability: Option<f32>,
    /// Tokens by modality.
    pub tokens: Tokens,
    /// Wall time spent on it, in milliseconds. What questions on a sample share counts for the first.
    pub latency_ms: u64,
    /// Requests made.
    pub requests: u32,
    /// Price in US dollars, where a price table is set.
    pub cost_usd: Option<f64>,
    /// The model, as it was named.
    pub model: String,
    /// What its answers depend on, e.g. the hash of its weights.
    pub identity: String,
    /// Object that tells what was asked and how: suite, options, splits, decoding, frames.
    pub evaluation: ContentHash,
    /// Trace of the sample.
    pub sample_trace: Option<TraceParent>,
    /// Trace of the evaluation.
    pub trace: Option<TraceParent>,
}

impl AnswerGiven {
    /// Whether the answer is the right option and nothing else.
    pub fn is_right(&self) -> bool {
        self.chosen.strict.as_ref() == Some(&self.expected)
    }
}

/// The option that an answer names, by three measures; `None` where it names none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Chosen {
    /// The answer is the option and nothing else.
    pub strict: Option<String>,
    /// The option mentioned first.
    pub first_mentioned: Option<String>,
    /// The longest option mentioned.
    pub lenient: Option<String>,
}

/// Tokens by modality; `None` where the model does not tell, which is not the same as none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tokens {
    /// All that was read.
    pub prompt: Option<u32>,
    /// Text that was read.
    pub text: Option<u32>,
    /// Picture that was read.
    pub video: Option<u32>,
    /// Sound that was read.
    pub audio: Option<u32>,
    /// All that was written.
    pub answer: Option<u32>,
}
