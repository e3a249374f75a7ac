//! A process of `run`: it offers the input, keeps its stages alive and ends with the run.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use counterpoint_actors::{
    Rebuilds, Tools,
    pipeline::{self, Begin, Offer, Pipeline},
    projection::Projection,
    publisher::{Page, Publisher},
    revision::Revision,
    settings::{Effort, FetcherSettings, Settings},
    source::places::Places,
    stage::{Ending, Fault, Process, StageHealth},
    store::Store,
};
use counterpoint_core::plan::Plan;
use counterpoint_log::{Position, TopicLog, memory::MemoryLog};
use counterpoint_messages::{StageName, Topic};
use futures::FutureExt;
use tokio::sync::{mpsc, watch};

use crate::{
    corpus::{Corpus, RULEBOOK},
    faults::Faults,
    faulty_log::{Broken, FaultyLog},
    machine::SimulatedMachine,
    scheduler::Scheduler,
    workers::SimulatedWorkers,
};

/// How often a process looks whether the report is written.
const LOOK: Duration = Duration::from_millis(100);

struct PlainPage;

impl Page for PlainPage {
    fn render(&self, projection: &Projection, _: &Revision, _: &Tools) -> Result<Vec<u8>, Fault> {
        Ok(format!("{:?}", projection.summary).into_bytes())
    }
}

/// Everything that a process is started with.
#[derive(Clone)]
pub struct Start {
    pub scheduler: Arc<Scheduler>,
    pub faults: Arc<Faults>,
    /// Number of the process, by which it is killed.
    pub number: usize,
    pub session: String,
    pub instance: String,
    pub stages: BTreeSet<StageName>,
    pub log: MemoryLog,
    pub broken: Option<Broken>,
    pub corpus: &'static Corpus,
    pub settings: Settings,
    pub effort: Effort,
    pub revision: Revision,
    pub doomed: Arc<AtomicBool>,
}

impl Start {
    fn pipeline(&self, out: &Path) -> Pipeline {
        let log: Arc<dyn TopicLog> = Arc::new(FaultyLog {
            inner: self.log.clone(),
            scheduler: Arc::clone(&self.scheduler),
            faults: Arc::clone(&self.faults),
            broken: self.broken,
        });
        let publisher = Publisher {
            log: Arc::clone(&log),
            revision: self.revision.clone(),
            out: out.to_owned(),
            page: Arc::new(PlainPage),
        };
        let media =
            SimulatedWorkers { scheduler: Arc::clone(&self.scheduler), faults: Arc::clone(&self.faults) };
        let store = Store::open(&out.join("objects")).unwrap();
        let tools = Tools::new(store, Places::default(), Arc::new(media), -23.0, publisher);
        Pipeline {
            settings: self.settings.clone(),
            fetcher: FetcherSettings::default(),
            effort: self.effort.clone(),
            revision: self.revision.clone(),
            rulebook: Arc::clone(&RULEBOOK),
            relations: RULEBOOK.clone(),
            plan: Plan::default(),
            rounds: None,
            stages: self.stages.clone(),
            instance: self.instance.clone(),
            log,
            tools: Arc::new(tools),
        }
    }

    /// Runs until the run has ended.
    ///
    /// # Errors
    /// What kept it from going on.
    pub async fn run(self, out: std::path::PathBuf) -> Result<(), String> {
        let pipeline = self.pipeline(&out);
        let machine = SimulatedMachine {
            scheduler: Arc::clone(&self.scheduler),
            faults: Arc::clone(&self.faults),
            process: self.number,
            log: self.log.clone(),
            doomed: Arc::clone(&self.doomed),
            scratch: pipeline.tools.store.scratch(),
        };
        let process = Process::new(&self.session, Arc::new(machine));
        let (log, revision) = (&self.log, &self.revision);
        let failed = |error: counterpoint_log::LogError| error.to_string();
        pipeline::declare(log, revision).await.map_err(failed)?;
        let stop = watch::Sender::new(false);
        let (sender, mut ended) = mpsc::unbounded_channel();
        let mut healths = Vec::new();
        for stage in &self.stages {
            let (health, watched) = watch::channel(StageHealth::default());
            healths.push((*stage, watched));
            let lives = pipeline.lives(*stage, process.clone()).unwrap();
            let life = supervised(lives.begin, health, stop.clone(), Arc::clone(&self.scheduler));
            let sender = sender.clone();
            let told = async move {
                let _ = sender.send(life.await);
            };
            self.scheduler.spawn(self.number, told.boxed());
        }
        let input = match self.stages.contains(&StageName::Source) {
            true => {
                let corpus = self.corpus;
                let (clips, ontology) = (corpus.clips(), corpus.ontology());
                let offer = Offer { clips, labels: corpus.labels(), ontology, fetch: false };
                Some(
                    offer
                        .once(log, revision, &process, self.scheduler.now().as_millis() as i64)
                        .await
                        .map_err(failed)?,
                )
            }
            false => pipeline::inputs(log).await.map_err(failed)?.pop().map(|input| input.id),
        };
        let mut outcome = Ok(());
        let mut alive = self.stages.len();
        let end = pipeline::wait_for_end(log, revision, input);
        tokio::pin!(end);
        let mut reached: Option<Position> = None;
        while alive > 0 {
            if let Some(position) = reached
                && self.is_reported(&healths, position).await
            {
                stop.send_replace(true);
            }
            tokio::select! {
                biased;
                Some(ended) = ended.recv() => {
                    alive -= 1;
                    if outcome.is_ok() {
                        outcome = ended;
                    }
                    stop.send_replace(true);
                }
                finished = &mut end, if reached.is_none() => {
                    reached = Some(finished.map_err(failed)?.0);
                }
                () = self.scheduler.sleep(LOOK) => {}
            }
        }
        outcome
    }

    async fn is_reported(
        &self,
        healths: &[(StageName, watch::Receiver<StageHealth>)],
        position: Position,
    ) -> bool {
        let here = healths.iter().find(|(stage, _)| *stage == StageName::Reporter);
        let is_here = here.is_none_or(|(_, health)| {
            health.borrow().committed.get(&(Topic::Runs, 0)).is_some_and(|reached| *reached >= position)
        });
        let groups = self.log.groups().await.unwrap_or_default();
        let fingerprint = self.revision.fingerprint(StageName::Reporter);
        let is_elsewhere = groups.iter().any(|group| {
            (group.group.stage, group.group.fingerprint) == (StageName::Reporter, fingerprint)
                && group.lag == 0
        });
        is_here || is_elsewhere
    }
}

/// A stage's lives one after the other, as the supervisor begins them.
async fn supervised(
    begin: Begin,
    health: watch::Sender<StageHealth>,
    stop: watch::Sender<bool>,
    scheduler: Arc<Scheduler>,
) -> Result<(), String> {
    let mut rebuilds = Rebuilds::default();
    loop {
        let begun = scheduler.now();
        match begin(health.clone(), stop.subscribe()).await {
            Ending::Stopped => return Ok(()),
            Ending::Hopeless(reason) => return Err(reason),
            Ending::Fenced(reason) | Ending::Failed(reason) => {
                scheduler.note(format_args!("a stage ended: {reason}"));
                let records = health.borrow().records;
                let Some(backoff) = rebuilds.next(records, scheduler.now() - begun) else {
                    return Err(reason);
                };
                scheduler.sleep(backoff).await;
            }
        }
        if *stop.borrow() {
            return Ok(());
        }
    }
}
