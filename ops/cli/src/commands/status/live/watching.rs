//! Follows a run and tells what there is to show of it.

use std::{
    convert::Infallible,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use counterpoint_actors::{projection::newest_revision, store::Store};
use counterpoint_log::{Broker, TopicLog};
use counterpoint_messages::Topic;
use counterpoint_pages::live::{Live, Part, State, parts};
use futures::{StreamExt, stream::select_all};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{run::Run, trainings::Trainings};
use crate::{args::Common, config::Config, context::open_existing_log, output::Failure};

/// How often what is shown is made anew, where anything has changed.
const TICK: Duration = Duration::from_millis(500);
/// How long to wait before a log is looked for again that is not there or does not answer.
const AGAIN: Duration = Duration::from_secs(1);

/// What there is to show.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// The run.
    pub live: Live,
    /// The parts of its page.
    pub parts: Vec<Part>,
    /// Where clips are played from.
    pub store: Option<Store>,
}

/// Follows a run wherever its log is, begun or not.
pub(super) struct Watcher {
    out: PathBuf,
    common: Common,
    config: Config,
    trainings: Trainings,
    /// The log as it was opened last, and the folder it was in then.
    log: Option<(Place, Arc<dyn TopicLog>)>,
    told: watch::Sender<Arc<Shown>>,
}

/// What tells a folder from another one that came in its place: device, inode and time of birth. `None` of a log that
/// is in no folder, or of a folder that is not there.
type Place = Option<(u64, u64, Option<SystemTime>)>;

impl Watcher {
    /// Follows the run in `out`; what there is to show comes out at the other end.
    pub(super) fn new(out: &Path, common: &Common, config: Config) -> (Self, watch::Receiver<Arc<Shown>>) {
        let (told, shown) = watch::channel(Arc::default());
        let trainings = Trainings::of(out);
        let watcher =
            Self { out: out.to_owned(), common: common.clone(), config, trainings, log: None, told };
        watcher.tell(watcher.nothing("it is being looked for"), None);
        (watcher, shown)
    }

    /// Follows it for ever: over its end, its next start, other settings, and another folder in its place.
    pub(super) async fn watch(mut self) -> Infallible {
        loop {
            if let Err(error) = self.follow().await {
                self.log = None;
                self.lost(&error);
                sleep(AGAIN).await;
            }
        }
    }

    /// Follows the newest revision until there is a newer one, or another log.
    async fn follow(&mut self) -> Result<(), Failure> {
        let place = self.place();
        let log = match self.log.take() {
            Some((opened_in, log)) if opened_in == place => log,
            _ => self.open().await?,
        };
        self.log = Some((place, Arc::clone(&log)));
        let Some(revision) = newest_revision(&*log).await.map_err(anyhow::Error::from)? else {
            self.tell(self.nothing("the log is there, and nothing was run on it yet"), None);
            sleep(AGAIN).await;
            return Ok(());
        };
        let (store, unplayable) = match self.store().await {
            Ok(store) => (store, None),
            Err(error) => (None, Some(format!("Clips cannot be played: {error}."))),
        };
        let mut run = Run::new(revision, &*log, now_ms()).await.map_err(anyhow::Error::from)?;
        let mut records = select_all(Topic::MESSAGES.map(|topic| log.follow(topic)));
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                record = records.next() => {
                    let record = record.context("the records of the log ended")?.map_err(anyhow::Error::from)?;
                    if run.take(&record, now_ms()) {
                        return Ok(());
                    }
                }
                _ = tick.tick() => {
                    if self.place() != place {
                        return Ok(());
                    }
                    run.look(&*log).await.map_err(anyhow::Error::from)?;
                    self.trainings.look();
                    let mut live = self.live(&mut run, store.is_some());
                    live.problems.extend(unplayable.clone());
                    self.tell(live, store.clone());
                }
            }
        }
    }

    async fn open(&self) -> Result<Arc<dyn TopicLog>, Failure> {
        let (common, out) = (self.common.clone(), self.out.clone());
        spawn_blocking(move || open_existing_log(&common, &out)).await.context("the log cannot be opened")?
    }

    /// The run's media, where they can be reached from here without making anything.
    async fn store(&self) -> Result<Option<Store>, Failure> {
        if self.config.store.url.is_none() && !self.out.join("objects").is_dir() {
            return Ok(None);
        }
        let (config, out) = (self.config.clone(), self.out.clone());
        let opened = spawn_blocking(move || config.open_store(&out)).await;
        Ok(Some(opened.context("the media store cannot be opened")??))
    }

    fn place(&self) -> Place {
        let Ok(Broker::Embedded(folder)) = Broker::of(self.common.broker.as_deref(), &self.out) else {
            return None;
        };
        let facts = fs::metadata(folder).ok()?;
        Some((facts.dev(), facts.ino(), facts.created().ok()))
    }

    fn live(&self, run: &mut Run, plays: bool) -> Live {
        let now_ms = now_ms();
        let (trainings, mut problems) = self.trainings.shown();
        problems.extend(run.lacks());
        Live {
            revision: Some(run.revision()),
            state: run.state(),
            problems,
            counts: run.counts(),
            stages: run.stages(now_ms),
            trainings,
            evaluations: run.evaluations(),
            clips: run.clips(plays),
            ..self.nothing("")
        }
    }

    /// Where nothing is to be shown of a run.
    fn nothing(&self, why: &str) -> Live {
        let engine = match &self.common.broker {
            Some(broker) => broker.clone(),
            None => format!("embedded:{}/topics", self.out.display()),
        };
        Live {
            out: self.out.display().to_string(),
            engine,
            state: State::NotBegun { why: why.to_owned() },
            ..Live::default()
        }
    }

    /// The log cannot be read: what was shown of its run stays, as long as its folder is there.
    fn lost(&self, error: &Failure) {
        let why = error.to_string();
        let before = Arc::clone(&self.told.borrow());
        let is_there = self.common.broker.is_some() || self.place().is_some();
        if matches!(before.live.state, State::NotBegun { .. }) || !is_there {
            return self.tell(self.nothing(&why), None);
        }
        let problems = vec![format!("{why}. What is shown here is as it was before.")];
        self.tell(Live { problems, ..before.live.clone() }, before.store.clone());
    }

    /// Hands over what there is to show, if it is not what was shown before.
    fn tell(&self, live: Live, store: Option<Store>) {
        let is_shown = {
            let before = self.told.borrow();
            before.live == live && !before.parts.is_empty()
        };
        if is_shown {
            return;
        }
        match parts(&live) {
            Ok(parts) => drop(self.told.send_replace(Arc::new(Shown { live, parts, store }))),
            // A defect of the page, which is told once a change and mended by none.
            Err(error) => tracing::error!("{error}"),
        }
    }
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
