//! What can go wrong in training.

use std::{io, path::PathBuf};

use crate::{error::ModelError, weights::WeightsError};

/// Why training cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A setting of the recipe that can never work.
    #[error("the recipe's {setting} is {value}: {wanted}")]
    Recipe {
        /// Its name, such as `kind.lora.rank`.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        wanted: &'static str,
    },
    /// A weight for a group that no example belongs to.
    #[error("the recipe weighs the group {group}, but no example belongs to it: there are {there}")]
    Group {
        /// The group.
        group: String,
        /// Groups that examples belong to.
        there: String,
    },
    /// Nothing to learn from.
    #[error(
        "there are no examples, or all of them have the weight 0: give samples, or correct the recipe's weights"
    )]
    NoExamples,
    /// An example cannot be had.
    #[error("example {id} cannot be read")]
    Example {
        /// The example.
        id: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The loss or its gradient is no number any more.
    #[error(
        "step {step} has the loss {loss} and a gradient of length {gradient}: lower the rate, or look at the examples {}",
        examples.join(", ")
    )]
    Diverged {
        /// The step, the first is 1.
        step: u64,
        /// Its loss.
        loss: f64,
        /// Length of its gradient.
        gradient: f64,
        /// What it learned from.
        examples: Vec<String>,
    },
    /// What is kept in the folder belongs to another training.
    #[error("{} holds a training with another {what}: name a new folder, or remove it", folder.display())]
    Other {
        /// The folder.
        folder: PathBuf,
        /// What differs.
        what: &'static str,
    },
    /// The training is not over.
    #[error("{done} of {total} steps are done: take the others before the result is written")]
    Unfinished {
        /// Steps done.
        done: u64,
        /// Steps there are.
        total: u64,
    },
    /// A kept file that does not hold what it should.
    #[error("{} is damaged ({reason}): remove its folder to go on from the step before", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The model refuses what it is given.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Tensors cannot be read or written.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}
