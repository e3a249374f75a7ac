//! The actor around a stage: mailboxes carry control, never data.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use actix::prelude::*;
use counterpoint_log::{Group, Headers, Membership, Position, TopicLog};
use counterpoint_messages::{Fingerprint, StageName, Topic};
use futures::{FutureExt, future::BoxFuture};
use tokio::sync::watch;

use super::{Order, Process, Profile, Stage, cycle::Cycle, guard::panic_text};
use crate::{Tools, later::LaterRecord};

/// How a stage is run; nothing here changes what comes out.
#[derive(Debug, Clone)]
pub struct StageOptions {
    /// The stage's settings and those above it.
    pub fingerprint: Fingerprint,
    /// Fingerprints of every stage of the revision: records of other revisions are passed over.
    pub revision: Arc<BTreeSet<Fingerprint>>,
    /// Name of this instance in its group, stable over restarts.
    pub instance: String,
    /// Pieces of work at once.
    pub concurrency: usize,
    /// Records read and not committed at once.
    pub max_records: usize,
    /// Their bytes and those of the effects that wait to be committed.
    pub max_bytes: usize,
    /// How long a fault of ours may last before the run gives up.
    pub patience: Duration,
}

impl StageOptions {
    pub(super) fn group(&self, profile: &Profile) -> Group {
        Group { stage: profile.stage, fingerprint: self.fingerprint }
    }

    pub(super) fn membership(&self, profile: &Profile) -> Membership {
        Membership {
            group: self.group(profile),
            instance: self.instance.clone(),
            inputs: profile.inputs.clone(),
            exclusive: profile.order == Order::Sequential,
            max_records: self.max_records,
            max_bytes: self.max_bytes,
        }
    }

    /// Whether a record is this stage's to read: put back for it, or for all stages of the revision that is
    /// being worked on. What operators append is of every revision.
    pub(super) fn reads(&self, headers: &Headers) -> bool {
        match headers.reader {
            Some(reader) => reader == self.fingerprint,
            None => headers.revision.is_none_or(|revision| self.revision.contains(&revision)),
        }
    }
}

/// How a stage is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StageHealth {
    /// What it is at.
    pub phase: Phase,
    /// Records committed by this process.
    pub records: u64,
    /// Messages written by this process.
    pub outputs: u64,
    /// Records read and not committed.
    pub records_in_flight: usize,
    /// Bytes read or made and not committed.
    pub bytes_in_flight: u64,
    /// Pieces of work under way.
    pub running: usize,
    /// Whether nothing is left to read or commit.
    pub caught_up: bool,
    /// Partitions that are this process's to read.
    pub assigned: BTreeSet<(Topic, u32)>,
    /// Those of them that wait for a later release, and the record at which each does.
    pub held: BTreeMap<(Topic, u32), LaterRecord>,
    /// Last position committed of each partition, by this process or an earlier one.
    pub committed: BTreeMap<(Topic, u32), Position>,
}

/// What a stage is at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Phase {
    /// Joining its group.
    #[default]
    Joining,
    /// Another process owns the group.
    Waiting {
        /// Who.
        holder: String,
    },
    /// At work.
    Running,
    /// A fault of ours keeps it from going on.
    Paused {
        /// Which.
        cause: String,
    },
}

/// How a stage's life ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// As told, with everything committed.
    Stopped,
    /// Another process took the group over.
    Fenced(String),
    /// Something failed that a new start may mend.
    Failed(String),
    /// Something failed that no new start will mend.
    Hopeless(String),
}

/// Tells an actor to finish what it has begun, commit and end.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Stop;

/// Tells the supervisor that an actor has ended.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Ended {
    /// Stage.
    pub stage: StageName,
    /// Which incarnation of it.
    pub generation: u32,
    /// How.
    pub ending: Ending,
}

/// A stage from its start to its end; ends by itself, or when it is told to.
pub type Life = BoxFuture<'static, Ending>;

/// Runs one stage, the same code for every stage, until it ends or `stop` says so.
pub fn live<S: Stage>(
    stage: S,
    options: StageOptions,
    process: Process,
    tools: Arc<Tools>,
    log: Arc<dyn TopicLog>,
    health: watch::Sender<StageHealth>,
    stop: watch::Receiver<bool>,
) -> Life {
    health.send_modify(|health| health.phase = Phase::Joining);
    let cycle = Cycle::new(stage, options, process, tools, log, health);
    let life = std::panic::AssertUnwindSafe(cycle.run(stop)).catch_unwind();
    life.map(|ended| ended.unwrap_or_else(|panic| Ending::Failed(panic_text(&*panic)))).boxed()
}

/// The actor around a stage's life.
pub struct StageActor {
    name: StageName,
    generation: u32,
    life: Option<Life>,
    stop: watch::Sender<bool>,
    supervisor: Recipient<Ended>,
}

impl StageActor {
    /// An actor that begins its life as soon as it is started; `stop` is what the life listens to.
    pub fn new(
        name: StageName,
        generation: u32,
        life: Life,
        stop: watch::Sender<bool>,
        supervisor: Recipient<Ended>,
    ) -> Self {
        Self { name, generation, life: Some(life), stop, supervisor }
    }
}

impl Actor for StageActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let Some(life) = self.life.take() else { return };
        let life = life.into_actor(self).map(|ending, actor, context| {
            let ended = Ended { stage: actor.name, generation: actor.generation, ending };
            let told = actor.supervisor.send(ended).into_actor(actor);
            context.wait(told.map(|_, _, context| context.stop()));
        });
        context.spawn(life);
    }
}

impl Handler<Stop> for StageActor {
    type Result = ();

    fn handle(&mut self, _: Stop, _: &mut Self::Context) {
        self.stop.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_was_put_back_is_read_by_the_stage_it_is_for_and_no_other() {
        let [source, coordinator, earlier] = [1, 2, 3].map(|byte| Fingerprint([byte; 8]));
        let options = StageOptions {
            fingerprint: coordinator,
            revision: Arc::new([source, coordinator].into()),
            instance: String::new(),
            concurrency: 1,
            max_records: 1,
            max_bytes: 1,
            patience: Duration::ZERO,
        };
        let reads = |revision, reader| options.reads(&Headers { revision, reader, ..Headers::default() });
        assert!(reads(None, None) && reads(Some(source), None) && !reads(Some(earlier), None));
        for writer in [None, Some(source), Some(earlier)] {
            assert!(reads(writer, Some(coordinator)));
            assert!(!reads(writer, Some(source)) && !reads(writer, Some(earlier)));
        }
    }
}
