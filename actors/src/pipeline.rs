//! The pipeline as a whole: which stages there are, how they are started, and when a run has ended.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use actix::{Actor, Addr, Arbiter};
use counterpoint_core::{curation, plan::Plan, variants::Relations};
use counterpoint_log::{Group, Headers, LogError, Outgoing, Position, Received, TopicLog};
use counterpoint_messages::{
    Cause, Fingerprint, Follow, InputOffered, LabelList, Message, RecordId, RunFinished, StageName, Topic,
};
use futures::TryStreamExt;
use tokio::sync::{oneshot, watch};

use crate::{
    Tools,
    assessor::Assessor,
    composer::Composer,
    coordinator::Coordinator,
    curator::Curator,
    decoder::Decoder,
    fetcher::Fetcher,
    format,
    gate::Gate,
    lag::{LagWatch, Reader},
    later::{self, LaterRecord},
    planner::{Planner, Rounds},
    prober::Prober,
    projection::newest_revision,
    reporter::Reporter,
    revision::Revision,
    settings::{Effort, FetcherSettings, Settings},
    source::Source,
    stage::{Life, Process, Stage, StageActor, StageHealth, StageOptions, Stop, live},
    supervisor::{PipelineError, StageHandle, Supervisor},
    trainer::Trainer,
};

/// Clips whose media are read while the judge is busy with another one.
const AHEAD: usize = 2;

/// How long to leave a log alone that did not answer.
pub(crate) const FOLLOW_AGAIN: Duration = Duration::from_secs(1);

/// Everything a pipeline is made of.
pub struct Pipeline {
    /// What comes out.
    pub settings: Settings,
    /// How clips are fetched that are not there.
    pub fetcher: FetcherSettings,
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
    /// Rounds of training, where there are any.
    pub rounds: Option<Rounds>,
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

/// The lives of a stage in a process.
pub struct Lives {
    /// Topics that it reads.
    pub inputs: Vec<Topic>,
    /// Begins the next one.
    pub begin: Begin,
}

/// A pipeline at work.
pub struct RunningPipeline {
    supervisor: Addr<Supervisor>,
    health: Vec<(StageName, watch::Receiver<StageHealth>)>,
    ended: oneshot::Receiver<Result<(), PipelineError>>,
}

impl Pipeline {
    /// Starts the stages; needs a running actix system.
    pub fn start(self) -> RunningPipeline {
        let handles = self.stages.iter().filter_map(|stage| {
            let lives = self.lives(*stage, Process::this())?;
            Some(lives.handle(Group { stage: *stage, fingerprint: self.revision.fingerprint(*stage) }))
        });
        RunningPipeline::start(handles.collect(), self.log, self.tools)
    }

    /// How a stage's lives begin in a process, one after the other; `None` for one that is no part of a run.
    pub fn lives(&self, stage: StageName, process: Process) -> Option<Lives> {
        let fingerprint = self.revision.fingerprint(stage);
        Some(match stage {
            StageName::Fetcher => {
                let (settings, rulebook) = (self.fetcher.clone(), Arc::clone(&self.rulebook));
                let (source, seed) = (self.settings.source.clone(), self.settings.seed);
                self.begin(stage, process, move || {
                    Fetcher::new(settings.clone(), source.clone(), seed, Arc::clone(&rulebook), fingerprint)
                })
            }
            StageName::Source => {
                let (settings, rulebook) = (self.settings.source.clone(), Arc::clone(&self.rulebook));
                let judges =
                    [StageName::Decoder, StageName::Gate].map(|stage| self.revision.fingerprint(stage));
                self.begin(stage, process, move || {
                    Source::new(settings.clone(), Arc::clone(&rulebook), fingerprint, judges)
                })
            }
            StageName::Curator => {
                let rulebook = Arc::clone(&self.rulebook);
                self.begin(stage, process, move || Curator::new(Arc::clone(&rulebook), fingerprint))
            }
            StageName::Decoder => {
                let settings = self.settings.decoder.clone();
                self.begin(stage, process, move || Decoder::new(settings.clone(), fingerprint))
            }
            StageName::Prober => {
                let judge = self.tools.model.as_ref()?.facts().clone();
                let (settings, size) = (self.settings.prober.clone(), self.settings.decoder.size);
                self.begin(stage, process, move || {
                    Prober::new(settings.clone(), size, judge.clone(), fingerprint)
                })
            }
            StageName::Gate => {
                let (settings, is_judged) = (self.settings.gate.clone(), self.revision.has_judge());
                self.begin(stage, process, move || Gate::new(settings.clone(), is_judged, fingerprint))
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
            StageName::Planner => {
                let rounds = self.rounds.clone()?;
                self.begin(stage, process, move || Planner::new(rounds.clone(), fingerprint))
            }
            StageName::Trainer => {
                self.tools.tuition.as_ref()?;
                self.begin(stage, process, || Trainer)
            }
            StageName::Reporter => self.begin(stage, process, || Reporter),
            // The one of an evaluation that somebody asks for is a group of its own, see `evaluation`.
            StageName::Evaluator => {
                self.tools.assessment.as_ref()?;
                self.begin(stage, process, Assessor::default)
            }
        })
    }

    fn begin<S: Stage>(
        &self,
        stage: StageName,
        process: Process,
        build: impl Fn() -> S + Send + Sync + 'static,
    ) -> Lives {
        Lives::of(build, self.options(stage), process, Arc::clone(&self.tools), Arc::clone(&self.log))
    }

    fn options(&self, stage: StageName) -> StageOptions {
        StageOptions {
            fingerprint: self.revision.fingerprint(stage),
            revision: Arc::new(self.revision.fingerprints()),
            instance: self.instance.clone(),
            concurrency: match stage {
                StageName::Decoder => self.effort.workers(),
                StageName::Prober => AHEAD,
                _ => 1,
            },
            max_records: self.effort.max_records,
            max_bytes: self.effort.max_bytes,
            patience: self.effort.patience(),
        }
    }
}

impl Lives {
    /// Lives of the stage that `build` makes.
    pub(crate) fn of<S: Stage>(
        build: impl Fn() -> S + Send + Sync + 'static,
        options: StageOptions,
        process: Process,
        tools: Arc<Tools>,
        log: Arc<dyn TopicLog>,
    ) -> Self {
        let inputs = build().profile().inputs;
        let begin = Box::new(move |health, stop| {
            let (options, process) = (options.clone(), process.clone());
            live(build(), options, process, Arc::clone(&tools), Arc::clone(&log), health, stop)
        });
        Self { inputs, begin }
    }

