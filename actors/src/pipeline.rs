//! The pipeline as a whole: which stages there are, how they are started, and when a run has ended.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use actix::{Actor, Addr, Arbiter};
use counterpoint_core::{curation, plan::Plan, variants::Relations};
use counterpoint_log::{Headers, LogError, Outgoing, Position, TopicLog};
use counterpoint_messages::{
    Cause, Fingerprint, InputOffered, LabelList, Message, RecordId, RunFinished, StageName, Topic,
};
use futures::TryStreamExt;
use tokio::sync::{oneshot, watch};

use crate::{
    Tools,
    composer::Composer,
    coordinator::Coordinator,
    curator::Curator,
    decoder::Decoder,
    gate::Gate,
    projection::newest_revision,
    reporter::Reporter,
    revision::Revision,
    settings::{Effort, Settings},
    source::Source,
    stage::{Life, Process, Stage, StageActor, StageHealth, StageOptions, Stop, live},
    supervisor::{PipelineError, StageHandle, Supervisor},
};

/// How long to leave a log alone that did not answer.
const FOLLOW_AGAIN: Duration = Duration::from_secs(1);

/// Everything a pipeline is made of.
pub struct Pipeline {
    /// What comes out.
    pub settings: Settings,
    /// How fast and how patiently.
    pub effort: Effort,
    /// Revision that is worked on.
    pub revision: Revision,
    /// Rules of curation on the ontology.
    pub rulebook: Arc<curation::Curator>,
    /// Which classes may lend each other sound.
    pub relations: Arc<dyn Relations + Send + Sync>,
    /// Samples.
    pub plan: Plan,
    /// Stages that this process runs.
    pub stages: BTreeSet<StageName>,
    /// Name of this instance, stable over restarts.
    pub instance: String,
    /// The log.
    pub log: Arc<dyn TopicLog>,
    /// What work needs.
    pub tools: Arc<Tools>,
}

/// Begins a life of a stage, which tells of its health and listens to when it is to stop.
pub type Begin = Box<dyn Fn(watch::Sender<StageHealth>, watch::Receiver<bool>) -> Life + Send + Sync>;

/// A pipeline at work.
pub struct RunningPipeline {
    supervisor: Addr<Supervisor>,
    health: Vec<(StageName, watch::Receiver<StageHealth>)>,
    ended: oneshot::Receiver<Result<(), PipelineError>>,
}

impl Pipeline {
    /// Starts the stages; needs a running actix system.
    pub fn start(self) -> RunningPipeline {
        let handles: Vec<_> = self.stages.iter().map(|stage| self.handle(*stage)).collect();
        let health = handles.iter().map(|handle| (handle.stage, handle.health.clone())).collect();
        let (sender, ended) = oneshot::channel();
        RunningPipeline { supervisor: Supervisor::new(handles, sender).start(), health, ended }
    }

    fn handle(&self, stage: StageName) -> StageHandle {
        let (health, watched) = watch::channel(StageHealth::default());
        let begin = self.lives(stage, Process::this());
        let start = move |generation, supervisor| {
            let arbiter = Arbiter::new();
            let stop = watch::Sender::new(false);
            let life = begin(health.clone(), stop.subscribe());
            let actor = StageActor::new(stage, generation, life, stop, supervisor);
            let address = StageActor::start_in_arbiter(&arbiter.handle(), move |_| actor);
            (address.recipient(), arbiter)
        };
        StageHandle { stage, start: Box::new(start), health: watched }
    }

