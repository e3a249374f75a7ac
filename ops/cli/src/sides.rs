//! The sides of benchmarks on models: each a process of its own that is told its job once and does it again and again,
//! so that memory is measured side by side as well as time.
//!
//! Ours (`counterpoint model side JOB`) and the Python peer speak alike: the job is an argument, as JSON; an empty line
//! says that all is loaded; each line of input is a turn, `true` where its outcome is compared, and is answered by an
//! [`Outcome`].

use std::{
    io::{self, BufRead as _, Write as _},
    path::PathBuf,
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// What a side does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The work of a turn.
    pub work: Work,
    /// Folder of what all sides begin with; [`Work::Make`] fills it.
    pub folder: PathBuf,
    /// How large model and clip are.
    pub scale: Scale,
    /// What is asked about the clip, or learned.
    pub prompts: Vec<Prompt>,
}

/// The work of a turn. The Python peer knows the same names, and does the same by its own means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// Makes what all sides begin with: `model`, `adapter`, `inputs.safetensors` and `prompts.json`.
    Make,
    /// Answers every question on a clip: texts, and for questions of yes or no how likely yes is.
    Questions,
    /// The same with the clip's keys and values copied for each question. Of the peer alone.
    QuestionsCopied,
    /// Tunes an adapter on the variants of a clip for so many epochs: the loss of each step.
    Tune,
    /// The same with layers computed a second time instead of remembered.
    TuneAgain,
    /// Opens the checkpoint as a model: sums of its tensors.
    Load,
    /// Opens the tensors alone. Of the peer alone.
    LoadTensors,
    /// Towers, text model and the logits of all tokens: some of them.
    Forward,
    /// A step of an adapter, towers included: its loss.
    StepAdapter,
    /// A step of all parameters, towers included: its loss.
    StepAll,
}

/// How large model and clip are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scale {
    /// Layers of the text model and of each tower.
    pub layers: usize,
    /// Width of the text model, a multiple of 128. All else is in the proportions of Qwen2.5-Omni-3B.
    pub width: usize,
    /// Pixels on a side, a multiple of 28.
    pub pixels: usize,
    /// Seconds of the clip; two frames each.
    pub seconds: usize,
}

/// One question on the clip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// Its words.
    pub text: String,
    /// Whether yes or no answers it, and how likely yes is counts.
    pub yes_no: bool,
    /// What should be answered, where that is learned.
    pub answer: Option<String>,
    /// Which of the clip's sounds is heard: variants of a clip share its picture.
    pub sound: usize,
}

/// What came of a turn.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Answers.
    pub texts: Vec<String>,
    /// Probabilities, losses, logits or sums, as the work has it.
    pub numbers: Vec<f64>,
}

/// A side that is ready: does its work once, `true` where the outcome is compared.
pub type Side = Box<dyn FnMut(bool) -> anyhow::Result<Outcome>>;

/// Takes turns until nobody asks any more.
///
/// # Errors
/// A turn failed, or the one that asks is gone.
pub fn take_turns(mut side: Side) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let mut told = |line: &str| writeln!(out, "{line}").and_then(|()| out.flush());
    told("").context("nobody waits for this side")?;
    for line in io::stdin().lock().lines() {
        let line = line.context("cannot read what is asked")?;
        let compared = serde_json::from_str(&line).with_context(|| format!("{line} is no turn"))?;
        let outcome =
            serde_json::to_string(&side(compared)?).context("an outcome holds what is no number")?;
        told(&outcome).context("nobody waits for the outcome")?;
    }
    Ok(())
}
