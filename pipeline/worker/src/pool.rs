use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Duration;

use counterpoint_messages::RejectReason;
use parking_lot::{Condvar, Mutex};

use crate::process::{Lost, WorkerProcess};
use crate::protocol::{Job, Limits, Outcome};
use crate::{ElementCheck, MediaReject, Sandbox, WorkerFault};

/// Name of the worker program.
const PROGRAM: &str = "counterpoint-worker";

/// Signals by which the operating system enforces the worker's limits on processor time and file size.
const SIGXCPU: i32 = 24;
const SIGXFSZ: i32 = 25;

/// How a pool runs its workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerSettings {
    /// The worker program; see [`worker_program`].
    pub program: PathBuf,
    /// Processes at most, each doing one job at a time; one for each core is best.
    pub workers: usize,
    /// What a job may cost.
    pub limits: Limits,
    /// Time after which a job is given up.
    pub wall: Duration,
}

/// Worker processes that do media jobs, started when needed and replaced when they die, take too long or
/// have done their share. Many threads may use one pool; a job waits until a process is free.
#[derive(Debug)]
pub struct WorkerPool {
    settings: WorkerSettings,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<WorkerProcess>,
    busy: Vec<u32>,
    starting: usize,
    replaced: Vec<&'static str>,
}

impl WorkerPool {
    /// A pool that has tried its program once.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn new(settings: WorkerSettings) -> Result<Self, WorkerFault> {
        let first = WorkerProcess::start(&settings.program, &settings.limits, settings.wall)?;
        let state = State { idle: vec![first], ..State::default() };
        Ok(Self { settings, state: Mutex::new(state), freed: Condvar::new() })
    }

    /// How it runs.
    pub fn settings(&self) -> &WorkerSettings {
        &self.settings
    }

    /// Ids of the processes that are doing a job now.
    pub fn busy_processes(&self) -> Vec<u32> {
        self.state.lock().busy.clone()
    }

    /// Why processes were replaced since this was last asked: `crashed`, `timed_out` or `served_enough`.
    pub fn take_replaced(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.state.lock().replaced)
    }

    /// Ids of the processes that wait for a job.
    pub fn idle_processes(&self) -> Vec<u32> {
        self.state.lock().idle.iter().map(WorkerProcess::id).collect()
    }

    /// Every GStreamer element the graphs need: whether it is installed, and what brings it; and how the
    /// worker is shut in.
    ///
    /// # Errors
    /// When the worker cannot say.
    pub fn check(&self) -> Result<(Vec<ElementCheck>, Sandbox), WorkerFault> {
        match self.run(&Job::Check, &[])? {
            Ok(Outcome::Checked(elements, sandbox)) => Ok((elements, sandbox)),
            other => Err(unexpected(&other)),
        }
    }

    /// Has a free worker do `job`.
    pub(crate) fn run(
        &self,
        job: &Job,
        files: &[BorrowedFd<'_>],
    ) -> Result<Result<Outcome, MediaReject>, WorkerFault> {
        let done = self.employ(|worker| Ok((worker.run(job, files)?, ())))?;
        Ok(done.map(|(outcome, ())| outcome))
    }

    /// Has a free worker do a job on `input` that writes to the worker's memory file, and has `read` look at that
    /// before the worker is given another job.
    pub(crate) fn run_in_memory<T>(
        &self,
        job: &Job,
        input: BorrowedFd<'_>,
        read: impl Fn(&Outcome, &File) -> Result<T, WorkerFault>,
    ) -> Result<Result<T, MediaReject>, WorkerFault> {
        let done = self.employ(|worker| worker.run_in_memory(job, input, &read))?;
        match done {
            Ok((_, read)) => read.map(Ok),
            Err(reject) => Ok(Err(reject)),
        }
    }

    /// Has a free worker do what `exchange` asks of it, and the next one where it was dead already.
    fn employ<T>(
        &self,
        exchange: impl Fn(&mut WorkerProcess) -> Result<(Outcome, T), Lost>,
    ) -> Result<Result<(Outcome, T), MediaReject>, WorkerFault> {
        loop {
            let mut worker = self.take()?;
            let id = worker.id();
            let fresh = worker.jobs() == 0;
            let result = exchange(&mut worker);
            let replaced = match &result {
                Ok(_) if worker.jobs() < self.settings.limits.jobs => None,
                Ok(_) => Some("served_enough"),
                Err(Lost::TooLate) => Some("timed_out"),
                Err(Lost::Before { .. } | Lost::During { .. }) => Some("crashed"),
            };
            self.give_back(id, replaced.is_none().then_some(worker), replaced);
            return match result {
                Ok((Outcome::Rejected(reject), _)) => Ok(Err(reject)),
                Ok((Outcome::ElementMissing(element, package), _)) => {
                    Err(WorkerFault::ElementMissing { element, package })
                }
                Ok((Outcome::Broken(detail), _)) => Err(WorkerFault::Broken { detail }),
                Ok(done) => Ok(Ok(done)),
                // It died while it had nothing to do: the job has not begun and goes to the next one.
                Err(Lost::Before { .. }) if !fresh => continue,
                Err(Lost::Before { said }) => {
                    let (path, source) = (self.settings.program.clone(), io::Error::other(said));
                    Err(WorkerFault::ProgramMissing { path, source })
                }
                Err(Lost::TooLate) => Err(WorkerFault::Timeout { wall: self.settings.wall }),
                Err(Lost::During { signal, said }) => self.death(signal, said).map(Err),
            };
        }
    }

    /// Tells a broken limit from a crash.
    fn death(&self, signal: Option<i32>, said: String) -> Result<MediaReject, WorkerFault> {
        let limits = &self.settings.limits;
        let reject = |reason, detail| Ok(MediaReject { reason, detail });
        match signal {
            Some(SIGXCPU) => reject(
                RejectReason::CpuLimit,
                format!(
                    "the job took more than {} s of processor time; re-encode the file at a lower resolution",
                    limits.cpu_seconds
                ),
            ),
            Some(SIGXFSZ) => reject(
                RejectReason::TooLarge,
                format!("the result is longer than {} bytes; cut the file first", limits.file_bytes),
            ),
            _ if said.contains("failed to allocate") || said.contains("memory allocation of") => reject(
                RejectReason::MemoryLimit,
                format!(
                    "the job asked for more memory than {} MiB allow; re-encode the file at a lower resolution",
                    limits.memory_bytes >> 20
                ),
            ),
            _ => Err(WorkerFault::Crashed { signal, detail: said }),
        }
    }

    fn take(&self) -> Result<WorkerProcess, WorkerFault> {
        let mut state = self.state.lock();
        loop {
            if let Some(worker) = state.idle.pop() {
                state.busy.push(worker.id());
                return Ok(worker);
            }
            if state.busy.len() + state.starting < self.settings.workers.max(1) {
                state.starting += 1;
                break;
            }
            self.freed.wait(&mut state);
        }
        drop(state);
        let settings = &self.settings;
        let started = WorkerProcess::start(&settings.program, &settings.limits, settings.wall);
        let mut state = self.state.lock();
        state.starting -= 1;
        match &started {
            Ok(worker) => state.busy.push(worker.id()),
            Err(_) => {
                self.freed.notify_one();
            }
        }
        started
    }

    fn give_back(&self, id: u32, worker: Option<WorkerProcess>, replaced: Option<&'static str>) {
        let mut state = self.state.lock();
        state.busy.retain(|busy| *busy != id);
        state.idle.extend(worker);
        state.replaced.extend(replaced);
        drop(state);
        self.freed.notify_one();
    }
}

/// The fault for an outcome that does not answer the job.
pub(crate) fn unexpected(outcome: &Result<Outcome, MediaReject>) -> WorkerFault {
    WorkerFault::Broken { detail: format!("the worker answered another job: {outcome:?}") }
}

/// Where the worker program stands: beside the running program, or one folder up when that is cargo's
/// `deps` (tests).
pub fn worker_program() -> PathBuf {
    let beside = std::env::current_exe().ok().and_then(|program| {
        let folder = program.parent()?.to_owned();
        let tests = folder.file_name().is_some_and(|name| name == "deps" || name == "examples");
        if tests { folder.parent().map(|parent| parent.join(PROGRAM)) } else { Some(folder.join(PROGRAM)) }
    });
    beside.unwrap_or_else(|| PathBuf::from(PROGRAM))
}