    /// How a stage's lives begin in a process, one after the other.
    pub fn lives(&self, stage: StageName, process: Process) -> Begin {
        let fingerprint = self.revision.fingerprint(stage);
        match stage {
            StageName::Source => {
                let settings = self.settings.source.clone();
                self.begin(stage, process, move || Source::new(settings.clone(), fingerprint))
            }
            StageName::Curator => {
                let rulebook = Arc::clone(&self.rulebook);
                self.begin(stage, process, move || Curator::new(Arc::clone(&rulebook), fingerprint))
            }
            StageName::Decoder => {
                let settings = self.settings.decoder.clone();
                self.begin(stage, process, move || Decoder::new(settings.clone(), fingerprint))
            }
            StageName::Gate => {
                let settings = self.settings.gate.clone();
                self.begin(stage, process, move || Gate::new(settings.clone(), fingerprint))
            }
            StageName::Coordinator => {
                let plan = self.plan.clone();
                self.begin(stage, process, move || Coordinator::new(plan.clone(), fingerprint))
            }
            StageName::Composer => {
                let (plan, seed, relations) =
                    (self.plan.clone(), self.settings.seed, Arc::clone(&self.relations));
                self.begin(stage, process, move || {
                    Composer::new(plan.clone(), seed, Arc::clone(&relations), fingerprint)
                })
            }
            StageName::Reporter => self.begin(stage, process, || Reporter),
        }
    }

    fn begin<S: Stage>(
        &self,
        stage: StageName,
        process: Process,
        build: impl Fn() -> S + Send + Sync + 'static,
    ) -> Begin {
        let options = self.options(stage);
        let (tools, log) = (Arc::clone(&self.tools), Arc::clone(&self.log));
        Box::new(move |health, stop| {
            let (options, process) = (options.clone(), process.clone());
            live(build(), options, process, Arc::clone(&tools), Arc::clone(&log), health, stop)
        })
    }

    fn options(&self, stage: StageName) -> StageOptions {
        StageOptions {
            fingerprint: self.revision.fingerprint(stage),
            revision: Arc::new(self.revision.fingerprints()),
            instance: self.instance.clone(),
            concurrency: match stage {
                StageName::Decoder => self.effort.workers(),
                _ => 1,
            },
            max_records: self.effort.max_records,
            max_bytes: self.effort.max_bytes,
            patience: self.effort.patience(),
        }
    }
}

impl RunningPipeline {
    /// How the stages are doing, in order.
    pub fn health(&self) -> Vec<(StageName, StageHealth)> {
        self.health.iter().map(|(stage, health)| (*stage, health.borrow().clone())).collect()
    }

    /// Tells every stage to finish what it has begun, commit and end.
    pub fn stop(&self) {
        // Fails only if the supervisor is gone, and then so are the stages.
        let _ = self.supervisor.try_send(Stop);
    }

    /// Waits until every stage has ended.
    ///
    /// # Errors
    /// What kept the run from going on.
    pub async fn ended(&mut self) -> Result<(), PipelineError> {
        (&mut self.ended).await.unwrap_or(Ok(()))
    }

    /// Whether a stage of this process has committed a position; true if it runs elsewhere.
    pub fn has_reached(&self, stage: StageName, topic: Topic, position: Position) -> bool {
        self.health.iter().filter(|(name, _)| *name == stage).all(|(_, health)| {
            health.borrow().committed.get(&(topic, 0)).is_some_and(|reached| *reached >= position)
        })
    }
}

/// Declares the revision that is worked on from here on, unless it is the newest already.
///
/// # Errors
/// If the log cannot be read or written.
pub async fn declare(log: &dyn TopicLog, revision: &Revision) -> Result<(), LogError> {
    if newest_revision(log).await?.as_ref() == Some(revision) {
        return Ok(());
    }
    let declared = revision.declared.clone();
    let detail = format!("revision {}", declared.number);
    let settings = Fingerprint::default();
    let cause = Cause { stage: StageName::Source, transform: 1, settings, inputs: &[], detail: &detail };
    append(log, Topic::Revisions, cause.id(), declared.into()).await
}

