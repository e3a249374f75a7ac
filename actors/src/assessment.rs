//! What it takes to ask the checkpoints of a run, beyond the records that tell of them: what is asked, how a checkpoint
//! becomes a model, and who writes down what its answers come to.

mod session;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
    sync::Arc,
};

use counterpoint_log::TopicLog;
use counterpoint_messages::{CheckpointSaved, ContentHash, RecordId, SampleComposed, StageName, TraceParent};
use counterpoint_models::{ModelError, ModelFacts, ModelInput, ModelThread};
use counterpoint_telemetry::{span, trace};
use futures::executor::block_on;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub(crate) use self::session::{Answered, Session};
use crate::{
    Tools,
    asked_model::told,
    evaluation::{Collected, EvaluationError, collect},
    evaluator::Inquiry,
    projection::samples_of,
    revision::Revision,
    stage::Fault,
    store::Store,
    teaching::classes_found,
    tuition::{content_of, samples_named},
};

/// Opens a checkpoint as a model.
pub type Open = dyn Fn(&CheckpointSaved) -> Result<ModelThread, ModelError> + Send + Sync;

/// Writes down what a checkpoint's answers come to.
pub type Tell = dyn Fn(&Results) -> Result<(), Fault> + Send + Sync;

/// See the module.
pub struct Assessment {
    /// What is asked. The classes that it offers are left to the moment: those of all samples that there are by then.
    pub inquiry: Inquiry,
    /// How a checkpoint is opened, again where it failed on a question.
    pub open: Arc<Open>,
    /// Who is told at the end.
    pub tell: Box<Tell>,
    /// The run's revision.
    pub revision: Revision,
    /// The run's log.
    pub log: Arc<dyn TopicLog>,
}

/// What a checkpoint was asked and answered.
#[derive(Debug, Clone)]
pub struct Results {
    /// The checkpoint.
    pub saved: CheckpointSaved,
    /// What it was asked.
    pub inquiry: Inquiry,
    /// Object that holds that.
    pub object: ContentHash,
    /// The checkpoint as a model.
    pub model: ModelFacts,
    /// Its answers.
    pub collected: Collected,
}

/// How far the questions to a checkpoint are. What is asked about which samples stays as it was when they began, however
/// many samples come meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sitting {
    /// The record that tells of the checkpoint.
    pub checkpoint: RecordId,
    /// Object that holds what is asked.
    pub inquiry: ContentHash,
    /// Object that holds the ids of the samples that are asked about, sorted.
    samples: ContentHash,
    /// How many there are.
    pub count: usize,
    /// How many of them are done.
    pub done: usize,
    /// Trace of the evaluation.
    trace: Option<TraceParent>,
}

/// A checkpoint that cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum Unasked {
    /// Its folder has gone, or parts of it.
    #[error(
        "checkpoint {folder} cannot be read: put it back and `counterpoint topics dead-letters --requeue` asks it"
    )]
    Gone {
        /// Folder, as it was told.
        folder: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Something else lies there.
    #[error(
        "{folder} holds something else than training {training} left there: put that back and `counterpoint topics \
         dead-letters --requeue` asks it"
    )]
    Changed {
        /// Folder, as it was told.
        folder: String,
        /// The training.
        training: RecordId,
    },
    /// It is there, and makes no model.
    #[error("checkpoint {folder} cannot be asked")]
    NoModel {
        /// Folder, as it was told.
        folder: String,
        /// Why not.
        #[source]
        source: ModelError,
    },
}

impl From<Unasked> for Fault {
    fn from(error: Unasked) -> Self {
        Self::Record(told(&error))
    }
}

impl From<EvaluationError> for Fault {
    fn from(error: EvaluationError) -> Self {
        match error {
            EvaluationError::Log(error) => Self::Ours(error.to_string()),
            EvaluationError::Question(error) => Self::Record(error.to_string()),
        }
    }
}

/// The samples that a sitting is about, by their ids, each with the trace that it belongs to.
type Samples = BTreeMap<RecordId, (SampleComposed, Option<TraceParent>)>;

