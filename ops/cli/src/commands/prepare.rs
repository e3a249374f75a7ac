//! `prepare`: media files to their one normal form, several at once, continued where it was.

mod ledger;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::Context as _;
use counterpoint_actors::{settings::SettingError, store::hash_file};
use counterpoint_core::media_job::{MediaReject, PrepareRequest};
use counterpoint_messages::{ContentHash, RejectReason, SignalStatistics};
use counterpoint_worker::{WorkerFault, WorkerPool};
use serde::{Deserialize, Serialize};

use self::ledger::Ledger;
use super::inputs::Inputs;
use crate::{
    args::{self, Common},
    config::Config,
    context::workers,
    output::{Failure, Outcome, print, print_json, say},
    progress::{INTERRUPTED, Interrupt, Screen},
};

/// Attempts at a file whose worker dies of it.
const ATTEMPTS: u32 = 3;

/// A line of `manifest.jsonl`; the names are read by other programs.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Line {
    source: String,
    outcome: String,
    reason: Option<String>,
    detail: Option<String>,
    path: Option<String>,
    blake3: Option<ContentHash>,
    width: Option<u32>,
    height: Option<u32>,
    duration: Option<f64>,
    padded: Option<f64>,
    statistics: Option<SignalStatistics>,
    /// Hash of the source's bytes and of the request: what makes the line valid the next time.
    cause: Option<ContentHash>,
}

impl Line {
    /// Of a source that came to nothing so far.
    fn rejected(source: String, cause: Option<ContentHash>) -> Self {
        Self {
            source,
            outcome: "rejected".to_owned(),
            reason: None,
            detail: None,
            path: None,
            blake3: None,
            width: None,
            height: None,
            duration: None,
            padded: None,
            statistics: None,
            cause,
        }
    }
}

#[derive(Serialize)]
struct Told {
    ok: usize,
    rejected: usize,
    /// Lines of other files, from earlier calls.
    kept: usize,
    manifest: PathBuf,
}

pub fn run(arguments: &args::Prepare, common: &Common, screen: &Screen) -> Outcome {
    let config = Config::load(common)?;
    let mut settings = config.settings();
    settings.decoder.size = arguments.size.unwrap_or(settings.decoder.size);
    settings.decoder.seconds = arguments.seconds.unwrap_or(settings.decoder.seconds);
    settings.check().map_err(|error| wrong(&error, arguments))?;
    let request = PrepareRequest {
        segment: None,
        size: settings.decoder.size,
        seconds: settings.decoder.seconds,
        frame_rate: settings.decoder.frame_rate,
        short: arguments.short.into(),
        loudness_lufs: settings.decoder.loudness_lufs,
    };
    let inputs = Inputs::find(&arguments.paths, &settings.source.extensions)?;
    let out = &arguments.out;
    fs::create_dir_all(out).with_context(|| format!("cannot make folder {}", out.display()))?;
    let job =
        Job { ledger: Ledger::open(out, &inputs.files)?, pool: &*workers(&config.effort)?, request, out };
    let interrupt = Interrupt::default();
    let _listening = interrupt.listen_in_background();
    let bar = screen.bar("prepare", inputs.files.len());
    let lines = in_parallel(&inputs.files, config.effort.workers(), &interrupt, |input| {
        let line = job.line(input);
        bar.inc(1);
        line
    })?;
    bar.finish_and_clear();
    let done: Vec<Line> = lines.into_iter().flatten().collect();
    let (manifest, kept) = job.ledger.publish(&done, done.len() == inputs.files.len())?;
    let ok = done.iter().filter(|line| line.outcome == "ok").count();
    let told = Told { ok, rejected: done.len() - ok, kept, manifest };
    if common.json {
        print_json(&told)?;
    } else {
        let earlier = match told.kept {
            0 => String::new(),
            kept => format!(", {kept} of earlier calls kept"),
        };
        print(&format!(
            "{} prepared, {} rejected{earlier}; {}",
            told.ok,
            told.rejected,
            told.manifest.display()
        ));
        for line in done.iter().filter(|line| line.outcome != "ok") {
            let (reason, detail) = (line.reason.as_deref(), line.detail.as_deref());
            say(&format!("{}: {}: {}", line.source, reason.unwrap_or_default(), detail.unwrap_or_default()));
        }
    }
    if interrupt.is_set() {
        say("interrupted: run the same command again to continue");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    Ok(if inputs.are_all_there { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// A setting out of range, under the name of the flag that gave it.
fn wrong(error: &SettingError, arguments: &args::Prepare) -> Failure {
    let SettingError { name, value, remedy } = error;
    let flag = match *name {
        "decoder.size" => arguments.size.map(|_| "--size"),
        "decoder.seconds" => arguments.seconds.map(|_| "--seconds"),
        _ => None,
    };
    Failure::usage(flag.map_or_else(|| error.to_string(), |flag| format!("{flag} is {value}: {remedy}")))
}

/// Does a piece of work for each item, several at once, in order of the results; ends early when
/// interrupted, with `None` for what was not done.
pub fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    workers: usize,
    interrupt: &Interrupt,
    work: impl Fn(&T) -> anyhow::Result<R> + Sync,
) -> anyhow::Result<Vec<Option<R>>> {
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<anyhow::Result<R>>>> = items.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..workers.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let (Some(item), false) = (items.get(index), interrupt.is_set()) else { return };
                    let result = work(item);
                    if result.is_err() {
                        next.store(items.len(), Ordering::Relaxed);
                    }
                    if let Ok(mut slot) = results[index].lock() {
                        *slot = Some(result);
                    }
                }
            });
        }
    });
    results.into_iter().map(|slot| slot.into_inner().ok().flatten().transpose()).collect()
}

