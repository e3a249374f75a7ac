use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::ModelError;

/// What a model that runs in this process keeps, and how much it does at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalSettings {
    /// Folder that keeps what towers made of pictures and sounds; none: nothing is kept.
    pub towers: Option<PathBuf>,
    /// Most bytes in that folder; what was used least lately goes first.
    pub towers_bytes: u64,
    /// Questions on a clip that are answered in one pass.
    pub batch: usize,
}

impl Default for LocalSettings {
    fn default() -> Self {
        Self { towers: None, towers_bytes: 8 << 30, batch: 32 }
    }
}

impl LocalSettings {
    /// Refuses what can never work.
    ///
    /// # Errors
    /// [`ModelError::Setting`] with the first value that is out of range.
    pub fn check(&self) -> Result<(), ModelError> {
        ModelError::first_of([(
            "local.batch".to_owned(),
            self.batch.to_string(),
            (1..=1024).contains(&self.batch),
            "from 1 to 1024 questions",
        )])
    }
}
