//! What the stages of one process share, and what they take from the machine: time and threads.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use counterpoint_messages::StageName;
use futures::{FutureExt, future::BoxFuture};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{Record, failpoints};

/// Time, threads and the places at which tests make a stage fail. Stages reach none of them in another way,
/// so a simulation that gives them others decides all that happens.
pub trait Machine: Send + Sync {
    /// The time.
    fn now(&self) -> Instant;

    /// Ends when it is this late.
    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()>;

    /// Runs a piece of work that may block, aside; ends when it has run.
    fn perform(&self, job: Job) -> BoxFuture<'static, ()>;

    /// What is to happen at a point of a stage's way with a record, if anything.
    fn at(&self, stage: StageName, point: &'static str, record: &Record) -> Option<Job>;
}

/// Something to be done once.
pub type Job = Box<dyn FnOnce() + Send>;

/// A process, as its stages see it.
#[derive(Clone)]
pub struct Process {
    session: Arc<str>,
    suspicion: Arc<Mutex<()>>,
    machine: Arc<dyn Machine>,
}

/// Held by the stage whose record a death of the process would be put down to.
pub(super) type Suspect = OwnedMutexGuard<()>;

impl Process {
    /// A process on a machine; `session` names this one and no other, ever.
    pub fn new(session: &str, machine: Arc<dyn Machine>) -> Self {
        Self { session: session.into(), suspicion: Arc::default(), machine }
    }

    /// The process that this code runs in.
    pub fn this() -> Self {
        static THIS: OnceLock<Process> = OnceLock::new();
        // A process number is used again, however soon; with the time it is not.
        let session = || {
            let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            format!("{}-{}", std::process::id(), since_1970.unwrap_or_default().as_nanos())
        };
        THIS.get_or_init(|| Self::new(&session(), Arc::new(ThisMachine))).clone()
    }

    /// Its name.
    pub(crate) fn session(&self) -> &str {
        &self.session
    }

    /// Waits until no other stage of this process is under suspicion.
    pub(super) async fn suspect(&self) -> Suspect {
        Arc::clone(&self.suspicion).lock_owned().await
    }

    pub(super) fn machine(&self) -> &dyn Machine {
        &*self.machine
    }
}

/// The one that tokio runs on.
struct ThisMachine;

impl Machine for ThisMachine {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        tokio::time::sleep_until(deadline.into()).boxed()
    }

    fn perform(&self, job: Job) -> BoxFuture<'static, ()> {
        // A job that panicked leaves no result behind, which its stage takes for a failure of its own.
        tokio::task::spawn_blocking(job).map(drop).boxed()
    }

    fn at(&self, stage: StageName, point: &'static str, record: &Record) -> Option<Job> {
        failpoints::at(stage, point, record)
    }
}
