//! A server's process.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::ServerError;

/// How long a server may take to answer, or to end, on a machine that has other work to do.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_millis(50);

/// Bytes of a log that an error quotes.
const QUOTED: u64 = 4096;

/// Becomes the server, whose command follows, and leaves a shell behind that reads a line from us. If we end
/// without a word, however that comes, it ends the server and removes the folder that it is given, if any.
const GUARDED: &str = r#"
exec 3<&0
(read -r _ <&3 || { kill -KILL $$; [ -z "$0" ] || rm -rf "$0"; }) &
exec "$@" 3<&- </dev/null
"#;

/// A process that is killed when this value is dropped, or at the latest when this process has ended.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    name: String,
    log: PathBuf,
    child: Child,
}

impl ServerProcess {
    /// Starts a server whose output is added to the file `log`; `temporary` is a folder that is to go with it
    /// where nobody is left to remove it.
    pub(crate) fn start(
        name: &str,
        command: &Command,
        log: &Path,
        temporary: Option<&Path>,
    ) -> Result<Self, ServerError> {
        let open = || File::options().create(true).append(true).open(log);
        let failed = |source| ServerError::Io { what: "cannot write", place: log.to_owned(), source };
        let (out, err) = (open().map_err(failed)?, open().map_err(failed)?);
        let mut guarded = Command::new("sh");
        guarded.args(["-c", GUARDED]).arg(temporary.unwrap_or(Path::new("")));
        guarded.arg(command.get_program()).args(command.get_args());
        if let Some(folder) = command.get_current_dir() {
            guarded.current_dir(folder);
        }
        let child = guarded.stdin(Stdio::piped()).stdout(out).stderr(err).spawn();
        let child = child.map_err(|source| ServerError::Io {
            what: "cannot run",
            place: PathBuf::from("sh"),
            source,
        })?;
        Ok(Self { name: name.to_owned(), log: log.to_owned(), child })
    }

    /// Waits until the server answers.
    pub(crate) fn ready(&mut self, mut answers: impl FnMut() -> bool) -> Result<(), ServerError> {
        let start = Instant::now();
        while !answers() {
            if !self.is_alive() {
                return Err(ServerError::Ended { name: self.name.clone(), log: tail(&self.log) });
            }
            if start.elapsed() > PATIENCE {
                let log = tail(&self.log);
                return Err(ServerError::Silent { name: self.name.clone(), patience: PATIENCE, log });
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Whether it has not ended.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end by itself.
    pub(crate) fn wait(&mut self) {
        // Waiting closes the pipe, and by that the guard would know that we have ended.
        let guard = self.child.stdin.take();
        // Fails only if somebody else has waited for it, and then it has ended.
        let _ = self.child.wait();
        drop(guard);
    }

    /// Asks it to end and waits until it has; kills it when it does not.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::TERM);
        let start = Instant::now();
        while self.is_alive() && start.elapsed() < PATIENCE {
            thread::sleep(PAUSE);
        }
        self.kill();
    }

    /// Ends it without a warning.
    pub(crate) fn kill(&mut self) {
        // Each fails only when it has ended already.
        let _ = self.child.kill();
        if let Some(mut guard) = self.child.stdin.take() {
            let _ = guard.write_all(b"\n");
        }
        let _ = self.child.wait();
    }

    /// Stops its clock, or lets it go on.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if self.is_alive() {
            let _ = kill_process(Pid::from_child(&self.child), signal);
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Ports on which nobody listens now.
///
/// # Errors
/// If there are none.
pub fn free_ports<const N: usize>() -> Result<[u16; N], ServerError> {
    let failed =
        |source| ServerError::Io { what: "cannot listen at", place: PathBuf::from("127.0.0.1"), source };
    // All are held until all are known, so that none comes twice.
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        *port = listener.local_addr().map_err(failed)?.port();
        held.push(listener);
    }
    Ok(ports)
}

fn tail(log: &Path) -> String {
    let mut text = Vec::new();
    let read = || -> io::Result<()> {
        let mut file = File::open(log)?;
        let length = fs::metadata(log)?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(QUOTED)))?;
        file.read_to_end(&mut text).map(drop)
    };
    let mut read = read;
    match read() {
        Ok(()) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) => format!("(it cannot be read: {error})"),
    }
}
