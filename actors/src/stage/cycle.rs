//! The life of a stage: read, plan, work, conclude, commit.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use counterpoint_log::{Epoch, Event, EventStream, LogError, Member, Position, TopicLog};
use counterpoint_messages::{FormatLevel, Topic};
use counterpoint_telemetry::events::{self, Event as _};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::{oneshot, watch};

use super::{
    Order, Profile, Stage, Work,
    actor::{Ending, Phase, StageHealth, StageOptions},
    attempts::Attempts,
    batch::Batch,
    failpoints,
    lane::Lane,
    process::{Process, Suspect},
    records::Returned,
};
use crate::{Tools, format};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub(super) type Place = (Topic, u32);
pub(super) type Outcome<S> = <<S as Stage>::Work as Work>::Outcome;
/// A piece of work under way; without a result if it could not be run.
type Running<S> = BoxFuture<'static, Result<Returned<Outcome<S>>, oneshot::error::RecvError>>;

/// A stage at work.
pub(super) struct Cycle<S: Stage> {
    pub(super) stage: S,
    pub(super) profile: Profile,
    pub(super) options: StageOptions,
    pub(super) process: Process,
    pub(super) tools: Arc<Tools>,
    pub(super) log: Arc<dyn TopicLog>,
    /// Counts assignments, so that work begun under an earlier one is recognised when it comes back.
    pub(super) generation: u64,
    pub(super) lanes: BTreeMap<Place, Lane>,
    pub(super) attempts: Attempts,
    pub(super) suspect: Option<Suspect>,
    pub(super) batch: Batch,
    /// Format level of the log when the partitions were assigned.
    pub(super) level: FormatLevel,
    pub(super) running: FuturesUnordered<Running<S>>,
    pub(super) health: watch::Sender<StageHealth>,
    member: Option<Box<dyn Member>>,
    epoch: Option<Epoch>,
    caught_up: bool,
    draining: bool,
    paused: Option<Pause>,
    /// Whether something that memory took for done is not durable after all.
    commit_failed: bool,
}

/// A fault of ours keeps the stage from going on.
struct Pause {
    since: Instant,
    until: Instant,
    step: Duration,
    /// Whether it began as the log could not be read, which is over with the next event.
    reading: bool,
}

/// Why a cycle leaves its course.
pub(super) enum Halt {
    /// For good: to be rebuilt or given up by the supervisor.
    Ending(Ending),
    /// What is in memory may be wrong: read it again from the log.
    Restore,
}

impl<S: Stage> Cycle<S> {
    pub fn new(
        stage: S,
        options: StageOptions,
        process: Process,
        tools: Arc<Tools>,
        log: Arc<dyn TopicLog>,
        health: watch::Sender<StageHealth>,
    ) -> Self {
        Self {
            profile: stage.profile(),
            stage,
            options,
            process,
            tools,
            log,
            generation: 0,
            lanes: BTreeMap::new(),
            attempts: Attempts::default(),
            suspect: None,
            batch: Batch::default(),
            level: FormatLevel::FIRST,
            running: FuturesUnordered::new(),
            health,
            member: None,
            epoch: None,
            caught_up: false,
            draining: false,
            paused: None,
            commit_failed: false,
        }
    }

