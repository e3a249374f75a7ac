use std::{error::Error, io, path::PathBuf, time::Duration};

use crate::NameError;

/// Why a model cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No model is named.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A setting that can never work.
    #[error("setting {name} is {value}: {remedy}")]
    Setting {
        /// Name, e.g. `remote.concurrency`.
        name: String,
        /// What it is set to.
        value: String,
        /// What it may be.
        remedy: &'static str,
    },
    /// No key for a server that wants one, or one that cannot be used.
    #[error("{model} has no usable key: {problem}; {remedy}")]
    Key {
        /// The model.
        model: String,
        /// What is wrong; never the key.
        problem: String,
        /// Where keys come from.
        remedy: &'static str,
    },
    /// A file that cannot be read.
    #[error("{} cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file that holds something else than it should.
    #[error("{}: {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, where, and what belongs there.
        problem: String,
    },
    /// A model that fails to load.
    #[error("{model} cannot be loaded")]
    Load {
        /// The model.
        model: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The system gives no thread.
    #[error("no thread for the model: raise the limit of processes")]
    Thread(#[source] io::Error),
    /// The model panicked while it was opened.
    #[error("the model failed while it was opened ({problem}): this is a fault of the program")]
    Panicked {
        /// What the panic said.
        problem: String,
    },
}

impl ModelError {
    /// Goes through checks of settings: name, what it is set to, whether that can work, and what it may be.
    ///
    /// # Errors
    /// [`ModelError::Setting`] with the first setting that can never work.
    pub fn first_of(
        checks: impl IntoIterator<Item = (String, String, bool, &'static str)>,
    ) -> Result<(), Self> {
        match checks.into_iter().find(|(.., is_right, _)| !is_right) {
            Some((name, value, _, remedy)) => Err(Self::Setting { name, value, remedy }),
            None => Ok(()),
        }
    }
}

/// Why there is no answer. [`AskError::fault`] says what to do about it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AskError {
    /// The server cannot be reached, has no room, or talks nonsense; repeated as often as the settings allow.
    #[error("{model} does not answer for now: {problem}")]
    Unavailable {
        /// The model.
        model: String,
        /// The last of what happened.
        problem: String,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// No answer in time.
    #[error("{model} gave no answer within {} s ({problem}): raise the deadline if it is only slow", after.as_secs_f64())]
    Deadline {
        /// The model.
        model: String,
        /// The time it was given.
        after: Duration,
        /// What was being waited for.
        problem: String,
    },
    /// The model does not answer this question on this clip, and never will.
    #[error("{model} does not answer this question on this clip: {problem}")]
    Refused {
        /// The model.
        model: String,
        /// What it says.
        problem: String,
    },
    /// No question will be answered until somebody changes something.
    #[error("{model} cannot be used as it is set up: {problem}; {remedy}")]
    Misconfigured {
        /// The model.
        model: String,
        /// What it says.
        problem: String,
        /// What to change.
        remedy: String,
    },
    /// Asked to stop while the answer was being made.
    #[error("stopped before there was an answer")]
    Stopped,
    /// The model failed on these questions, and is gone.
    #[error("the model failed ({problem}) and is gone: this is a fault of the program")]
    Crashed {
        /// What the panic said.
        problem: String,
    },
    /// The model failed on earlier questions; these were not asked.
    #[error("the model is gone since it failed on another question: open it again")]
    Gone,
}

/// Whose fault it is that there is no answer, and so what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Ours, and it passes: pause, at least as long as this, and ask again. No attempt of the clip's.
    Passing {
        /// How long the server asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The question's or the clip's: go on, the answer is missing and counts as wrong.
    Question,
    /// The settings': stop, and say it.
    Settings,
    /// The model's: an attempt of the clip's; the model has to be opened again.
    Model,
}

impl AskError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Unavailable { retry_after, .. } => Fault::Passing { retry_after: *retry_after },
            Self::Deadline { .. } | Self::Stopped => Fault::Passing { retry_after: None },
            Self::Refused { .. } => Fault::Question,
            Self::Misconfigured { .. } => Fault::Settings,
            Self::Crashed { .. } | Self::Gone => Fault::Model,
        }
    }
}
