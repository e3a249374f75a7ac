//! Evaluations: one model asked about the samples of a run, and what it answered.
//!
//! An evaluation is the stage [`crate::evaluator`] alone, in a group of its own on the run's log, so it goes on
//! where it was after any end. Several may be made of one run, also while new samples keep coming.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use counterpoint_log::{Group, LogError, Position, TopicLog};
use counterpoint_messages::{
    AnswerGiven, ContentHash, DeadLetter, Fingerprint, Message, RecordId, SampleComposed, StageName, Topic,
};
use futures::TryStreamExt;

use crate::{
    Tools,
    evaluator::{Asked, Assignment, Evaluator, Inquiry},
    later,
    pipeline::{Lives, RunningPipeline},
    revision::Revision,
    settings::Effort,
    stage::{Process, StageError, StageOptions},
};

/// Samples whose media are read while the model answers about another one.
const AHEAD: usize = 2;

/// A model to be asked about the samples of a revision.
pub struct Evaluation {
    /// The run's revision.
    pub revision: Revision,
    /// What is asked, and of whom.
    pub assignment: Arc<Assignment>,
    /// Counts earlier evaluations of the same that gave up on samples: a new one takes those up again.
    pub attempt: u32,
    /// How fast and how patiently.
    pub effort: Effort,
    /// Name of this process, stable over restarts.
    pub instance: String,
    /// The run's log.
    pub log: Arc<dyn TopicLog>,
    /// What work needs, the model among it.
    pub tools: Arc<Tools>,
}

impl Evaluation {
    /// Starts asking; needs a running actix system. Never ends by itself: samples may come for ever.
    pub fn start(self) -> RunningPipeline {
        let fingerprint = self.fingerprint();
        let options = StageOptions {
            fingerprint,
            revision: Arc::new(self.revision.fingerprints()),
            // Two evaluations at a time are no rivals.
            instance: format!("{}-{fingerprint}", self.instance),
            concurrency: AHEAD,
            max_records: self.effort.max_records,
            max_bytes: self.effort.max_bytes,
            patience: self.effort.patience(),
        };
        let assignment = Arc::clone(&self.assignment);
        let build = move || Evaluator::new(Arc::clone(&assignment));
        let (tools, log) = (Arc::clone(&self.tools), Arc::clone(&self.log));
        let lives = Lives::of(build, options, Process::this(), tools, log);
        let handle = lives.handle(Group { stage: StageName::Evaluator, fingerprint });
        RunningPipeline::start(vec![handle], self.log, self.tools)
    }

    /// The group: samples of the revision, the model and what it is asked.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hasher = blake3::Hasher::new_derive_key("counterpoint evaluation fingerprint v1");
        hasher.update(&self.revision.fingerprint(StageName::Composer).0);
        hasher.update(&self.assignment.object.0);
        hasher.update(self.assignment.model.identity.as_bytes());
        hasher.update(&self.attempt.to_le_bytes());
        let mut fingerprint = Fingerprint::default();
        hasher.finalize_xof().fill(&mut fingerprint.0);
        fingerprint
    }
}

/// Last record of the samples, which an evaluation has to reach; `None` if there is none.
///
/// # Errors
/// If the log cannot be read.
pub async fn end_of_samples(log: &dyn TopicLog) -> Result<Option<Position>, LogError> {
    let mut end = None;
    let mut records = log.scan(Topic::Samples);
    while let Some(record) = records.try_next().await? {
        end = Some(record.position);
    }
    Ok(end)
}

/// What a model was asked, and what it answered.
#[derive(Debug, Clone, Default)]
pub struct Collected {
    /// Questions with their answers, by sample, condition and question.
    pub answers: Vec<(Asked, AnswerGiven)>,
    /// Questions without an answer on the log.
    pub open: Vec<RecordId>,
}

/// Collects a model's answers to an inquiry about these samples, each once: the first one committed.
///
/// # Errors
/// If the log cannot be read, or a question makes no sense.
pub async fn collect(
    log: &dyn TopicLog,
    samples: &[SampleComposed],
    inquiry: &Inquiry,
    identity: &str,
) -> Result<Collected, EvaluationError> {
    let mut found = BTreeMap::new();
    let mut records = log.scan(Topic::Answers);
    while let Some(record) = records.try_next().await? {
        if let Ok(Some(Message::AnswerGiven(given))) = later::read(&record)
            && given.identity == identity
        {
            found.entry(given.id).or_insert(given);
        }
    }
    let mut collected = Collected::default();
    for sample in samples {
        for asked in inquiry.questions(sample, identity)? {
            match found.remove(&asked.id) {
                Some(given) => collected.answers.push((asked, given)),
                None => collected.open.push(asked.id),
            }
        }
    }
    Ok(collected)
}

impl Collected {
    /// Ids of the answers.
    pub fn ids(&self) -> BTreeSet<RecordId> {
        self.answers.iter().map(|(asked, _)| asked.id).collect()
    }
}

/// A model that was asked before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    /// Its name.
    pub model: String,
    /// What its answers depend on.
    pub identity: String,
    /// Object that holds what it was asked.
    pub evaluation: ContentHash,
}

/// The model that was asked last, apart from the one of this identity; `None` if there is none.
///
/// # Errors
/// If the log cannot be read.
pub async fn earlier(log: &dyn TopicLog, identity: &str) -> Result<Option<Earlier>, LogError> {
    let mut newest = None;
    let mut records = log.scan(Topic::Answers);
    while let Some(record) = records.try_next().await? {
        if let Ok(Some(Message::AnswerGiven(AnswerGiven { model, identity: of, evaluation, .. }))) =
            later::read(&record)
            && of != identity
        {
            newest = Some(Earlier { model, identity: of, evaluation });
        }
    }
    Ok(newest)
}

/// What an evaluation gave up on.
///
/// # Errors
/// If the log cannot be read.
pub async fn given_up(log: &dyn TopicLog, evaluation: Fingerprint) -> Result<Vec<DeadLetter>, LogError> {
    let mut letters = Vec::new();
    let mut records = log.scan(Topic::DeadLetters);
    while let Some(record) = records.try_next().await? {
        if let Ok(Some(Message::DeadLetter(letter))) = later::read(&record)
            && record.headers.revision == Some(evaluation)
        {
            letters.push(letter);
        }
    }
    Ok(letters)
}

/// Answers that cannot be collected.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A question makes no sense.
    #[error(transparent)]
    Question(#[from] StageError),
}
