//! Runs a user's fetch command: without a shell, in a process group of its own, within its time and size.

use std::{
    convert::Infallible,
    ffi::OsString,
    fs::{self, File, Metadata, Permissions},
    io::{self, Read},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use counterpoint_log::process::Process;
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use walkdir::WalkDir;

use super::wanted::WantedRow;
use crate::settings::FetcherSettings;

/// How often a command is looked after.
const LOOK: Duration = Duration::from_millis(50);
/// Bytes of stderr that are kept, from its end.
const KEPT: usize = 16 << 10;
/// How long to wait for the rest of stderr once the command and its group are dead: a process that left the
/// group may hold it open for as long as it likes.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Begin of the names of folders that are fetched into, one for each command; hidden, so nobody reads them. The
/// fetcher's process follows, which tells others whether it still wants them.
const PREFIX: &str = ".fetching-";
/// Environment variable that the command and its children bear, so that what outlived its fetcher is found:
/// `PROCESS:FOLDER`.
const MARK: &str = "COUNTERPOINT_FETCHING";
/// Age at which nobody fetches any more whose process cannot be seen from here: no command may take a day.
const ABANDONED: Duration = Duration::from_secs(2 * 24 * 3600);

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
    let owner = Process::this()?;
    // The umask decides who may write, as in any other folder.
    let open = Permissions::from_mode(0o777);
    let prefix = format!("{PREFIX}{owner}-");
    // Removed with this value, whatever the command put there.
    let own = tempfile::Builder::new().prefix(&prefix).permissions(open).tempdir_in(folder)?;
    let ended = run(settings, row, &mark(&owner, folder), &own, stopping)?;
    if ended == Ended::Fetched {
        place(&fetched(&own, settings), &folder.join(name))?;
    }
    Ok(ended)
}

/// The file that a command is to write.
fn fetched(own: &TempDir, settings: &FetcherSettings) -> PathBuf {
    own.path().join(format!("clip.{}", settings.ending))
}

fn mark(owner: &Process, folder: &Path) -> OsString {
    let mut mark = OsString::from(format!("{owner}:"));
    mark.push(folder);
    mark
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
    mark: &OsString,
    own: &TempDir,
    stopping: &AtomicBool,
) -> io::Result<Ended> {
    let temporary = fetched(own, settings);
    let arguments = fill(settings, row, &temporary);
    let Some((program, arguments)) = arguments.split_first() else { return Ok(Ended::Interrupted) };
    let mut child = Command::new(program)
        .args(arguments)
        .env(MARK, mark)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let said = Said::listen(&mut child);
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
        if written(own.path()) > settings.max_bytes {
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
            let length = fs::metadata(&temporary).map_or(0, |metadata| metadata.len());
            if length > settings.max_bytes {
                return Ok(Ended::TooLarge);
            }
            if status.success() && length > 0 {
                return Ok(Ended::Fetched);
            }
            let mut said = said.to_the_end();
            if status.success() {
                said.push_str("it ended well and wrote no file to {path}");
            }
            Ok(Ended::Failed { exit: status.code(), said })
        }
    }
}

