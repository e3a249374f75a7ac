//! One schedule: processes run, are killed and started again; then all is quiet, and the log is held against
//! the guarantee.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use counterpoint_actors::{
    audit::{Audit, Evidence, Grounds, audit},
    dead_letters,
    materialise::MadeSamples,
    projection::Projection,
    revision::{Contents, Revision},
    settings::{Effort, Settings},
    store::Store,
};
use counterpoint_core::plan::Plan;
use counterpoint_log::memory::MemoryLog;
use counterpoint_messages::{ContentHash, StageName};
use futures::{FutureExt, executor::block_on};
use parking_lot::Mutex;

use crate::{
    corpus::{CORPORA, Corpus, RULEBOOK},
    faults::{Fault, Faults},
    faulty_log::Broken,
    process::Start,
    scheduler::{NOBODY, Scheduler},
    tallied,
};

/// Virtual time and polls after which a schedule is taken not to end.
const LONGEST: Duration = Duration::from_secs(1800);
const MOST_STEPS: u64 = 400_000;
/// Runs after the faults, each of which puts back what the one before gave up on.
const MOST_ROUNDS: usize = 6;
/// Faults end by then.
const FAULTS_END: Duration = Duration::from_secs(120);
/// Longest until a process is started again, and until the death of one is noticed.
const RESTART: Duration = Duration::from_secs(3);
const NOTICE: Duration = Duration::from_secs(5);
const SUSPENSION: Duration = Duration::from_secs(15);
/// When a process that goes on alone is joined by those that have ended: it may have begun a new input.
const REJOIN: Duration = Duration::from_secs(60);

/// Folder in memory, where there is one.
static MEMORY: LazyLock<PathBuf> = LazyLock::new(|| {
    let shared = PathBuf::from("/dev/shm");
    if shared.is_dir() { shared } else { std::env::temp_dir() }
});

/// How a schedule is run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Without faults.
    pub is_calm: bool,
    /// With a rule broken on purpose.
    pub broken: Option<Broken>,
    /// Keeping every step as text.
    pub tells: bool,
}

/// What came of a schedule in which nothing was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Hash of everything that happened.
    pub trace: String,
    /// Which corpus it ran on.
    pub corpus: usize,
    /// Samples, where all of them were sealed at once.
    pub manifest: Option<String>,
    /// Faults that struck.
    pub struck: BTreeMap<Fault, u64>,
    /// Records that were given up on, and put back later.
    pub letters: u64,
    /// Virtual time it took.
    pub took: Duration,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub what: String,
    pub trace: String,
    pub faults: String,
    pub told: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.told {
            writeln!(f, "{line}")?;
        }
        write!(f, "{}\ntrace {}, faults {}", self.what, self.trace, self.faults)
    }
}

/// Something that is to happen to a process.
enum Event {
    Start(usize),
    /// Others may take over what a dead process had.
    Noticed(MemoryLog),
    Awake(usize, MemoryLog),
}

struct Running {
    start: Start,
    outcome: Arc<Mutex<Option<Result<(), String>>>>,
}

/// A process over all its lives.
struct Process {
    instance: String,
    stages: BTreeSet<StageName>,
    lives: u32,
    running: Option<Running>,
    is_suspended: bool,
    has_ended: bool,
}

struct Schedule {
    scheduler: Arc<Scheduler>,
    faults: Arc<Faults>,
    options: Options,
    log: MemoryLog,
    corpus: &'static Corpus,
    folder: tempfile::TempDir,
    settings: Settings,
    effort: Effort,
    revision: Revision,
    processes: Vec<Process>,
    /// When a process ended last.
    last_end: Duration,
    due: Arc<Mutex<Vec<Event>>>,
}

/// Runs the schedule of a seed.
///
/// # Errors
/// What was found.
pub fn run(seed: u64, options: Options) -> Result<Report, Failure> {
    let scheduler = Scheduler::new(seed, options.tells);
    let faults = match options.is_calm {
        true => Faults::none(Arc::clone(&scheduler)),
        false => Faults::drawn(Arc::clone(&scheduler)),
    };
    let mut schedule = Schedule::new(scheduler, Arc::new(faults), options, seed);
    schedule.live().map_err(|what| Failure {
        what,
        trace: schedule.scheduler.trace(),
        faults: schedule.faults.to_string(),
        told: schedule.scheduler.told(),
    })
}

