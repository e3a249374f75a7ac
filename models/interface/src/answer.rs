use std::time::Duration;

/// What a model answered to one question.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The words, as they came.
    pub text: String,
    /// For each option, in their order, the natural logarithm of how likely it is among the options: their
    /// exponentials sum to 1. `None` if the question has no options, or the model does not tell.
    pub option_scores: Option<Vec<f32>>,
    /// How likely the answer begins with yes, where it begins with yes or no: 0 to 1. `None` if that was not
    /// asked, or the model does not tell.
    pub yes_probability: Option<f32>,
    /// Tokens read and written.
    pub tokens: TokenCounts,
    /// Wall time spent on this question, with its repetitions. What several questions on a clip have in common
    /// counts for the first.
    pub latency: Duration,
    /// Requests made: 1 unless some had to be repeated, 0 where the model is not asked by requests.
    pub requests: u32,
    /// Price in US dollars by the price table of the settings; `None` without a price for each token that was
    /// counted. Requests that failed are not in it.
    pub cost_usd: Option<f64>,
}

/// Tokens by modality; `None` where the model does not tell, which is not the same as none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenCounts {
    /// All that was read.
    pub prompt: Option<u32>,
    /// Text that was read.
    pub text: Option<u32>,
    /// Picture that was read.
    pub video: Option<u32>,
    /// Sound that was read.
    pub audio: Option<u32>,
    /// All that was written, thoughts included.
    pub answer: Option<u32>,
}
