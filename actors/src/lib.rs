//! The pipeline: one stage a file, in the order in which a clip meets them, and what runs them.
//!
//! Stages: [`source`], [`curator`], [`decoder`], [`gate`], [`coordinator`], [`composer`], [`reporter`].
//! Each is a pure state machine ([`stage::Stage`]); one generic actor runs any of them; the `supervisor`
//! keeps them alive; [`pipeline`] puts them together.

pub mod audit;
pub mod composer;
pub mod coordinator;
pub mod curator;
pub mod dead_letters;
pub mod decoder;
pub mod gate;
pub mod materialise;
pub mod media;
pub mod pipeline;
pub mod projection;
pub mod publisher;
pub mod reporter;
pub mod revision;
pub mod settings;
pub mod source;
pub mod stage;
pub mod store;
mod supervisor;

use std::sync::Arc;

pub use supervisor::{PipelineError, Rebuilds};

use crate::{
    media::Media,
    publisher::Publisher,
    stage::Fault,
    store::{Store, StoreError},
};

/// What work may use.
pub struct Tools {
    /// Media objects.
    pub store: Store,
    /// Media workers.
    pub media: Arc<dyn Media>,
    /// Loudness of every sound in LUFS, also of those that are mixed anew.
    pub loudness_lufs: f64,
    /// Files for people.
    pub publisher: Publisher,
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match error {
            // No waiting brings an object back, and the record that points to it is worth keeping.
            StoreError::Missing { .. } => Self::Record(error.to_string()),
            error => Self::Ours(error.to_string()),
        }
    }
}
