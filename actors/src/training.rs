//! Trainings that somebody asks for, and what became of any training.
//!
//! Such a training is the stage [`crate::trainer`] alone, in a group of its own on the run's log that is named by the
//! training's id: whoever asks for the same again goes on with it, or finds it done. Its records are of no revision of
//! the run.

use std::{collections::BTreeMap, sync::Arc};

use counterpoint_log::{Group, Headers, LogError, Outgoing, Position, TopicLog};
use counterpoint_messages::{
    Cause, CheckpointSaved, ContentHash, DeadLetter, Fingerprint, Message, RecipeName, RecordId, StageName,
    Topic, TraceParent, TrainingFailed, TrainingPlanned,
};
use counterpoint_models::{Base, Prepared};
use futures::TryStreamExt;

use crate::{
    Tools, format, later,
    pipeline::{Lives, RunningPipeline},
    settings::Effort,
    stage::{Process, StageOptions},
    store::{Store, StoreError},
    trainer::Trainer,
};

/// A model to be trained from, with which settings: what trainings of one kind share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Course {
    /// What they begin with.
    pub base: Base,
    /// What is known of that, and the settings.
    pub prepared: Prepared,
}

impl Course {
    /// Name of the model that trainings begin with; `None` for nothing.
    pub fn base_name(&self) -> Option<String> {
        match &self.base {
            Base::Nothing => None,
            Base::Model(model) => Some(model.checkpoint.display().to_string()),
        }
    }

    /// Object that holds the settings.
    pub fn settings(&self) -> ContentHash {
        ContentHash::of(self.prepared.settings.as_bytes())
    }

    /// Puts the settings and a data set into the store; the data set's object.
    ///
    /// # Errors
    /// They cannot be stored.
    pub fn keep(&self, data_set: &[u8], store: &Store) -> Result<ContentHash, StoreError> {
        store.put_bytes(self.prepared.settings.as_bytes())?;
        Ok(store.put_bytes(data_set)?.hash)
    }

    /// A training as a message, with its id still to be given.
    pub(crate) fn planned(&self, data_set: ContentHash, samples: u64) -> TrainingPlanned {
        TrainingPlanned {
            id: RecordId::default(),
            round: None,
            base: self.base_name(),
            base_identity: self.prepared.base.clone(),
            recipe: self.prepared.recipe.clone(),
            settings: self.settings(),
            recipes: None,
            seed: None,
            data_set,
            samples,
            folder: None,
        }
    }
}

/// Version of what a training makes of its plan: raised whenever the same plan would give other weights.
const TRANSFORM: u32 = 2;

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// From what, and how.
    pub course: Course,
    /// Recipes of the samples that are learned from, where the settings shall not say.
    pub recipes: Option<Vec<RecipeName>>,
    /// Seed, where the settings shall not say.
    pub seed: Option<u64>,
    /// Object that holds what is learned from: a [`crate::teaching::DataSet`].
    pub data_set: ContentHash,
    /// Samples in it.
    pub samples: u64,
    /// Folder of the result, as an absolute path.
    pub folder: String,
}

impl Wanted {
    /// The training. `attempt` counts earlier ones of the same that came to no result, or whose result has gone: a
    /// new one is another training.
    pub fn plan(&self, attempt: u32) -> TrainingPlanned {
        let planned = TrainingPlanned {
            recipes: self.recipes.clone(),
            seed: self.seed,
            folder: Some(self.folder.clone()),
            ..self.course.planned(self.data_set, self.samples)
        };
        let TrainingPlanned { base_identity, settings, recipes, seed, data_set, folder, .. } = &planned;
        let detail = format!(
            "asked {base_identity:?} {settings} {recipes:?} {seed:?} {data_set} {folder:?} {attempt}"
        );
        let (stage, settings) = (StageName::Planner, Fingerprint::default());
        let id = Cause { stage, transform: TRANSFORM, settings, inputs: &[], detail: &detail }.id();
        TrainingPlanned { id, ..planned }
    }
}

/// A training that somebody asked for, about to be done.
pub struct AskedTraining {
    /// The training.
    pub planned: TrainingPlanned,
    /// How fast and how patiently.
    pub effort: Effort,
    /// Name of this process, stable over restarts.
    pub instance: String,
    /// The run's log.
    pub log: Arc<dyn TopicLog>,
    /// What work needs, tuition among it.
    pub tools: Arc<Tools>,
}