/// Hands an input to the source and returns its id; an earlier one of the same paths that the source has
/// not read to its end is taken up again instead.
///
/// # Errors
/// If the log cannot be read or written.
pub async fn offer(
    log: &dyn TopicLog,
    revision: &Revision,
    clips: &str,
    labels: Vec<LabelList>,
    ontology: &str,
) -> Result<RecordId, LogError> {
    let inputs = inputs(log).await?;
    let sealed = sealed_inputs(log, revision).await?;
    let is_unread = |input: &&InputOffered| {
        !sealed.contains(&input.id)
            && (input.clips.as_str(), &input.labels, input.ontology.as_str()) == (clips, &labels, ontology)
    };
    if let Some(input) = inputs.iter().find(is_unread) {
        return Ok(input.id);
    }
    let nonce = inputs.len() as u64;
    let id = Cause {
        stage: StageName::Source,
        transform: 1,
        settings: Fingerprint::default(),
        inputs: &[],
        detail: &format!("input {nonce} {clips} {labels:?} {ontology}"),
    }
    .id();
    let input = InputOffered { id, clips: clips.to_owned(), labels, ontology: ontology.to_owned(), nonce };
    append(log, Topic::Inputs, id, input.into()).await?;
    Ok(id)
}

/// Inputs offered so far, the newest last.
///
/// # Errors
/// If the log cannot be read.
pub async fn inputs(log: &dyn TopicLog) -> Result<Vec<InputOffered>, LogError> {
    let mut inputs = Vec::new();
    let mut records = log.scan(Topic::Inputs);
    while let Some(record) = records.try_next().await? {
        if let Ok(Message::InputOffered(input)) = Message::decode(&record.value) {
            inputs.push(input);
        }
    }
    Ok(inputs)
}

/// Inputs that the source of this revision will not read again: it sealed them, or gave up on them.
async fn sealed_inputs(log: &dyn TopicLog, revision: &Revision) -> Result<BTreeSet<RecordId>, LogError> {
    let mut sealed = BTreeSet::new();
    let mut records = log.scan(Topic::Runs);
    while let Some(record) = records.try_next().await? {
        let is_sources = record.headers.revision == Some(revision.fingerprint(StageName::Source));
        match Message::decode(&record.value) {
            Ok(Message::InputSealed(input)) if is_sources => {
                sealed.insert(input.input);
            }
            _ => sealed.extend(run_finished(&record, revision).into_iter().flat_map(|run| run.inputs)),
        }
    }
    Ok(sealed)
}

/// Waits for the record that ends an input, which may be there already; without an input for the first
/// that ends any. Waits on where the log does not answer for a moment.
///
/// # Errors
/// If the log cannot be read.
pub async fn wait_for_end(
    log: &dyn TopicLog,
    revision: &Revision,
    input: Option<RecordId>,
) -> Result<(Position, RunFinished), LogError> {
    let mut records = log.follow(Topic::Runs);
    loop {
        match records.try_next().await {
            Ok(Some(record)) => match run_finished(&record, revision) {
                Some(run) if input.is_none_or(|input| run.inputs.contains(&input)) => {
                    return Ok((record.position, run));
                }
                _ => {}
            },
            Err(error) if error.is_passing() => {
                tokio::time::sleep(FOLLOW_AGAIN).await;
                records = log.follow(Topic::Runs);
            }
            Err(error) => return Err(error),
            Ok(None) => {
                let detail = "its records ended".to_owned();
                return Err(LogError::Unavailable { place: Topic::Runs.to_string(), detail });
            }
        }
    }
}

fn run_finished(record: &counterpoint_log::Received, revision: &Revision) -> Option<RunFinished> {
    if record.headers.revision != Some(revision.fingerprint(StageName::Coordinator)) {
        return None;
    }
    match Message::decode(&record.value) {
        Ok(Message::RunFinished(finished)) => Some(finished),
        _ => None,
    }
}

/// Writes a message outside any stage.
///
/// # Errors
/// If it is too large or the log cannot be written.
pub async fn append(
    log: &dyn TopicLog,
    topic: Topic,
    key: RecordId,
    message: Message,
) -> Result<(), LogError> {
    let value =
        message.encode().map_err(|error| LogError::Invalid { detail: format!("the message {error}") })?;
    let headers = Headers::default();
    log.append(vec![Outgoing { topic, partition: 0, key: key.0.to_vec(), value, headers }]).await
}
