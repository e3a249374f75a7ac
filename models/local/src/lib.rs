//! Models that run in this process: Qwen2.5-Omni's architecture of any size, asked like any other [`Model`].
//!
//! What is dear is computed once: each picture and each sound goes through its tower once for all models that share
//! the towers ([`Towers`]), each clip through the text model once for all questions on it, and a question's words
//! once for all its options.
//!
//! [`Lessons`] makes of clips, questions and answers what such a model is trained on.
//!
//! [`Model`]: counterpoint_models::Model

mod asking;
mod course;
mod exams;
mod identity;
mod lessons;
mod open;
mod shapes;
mod towers;

pub use course::{CourseError, prepare, train};
pub use lessons::{ClipNumber, LessonError, Lessons, Part};
pub use open::OmniModel;
pub use towers::{Towers, TowersError};
