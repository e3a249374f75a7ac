//! The Qwen2.5-Omni thinker in burn, on libtorch: exact to the reference, and with what Counterpoint asks of it.
//!
//! Frames, sound and text go in as tensors and tokens; text, scores and attention come out. Start reading at
//! [`Model`]; the list of modules is the way of a clip through it.
#![recursion_limit = "256"]

mod audio;
mod config;
mod device;
mod error;
mod forward;
mod generate;
pub mod inputs;
mod kernels;
mod layers;
mod lora;
mod positions;
mod text;
mod thinker;
mod train;
mod vision;
pub mod weights;

pub use audio::{AudioTower, audio_tokens};
pub use config::{AudioConfig, RopeParameters, TextConfig, ThinkerConfig, VisionConfig};
pub use device::{device, set_threads};
pub use error::ModelError;
pub use forward::{Inputs, forward_file};
pub use generate::{Decoding, Generation, Prefix};
pub use lora::{LoraConfig, Target, attach};
pub use positions::{MediaShapes, Positions};
pub use text::{Cache, Observer, TextModel};
pub use thinker::{Embeddings, Model, Sequence, Thinker};
pub use train::{
    AdamW, AdamWConfig, Answers, Asked, Example, Examples, Kind, Length, LoraRecipe, Origin, Precision,
    Recipe, Step, Streams, Summed, Targets, TinyConfig, TrainError, Trainer, described, lora_losses, merge,
    write_checkpoint,
};
pub use vision::{Grid, VisionTower};
pub use weights::{Checkpoint, WeightsError};
