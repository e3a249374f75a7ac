//! What can be wrong with a model's files, its configuration, or what it is asked.

use std::{io, path::PathBuf};

use crate::weights::WeightsError;

/// Why a model cannot be opened or cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not the JSON it should be.
    #[error("{path} is not the configuration of a Qwen2.5-Omni thinker")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A value of the configuration cannot be.
    #[error("{field} is {value} in the model's configuration, but {wanted}")]
    Config {
        /// The value's place, such as `text_config.hidden_size`.
        field: &'static str,
        /// What stands there.
        value: String,
        /// What may stand there.
        wanted: &'static str,
    },
    /// A file of tensors is not what it should be.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// What is asked does not fit together.
    #[error("{what}")]
    Input {
        /// What does not fit, with its values.
        what: String,
    },
    /// The device is not there.
    #[error("device {device} is not there: {what}")]
    Device {
        /// The device's name, as the user gave it.
        device: String,
        /// What is missing.
        what: &'static str,
    },
}

impl ModelError {
    /// An [`Input`](Self::Input) error.
    pub(crate) fn input(what: impl Into<String>) -> Self {
        Self::Input { what: what.into() }
    }
}
