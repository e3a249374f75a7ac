//! The pipeline: one stage a file, in the order in which a clip meets them, and what runs them.
//!
//! Stages: [`fetcher`], [`source`], [`curator`], [`decoder`], [`prober`], [`gate`], [`coordinator`],
//! [`composer`], [`planner`], [`trainer`], [`evaluator`] (of a run that trains: [`assessor`]), [`reporter`].
//! Each is a pure state machine ([`stage::Stage`]); one generic actor runs any of them; the `supervisor`
//! keeps them alive; [`pipeline`] puts them together.

mod asked_model;
pub mod assessment;
pub mod assessor;
pub mod audit;
pub mod composer;
pub mod coordinator;
pub mod curator;
pub mod dead_letters;
pub mod decoder;
pub mod evaluation;
pub mod evaluator;
pub mod fetcher;
pub mod follow;
pub mod format;
pub mod gate;
pub mod held_up;
mod lag;
pub mod later;
pub mod materialise;
pub mod media;
pub mod pipeline;
pub mod planner;
pub mod prober;
pub mod projection;
pub mod publisher;
pub mod reporter;
pub mod revision;
pub mod s3;
pub mod settings;
mod showing;
pub mod source;
pub mod stage;
pub mod store;
mod supervisor;
pub mod sweep;
pub mod tally;
pub mod teaching;
pub mod trainer;
pub mod training;
pub mod tuition;
pub mod turns;

use std::sync::{Arc, atomic::AtomicBool};

pub use asked_model::AskedModel;
use parking_lot::Mutex;
pub use supervisor::{PipelineError, Rebuilds};

use crate::{
    assessment::Assessment,
    media::Media,
    publisher::Publisher,
    source::{places::Places, settling::Settling},
    stage::Fault,
    store::{Store, StoreError},
    tuition::Tuition,
    turns::Turns,
};

/// What work may use.
pub struct Tools {
    /// Media objects.
    pub store: Store,
    /// Input media.
    pub places: Places,
    /// Media workers.
    pub media: Arc<dyn Media>,
    /// Loudness of every sound in LUFS, also of those that are mixed anew.
    pub loudness_lufs: f64,
    /// What was seen of files that are being written.
    pub settling: Settling,
    /// Set when the pipeline is told to end: work that waits for others need not be finished.
    pub stopping: AtomicBool,
    /// Files for people.
    pub publisher: Publisher,
    /// The model that is asked, where one is.
    pub model: Option<AskedModel>,
    /// What training takes, where a model is trained.
    pub tuition: Option<Tuition>,
    /// What asking checkpoints takes, where those of rounds are asked.
    pub assessment: Option<Assessment>,
    /// Those of them that have a model in memory.
    pub turns: Turns,
    /// Held while files for people are written, so that what is written last tells of all that was there.
    pub publishing: Mutex<()>,
}

/// What it takes to read samples and clips. Cheap to clone.
#[derive(Clone)]
pub struct Reading {
    /// Media objects.
    pub store: Store,
    /// Media workers.
    pub media: Arc<dyn Media>,
    /// Loudness of every sound in LUFS, also of those that are mixed anew.
    pub loudness_lufs: f64,
}

impl Tools {
    /// Tools of a pipeline that begins.
    pub fn new(
        store: Store,
        places: Places,
        media: Arc<dyn Media>,
        loudness_lufs: f64,
        publisher: Publisher,
    ) -> Self {
        let (settling, stopping) = (Settling::default(), AtomicBool::new(false));
        Self {
            store,
            places,
            media,
            loudness_lufs,
            settling,
            stopping,
            publisher,
            model: None,
            tuition: None,
            assessment: None,
            turns: Turns::default(),
            publishing: Mutex::default(),
        }
    }

    /// The same tools, and a model to ask.
    #[must_use]
    pub fn with_model(self, model: AskedModel) -> Self {
        Self { model: Some(model), ..self }
    }

    /// The same tools, and what training takes.
    #[must_use]
    pub fn with_tuition(self, tuition: Tuition) -> Self {
        Self { tuition: Some(tuition), ..self }
    }

    /// The same tools, and what asking checkpoints takes.
    #[must_use]
    pub fn with_assessment(self, assessment: Assessment) -> Self {
        Self { assessment: Some(assessment), ..self }
    }

    /// What it takes to read samples and clips.
    pub fn reading(&self) -> Reading {
        let (store, media) = (self.store.clone(), Arc::clone(&self.media));
        Reading { store, media, loudness_lufs: self.loudness_lufs }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match error {
            // No waiting brings an object back, and the record that points to it is worth keeping.
            StoreError::Missing { .. } | StoreError::Damaged { .. } => Self::Record(error.to_string()),
            error => Self::Ours(error.to_string()),
        }
    }
}