    /// What the supervisor is to know of them.
    pub(crate) fn handle(self, group: Group) -> StageHandle {
        let (health, watched) = watch::channel(StageHealth::default());
        let Self { inputs, begin } = self;
        let stage = group.stage;
        let start = move |generation, supervisor| {
            let arbiter = Arbiter::new();
            let stop = watch::Sender::new(false);
            let life = begin(health.clone(), stop.subscribe());
            let actor = StageActor::new(stage, generation, life, stop, supervisor);
            let address = StageActor::start_in_arbiter(&arbiter.handle(), move |_| actor);
            (address.recipient(), arbiter)
        };
        StageHandle { stage, start: Box::new(start), reads: Reader { group, inputs }, health: watched }
    }
}

impl RunningPipeline {
    /// Starts these stages; needs a running actix system.
    pub(crate) fn start(handles: Vec<StageHandle>, log: Arc<dyn TopicLog>, tools: Arc<Tools>) -> Self {
        let health = handles.iter().map(|handle| (handle.stage, handle.health.clone())).collect();
        let readers = handles.iter().map(|handle| handle.reads.clone()).collect();
        let lag = LagWatch::start(log, readers);
        let (sender, last) = oneshot::channel();
        let supervisor = Supervisor::new(handles, tools, sender).start();
        // Apart from whoever waits for the end, who may look away and ask again.
        let (told, ended) = oneshot::channel();
        actix::spawn(async move {
            let last = last.await.unwrap_or(Ok(()));
            lag.finish().await;
            // Nobody may be waiting any more.
            let _ = told.send(last);
        });
        Self { supervisor, health, ended }
    }

    /// How the stages are doing, in order.
    pub fn health(&self) -> Vec<(StageName, StageHealth)> {
        self.health.iter().map(|(stage, health)| (*stage, health.borrow().clone())).collect()
    }

    /// The records of a later release at which partitions of this process wait.
    pub fn held(&self) -> BTreeMap<(Topic, u32), LaterRecord> {
        self.health.iter().flat_map(|(_, health)| health.borrow().held.clone()).collect()
    }

    /// Whether no stage of this process has anything in hand, and all have seen the end of what there is.
    pub fn is_quiet(&self) -> bool {
        self.health.iter().all(|(_, health)| {
            let health = health.borrow();
            health.caught_up && health.running == 0 && health.records_in_flight == 0
        })
    }

    /// Tells every stage to finish what it has begun, commit and end.
    pub fn stop(&self) {
        // Fails only if the supervisor is gone, and then so are the stages.
        let _ = self.supervisor.try_send(Stop);
    }

