use counterpoint_core::media_job::SampleRequest;
use counterpoint_models::Decoding;
use serde::{Deserialize, Serialize};

use super::{SettingCheck, SettingError};

/// How models are shown samples and how they answer. Part of the id of every answer, and of no revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluatorSettings {
    /// Frames a second that a model sees.
    pub frames_per_second: f64,
    /// Width and height in pixels that it sees; by default those of the normal form (`decoder.size` of the run).
    pub size: Option<u32>,
    /// How answers are drawn.
    pub decoding: Decoding,
    /// Whether every checkpoint that a round of training leaves is asked about the samples of the eval split.
    pub checkpoints: bool,
}

impl Default for EvaluatorSettings {
    fn default() -> Self {
        let SampleRequest { frames_per_second, .. } = SampleRequest::default();
        Self { frames_per_second, size: None, decoding: Decoding::default(), checkpoints: true }
    }
}

impl EvaluatorSettings {
    /// Refuses what can never work.
    ///
    /// # Errors
    /// The first setting that is out of range.
    pub fn check(&self) -> Result<(), SettingError> {
        let Decoding { max_new_tokens, temperature, top_p, .. } = self.decoding;
        let fps = self.frames_per_second;
        let checks: [SettingCheck; 5] = [
            (
                "evaluator.frames_per_second",
                fps.to_string(),
                (0.01..=60.0).contains(&fps),
                "from 0.01 to 60 frames a second",
            ),
            (
                "evaluator.size",
                self.size.map(|size| size.to_string()).unwrap_or_default(),
                self.size.is_none_or(|size| (28..=2048).contains(&size)),
                "from 28 to 2048 pixels",
            ),
            (
                "evaluator.decoding.max_new_tokens",
                max_new_tokens.to_string(),
                (1..=65_536).contains(&max_new_tokens),
                "from 1 to 65536 tokens",
            ),
            (
                "evaluator.decoding.temperature",
                temperature.to_string(),
                (0.0..=2.0).contains(&temperature),
                "from 0 (greedy) to 2",
            ),
            (
                "evaluator.decoding.top_p",
                top_p.to_string(),
                top_p > 0.0 && top_p <= 1.0,
                "more than 0 and at most 1",
            ),
        ];
        SettingError::first_of(checks)
    }
}
