//! Runs a user's fetch command: without a shell, in a process group of its own, within its time and size.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::{ffi::OsStrExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

use super::wanted::WantedRow;
use crate::settings::FetcherSettings;

/// How often a command is looked after.
const LOOK: Duration = Duration::from_millis(50);
/// Bytes of stderr that are kept, from its end.
const KEPT: usize = 16 << 10;
/// How long to wait for the rest of stderr once the command and its group are dead.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Begin of the names of files that are being fetched; hidden, so nobody reads them.
const PREFIX: &str = ".fetching-";
/// Environment variable that the command and its children bear, so that what outlived its fetcher is found.
const MARK: &str = "COUNTERPOINT_FETCHING";

/// How a command ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// The clip lies in the folder.
    Fetched,
    /// It ended with another code than 0, or without a file; what it said.
    Failed {
        /// Exit code; `None` if a signal ended it.
        exit: Option<i32>,
        /// End of its stderr.
        said: String,
    },
    /// It took too long.
    TimedOut,
    /// It wrote too much.
    TooLarge,
    /// The pipeline is ending; nothing is known.
    Interrupted,
}

/// Fetches a row's clip into `folder`, under `name`.
///
/// # Errors
/// If the command cannot be started or its file cannot be given its name.
pub fn fetch(
    settings: &FetcherSettings,
    row: &WantedRow,
    folder: &Path,
    name: &str,
    stopping: &AtomicBool,
) -> io::Result<Ended> {
    let stem = format!("{PREFIX}{}", blake3::hash(name.as_bytes()).to_hex());
    let temporary = folder.join(format!("{stem}.{}", settings.ending));
    let ended = run(settings, row, folder, &stem, &temporary, stopping);
    let placed = match &ended {
        Ok(Ended::Fetched) => place(&temporary, &folder.join(name)),
        _ => Ok(()),
    };
    remove(folder, &stem);
    placed.and(ended)
}

/// A file that was put there meanwhile stays.
fn place(temporary: &Path, path: &Path) -> io::Result<()> {
    File::open(temporary)?.sync_all()?;
    match fs::hard_link(temporary, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // Some file systems have no links.
        Err(_) => fs::rename(temporary, path),
        Ok(()) => Ok(()),
    }
}

fn run(
    settings: &FetcherSettings,
    row: &WantedRow,
    folder: &Path,
    stem: &str,
    temporary: &Path,
    stopping: &AtomicBool,
) -> io::Result<Ended> {
    let arguments = fill(settings, row, temporary);
    let Some((program, arguments)) = arguments.split_first() else { return Ok(Ended::Interrupted) };
    let mut child = Command::new(program)
        .args(arguments)
        .env(MARK, folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let said = listen(&mut child);
    let begun = Instant::now();
    let ended = loop {
        if let Some(status) = child.try_wait()? {
            break Ok(status);
        }
        if stopping.load(Ordering::Relaxed) {
            break Err(Ended::Interrupted);
        }
        if begun.elapsed() > settings.timeout() {
            break Err(Ended::TimedOut);
        }
        if written(folder, stem) > settings.max_bytes {
            break Err(Ended::TooLarge);
        }
        thread::sleep(LOOK);
    };
    // Also after a good end: what it left running has nothing more to do.
    kill_group(child.id());
    match ended {
        Err(ended) => {
            child.wait()?;
            Ok(ended)
        }
        Ok(status) => {
            let length = fs::metadata(temporary).map_or(0, |metadata| metadata.len());
            if length > settings.max_bytes {
                return Ok(Ended::TooLarge);
            }
            if status.success() && length > 0 {
                return Ok(Ended::Fetched);
            }
            let mut said = said.recv_timeout(LAST_WORDS).unwrap_or_default();
            if status.success() {
                said.push_str("it ended well and wrote no file to {path}");
            }
            Ok(Ended::Failed { exit: status.code(), said })
        }
    }
}

/// The command with its places filled in.
fn fill(settings: &FetcherSettings, row: &WantedRow, path: &Path) -> Vec<std::ffi::OsString> {
    let seconds = |ms: u64| format!("{:.3}", ms as f64 / 1000.0);
    let (start, end) = (seconds(row.segment.start_ms), seconds(row.segment.end_ms));
    let places = [("{video}", row.video.as_str()), ("{start}", &start), ("{end}", &end)];
    let filled =
        |text: &str| places.iter().fold(text.to_owned(), |text, (place, value)| text.replace(place, value));
    let url = filled(&settings.url);
    let path = path.as_os_str().as_bytes();
    let argument = |part: &String| {
        // The path comes last: it may hold anything, and the user's words are UTF-8.
        let text = filled(&part.replace("{url}", &url));
        let pieces: Vec<_> = text.split("{path}").map(str::as_bytes).collect();
        std::os::unix::ffi::OsStringExt::from_vec(pieces.join(path))
    };
    settings.command.iter().map(argument).collect()
}

/// Keeps the end of what a child writes to stderr, and gives it when the child has closed it.
fn listen(child: &mut Child) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::sync_channel(1);
    if let Some(mut stderr) = child.stderr.take() {
        thread::spawn(move || {
            let (mut kept, mut bytes) = (Vec::new(), [0; 4096]);
            while let Ok(count @ 1..) = stderr.read(&mut bytes) {
                kept.extend_from_slice(bytes.get(..count).unwrap_or_default());
                kept.drain(..kept.len().saturating_sub(KEPT));
            }
            // Nobody waits for it where the command was killed.
            let _ = sender.send(String::from_utf8_lossy(&kept).into_owned());
        });
    }
    receiver
}

fn kill_group(leader: u32) {
    if let Some(group) = i32::try_from(leader).ok().and_then(Pid::from_raw) {
        // Fails where all have ended, which is what is wanted.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Files of a fetch: what was asked for, and what the command keeps beside it.
fn files_of<'a>(folder: &Path, prefix: &'a str) -> impl Iterator<Item = PathBuf> + 'a {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(move |entry| entry.file_name().as_bytes().starts_with(prefix.as_bytes()))
        .map(|entry| entry.path())
}

fn written(folder: &Path, stem: &str) -> u64 {
    files_of(folder, stem).map(|path| fs::metadata(path).map_or(0, |metadata| metadata.len())).sum()
}

fn remove(folder: &Path, prefix: &str) {
    for path in files_of(folder, prefix) {
        // What cannot be removed is hidden, and is tried again with the next input.
        let _ = fs::remove_file(path);
    }
}

/// Ends what a fetcher that was killed left running on `folder`, and removes what that wrote.
pub fn clean_up(folder: &Path) {
    let mark = [MARK.as_bytes(), b"=", folder.as_os_str().as_bytes()].concat();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|variable| variable == mark)
            && let Some(process) = i32::try_from(process).ok().and_then(Pid::from_raw)
        {
            // It may end by itself meanwhile.
            let _ = rustix::process::kill_process(process, Signal::KILL);
        }
    }
    remove(folder, PREFIX);
}
