//! Qwen2.5-Omni: what a clip and a question become before the network, and how its weights are read and written.

pub mod inputs;
pub mod weights;
