use std::path::PathBuf;

use counterpoint_models::ModelError;
use serde::{Deserialize, Serialize};

/// Where a local model computes, and what it keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalSettings {
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Folder that keeps what towers made of pictures and sounds; none: nothing is kept.
    pub towers: Option<PathBuf>,
    /// Most bytes in that folder; what was used least lately goes first.
    pub towers_bytes: u64,
    /// Questions on a clip that are answered in one pass.
    pub batch: usize,
}

impl Default for LocalSettings {
    fn default() -> Self {
        Self { device: "cpu".to_owned(), towers: None, towers_bytes: 8 << 30, batch: 32 }
    }
}

impl LocalSettings {
    /// Refuses what can never work.
    ///
    /// # Errors
    /// [`ModelError::Setting`] with the first value that is out of range.
    pub fn check(&self) -> Result<(), ModelError> {
        let is_gpu = self.device.strip_prefix("cuda:").is_some_and(|number| number.parse::<u8>().is_ok());
        ModelError::first_of([
            (
                "local.device".to_owned(),
                self.device.clone(),
                self.device == "cpu" || is_gpu,
                "cpu, or cuda:N for the Nth GPU",
            ),
            (
                "local.batch".to_owned(),
                self.batch.to_string(),
                (1..=1024).contains(&self.batch),
                "from 1 to 1024 questions",
            ),
        ])
    }
}