    /// Runs until told to stop or until it cannot go on.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Ending {
        let (mut events, member) = match self.log.join(self.options.membership(&self.profile)).await {
            Ok(joined) => joined,
            Err(error) => return Ending::Failed(error.to_string()),
        };
        self.member = Some(member);
        let ending = loop {
            let mut turned = self.turn(&mut events, &mut stop).await;
            // Not a single event may be taken before the log has gone back: those would be records behind
            // ones that memory has already forgotten.
            while matches!(turned, Err(Halt::Restore)) {
                turned = self.go_back().await.map(|()| None);
            }
            match turned {
                Ok(None) | Err(Halt::Restore) => {}
                Ok(Some(ending)) | Err(Halt::Ending(ending)) => break ending,
            }
        };
        self.suspect = None;
        self.running.clear();
        if let Some(member) = &self.member {
            // Where this fails the lease runs out by itself.
            let _ = member.leave().await;
        }
        ending
    }

    /// One turn: do what can be done now, then wait for the next thing to happen.
    async fn turn(
        &mut self,
        events: &mut EventStream,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Option<Ending>, Halt> {
        if *stop.borrow() && !self.draining {
            self.draining = true;
            self.lanes.values_mut().for_each(Lane::forget_waiting);
        }
        let may_go_on = self.paused.as_ref().is_none_or(|pause| pause.until <= self.now());
        if may_go_on && !self.draining {
            self.start_work().await?;
        }
        self.harvest();
        let now = self.now();
        self.batch.wait_from(now);
        if self.commit_is_due() {
            self.commit().await?;
            if self.running.is_empty() {
                self.suspect = None;
            }
            return Ok(None);
        }
        if self.draining && self.running.is_empty() {
            // Where a commit failed the log is read no more, so nobody would tell under which epoch to try again:
            // whoever comes next begins behind what is durable.
            if !self.commit_failed {
                self.close().await?;
            }
            return Ok(Some(Ending::Stopped));
        }
        if may_go_on && !self.draining && self.can_start() {
            // A record with more to come: give others their turn, then go on with it.
            tokio::task::yield_now().await;
            return Ok(None);
        }
        let wake =
            if may_go_on { self.batch.deadline() } else { self.paused.as_ref().map(|pause| pause.until) };
        let woken = match wake {
            Some(deadline) => self.process.machine().sleep_until(deadline),
            None => std::future::pending().boxed(),
        };
        let (has_credit, draining) = (self.has_credit(), self.draining);
        self.publish();
        tokio::select! {
            biased;
            changed = stop.changed(), if !draining => {
                if changed.is_err() {
                    return Ok(Some(Ending::Stopped));
                }
            }
            Some(returned) = self.running.next(), if !self.running.is_empty() => {
                match returned {
                    Ok(returned) => self.work_returned(returned)?,
                    Err(_) => {
                        let reason = "a piece of work ended without a result".to_owned();
                        return Err(Halt::Ending(Ending::Failed(reason)));
                    }
                }
            }
            event = events.next(), if has_credit && !draining => {
                match event {
                    Some(Ok(event)) => {
                        // The log answers again, and may have nothing to read: this is all it will say.
                        if self.paused.as_ref().is_some_and(|pause| pause.reading) {
                            self.resume();
                        }
                        self.happened(event).await?;
                    }
                    Some(Err(error)) => {
                        self.log_failed(error)?;
                        if let Some(pause) = &mut self.paused {
                            pause.reading = true;
                        }
                    }
                    None => {
                        let reason = "the log ended its stream of events".to_owned();
                        return Ok(Some(Ending::Failed(reason)));
                    }
                }
            }
            () = woken => {}
        }
        Ok(None)
    }

    async fn happened(&mut self, event: Event) -> Result<(), Halt> {
        match event {
            Event::Waiting { holder } => {
                events::LeaseWaiting { stage: self.profile.stage, holder: &holder }.emit();
                self.health.send_modify(|health| health.phase = Phase::Waiting { holder });
            }
            Event::Assigned { epoch, partitions, committed, state } => {
                self.epoch = Some(epoch);
                let mut had_held = false;
                self.health.send_modify(|health| {
                    for (topic, partition, position) in committed {
                        health.committed.insert((topic, partition), position);
                    }
                    health.assigned = partitions.iter().copied().collect();
                    had_held = !std::mem::take(&mut health.held).is_empty();
                });
                if had_held {
                    events::PartitionsHeld { stage: self.profile.stage, partitions: 0, newest: None }.emit();
                }
                self.generation += 1;
                self.lanes = partitions.iter().map(|place| (*place, Lane::default())).collect();
                self.batch = Batch::default();
                self.commit_failed = false;
                self.caught_up = false;
                match format::level(&*self.log).await {
                    Ok(level) => self.level = level,
                    Err(error) => {
                        self.log_failed(error)?;
                        return Err(Halt::Restore);
                    }
                }
                let attempts = std::mem::take(&mut self.attempts);
                let (session, window) = (self.process.session(), self.options.max_records);
                let (attempts, own) = attempts.restore(session, &partitions, state, window);
                self.attempts = attempts;
                self.stage.write_for(self.level);
                if let Err(error) = self.stage.restore(&own) {
                    return Err(Halt::Ending(Ending::Hopeless(error.to_string())));
                }
                self.batch.add(vec![], self.attempts.open());
                self.commit().await?;
                if self.paused.is_none() {
                    events::StageReady { stage: self.profile.stage }.emit();
                    events::PartitionsHeld { stage: self.profile.stage, partitions: 0, newest: None }.emit();
                    self.health.send_modify(|health| health.phase = Phase::Running);
                }
            }
            Event::Records(records) => {
                self.caught_up = false;
                let bytes = records.iter().map(|record| (record.key.len() + record.value.len()) as u64).sum();
                events::RecordsRead { stage: self.profile.stage, count: records.len() as u64, bytes }.emit();
                for record in records {
                    if let Some(lane) = self.lanes.get_mut(&(record.topic, record.partition)) {
                        lane.push(record);
                    }
                }
            }
            Event::CaughtUp => {
                self.caught_up = true;
                if self.lanes.values().all(Lane::is_empty) {
                    self.attempts.relax();
                    // Nothing is left to try again, so what the stage paused for is over.
                    self.resume();
                }
            }
            Event::Revoked { ack } => {
                self.lanes.values_mut().for_each(Lane::forget_waiting);
                self.harvest();
                self.batch.add(vec![], self.attempts.withdraw().into_iter().collect());
                self.commit().await?;
                self.generation += 1;
                self.lanes.clear();
                self.stage.set_aside();
                self.health.send_modify(|health| {
                    health.assigned.clear();
                    health.held.clear();
                });
                drop(ack);
            }
            Event::Fenced { holder } => {
                return Err(Halt::Ending(Ending::Fenced(format!("the group now belongs to {holder}"))));
            }
        }
        Ok(())
    }

    /// The next record that may be planned now.
    pub(super) fn next_waiting(&self) -> Option<(Place, Position)> {
        let one_at_a_time = self.profile.order == Order::Sequential
            || (self.attempts.is_careful() && !self.profile.blameless);
        if one_at_a_time && !self.running.is_empty() {
            return None;
        }
        self.lanes.iter().find_map(|(place, lane)| Some((*place, lane.next_waiting()?)))
    }

    fn can_start(&self) -> bool {
        self.running.len() < self.options.concurrency && self.next_waiting().is_some()
    }

    async fn start_work(&mut self) -> Result<(), Halt> {
        while self.can_start() && !self.batch.is_due(self.now()) {
            let Some((place, position)) = self.next_waiting() else { break };
            self.start(place, position).await?;
        }
        Ok(())
    }

    /// Moves what is done, up to the first record that is not, into the batch.
    pub(super) fn harvest(&mut self) {
        for ((topic, partition), lane) in &mut self.lanes {
            while let Some((position, finished)) = lane.pop_done() {
                self.batch.add(finished.outputs, finished.state);
                if let Some(entry) = self.attempts.forget(*topic, *partition, position) {
                    self.batch.add(vec![], vec![entry]);
                }
                self.batch.reach(*topic, *partition, position);
                self.attempts.passed();
            }
        }
    }

    fn commit_is_due(&self) -> bool {
        let idle = self.running.is_empty() && (self.caught_up || self.draining) && !self.can_start();
        !self.batch.is_empty() && (idle || self.batch.is_due(self.now()))
    }

    pub(super) async fn commit(&mut self) -> Result<(), Halt> {
        let (Some(member), Some(epoch)) = (&self.member, self.epoch) else { return Ok(()) };
        if self.batch.is_empty() {
            return Ok(());
        }
        let (records, outputs) = (self.batch.records(), self.batch.outputs());
        failpoints::before_commit(self.profile.stage);
        let commit = self.batch.take();
        let positions = commit.positions.clone();
        let started = self.now();
        if let Err(error) = member.commit(epoch, commit).await {
            // Nothing of it is durable: go back to what is and do it again. What finished since must not be
            // committed without it.
            self.commit_failed = true;
            self.log_failed(error)?;
            return Err(Halt::Restore);
        }
        if records + outputs > 0 {
            self.resume();
        }
        events::BatchCommitted {
            stage: self.profile.stage,
            records: records as u64,
            outputs: outputs as u64,
            duration: self.now() - started,
        }
        .emit();
        self.health.send_modify(|health| {
            health.records += records as u64;
            health.outputs += outputs as u64;
            for (topic, partition, position) in positions {
                health.committed.insert((topic, partition), position);
            }
        });
        Ok(())
    }

    /// Commits what is certain and forgets the rest; the log assigns anew, with the committed state.
    async fn go_back(&mut self) -> Result<(), Halt> {
        self.suspect = None;
        if let Some(pause) = &self.paused {
            self.process.machine().sleep_until(pause.until).await;
        }
        self.generation += 1;
        self.harvest();
        let finished = std::mem::take(&mut self.batch);
        self.lanes.clear();
        if !self.commit_failed {
            self.batch = finished;
            self.commit().await?;
        }
        self.batch = Batch::default();
        let (Some(member), Some(epoch)) = (&self.member, self.epoch) else { return Ok(()) };
        match member.abort(epoch).await {
            Ok(()) => Ok(()),
            Err(error) => {
                self.log_failed(error)?;
                Err(Halt::Restore)
            }
        }
    }

    fn log_failed(&mut self, error: LogError) -> Result<(), Halt> {
        match error {
            LogError::Fenced { .. } => Err(Halt::Ending(Ending::Fenced(error.to_string()))),
            LogError::Full { .. } | LogError::Unavailable { .. } => self.pause(&error.to_string()),
            LogError::Corrupt { .. } | LogError::Invalid { .. } => {
                Err(Halt::Ending(Ending::Hopeless(error.to_string())))
            }
        }
    }

    /// Waits before the next try, longer each time; gives up when the fault outlasts its patience.
    pub(super) fn pause(&mut self, cause: &str) -> Result<(), Halt> {
        let now = self.now();
        let (since, step) = match &self.paused {
            Some(pause) => (pause.since, (pause.step * 2).min(LONGEST_PAUSE)),
            None => (now, FIRST_PAUSE),
        };
        if now.duration_since(since) > self.options.patience {
            return Err(Halt::Ending(Ending::Hopeless(cause.to_owned())));
        }
        if self.paused.is_none() {
            events::StagePaused { stage: self.profile.stage, cause }.emit();
        }
        self.paused = Some(Pause { since, until: now + step, step, reading: false });
        self.health.send_modify(|health| health.phase = Phase::Paused { cause: cause.to_owned() });
        Ok(())
    }

    pub(super) fn resume(&mut self) {
        if self.paused.take().is_some() {
            events::StageResumed { stage: self.profile.stage }.emit();
            self.health.send_modify(|health| health.phase = Phase::Running);
        }
    }

    /// Commits what is done and marks the stop as clean.
    async fn close(&mut self) -> Result<(), Halt> {
        self.harvest();
        if self.epoch.is_some() {
            self.batch.add(vec![], self.attempts.close());
        }
        self.commit().await
    }

    fn now(&self) -> Instant {
        self.process.machine().now()
    }

    fn has_credit(&self) -> bool {
        self.records_in_flight() < self.options.max_records && self.bytes_in_flight() < self.options.max_bytes
    }

    fn records_in_flight(&self) -> usize {
        self.lanes.values().map(Lane::len).sum()
    }

    fn bytes_in_flight(&self) -> usize {
        self.lanes.values().map(Lane::bytes).sum::<usize>() + self.batch.bytes()
    }

    fn publish(&mut self) {
        let bytes = self.bytes_in_flight() as u64;
        events::BytesInFlight { stage: self.profile.stage, bytes }.emit();
        let records = self.records_in_flight();
        let (running, caught_up) = (self.running.len(), self.caught_up && self.batch.is_empty());
        self.health.send_modify(|health| {
            health.records_in_flight = records;
            health.bytes_in_flight = bytes;
            health.running = running;
            health.caught_up = caught_up;
        });
    }
}
