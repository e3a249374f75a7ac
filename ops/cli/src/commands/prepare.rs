//! `prepare`: media files to their one normal form, several at once, continued where it was.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::Context as _;
use counterpoint_actors::store::{hash_file, write_atomically};
use counterpoint_core::media_job::{MediaReject, PrepareRequest};
use counterpoint_messages::{ContentHash, RejectReason, SignalStatistics};
use counterpoint_worker::{WorkerFault, WorkerPool};
use serde::{Deserialize, Serialize};

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

#[derive(Serialize)]
struct Told {
    ok: usize,
    rejected: usize,
    manifest: PathBuf,
}

pub fn run(arguments: &args::Prepare, common: &Common, screen: &Screen) -> Outcome {
    let config = Config::load(common)?;
    let mut settings = config.settings();
    settings.decoder.size = arguments.size.unwrap_or(settings.decoder.size);
    settings.decoder.seconds = arguments.seconds.unwrap_or(settings.decoder.seconds);
    settings.check().map_err(|error| Failure::usage(error.to_string()))?;
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
    let job = Job { known: known(out), pool: &*workers(&config.effort)?, request, out };
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
    let manifest = out.join("manifest.jsonl");
    let mut text = String::new();
    for line in &done {
        text.push_str(&serde_json::to_string(line).context("cannot write the manifest")?);
        text.push('\n');
    }
    write_atomically(&manifest, text.as_bytes()).context("cannot write the manifest")?;
    let ok = done.iter().filter(|line| line.outcome == "ok").count();
    let told = Told { ok, rejected: done.len() - ok, manifest };
    if common.json {
        print_json(&told)?;
    } else {
        print(&format!("{} prepared, {} rejected; {}", told.ok, told.rejected, told.manifest.display()));
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

/// Lines of an earlier run, by source.
fn known(out: &Path) -> HashMap<String, Line> {
    let text = fs::read_to_string(out.join("manifest.jsonl")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    lines.map(|line| (line.source.clone(), line)).collect()
}

struct Job<'a> {
    known: HashMap<String, Line>,
    pool: &'a WorkerPool,
    request: PrepareRequest,
    out: &'a Path,
}

impl Job<'_> {
    fn line(&self, input: &Path) -> anyhow::Result<Line> {
        let source = input.display().to_string();
        let cause = self.cause(input);
        if let (Some(cause), Some(known)) = (cause, self.known.get(&source))
            && known.cause == Some(cause)
            && known.path.as_ref().is_none_or(|path| self.out.join(path).is_file())
        {
            return Ok(known.clone());
        }
        let mut line = Line {
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
        };
        match self.attempt(input)? {
            Ok(prepared) => {
                let name = self.name(input);
                let path = self.out.join(&name);
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
        Ok(line)
    }

    /// A file that kills its worker is rejected like any other that cannot be decoded.
    fn attempt(&self, input: &Path) -> anyhow::Result<Result<counterpoint_worker::Prepared, MediaReject>> {
        let mut attempt = 1;
        loop {
            match self.pool.prepare(input, &self.request, self.out) {
                Ok(outcome) => return Ok(outcome),
                Err(fault) if !fault.is_attempt() => return Err(fault.into()),
                Err(fault) if attempt == ATTEMPTS => return Ok(Err(killer(&fault))),
                Err(_) => attempt += 1,
            }
        }
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

fn killer(fault: &WorkerFault) -> MediaReject {
    MediaReject::new(
        RejectReason::CorruptMedia,
        format!("{fault}, {ATTEMPTS} times; look at the file, or leave it out"),
    )
}
