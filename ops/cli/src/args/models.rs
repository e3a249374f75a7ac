//! Commands on models.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use counterpoint_messages::RecipeName;
use counterpoint_models::{ModelName, NameError};

/// How models are named, for every help text.
pub const MODEL_HELP: &str = "Model: a checkpoint folder in Hugging Face layout, DIR+ADAPTER, openai:URL#NAME, \
                              gemini:NAME or file:PREDICTIONS.jsonl";

#[derive(Debug, Args)]
pub struct Ask {
    #[arg(long, value_name = "M", help = MODEL_HELP)]
    pub model: ModelName,
    /// Media file to ask about
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// The question, word for word
    #[arg(long, value_name = "TEXT")]
    pub question: String,
    /// Texts of which one is the answer, joined by commas: tells how likely each is, if the model does
    #[arg(long, value_name = "TEXTS", value_delimiter = ',', conflicts_with = "yes_no")]
    pub options: Vec<String>,
    /// The answer is yes or no: tells how likely yes is, if the model does
    #[arg(long)]
    pub yes_no: bool,
    /// Frames a second that the model sees
    #[arg(long, value_name = "N", default_value_t = 2.0)]
    pub fps: f64,
    /// Pixels on a side that the model sees, a multiple of 28
    #[arg(long, value_name = "PIXELS", default_value_t = 504)]
    pub size: u32,
    /// Most tokens of the answer
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub max_tokens: u32,
    /// 0 takes the likeliest token each time, up to 2 draws more freely
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    pub temperature: f32,
    /// Seed of the draws
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

#[derive(Debug, Args)]
pub struct OnModel {
    #[command(subcommand)]
    pub command: ModelCommand,
}

#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Run a model on a file of tensors; names as transformers' processor and model have them
    Forward(Forward),
    /// Tune an adapter on a file of tensors, and print the loss before each step as a JSON list
    LoraLosses(LoraLosses),
    /// Write a checkpoint with an adapter merged into it
    Merge(Merge),
    /// Be this program's side of a benchmark: a turn for each line of standard input
    #[command(hide = true)]
    Side(SideOfBench),
}

#[derive(Debug, Args)]
pub struct SideOfBench {
    /// The job, as JSON
    #[arg(value_name = "JOB")]
    pub job: String,
}

#[derive(Debug, Args)]
pub struct Merge {
    /// Checkpoint folder and adapter folder, DIR+ADAPTER
    #[arg(value_name = "M")]
    pub model: ModelName,
    /// Checkpoint folder to write; it must not be there yet
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// What is trained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrainedModel {
    /// A tiny model from nothing.
    Tiny,
    /// A model that gets an adapter.
    Model(ModelName),
}

/// Reads what is trained.
fn trained_model(text: &str) -> Result<TrainedModel, NameError> {
    if text == "tiny" { Ok(TrainedModel::Tiny) } else { text.parse().map(TrainedModel::Model) }
}

#[derive(Debug, Args)]
pub struct Train {
    /// What is trained: a checkpoint folder, which gets an adapter, or tiny: a model of its own kind from nothing
    #[arg(long, value_name = "M", value_parser = trained_model)]
    pub model: TrainedModel,
    /// Output folder of a run, whose samples of the train split are learned from
    #[arg(long, value_name = "OUT")]
    pub samples: PathBuf,
    /// Folder to write: a checkpoint for tiny, otherwise an adapter; an interrupted training goes on in it
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Settings of the training: a file, or built in: published, tiny, tiny-judge, tiny-tuning (default:
    /// published; for the model tiny: tiny)
    #[arg(long, value_name = "TOML")]
    pub recipe: Option<PathBuf>,
    /// Recipes of the samples that are learned from, joined by commas (default: those of the settings)
    #[arg(long, value_name = "RECIPES", value_delimiter = ',', value_parser = super::recipes())]
    pub recipes: Vec<RecipeName>,
    /// File with the classes to learn from, one a line; questions offer the others all the same
    #[arg(long, value_name = "FILE")]
    pub classes: Option<PathBuf>,
    /// Seed of all that is random (default: that of the settings)
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

#[derive(Debug, Args)]
pub struct Forward {
    /// Checkpoint folder in Hugging Face layout
    #[arg(value_name = "DIR")]
    pub model: PathBuf,
    /// Safetensors file with `input_ids` and the media's features
    #[arg(long, value_name = "F")]
    pub inputs: PathBuf,
    /// Safetensors file to write: `position_ids`, tower outputs, `logits`, `greedy`
    #[arg(long, value_name = "F")]
    pub out: PathBuf,
    /// Write the attention of every layer as well, `attention.N`
    #[arg(long)]
    pub attention: bool,
}

#[derive(Debug, Args)]
pub struct LoraLosses {
    /// Checkpoint folder in Hugging Face layout
    #[arg(value_name = "DIR")]
    pub model: PathBuf,
    /// Safetensors file with `input_ids`, whose last 6 tokens are the answer, and the media's features
    #[arg(long, value_name = "F")]
    pub inputs: PathBuf,
    /// Safetensors file with the adapter to begin with, rank 8, alpha 16, named as PEFT does
    #[arg(long, value_name = "F")]
    pub lora: PathBuf,
    /// Steps of AdamW, rate 0.01, no decay
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub steps: usize,
}
