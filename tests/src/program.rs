//! Starts the programs under test as a person would, and watches how they end.

#![allow(clippy::expect_used, reason = "a broken expectation is how a test fails")]

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    os::unix::{ffi::OsStrExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// After so long a program hangs, and so does whatever a test waits for. Nothing measures against it.
const PATIENCE: Duration = Duration::from_secs(240);

/// How long to sleep before looking again.
const PAUSE: Duration = Duration::from_millis(5);

/// Where cargo put a program: beside the test's own executable, or one folder up.
pub fn built(name: &str) -> PathBuf {
    let test = env::current_exe().expect("a test knows its executable");
    let folder = test.parent().and_then(Path::parent).expect("a test lies in target/PROFILE/deps");
    let program = folder.join(name);
    assert!(
        program.is_file(),
        "{} is not built: cargo build --release --workspace --bins",
        program.display()
    );
    program
}

/// Waits until `condition` holds.
///
/// # Panics
/// If it never does; `what` says what was waited for.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "still not so: {what}");
        thread::sleep(PAUSE);
    }
}

/// Environment variable by which everything that a program starts is told from other processes.
const MARK: &str = "STARTED_BY_TEST";

/// A program about to be started.
#[derive(Debug)]
pub struct Program {
    command: Command,
}

impl Program {
    /// The program `counterpoint` with these arguments and no settings from this process's environment.
    pub fn counterpoint<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Self {
        Self::at(&built("counterpoint")).with(arguments)
    }

    /// Any program.
    pub fn at(path: &Path) -> Self {
        let mut command = Command::new(path);
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("COUNTERPOINT_") || text == "FAILPOINTS" {
                command.env_remove(&name);
            }
        }
        command.stdin(Stdio::null());
        Self { command }
    }

    /// Further arguments.
    #[must_use]
    pub fn with<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.command.args(arguments);
        self
    }

    /// An environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// What a test makes fail inside, as `stage::point=action`.
    #[must_use]
    pub fn failing(self, points: &str) -> Self {
        self.env("FAILPOINTS", points)
    }

    /// Starts it.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(mut self) -> Running {
        let streams = TempDir::new().expect("a folder for the program's output");
        let stream = |name| File::create(streams.path().join(name)).expect("a file for the program's output");
        // Files and no pipes: nobody has to read them while the program runs.
        self.command.stdout(stream("stdout")).stderr(stream("stderr")).env(MARK, streams.path());
        let child = self.command.spawn().expect("the program starts");
        Running { child, streams, peak_memory: 0 }
    }

    /// Runs it to its end.
    pub fn run(self) -> Ended {
        self.start().wait()
    }
}

/// A program that was started. If it is still at work when this value is dropped, it is killed.
#[derive(Debug)]
pub struct Running {
    child: Child,
    streams: TempDir,
    peak_memory: u64,
}

impl Running {
    /// Its process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ctrl-C.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// SIGSTOP: it stands still until [`Self::go_on`].
    pub fn stand_still(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGKILL, to the program alone: what it started has to notice by itself.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// SIGSTOP: it does nothing more, and does not know it.
    pub fn suspend(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on after [`Self::suspend`].
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        // It may have ended a moment ago.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// How many processes are at work in it, itself included.
    pub fn processes(&self) -> usize {
        marked(self.streams.path()).len()
    }

    /// Files and connections that it has open.
    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.id())).into_iter().flatten().count()
    }

    /// Processor time that it has used itself so far, in seconds.
    pub fn processor_seconds(&self) -> f64 {
        let times = fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap_or_default();
        // The name stands in brackets and may hold anything; user and system time are the 12th and 13th
        // number behind it.
        let numbers = times.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
        let ticks: u64 = numbers.filter_map(|number| number.parse::<u64>().ok()).sum();
        ticks as f64 / rustix::param::clock_ticks_per_second() as f64
    }

    /// Kills the media workers that it has, and says how many.
    pub fn kill_workers(&self) -> usize {
        let own = self.id();
        let workers = marked(self.streams.path()).into_iter().filter(|process| *process != own);
        let workers = workers.filter_map(|process| Pid::from_raw(i32::try_from(process).ok()?));
        // One may have ended a moment ago.
        workers.filter(|worker| kill_process(*worker, Signal::KILL).is_ok()).count()
    }

    /// What it has written to stdout so far.
    pub fn stdout(&self) -> String {
        self.read("stdout")
    }

    /// What it has written to stderr so far.
    pub fn stderr(&self) -> String {
        self.read("stderr")
    }

    fn read(&self, stream: &str) -> String {
        let bytes = fs::read(self.streams.path().join(stream)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_some()
    }

    /// Waits until `condition` holds, or the program ends without it.
    ///
    /// # Panics
    /// If the program ends first or neither happens.
    pub fn until(&mut self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        until(what, || {
            let ended = self.has_ended();
            let holds = condition(self);
            assert!(holds || !ended, "it ended before {what}:\n{}", self.stderr());
            holds
        });
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it hangs.
    pub fn wait(mut self) -> Ended {
        let start = Instant::now();
        let status = loop {
            self.peak_memory = self.peak_memory.max(peak_memory(self.id()));
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "the program hangs:\n{}", self.stderr());
            thread::sleep(PAUSE);
        };
        let (stdout, stderr) = (self.read("stdout"), self.read("stderr"));
        let mark = self.streams.path().to_owned();
        Ended { status, stdout, stderr, peak_memory: self.peak_memory, mark }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails if it has ended already, and then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Largest resident memory of a process so far, in bytes; 0 once it has ended.
fn peak_memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse().ok());
    kib.map_or(0, |kib: u64| kib * 1024)
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit status.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
    /// Largest resident memory that was seen, in bytes.
    pub peak_memory: u64,
    mark: PathBuf,
}

impl Ended {
    /// Exit code, if it ended by itself.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Signal that ended it.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// Expects exit code 0.
    ///
    /// # Panics
    /// With what it said, if it ended otherwise.
    pub fn done(self) -> Self {
        self.ended_with(0, &[])
    }

    /// Expects an exit code, and all of these words on stderr.
    ///
    /// # Panics
    /// With what it said, if it ended otherwise or said something else.
    pub fn ended_with(self, code: i32, words: &[&str]) -> Self {
        let Self { status, stdout, stderr, .. } = &self;
        assert_eq!(self.code(), Some(code), "{status}\nstdout: {stdout}\nstderr: {stderr}");
        for word in words {
            assert!(stderr.contains(word), "`{word}` is not said in:\n{stderr}");
        }
        self
    }

    /// The one JSON object on stdout.
    ///
    /// # Panics
    /// If there is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in:\n{}", self.stdout))
    }

    /// Waits until nothing that the program started is left.
    ///
    /// # Panics
    /// If something stays.
    pub fn leaves_nobody(&self) {
        until("everything that the program started has ended", || marked(&self.mark).is_empty());
    }
}

/// Living processes that bear a mark; those that have ended have no environment any more.
fn marked(mark: &Path) -> Vec<u32> {
    let mark = [MARK.as_bytes(), b"=", mark.as_os_str().as_bytes()].concat();
    let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let bears = |process: &u32| {
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark)
    };
    numbers.filter(bears).collect()
}