impl Schedule {
    fn new(scheduler: Arc<Scheduler>, faults: Arc<Faults>, options: Options, seed: u64) -> Self {
        let settings = Settings::default();
        let contents = Contents {
            ontology: ContentHash::default(),
            rules: ContentHash::default(),
            plan: Plan::default().hash(),
            judge: None,
            rounds: None,
        };
        let revision = Revision::new(1, &settings, contents, BTreeMap::new());
        let clock = Arc::clone(&scheduler);
        let log = MemoryLog::with_clock(1 + scheduler.pick(4) as u32, move || clock.now().as_millis() as i64);
        let corpus = &CORPORA[(seed % CORPORA.len() as u64) as usize];
        let max_records = [4, 16, 64][scheduler.pick(3)];
        let effort = Effort { workers: 1 + scheduler.pick(3), max_records, ..Effort::default() };
        let processes = layout(&scheduler);
        Self {
            options,
            log,
            corpus,
            folder: tempfile::tempdir_in(&*MEMORY).unwrap(),
            settings,
            effort,
            revision,
            processes,
            last_end: Duration::ZERO,
            due: Arc::default(),
            faults,
            scheduler,
        }
    }

    fn live(&mut self) -> Result<Report, String> {
        for process in 0..self.processes.len() {
            self.schedule(RESTART, Event::Start(process));
        }
        self.until_all_ended()?;
        let first = self.audit()?;
        self.justify(&first)?;
        // Whatever was given up on is put back, and one more process does what is left. Where processes were
        // killed over a record twice before, it gives up on that one as well, so that is put back once more.
        self.faults.cure();
        let (mut letters, mut last) = (0, first);
        for _ in 0..MOST_ROUNDS {
            let put_back = block_on(dead_letters::requeue(&self.log)).map_err(|error| error.to_string())?;
            letters += put_back as u64;
            self.processes = vec![Process::new("last", StageName::RUN.into())];
            self.schedule(RESTART, Event::Start(0));
            self.until_all_ended()?;
            last = self.audit()?;
            self.justify(&last)?;
            // An input that was put back may still be read when the run that waited for another one ends.
            if put_back == 0 && last.at_rest {
                break;
            }
        }
        self.compare(&last)?;
        let pools = block_on(Evidence::read(&self.log, &self.revision)).map(|evidence| evidence.pools());
        let is_sealed_at_once = pools.is_ok_and(|pools| pools <= 2);
        Ok(Report {
            trace: self.scheduler.trace(),
            corpus: self.corpus.good as usize,
            manifest: if is_sealed_at_once { Some(self.manifest()?) } else { None },
            struck: self.faults.struck(),
            letters,
            took: self.scheduler.now(),
        })
    }