/// The command with its places filled in.
fn fill(settings: &FetcherSettings, row: &WantedRow, path: &Path) -> Vec<OsString> {
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

/// The end of what a child writes to stderr.
struct Said {
    kept: Arc<Mutex<Vec<u8>>>,
    /// Cut off when nobody holds stderr any more.
    closed: mpsc::Receiver<Infallible>,
}

impl Said {
    fn listen(child: &mut Child) -> Self {
        let (open, closed) = mpsc::channel();
        let said = Self { kept: Arc::default(), closed };
        if let Some(mut stderr) = child.stderr.take() {
            let kept = Arc::clone(&said.kept);
            thread::spawn(move || {
                let _open = open;
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = stderr.read(&mut bytes) {
                    let mut kept = kept.lock();
                    kept.extend_from_slice(bytes.get(..count).unwrap_or_default());
                    let excess = kept.len().saturating_sub(KEPT);
                    kept.drain(..excess);
                }
            });
        }
        said
    }

    /// All of it, or what there is after a moment.
    fn to_the_end(&self) -> String {
        // Either answer means that there is nothing more to wait for.
        let _ = self.closed.recv_timeout(LAST_WORDS);
        String::from_utf8_lossy(&self.kept.lock()).into_owned()
    }
}

fn kill_group(leader: u32) {
    if let Some(group) = i32::try_from(leader).ok().and_then(Pid::from_raw) {
        // Fails where all have ended, which is what is wanted.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// What lies in a folder of a fetch: what was asked for, and what the command keeps beside it.
fn contents(own: &Path) -> impl Iterator<Item = Metadata> {
    // What is gone before it can be looked at is not there.
    WalkDir::new(own).into_iter().filter_map(|entry| entry.ok()?.metadata().ok())
}

/// Bytes of its files.
fn written(own: &Path) -> u64 {
    contents(own).filter(Metadata::is_file).map(|file| file.len()).sum()
}

/// Ends what a fetcher that was killed left running on `folder`, and removes what that wrote. What another
/// fetcher is at work on stays.
pub fn clean_up(folder: &Path) {
    end_orphans(folder);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let owner = rest.rsplit_once('-').and_then(|(owner, _)| owner.parse::<Process>().ok());
        let path = entry.path();
        if owner.is_some_and(|owner| owner.has_ended()) || is_abandoned(&path) {
            // What cannot be removed is hidden, and is tried again with the next input. Release 0.1 fetched
            // into files.
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
    }
}

fn is_abandoned(own: &Path) -> bool {
    let age = |metadata: Metadata| metadata.modified().ok().and_then(|time| time.elapsed().ok());
    contents(own).all(|metadata| age(metadata).is_some_and(|age| age > ABANDONED))
}

/// Ends the processes that bear the mark of a fetcher that has ended.
fn end_orphans(folder: &Path) {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        let is_orphan =
            environment.split(|byte| *byte == 0).any(|variable| is_mark_of_ended(variable, folder));
        if is_orphan && let Some(process) = i32::try_from(process).ok().and_then(Pid::from_raw) {
            // It may end by itself meanwhile.
            let _ = rustix::process::kill_process(process, Signal::KILL);
        }
    }
}

/// Whether an environment variable is the mark of a fetcher that has ended, on this folder.
fn is_mark_of_ended(variable: &[u8], folder: &Path) -> bool {
    let owner = variable
        .strip_prefix(MARK.as_bytes())
        .and_then(|rest| rest.strip_prefix(b"="))
        .and_then(|rest| rest.strip_suffix(folder.as_os_str().as_bytes()))
        .and_then(|rest| rest.strip_suffix(b":"))
        .and_then(|owner| std::str::from_utf8(owner).ok()?.parse::<Process>().ok());
    owner.is_some_and(|owner| owner.has_ended())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch_by(script: &str, folder: &Path) -> Ended {
        let settings = FetcherSettings {
            command: ["sh", "-c", script, "sh", "{path}"].map(str::to_owned).into(),
            max_bytes: 1000,
            ..FetcherSettings::default()
        };
        let segment = counterpoint_messages::Segment { start_ms: 0, end_ms: 10_000 };
        let (video, split) = ("aaaaaaaaaaa".to_owned(), counterpoint_messages::Split::Train);
        let row = WantedRow { video, segment, split, class: "Cat".to_owned() };
        fetch(&settings, &row, folder, "a.mp4", &AtomicBool::new(false)).unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_command_works_in_a_hidden_folder_of_its_own_and_only_the_clip_leaves_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("b.mp4"), "another clip").unwrap();
        let script = r#"cd "$(dirname "$1")" && ls -A > list && basename "$PWD" >> list && cp list "$1""#;
        assert_eq!(fetch_by(script, folder.path()), Ended::Fetched);
        let seen = fs::read_to_string(folder.path().join("a.mp4")).unwrap();
        let (list, own) = seen.split_once('\n').unwrap();
        assert_eq!(list, "list", "nothing else lies there");
        assert!(own.starts_with(PREFIX), "{own}");
        let mut left = names(folder.path());
        left.sort_unstable();
        assert_eq!(left, ["a.mp4", "b.mp4"]);
    }

    #[test]
    fn whatever_a_command_writes_beside_the_clip_counts_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        let script =
            r#"cd "$(dirname "$1")" && mkdir parts && head -c 2000 /dev/zero > parts/1 && sleep 600"#;
        assert_eq!(fetch_by(script, folder.path()), Ended::TooLarge);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn what_a_command_said_is_kept_though_something_it_started_holds_its_stderr() {
        let folder = tempfile::tempdir().unwrap();
        let script = "setsid sleep 4 & sleep 0.3; echo 'unheard of' >&2; exit 9";
        let Ended::Failed { exit, said } = fetch_by(script, folder.path()) else { panic!("it failed") };
        assert_eq!((exit, said.as_str()), (Some(9), "unheard of\n"));
    }

    /// The text of a process that has ended.
    fn ended() -> String {
        let this = Process::this().unwrap().to_string();
        format!("{}_0", this.rsplit_once('_').unwrap().0)
    }

    #[test]
    fn what_an_ended_fetcher_left_goes_and_what_a_living_one_is_at_work_on_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let (this, ended) = (Process::this().unwrap().to_string(), ended());
        let command = |owner: &str| {
            let own = path.join(format!("{PREFIX}{owner}-x"));
            fs::create_dir(&own).unwrap();
            fs::write(own.join("clip.mp4.part"), "half").unwrap();
            let mark = mark(&owner.parse().unwrap(), path);
            (Command::new("sleep").arg("600").env(MARK, mark).spawn().unwrap(), own)
        };
        let ((mut living, kept), (mut orphan, removed)) = (command(&this), command(&ended));
        clean_up(tempfile::tempdir().unwrap().path());
        assert_eq!(orphan.try_wait().unwrap(), None, "it is of another folder");
        clean_up(path);
        assert!(!orphan.wait().unwrap().success(), "it was killed");
        assert_eq!(living.try_wait().unwrap(), None);
        living.kill().unwrap();
        living.wait().unwrap();
        assert_eq!((kept.join("clip.mp4.part").exists(), removed.exists()), (true, false));
    }

    #[test]
    fn what_nobody_known_has_touched_for_days_goes_too() {
        let folder = tempfile::tempdir().unwrap();
        for (name, days) in [("0123.mp4", 3), ("4567.mp4", 1)] {
            let file = File::create(folder.path().join(format!("{PREFIX}{name}"))).unwrap();
            file.set_modified(std::time::SystemTime::now() - Duration::from_secs(days * 24 * 3600)).unwrap();
        }
        clean_up(folder.path());
        assert_eq!(names(folder.path()), [format!("{PREFIX}4567.mp4")]);
    }
}
