//! Keeps the stages alive: one list from which start, health, rebuilding and stop all derive.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use actix::prelude::*;
use counterpoint_messages::StageName;
use counterpoint_telemetry::events::{ActorRebuilt, Event};
use tokio::sync::{oneshot, watch};

use crate::{
    Tools,
    lag::Reader,
    stage::{Ended, Ending, StageHealth, Stop},
};

/// Rebuilds in a row, without a record committed or a long life in between, before the run gives up.
const REBUILD_BUDGET: u32 = 5;
/// An incarnation that lived longer was sound, also where there was nothing to commit.
const LONG_LIFE: Duration = Duration::from_secs(60);
const FIRST_BACKOFF: Duration = Duration::from_millis(200);

/// How often a stage was built anew since it last committed a record or lived long.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rebuilds {
    in_a_row: u32,
    records: u64,
}

impl Rebuilds {
    /// How long to wait before the next rebuild, given the records committed so far and how long the
    /// incarnation lived that has ended; `None` when it is time to give up.
    pub fn next(&mut self, records: u64, lived: Duration) -> Option<Duration> {
        if records > self.records || lived > LONG_LIFE {
            self.in_a_row = 0;
        }
        self.records = records;
        self.in_a_row += 1;
        (self.in_a_row <= REBUILD_BUDGET).then(|| FIRST_BACKOFF * 2_u32.pow(self.in_a_row - 1))
    }
}

/// The run cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{stage}: {reason}")]
pub struct PipelineError {
    /// Stage that failed.
    pub stage: StageName,
    /// Why.
    pub reason: String,
}

/// Starts an incarnation of a stage.
pub(crate) type Start = Box<dyn Fn(u32, Recipient<Ended>) -> (Recipient<Stop>, Arbiter) + Send>;

/// One stage of the list.
pub(crate) struct StageHandle {
    pub stage: StageName,
    pub start: Start,
    pub reads: Reader,
    pub health: watch::Receiver<StageHealth>,
}

/// A stage and its present incarnation.
struct Supervised {
    handle: StageHandle,
    generation: u32,
    rebuilds: Rebuilds,
    alive: Option<(Recipient<Stop>, Arbiter)>,
    since: Instant,
}

/// See the module.
pub(crate) struct Supervisor {
    stages: Vec<Supervised>,
    outcome: Result<(), PipelineError>,
    stopping: bool,
    tools: Arc<Tools>,
    ended: Option<oneshot::Sender<Result<(), PipelineError>>>,
}

impl Supervisor {
    pub fn new(
        stages: Vec<StageHandle>,
        tools: Arc<Tools>,
        ended: oneshot::Sender<Result<(), PipelineError>>,
    ) -> Self {
        let supervised = |handle| Supervised {
            handle,
            generation: 0,
            rebuilds: Rebuilds::default(),
            alive: None,
            since: Instant::now(),
        };
        Self {
            stages: stages.into_iter().map(supervised).collect(),
            outcome: Ok(()),
            stopping: false,
            tools,
            ended: Some(ended),
        }
    }

    fn start(&mut self, stage: StageName, context: &mut Context<Self>) {
        if self.stopping {
            return self.end_if_all_did(context);
        }
        let supervisor = context.address().recipient();
        if let Some(supervised) = self.stages.iter_mut().find(|supervised| supervised.handle.stage == stage) {
            supervised.since = Instant::now();
            supervised.alive = Some((supervised.handle.start)(supervised.generation, supervisor));
        }
    }

    fn stop_all(&mut self, context: &mut Context<Self>) {
        if !self.stopping {
            self.stopping = true;
            self.tools.stopping.store(true, Ordering::Relaxed);
            for (stop, _) in self.stages.iter().filter_map(|supervised| supervised.alive.as_ref()) {
                // Fails only if the actor is ending by itself.
                let _ = stop.try_send(Stop);
            }
        }
        self.end_if_all_did(context);
    }

    fn end_if_all_did(&mut self, context: &mut Context<Self>) {
        if self.stopping && self.stages.iter().all(|supervised| supervised.alive.is_none()) {
            if let Some(ended) = self.ended.take() {
                // Nobody listens when the process is on its way out anyway.
                let _ = ended.send(self.outcome.clone());
            }
            context.stop();
        }
    }

    fn fail(&mut self, stage: StageName, reason: String, context: &mut Context<Self>) {
        if self.outcome.is_ok() {
            self.outcome = Err(PipelineError { stage, reason });
        }
        self.stop_all(context);
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let stages: Vec<_> = self.stages.iter().map(|supervised| supervised.handle.stage).collect();
        for stage in stages {
            self.start(stage, context);
        }
    }
}

impl Handler<Stop> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Stop, context: &mut Self::Context) {
        self.stop_all(context);
    }
}

impl Handler<Ended> for Supervisor {
    type Result = ();

    fn handle(&mut self, ended: Ended, context: &mut Self::Context) {
        let Ended { stage, generation, ending } = ended;
        let Some(supervised) = self.stages.iter_mut().find(|supervised| supervised.handle.stage == stage)
        else {
            return;
        };
        if supervised.generation != generation {
            return;
        }
        if let Some((_, arbiter)) = supervised.alive.take() {
            arbiter.stop();
        }
        match ending {
            Ending::Stopped => self.stop_all(context),
            Ending::Hopeless(reason) => self.fail(stage, reason, context),
            Ending::Fenced(reason) | Ending::Failed(reason) => {
                let records = supervised.handle.health.borrow().records;
                let Some(backoff) = supervised.rebuilds.next(records, supervised.since.elapsed()) else {
                    return self.fail(stage, reason, context);
                };
                supervised.generation += 1;
                tracing::warn!(%stage, reason, "stage actor ended");
                ActorRebuilt { stage, generation: u64::from(supervised.generation) }.emit();
                context.run_later(backoff, move |supervisor, context| supervisor.start(stage, context));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a stage that commits nothing is rebuilt, after lives of so many seconds one after the other.
    fn is_rebuilt_after(lives: &[u64]) -> bool {
        let mut rebuilds = Rebuilds::default();
        let mut last = None;
        for seconds in lives {
            last = rebuilds.next(0, Duration::from_secs(*seconds));
        }
        last.is_some()
    }

    #[test]
    fn an_idle_stage_that_fails_now_and_then_is_rebuilt_for_ever_and_one_that_keeps_failing_is_not() {
        assert!(is_rebuilt_after(&[3600; 20]));
        assert!(is_rebuilt_after(&[0, 0, 0, 0, 0]));
        assert!(!is_rebuilt_after(&[0, 0, 0, 0, 0, 0]));
        assert!(!is_rebuilt_after(&[60; 6]), "a patience of that length is no sign of health");
        assert!(is_rebuilt_after(&[0, 0, 0, 0, 0, 61, 0, 0, 0, 0]), "a long life makes up for all before it");
        assert!(!is_rebuilt_after(&[0, 0, 0, 0, 0, 61, 0, 0, 0, 0, 0]));
    }

    #[test]
    fn the_wait_grows_and_starts_anew_with_a_record() {
        let mut rebuilds = Rebuilds::default();
        let mut next = |records| rebuilds.next(records, Duration::ZERO).unwrap().as_millis();
        assert_eq!([next(0), next(0), next(0), next(1), next(1)], [200, 400, 800, 200, 400]);
    }
}
