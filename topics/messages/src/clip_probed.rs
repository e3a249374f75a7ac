use serde::{Deserialize, Serialize};

use crate::{ClipDecoded, RecordId, Tokens};

/// What a judge said to the four existence queries on a clip (appendix B.1). All four have to be yes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClipProbed {
    /// Hash of the prober's settings, the judge's identity and the decoded clip.
    pub id: RecordId,
    /// The clip in its normal form.
    pub decoded: ClipDecoded,
    /// The judge, as it was named.
    pub judge: String,
    /// What its answers depend on, e.g. the hash of its weights.
    pub identity: String,
    /// What it said.
    pub answers: ProbeAnswers,
}

/// Answers to the four queries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeAnswers {
    /// Whether the class is visible, with the sound removed.
    pub visual_alone: ProbeAnswer,
    /// Whether it is audible, with black frames.
    pub audio_alone: ProbeAnswer,
    /// Whether it is visible, with both streams.
    pub visual_together: ProbeAnswer,
    /// Whether it is audible, with both streams.
    pub audio_together: ProbeAnswer,
}

impl ProbeAnswers {
    /// All four, in the order of the appendix.
    pub fn all(&self) -> [&ProbeAnswer; 4] {
        [&self.visual_alone, &self.audio_alone, &self.visual_together, &self.audio_together]
    }
}

/// Answer to one query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeAnswer {
    /// Its words, as they came; `None` if the judge gave none.
    pub text: Option<String>,
    /// Whether they say yes: words that say neither yes nor no do not.
    pub is_yes: bool,
    /// How likely yes was, 0 to 1; `None` if the judge does not tell.
    pub yes_probability: Option<f32>,
    /// Wall time spent on it, in milliseconds.
    pub latency_ms: u64,
    /// Tokens by modality.
    pub tokens: Tokens,
}
