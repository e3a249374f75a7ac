//! What came of each file, and a table of it.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use counterpoint_core::media_job::{Limits, MediaReject, PrepareRequest, SampleRequest};
use counterpoint_tests::hostile::{Hostile, SECONDS};
use counterpoint_worker::{Prepared, Sampled, WorkerFault, WorkerPool, WorkerSettings, worker_program};

/// Attempts at a file whose worker dies of it, as the stages make.
const ATTEMPTS: u32 = 3;

/// How long to sleep before memory is looked at again.
const PAUSE: Duration = Duration::from_millis(3);

/// What came of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It is a clip like any other.
    Done,
    /// It was turned away.
    Rejected {
        /// Name of the reason.
        reason: &'static str,
        /// The sentence for people.
        detail: String,
    },
    /// No worker could answer, however often it was tried.
    Dead(String),
}

impl Outcome {
    /// The word for the table.
    pub fn word(&self) -> &str {
        match self {
            Self::Done => "done",
            Self::Rejected { reason, .. } => reason,
            Self::Dead(_) => "dead",
        }
    }

    fn of<T>(mut attempt: impl FnMut() -> Result<Result<T, MediaReject>, WorkerFault>) -> Self {
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            match attempt() {
                Ok(Ok(_)) => return Self::Done,
                Ok(Err(MediaReject { reason, detail })) => {
                    return Self::Rejected { reason: reason.as_str(), detail };
                }
                Err(fault) => {
                    assert!(
                        fault.is_attempt(),
                        "a hostile file is taken for a fault of the machine: {fault}"
                    );
                    last = fault.to_string();
                }
            }
        }
        Self::Dead(last)
    }
}

/// A pool of two workers under the limits that the program sets, which end what takes longer than this.
pub fn pool(wall: Duration) -> WorkerPool {
    let settings = WorkerSettings { program: worker_program(), workers: 2, limits: Limits::default(), wall };
    WorkerPool::new(settings).unwrap()
}

/// The normal form of the smallest clips.
pub fn request() -> PrepareRequest {
    PrepareRequest { size: 56, seconds: SECONDS.into(), ..PrepareRequest::default() }
}

/// Prepares a file, as often as a stage would.
pub fn prepare(pool: &WorkerPool, path: &Path, scratch: &Path) -> Outcome {
    Outcome::of(|| pool.prepare(path, &request(), scratch))
}

/// Samples a file, as often as a stage would.
pub fn sample(pool: &WorkerPool, path: &Path) -> Outcome {
    Outcome::of(|| pool.sample(path, &sample_request()))
}

fn sample_request() -> SampleRequest {
    SampleRequest { frames_per_second: 2.0, size: 32, rate: 16_000 }
}

/// What a good film comes to: the bytes of its normal form, and what a model is given of it.
pub fn good(pool: &WorkerPool, path: &Path, scratch: &Path) -> (Vec<u8>, Vec<u8>, Sampled) {
    let Prepared { video, sound, .. } = pool.prepare(path, &request(), scratch).unwrap().unwrap();
    let sampled = pool.sample(path, &sample_request()).unwrap().unwrap();
    (fs::read(&video).unwrap(), fs::read(&sound).unwrap(), sampled)
}

/// Outcomes by file, of `prepare` and of `sample`.
#[derive(Debug)]
pub struct Table {
    /// Family, name, outcome of `prepare`, outcome of `sample`, and how long both took.
    pub rows: Vec<(&'static str, String, Outcome, Outcome, Duration)>,
    /// Largest resident memory of a worker, in bytes.
    pub peak: u64,
}

impl Table {
    /// Gives every file to the pool, two at a time; `between` is called after each.
    pub fn of(pool: &WorkerPool, files: &[Hostile], scratch: &Path, between: impl Fn(usize) + Sync) -> Self {
        let (next, peak, over) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicBool::new(false));
        let rows = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    for process in [pool.busy_processes(), pool.idle_processes()].concat() {
                        peak.fetch_max(peak_memory(process), Ordering::Relaxed);
                    }
                    std::thread::sleep(PAUSE);
                }
            });
            let work = || {
                while let Some((index, file)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    files.get(index).map(|file| (index, file))
                } {
                    let start = Instant::now();
                    let prepared = prepare(pool, &file.path, scratch);
                    let sampled = sample(pool, &file.path);
                    let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    rows.lock().unwrap().push((file.family, name, prepared, sampled, start.elapsed()));
                    between(index);
                }
            };
            let workers = [scope.spawn(work), scope.spawn(work)];
            let ended = workers.map(std::thread::ScopedJoinHandle::join);
            over.store(true, Ordering::Relaxed);
            ended.into_iter().for_each(|ended| ended.unwrap());
        });
        let mut rows = rows.into_inner().unwrap();
        rows.sort_by(|a, b| a.1.cmp(&b.1));
        Self { rows, peak: peak.into_inner() }
    }

    /// Every outcome with the file's name.
    pub fn outcomes(&self) -> impl Iterator<Item = (&str, &Outcome)> {
        self.rows.iter().flat_map(|(_, name, prepared, sampled, _)| [(&**name, prepared), (&**name, sampled)])
    }
}

/// Files by the word for their outcome.
type Counts<'a> = BTreeMap<&'a str, u32>;

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut families: BTreeMap<_, (u32, Counts<'_>, Counts<'_>)> = BTreeMap::new();
        for (family, _, prepared, sampled, _) in &self.rows {
            let (files, of_prepare, of_sample) = families.entry(family).or_default();
            *files += 1;
            *of_prepare.entry(prepared.word()).or_default() += 1;
            *of_sample.entry(sampled.word()).or_default() += 1;
        }
        let words = |outcomes: &Counts<'_>| {
            let words: Vec<_> = outcomes.iter().map(|(word, count)| format!("{word} {count}")).collect();
            words.join(", ")
        };
        for (family, (files, prepared, sampled)) in &families {
            writeln!(f, "{family:12} {files:4}  prepare: {}", words(prepared))?;
            writeln!(f, "{:18} sample: {}", "", words(sampled))?;
        }
        let mut slowest: Vec<_> = self.rows.iter().map(|row| (row.4, &row.1)).collect();
        slowest.sort();
        for (time, name) in slowest.iter().rev().take(8) {
            writeln!(f, "{:6.1} s  {name}", time.as_secs_f64())?;
        }
        write!(f, "{} files; a worker held {} MiB at most", self.rows.len(), self.peak >> 20)
    }
}

/// Largest resident memory of a process so far, in bytes; 0 once it has ended.
fn peak_memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse().ok());
    kib.map_or(0, |kib: u64| kib * 1024)
}