    /// Lets everything happen until every process has ended by itself.
    fn until_all_ended(&mut self) -> Result<(), String> {
        let (began, steps) = (self.scheduler.now(), self.scheduler.steps());
        while !self.processes.iter().all(|process| process.has_ended) {
            if self.scheduler.now() > began + LONGEST || self.scheduler.steps() > steps + MOST_STEPS {
                return Err(format!("it does not end: {}", self.standstill()));
            }
            if self.scheduler.now() > FAULTS_END {
                self.faults.end();
            }
            let due = std::mem::take(&mut *self.due.lock());
            due.into_iter().for_each(|event| self.happen(event));
            self.notice_ends();
            self.rejoin();
            if !self.faults.are_over() {
                self.strike();
            }
            let all_ended = self.processes.iter().all(|process| process.has_ended);
            if !all_ended && !self.scheduler.step() {
                return Err(format!("nothing will ever happen again: {}", self.standstill()));
            }
        }
        Ok(())
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Start(number) => self.start(number),
            Event::Noticed(log) => log.suspend(),
            Event::Awake(number, log) => {
                log.resume();
                self.processes[number].is_suspended = false;
                self.scheduler.freeze(number, false);
            }
        }
    }

    fn schedule(&self, longest: Duration, event: Event) {
        let (due, after) = (Arc::clone(&self.due), self.scheduler.below(longest));
        let sleep = self.scheduler.sleep(after);
        self.scheduler.spawn(NOBODY, sleep.map(move |()| due.lock().push(event)).boxed());
    }

    fn start(&mut self, number: usize) {
        let process = &mut self.processes[number];
        process.lives += 1;
        let session = format!("{number}-{}-{}", process.instance, process.lives);
        self.scheduler.note(format_args!("{session} starts"));
        let start = Start {
            scheduler: Arc::clone(&self.scheduler),
            faults: Arc::clone(&self.faults),
            number,
            log: self.log.process(&session),
            session,
            instance: process.instance.clone(),
            stages: process.stages.clone(),
            broken: self.options.broken,
            corpus: self.corpus,
            settings: self.settings.clone(),
            effort: self.effort.clone(),
            revision: self.revision.clone(),
            doomed: Arc::new(AtomicBool::new(false)),
        };
        let outcome = Arc::new(Mutex::new(None));
        let (told, life) = (Arc::clone(&outcome), start.clone().run(self.folder.path().to_owned()));
        self.scheduler.spawn(number, life.map(move |ended| *told.lock() = Some(ended)).boxed());
        process.running = Some(Running { start, outcome });
    }

    /// Ends processes that a stage killed, and takes note of those that ended by themselves.
    fn notice_ends(&mut self) {
        for number in 0..self.processes.len() {
            let Some(running) = &self.processes[number].running else { continue };
            if running.start.doomed.load(Ordering::SeqCst) {
                self.kill(number);
                continue;
            }
            let Some(outcome) = running.outcome.lock().take() else { continue };
            self.scheduler.note(format_args!("process {number} ends: {outcome:?}"));
            let log = running.start.log.clone();
            self.scheduler.drop_tasks(number);
            log.suspend();
            self.processes[number].running = None;
            match outcome {
                Ok(()) => {
                    self.processes[number].has_ended = true;
                    self.last_end = self.scheduler.now();
                }
                Err(_) => {
                    self.faults.count_failed_process();
                    self.schedule(RESTART, Event::Start(number));
                }
            }
        }
    }

    /// A process that was killed after the end offers its input anew, for which the others are needed.
    fn rejoin(&mut self) {
        let ended = |process: &Process| process.has_ended;
        if self.processes.iter().all(ended) || self.scheduler.now() < self.last_end + REJOIN {
            return;
        }
        self.last_end = self.scheduler.now();
        for number in 0..self.processes.len() {
            if std::mem::take(&mut self.processes[number].has_ended) {
                self.schedule(RESTART, Event::Start(number));
            }
        }
    }

    fn kill(&mut self, number: usize) {
        let Some(running) = self.processes[number].running.take() else { return };
        self.scheduler.note(format_args!("{} is killed", running.start.session));
        running.start.log.kill();
        self.scheduler.drop_tasks(number);
        if self.scheduler.chance(0.5) {
            running.start.log.suspend();
        } else {
            self.schedule(NOTICE, Event::Noticed(running.start.log));
        }
        self.schedule(RESTART, Event::Start(number));
    }

    /// What strikes a process from outside.
    fn strike(&mut self) {
        let number = self.scheduler.pick(self.processes.len());
        let process = &self.processes[number];
        if process.is_suspended || process.running.is_none() {
            return;
        }
        if self.faults.strikes(Fault::Kill) {
            self.kill(number);
        } else if self.faults.strikes(Fault::Suspend) {
            self.suspend(number, true);
        } else if self.faults.strikes(Fault::Stall) {
            self.suspend(number, false);
        }
    }

    fn suspend(&mut self, number: usize, runs_out: bool) {
        let process = &mut self.processes[number];
        let Some(running) = &process.running else { return };
        let log = running.start.log.clone();
        if runs_out {
            log.suspend();
        }
        process.is_suspended = true;
        self.scheduler.freeze(number, true);
        self.schedule(SUSPENSION, Event::Awake(number, log));
    }

    fn standstill(&self) -> String {
        let told: Vec<_> = self
            .processes
            .iter()
            .map(|process| {
                let state = match (&process.running, process.has_ended) {
                    (_, true) => "has ended",
                    (Some(_), _) => "runs",
                    (None, _) => "is dead",
                };
                format!("{} {state}", process.instance)
            })
            .collect();
        let audit = self.audit().map_or_else(|error| error, |audit| audit.to_string());
        format!("{}; {audit}", told.join(", "))
    }

    /// The log against the guarantee.
    fn audit(&self) -> Result<Audit, String> {
        let evidence =
            block_on(Evidence::read(&self.log, &self.revision)).map_err(|error| error.to_string())?;
        let store = Store::open(&self.folder.path().join("objects")).map_err(|error| error.to_string())?;
        let grounds = Grounds {
            store: &store,
            plan: &Plan::default(),
            seed: self.settings.seed,
            relations: &**RULEBOOK,
            made: None,
        };
        let audit = audit(&evidence, &grounds).map_err(|error| error.to_string())?;
        let has_open = audit.at_rest && audit.open > 0;
        if audit.is_ok() && !has_open { Ok(audit) } else { Err(audit.to_string()) }
    }

    /// No record was given up on that may not have failed three times.
    fn justify(&self, audit: &Audit) -> Result<(), String> {
        let waiting = block_on(dead_letters::list(&self.log)).map_err(|error| error.to_string())?;
        for letter in waiting.letters {
            let place = format!("{}/{}@{}", letter.topic, letter.partition, letter.position);
            if self.faults.failures(letter.stage, &place) + self.faults.deaths() < 3 {
                return Err(format!("given up on without reason: {letter:?}; {audit}"));
            }
        }
        Ok(())
    }

    /// The last audit against what the corpus comes to.
    fn compare(&self, audit: &Audit) -> Result<(), String> {
        let Corpus { good, turned_away, .. } = *self.corpus;
        let expected = (true, good + turned_away, good, turned_away, 0, 0);
        let Audit { at_rest, clips, composed, rejected, dead_letters, open, .. } = *audit;
        let found = (at_rest, clips, composed, rejected, dead_letters, open);
        if found != expected {
            return Err(format!("it came to {audit} instead of {expected:?}"));
        }
        block_on(tallied::checked(&self.log, &self.revision)).map(drop)
    }

    fn manifest(&self) -> Result<String, String> {
        let projection =
            block_on(Projection::of(&self.log, &self.revision)).map_err(|error| error.to_string())?;
        let manifest = projection.manifest(&MadeSamples::default()).map_err(|error| error.to_string())?;
        let manifest = String::from_utf8(manifest).map_err(|error| error.to_string())?;
        let published = std::fs::read_to_string(self.folder.path().join("manifest.jsonl"));
        if published.map_err(|error| error.to_string())? != manifest {
            return Err("the manifest that was published is not that of the log".to_owned());
        }
        let mut rows = Vec::new();
        for line in manifest.lines() {
            let mut row: serde_json::Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
            // It names the media, whose bytes depend on which take was committed.
            row.as_object_mut().and_then(|row| row.remove("lineage"));
            rows.push(row.to_string());
        }
        Ok(rows.join("\n"))
    }
}

impl Process {
    fn new(instance: &str, stages: BTreeSet<StageName>) -> Self {
        Self {
            instance: instance.to_owned(),
            stages,
            lives: 0,
            running: None,
            is_suspended: false,
            has_ended: false,
        }
    }
}

/// Which processes there are, and which stages each of them runs.
fn layout(scheduler: &Scheduler) -> Vec<Process> {
    let all: BTreeSet<_> = StageName::RUN.into();
    match scheduler.pick(5) {
        0 | 1 => vec![Process::new("one", all)],
        2 => vec![Process::new("one", all.clone()), Process::new("two", all)],
        // Two processes that take themselves for the same one.
        3 => vec![Process::new("one", all.clone()), Process::new("one", all)],
        _ => {
            let at = 1 + scheduler.pick(StageName::RUN.len() - 1);
            let (first, second) = StageName::RUN.split_at(at);
            vec![
                Process::new("first", first.iter().copied().collect()),
                Process::new("second", second.iter().copied().collect()),
            ]
        }
    }
}