    /// Waits until every stage has ended. May be dropped and asked again until it has told.
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

/// What is offered to the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Folder of media files.
    pub clips: String,
    /// Segment lists.
    pub labels: Vec<LabelList>,
    /// Path of the ontology.
    pub ontology: String,
    /// Whether what is missing is fetched first.
    pub fetch: bool,
}

impl Offer {
    /// Hands the input to the source, to be read once and as it lies there, and returns its id; an earlier
    /// one of the same paths that the source has not read to its end is taken up again instead. `by` is the
    /// process that offers it, `now_ms` the time, in milliseconds since 1970.
    ///
    /// # Errors
    /// If the log cannot be read or written.
    pub async fn once(
        &self,
        log: &dyn TopicLog,
        revision: &Revision,
        by: &Process,
        now_ms: i64,
    ) -> Result<RecordId, LogError> {
        let (inputs, later) = offered(log).await?;
        let sealed = sealed_inputs(log, revision).await?;
        let is_unread = |input: &&InputOffered| !sealed.contains(&input.id) && self.is_of(input);
        match inputs.iter().find(is_unread) {
            Some(input) => Ok(input.id),
            None => self.make(log, None, (inputs.len() + later.len()) as u64, by, now_ms).await,
        }
    }

    fn is_of(&self, input: &InputOffered) -> bool {
        (&self.clips, &self.labels, &self.ontology, self.fetch)
            == (&input.clips, &input.labels, &input.ontology, input.fetch)
            && input.follow.is_none()
    }

    /// Writes the offer; `nonce` counts those before it that the process knows of. Another may offer the same at
    /// the same time, as an input of its own.
    pub(crate) async fn make(
        &self,
        log: &dyn TopicLog,
        follow: Option<Follow>,
        nonce: u64,
        by: &Process,
        offered_at_ms: i64,
    ) -> Result<RecordId, LogError> {
        let Self { clips, labels, ontology, fetch } = self.clone();
        let session = by.session();
        let id = Cause {
            stage: StageName::Source,
            transform: 1,
            settings: Fingerprint::default(),
            inputs: &[],
            detail: &format!(
                "input {nonce} {session} {offered_at_ms} {clips} {labels:?} {ontology} {follow:?}"
            ),
        }
        .id();
        let input = InputOffered { id, clips, labels, ontology, nonce, offered_at_ms, follow, fetch };
        append(log, Topic::Inputs, id, input.into()).await?;
        Ok(id)
    }
}

/// Inputs offered so far, the newest last.
///
/// # Errors
/// If the log cannot be read; [`LogError::Invalid`] if a later release offered one, as nobody could tell
/// which is the newest.
pub async fn inputs(log: &dyn TopicLog) -> Result<Vec<InputOffered>, LogError> {
    match offered(log).await? {
        (inputs, later) if later.is_empty() => Ok(inputs),
        (_, later) => {
            let later: Vec<_> = later.iter().map(LaterRecord::to_string).collect();
            Err(LogError::Invalid { detail: later.join("; ") })
        }
    }
}

/// Inputs offered so far, those last that only a later release can read.
pub(crate) async fn offered(log: &dyn TopicLog) -> Result<(Vec<InputOffered>, Vec<LaterRecord>), LogError> {
    let (mut inputs, mut later) = (Vec::new(), Vec::new());
    let mut records = log.scan(Topic::Inputs);
    while let Some(record) = records.try_next().await? {
        match later::read(&record) {
            Ok(Some(Message::InputOffered(input))) => inputs.push(input),
            Ok(_) => {}
            Err(record) => later.push(record),
        }
    }
    Ok((inputs, later))
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
            // An input that a later release sealed counts as unread: taking it up again brings nothing twice.
            _ => {
                let finished = run_finished(&record, revision).unwrap_or_default();
                sealed.extend(finished.into_iter().flat_map(|run| run.inputs));
            }
        }
    }
    Ok(sealed)
}

/// Waits for the record that ends an input, which may be there already; without an input for the first
/// that ends any. Waits on where the log does not answer for a moment, and past what a later release wrote,
/// which is told.
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
                Ok(Some(run)) if input.is_none_or(|input| run.inputs.contains(&input)) => {
                    return Ok((record.position, run));
                }
                Ok(_) => {}
                Err(record) => tracing::warn!("{record}, and may be the end of the run"),
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

pub(crate) fn run_finished(
    record: &Received,
    revision: &Revision,
) -> Result<Option<RunFinished>, LaterRecord> {
    if record.headers.revision != Some(revision.fingerprint(StageName::Coordinator)) {
        return Ok(None);
    }
    match later::read(record)? {
        Some(Message::RunFinished(finished)) => Ok(Some(finished)),
        _ => Ok(None),
    }
}

/// Writes a message outside any stage, at the format level of the log.
///
/// # Errors
/// If it is too large, if the log has to be upgraded for it, or if the log cannot be read or written.
pub async fn append(
    log: &dyn TopicLog,
    topic: Topic,
    key: RecordId,
    message: Message,
) -> Result<(), LogError> {
    let value = message.encode(format::level(log).await?).map_err(|error| format::refused(&error))?;
    let headers = Headers::default();
    log.append(vec![Outgoing { topic, partition: 0, key: key.0.to_vec(), value, headers }]).await
}
