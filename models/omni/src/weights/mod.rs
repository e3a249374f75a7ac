//! The weights of a model on disk: read by memory map with every claim of the files checked first, written whole or
//! not at all.
//!
//! | file | holds |
//! | --- | --- |
//! | [`error`] | what can be wrong, always with the file, the tensor and a remedy |
//! | [`shard`] | one safetensors file, its header checked |
//! | [`names`] | the names that releases of the reference give one and the same tensor |
//! | [`checkpoint`] | all shards of a folder |
//! | `load` | from tensors to a model's parameters |
//! | [`shapes`] | every tensor of a configuration, by arithmetic |
//! | [`memory`] | bytes that inference and tuning take, by arithmetic |
//! | [`mod@write`] | a new checkpoint folder |
//! | [`adapter`] | LoRA matrices in PEFT's layout, both ways |

pub mod adapter;
pub mod checkpoint;
pub mod error;
pub(crate) mod load;
pub mod memory;
pub mod names;
pub mod shapes;
pub mod shard;
pub mod write;

pub use checkpoint::Checkpoint;
pub use error::WeightsError;
pub(crate) use load::{load, name};
pub use safetensors::Dtype;
pub use shapes::Sizes;
