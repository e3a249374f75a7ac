use counterpoint_core::media_job::SampleRequest;
use serde::{Deserialize, Serialize};

use super::{SettingCheck, SettingError};

/// The judge of clips. Without one there is no prober, and nothing of this counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProberSettings {
    /// The model that judges, as commands name models.
    pub judge: Option<String>,
    /// Whether its questions end with ` Answer with Yes or No` (the project page has it, the appendix does not).
    pub suffix: bool,
    /// Frames a second that it sees.
    pub frames_per_second: f64,
    /// Most tokens of an answer.
    pub max_new_tokens: u32,
}

impl Default for ProberSettings {
    fn default() -> Self {
        let SampleRequest { frames_per_second, .. } = SampleRequest::default();
        Self { judge: None, suffix: false, frames_per_second, max_new_tokens: 16 }
    }
}

impl ProberSettings {
    pub(super) fn check(&self) -> Result<(), SettingError> {
        let (fps, tokens) = (self.frames_per_second, self.max_new_tokens);
        let checks: [SettingCheck; 2] = [
            (
                "prober.frames_per_second",
                fps.to_string(),
                (0.01..=60.0).contains(&fps),
                "from 0.01 to 60 frames a second",
            ),
            (
                "prober.max_new_tokens",
                tokens.to_string(),
                (1..=65_536).contains(&tokens),
                "from 1 to 65536 tokens",
            ),
        ];
        SettingError::first_of(checks)
    }
}
