//! What a simulated process takes for its machine.

use std::{
    fs,
    panic::resume_unwind,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use counterpoint_actors::stage::{Job, Machine, Record};
use counterpoint_log::memory::MemoryLog;
use counterpoint_messages::StageName;
use futures::{FutureExt, future::BoxFuture};
use tokio::sync::oneshot;

use crate::{
    faults::{Fault, Faults},
    scheduler::Scheduler,
};

/// Longest that work takes as a rule, and when it is slow.
const WORK: Duration = Duration::from_millis(40);
const SLOW: Duration = Duration::from_secs(4);

/// The machine of one process.
pub struct SimulatedMachine {
    pub scheduler: Arc<Scheduler>,
    pub faults: Arc<Faults>,
    pub process: usize,
    pub log: MemoryLog,
    /// Set when a stage killed the process.
    pub doomed: Arc<AtomicBool>,
    /// Folder of the store for files on their way, which a failing store has not.
    pub scratch: PathBuf,
}

impl Machine for SimulatedMachine {
    fn now(&self) -> Instant {
        self.scheduler.instant()
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        self.scheduler.sleep_until(deadline).boxed()
    }

    fn perform(&self, job: Job) -> BoxFuture<'static, ()> {
        let (scheduler, faults) = (Arc::clone(&self.scheduler), Arc::clone(&self.faults));
        let (doomed, scratch) = (Arc::clone(&self.doomed), self.scratch.clone());
        let (sender, done) = oneshot::channel();
        let work = async move {
            let longest = if faults.strikes(Fault::Slow) { SLOW } else { WORK };
            let took = scheduler.below(longest);
            scheduler.sleep(took).await;
            if doomed.load(Ordering::SeqCst) {
                return;
            }
            let away = scratch.with_extension("away");
            let fails = faults.strikes(Fault::StoreFails) && fs::rename(&scratch, &away).is_ok();
            job();
            if fails {
                fs::rename(&away, &scratch).unwrap();
            }
            scheduler.dawdle(WORK).await;
            let _ = sender.send(());
        };
        self.scheduler.spawn(self.process, work.boxed());
        done.map(drop).boxed()
    }

    fn at(&self, stage: StageName, point: &'static str, record: &Record) -> Option<Job> {
        let received = &record.received;
        let place = format!("{}/{}@{}", received.topic, received.partition, received.position.0);
        let poison = self.faults.poisons(stage, point, &place, || format!("{:?}", record.message));
        let kills = poison.unwrap_or_else(|| self.faults.strikes(Fault::Doom));
        if !kills && poison.is_none() && !self.faults.strikes(Fault::Panic) {
            return None;
        }
        self.faults.blame(stage, place.clone());
        self.scheduler
            .note(format_args!("{stage} {} at {point} of {place}", if kills { "dies" } else { "panics" }));
        if kills && poison.is_some() {
            self.faults.count_death(Fault::Doom);
        }
        let (doomed, log) = (Arc::clone(&self.doomed), self.log.clone());
        Some(Box::new(move || {
            if kills {
                doomed.store(true, Ordering::SeqCst);
                log.kill();
            }
            // Not a panic that a hook would print.
            resume_unwind(Box::new("simulated"));
        }))
    }
}
