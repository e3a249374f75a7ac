//! Tuning: the loss where answers stand, and steps down its gradient.

mod loss;
mod losses_file;
mod optimizer;

pub use loss::Answers;
pub use losses_file::lora_losses;
pub use optimizer::{AdamW, AdamWConfig};
