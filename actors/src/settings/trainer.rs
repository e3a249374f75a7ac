use serde::{Deserialize, Serialize};

use super::{SettingCheck, SettingError};

/// Rounds of training while clips keep coming. Without a model to begin with there are none, and nothing of this counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainerSettings {
    /// The model that each round begins with: a checkpoint folder, which gets an adapter, or `tiny` for a model of its
    /// own kind from nothing.
    pub base: Option<String>,
    /// Settings of the trainings, as `train --recipe` takes them; those built in for such a base by default.
    pub recipe: Option<String>,
    /// New samples of the train split that begin a round.
    pub every: u64,
}

impl Default for TrainerSettings {
    fn default() -> Self {
        Self { base: None, recipe: None, every: 1000 }
    }
}

impl TrainerSettings {
    pub(super) fn check(&self) -> Result<(), SettingError> {
        let checks: [SettingCheck; 1] =
            [("trainer.every", self.every.to_string(), self.every >= 1, "at least 1 sample")];
        SettingError::first_of(checks)
    }
}