impl AskedTraining {
    /// Writes the plan, unless it is on the log; its position. `trace` is the training's.
    ///
    /// # Errors
    /// If the log cannot be read or written, or has no words for trainings.
    pub async fn plan(&self, trace: Option<TraceParent>) -> Result<Position, LogError> {
        if let Some(position) = self.position().await? {
            return Ok(position);
        }
        let message = Message::from(self.planned.clone());
        let value =
            message.encode(format::level(&*self.log).await?).map_err(|error| format::refused(&error))?;
        let key = self.planned.id.0.to_vec();
        let headers = Headers { trace, revision: Some(group_of(self.planned.id)), ..Headers::default() };
        self.log
            .append(vec![Outgoing { topic: Topic::Trainings, partition: 0, key, value, headers }])
            .await?;
        self.position().await?.ok_or_else(|| LogError::Unavailable {
            place: Topic::Trainings.to_string(),
            detail: "what was written just now is not there yet".to_owned(),
        })
    }

    async fn position(&self) -> Result<Option<Position>, LogError> {
        let mut records = self.log.scan(Topic::Trainings);
        while let Some(record) = records.try_next().await? {
            if record.headers.revision == Some(group_of(self.planned.id)) {
                return Ok(Some(record.position));
            }
        }
        Ok(None)
    }

    /// Starts training; needs a running actix system. Never ends by itself.
    pub fn start(self) -> RunningPipeline {
        let fingerprint = group_of(self.planned.id);
        let options = StageOptions {
            fingerprint,
            revision: Arc::new([fingerprint].into()),
            // Two trainings at a time are no rivals.
            instance: format!("{}-{fingerprint}", self.instance),
            concurrency: 1,
            max_records: self.effort.max_records,
            max_bytes: self.effort.max_bytes,
            patience: self.effort.patience(),
        };
        let (tools, log) = (Arc::clone(&self.tools), Arc::clone(&self.log));
        let lives = Lives::of(|| Trainer, options, Process::this(), tools, log);
        let handle = lives.handle(Group { stage: StageName::Trainer, fingerprint });
        RunningPipeline::start(vec![handle], self.log, self.tools)
    }
}

/// The group that does a training which somebody asked for.
pub fn group_of(training: RecordId) -> Fingerprint {
    let mut hasher = blake3::Hasher::new_derive_key("counterpoint training fingerprint v1");
    hasher.update(&training.0);
    let mut fingerprint = Fingerprint::default();
    hasher.finalize_xof().fill(&mut fingerprint.0);
    fingerprint
}

/// What became of a training.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It has a result.
    Saved(Box<CheckpointSaved>),
    /// It has none, and would have none again.
    Failed(TrainingFailed),
    /// It was given up after it had failed three times.
    GivenUp(DeadLetter),
}

/// What became of trainings, by their ids; of those that are still to be done there is nothing. The first record of a
/// training counts.
///
/// # Errors
/// If the log cannot be read.
pub async fn outcomes(log: &dyn TopicLog) -> Result<BTreeMap<RecordId, Outcome>, LogError> {
    let mut outcomes = BTreeMap::new();
    let mut records = log.scan(Topic::Checkpoints);
    while let Some(record) = records.try_next().await? {
        let (id, outcome) = match later::read(&record) {
            Ok(Some(Message::CheckpointSaved(saved))) => (saved.training.id, Outcome::Saved(Box::new(saved))),
            Ok(Some(Message::TrainingFailed(failed))) => (failed.training.id, Outcome::Failed(failed)),
            _ => continue,
        };
        outcomes.entry(id).or_insert(outcome);
    }
    let mut records = log.scan(Topic::DeadLetters);
    while let Some(record) = records.try_next().await? {
        if let Ok(Some(Message::DeadLetter(letter))) = later::read(&record)
            && letter.stage == StageName::Trainer
            && let Ok(training) = letter.key.as_slice().try_into()
        {
            outcomes.entry(RecordId(training)).or_insert(Outcome::GivenUp(letter));
        }
    }
    Ok(outcomes)
}