impl Assessment {
    /// Begins with a checkpoint: what is asked about which samples is written down. `None` if there is nothing to ask.
    pub(crate) fn begin(&self, saved: &CheckpointSaved, store: &Store) -> Result<Option<Sitting>, Fault> {
        check(saved)?;
        let samples = block_on(samples_of(&*self.log, &self.revision)).map_err(EvaluationError::from)?;
        let inquiry = Inquiry { options: classes_found(&samples), ..self.inquiry.clone() };
        if inquiry.options.len() < 2 {
            return Ok(None);
        }
        let mut ids = Vec::new();
        for sample in &samples {
            let questions = inquiry.questions(sample, &saved.identity).map_err(EvaluationError::from)?;
            ids.extend((!questions.is_empty()).then_some(sample.id));
        }
        if ids.is_empty() {
            return Ok(None);
        }
        let object = put(store, &inquiry)?;
        let root = tracing::info_span!(parent: None, span::EVALUATION, evaluation = %object);
        if let Some(training) = saved.trace {
            trace::link(&root, training);
        }
        let collected = block_on(collect(&*self.log, &samples, &inquiry, &saved.identity))?;
        Ok(Some(Sitting {
            checkpoint: saved.id,
            inquiry: object,
            samples: put(store, &ids)?,
            count: ids.len(),
            // Somebody may have asked all of it before.
            done: if collected.open.is_empty() { ids.len() } else { 0 },
            trace: trace::of(&root),
        }))
    }

    /// Writes down what the answers come to, and the report anew.
    pub(crate) fn finish(
        &self,
        saved: &CheckpointSaved,
        sitting: &Sitting,
        tools: &Tools,
    ) -> Result<(), Fault> {
        let (inquiry, _, samples) = self.read(sitting, &tools.store)?;
        let samples: Vec<_> = samples.into_values().map(|(sample, _)| sample).collect();
        let collected = block_on(collect(&*self.log, &samples, &inquiry, &saved.identity))?;
        let (saved, object) = (saved.clone(), sitting.inquiry);
        let model = facts(&saved, ModelInput::FramesAndSound);
        (self.tell)(&Results { saved, inquiry, object, model, collected })?;
        tools.publisher.publish(tools)
    }

    /// What is asked, the ids of the samples, and the samples.
    fn read(
        &self,
        sitting: &Sitting,
        store: &Store,
    ) -> Result<(Inquiry, BTreeSet<RecordId>, Samples), Fault> {
        let inquiry = get(store, sitting.inquiry)?;
        let ids = get(store, sitting.samples)?;
        let samples = block_on(samples_named(&*self.log, &ids)).map_err(EvaluationError::from)?;
        Ok((inquiry, ids, samples))
    }
}

/// The checkpoint as answers and scores name it.
fn facts(saved: &CheckpointSaved, input: ModelInput) -> ModelFacts {
    ModelFacts { name: saved.model.clone(), identity: saved.identity.clone(), input }
}

/// Refuses a checkpoint that is not what its training left.
fn check(saved: &CheckpointSaved) -> Result<(), Unasked> {
    let folder = saved.folder.clone();
    match content_of(Path::new(&folder)) {
        Ok(content) if content == saved.content => Ok(()),
        Ok(_) => Err(Unasked::Changed { folder, training: saved.training.id }),
        Err(source) => Err(Unasked::Gone { folder, source }),
    }
}

fn put(store: &Store, content: &impl Serialize) -> Result<ContentHash, Fault> {
    let bytes = serde_json::to_vec(content).map_err(|error| Fault::Record(error.to_string()))?;
    Ok(store.put_bytes(&bytes)?.hash)
}

fn get<T: DeserializeOwned>(store: &Store, object: ContentHash) -> Result<T, Fault> {
    let stage = StageName::Evaluator;
    let unread = |error| Fault::Record(format!("object {object} is none of the {stage}'s: {error}"));
    serde_json::from_slice(&store.get(object)?).map_err(unread)
}
