//! Training: the loss where answers stand, and steps down its gradient, from which a killed training goes on.
//!
//! | file | holds |
//! | --- | --- |
//! | [`recipe`] | all settings, and the rate of each step |
//! | [`examples`] | what is learned from |
//! | `sampling` | which examples a step learns from |
//! | [`loss`] | the surprise at answers |
//! | `recompute` | its gradient without remembering what is inside layers |
//! | [`gradients`], [`optimizer`] | from gradients to steps |
//! | `scaling` | half precision without lost gradients |
//! | [`trainer`] | all of it together |
//! | `kept` | a training's state on disk |
//! | `journal` | a line for each step |
//! | `parameters` | parameters by their path: drawn, followed, read and written |
//! | [`results`] | folders that others read: adapters, checkpoints, merged weights |
//! | [`tiny`] | a model small enough to be trained on a CPU |
//! | [`losses_file`] | losses to be held against the reference's |

mod error;
mod examples;
mod gradients;
mod journal;
mod kept;
mod loss;
mod losses_file;
mod optimizer;
mod parameters;
mod recipe;
mod recompute;
mod results;
mod sampling;
mod scaling;
mod tiny;
mod trainer;

pub use error::TrainError;
pub use examples::{Asked, Example, Examples, Streams};
pub use gradients::Summed;
pub use loss::Answers;
pub use losses_file::lora_losses;
pub use optimizer::{AdamW, AdamWConfig};
pub use recipe::{Kind, Length, LoraRecipe, Precision, Recipe, Targets};
pub use results::{described, merge, write_checkpoint};
pub use tiny::TinyConfig;
pub use trainer::{Origin, Step, Trainer};
