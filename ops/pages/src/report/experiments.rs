//! The paper's experiments: filled from the files that they leave behind.

use counterpoint_core::experiments::Experiment;
use serde::{Deserialize, Serialize};

/// Experiments on the models of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Experiments {
    /// Those that were made, in the order of the page.
    pub made: Vec<Experiment>,
    /// What could not be read, as sentences.
    pub problems: Vec<String>,
}
