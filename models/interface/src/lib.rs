//! What it is to ask a model, whichever model it is.
//!
//! A [`ModelName`] says which model is meant, a [`Clip`] and some [`Question`]s are what it is asked, an
//! [`Answer`] or an [`AskError`] is what comes back, and a [`ModelThread`] is where a [`Model`] lives. Nothing
//! here computes: local models and remote ones implement [`Model`] in crates of their own, so that whoever
//! asks depends on neither a tensor library nor an HTTP client.

mod answer;
mod clip;
mod error;
mod model;
mod name;
mod question;
mod settings;
mod stop;
mod thread;
mod training;

pub use answer::{Answer, TokenCounts};
pub use clip::{Clip, ClipError, ContentId, Frames, Sound};
pub use error::{AskError, Fault, ModelError};
pub use model::{Model, ModelFacts, ModelInput};
pub use name::{LocalModel, ModelName, NameError, RemoteModel};
pub use question::{Decoding, Question, QuestionError, QuestionKind};
pub use settings::LocalSettings;
pub use stop::Stop;
pub use thread::{Ask, ModelThread};
pub use training::{
    Base, LearnedStep, Lesson, Material, Prepared, Progress, Trained, Training, TrainingError, Tutor,
    UnknownKind,
};