/// Does a job on a file until it has an outcome. A file that kills its worker each time is rejected like any
/// other that cannot be decoded.
pub fn in_attempts<T>(
    mut job: impl FnMut() -> Result<Result<T, MediaReject>, WorkerFault>,
) -> Result<Result<T, MediaReject>, WorkerFault> {
    let mut attempt = 1;
    loop {
        match job() {
            Err(fault) if !fault.is_attempt() => return Err(fault),
            Err(fault) if attempt == ATTEMPTS => return Ok(Err(killer(&fault))),
            Err(_) => attempt += 1,
            outcome => return outcome,
        }
    }
}

fn killer(fault: &WorkerFault) -> MediaReject {
    MediaReject::new(
        RejectReason::CorruptMedia,
        format!("{fault}, {ATTEMPTS} times; look at the file, or leave it out"),
    )
}

struct Job<'a> {
    ledger: Ledger,
    pool: &'a WorkerPool,
    request: PrepareRequest,
    out: &'a Path,
}

impl Job<'_> {
    fn line(&self, input: &Path) -> anyhow::Result<Line> {
        let source = input.display().to_string();
        let cause = self.cause(input);
        if let Some(done) = cause.and_then(|cause| self.ledger.done(&source, cause)) {
            return Ok(done.clone());
        }
        let mut line = Line::rejected(source, cause);
        match in_attempts(|| self.pool.prepare(input, &self.request, self.out))? {
            Ok(prepared) => {
                let name = self.name(input);
                let path = self.out.join(&name);
                // Whole under its name also after a power failure.
                File::open(&prepared.video)
                    .and_then(|video| video.sync_all())
                    .with_context(|| format!("cannot sync {}", path.display()))?;
                prepared.video.persist(&path).with_context(|| format!("cannot write {}", path.display()))?;
                let (hash, _) =
                    hash_file(&path).with_context(|| format!("cannot read {}", path.display()))?;
                line.outcome = "ok".to_owned();
                line.path = Some(name);
                line.blake3 = Some(hash);
                (line.width, line.height) = (Some(self.request.size), Some(self.request.size));
                line.duration = Some(prepared.duration_ms as f64 / 1000.0);
                line.padded = Some(prepared.padded_ms as f64 / 1000.0);
                line.statistics = Some(prepared.statistics);
            }
            Err(MediaReject { reason, detail }) => {
                line.reason = Some(reason.as_str().to_owned());
                line.detail = Some(detail);
            }
        }
        self.ledger.note(&line)?;
        Ok(line)
    }

    fn cause(&self, input: &Path) -> Option<ContentHash> {
        let (hash, _) = hash_file(input).ok()?;
        Some(ContentHash::of(
            format!("{hash} {:?} {}", self.request, counterpoint_worker::PREPARE_TRANSFORM).as_bytes(),
        ))
    }

    /// The stem says whose it is; the hash of the whole path keeps namesakes apart.
    fn name(&self, input: &Path) -> String {
        let whole = fs::canonicalize(input).unwrap_or_else(|_| input.to_owned());
        let hash = ContentHash::of(whole.as_os_str().as_encoded_bytes()).to_string();
        let stem = input.file_stem().unwrap_or_default().to_string_lossy();
        format!("{stem}-{}.mp4", &hash[..8])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a job that meets these faults before it is done, and how often it was tried.
    fn after(faults: Vec<WorkerFault>) -> (Result<Result<(), MediaReject>, WorkerFault>, usize) {
        let (mut faults, mut tries) = (faults.into_iter(), 0);
        let outcome = in_attempts(|| {
            tries += 1;
            faults.next().map_or(Ok(Ok(())), Err)
        });
        (outcome, tries)
    }

    fn crash() -> WorkerFault {
        WorkerFault::Crashed { signal: Some(11), detail: "gone".to_owned() }
    }

    #[test]
    fn a_job_whose_worker_died_is_tried_again_and_given_up_at_last() {
        assert!(matches!(after(vec![crash(), crash()]), (Ok(Ok(())), 3)));
        let (outcome, tries) = after(vec![crash(), crash(), crash()]);
        let reject = outcome.unwrap().unwrap_err();
        assert_eq!((reject.reason, tries), (RejectReason::CorruptMedia, 3));
        assert!(
            reject.detail.contains("signal 11") && reject.detail.contains("3 times"),
            "{}",
            reject.detail
        );
        let full = || WorkerFault::OutputFull { path: "x".into() };
        assert!(matches!(after(vec![full()]), (Err(WorkerFault::OutputFull { .. }), 1)));
    }
}
