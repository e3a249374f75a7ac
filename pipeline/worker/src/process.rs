use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{MemfdFlags, OFlags, memfd_create};

use crate::WorkerFault;
use crate::protocol::{Job, Limits, Outcome, Taken};
use crate::wire;

/// Bytes of the worker's last words that are kept when it dies.
const LAST_WORDS: u64 = 2048;

/// Longest memory file that is kept for the next job, in bytes: the frames of a clip of ten seconds, twice.
const KEPT_MEMORY: u64 = 32 << 20;

/// One worker process and the parent's end of its socket. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct WorkerProcess {
    child: Child,
    socket: UnixStream,
    said: File,
    /// Where it writes what is to be read once. It is this process's alone, and kept as its pages are dear: making
    /// and clearing them takes as long as writing them.
    memory: Arc<File>,
    jobs: u64,
}

/// Why an exchange with a worker has no outcome.
#[derive(Debug)]
pub(crate) enum Lost {
    /// It was gone before it took the job.
    Before {
        /// The last it said.
        said: String,
    },
    /// It died on the job.
    During {
        /// Signal that killed it, where one did.
        signal: Option<i32>,
        /// The last it said.
        said: String,
    },
    /// It took too long.
    TooLate,
}

impl WorkerProcess {
    /// Starts `program` under `limits`, in a process group of its own: a Ctrl-C in the terminal reaches
    /// the parent, which lets the worker finish. The worker ends when the parent's end of the socket closes.
    pub(crate) fn start(program: &Path, limits: &Limits, wall: Duration) -> Result<Self, WorkerFault> {
        let fault = |source| WorkerFault::ProgramMissing { path: program.to_owned(), source };
        let (socket, theirs) = UnixStream::pair().map_err(fault)?;
        let said = memfd_create("worker-stderr", MemfdFlags::CLOEXEC).map_err(|error| fault(error.into()))?;
        let said = File::from(said);
        // After it is emptied, what is said next stands at its beginning.
        rustix::fs::fcntl_setfl(&said, OFlags::APPEND).map_err(|error| fault(error.into()))?;
        let memory =
            memfd_create("worker-memory", MemfdFlags::CLOEXEC).map_err(|error| fault(error.into()))?;
        let child = Command::new(program)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::from(said.try_clone().map_err(fault)?))
            .process_group(0)
            .spawn()
            .map_err(fault)?;
        let worker = Self { child, socket, said, memory: Arc::new(File::from(memory)), jobs: 0 };
        worker.socket.set_read_timeout(Some(wall)).map_err(fault)?;
        worker.socket.set_write_timeout(Some(wall)).map_err(fault)?;
        wire::send(&worker.socket, limits, &[]).map_err(fault)?;
        Ok(worker)
    }

    /// Process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Jobs it was given.
    pub(crate) fn jobs(&self) -> u64 {
        self.jobs
    }

    /// Has it do `job` with `files`.
    pub(crate) fn run(&mut self, job: &Job, files: &[BorrowedFd<'_>]) -> Result<Outcome, Lost> {
        let taken = wire::send(&self.socket, job, files).and_then(|()| wire::receive::<Taken>(&self.socket));
        match taken {
            Ok(Some(_)) => {}
            Err(error) if is_timeout(&error) => return Err(Lost::TooLate),
            Ok(None) | Err(_) => {
                self.end();
                return Err(Lost::Before { said: self.last_words() });
            }
        }
        self.jobs = self.jobs.saturating_add(1);
        // What it said on earlier jobs explains nothing now, and must not pile up.
        let _ = self.said.set_len(0);
        match wire::receive(&self.socket) {
            Ok(Some((outcome, _))) => Ok(outcome),
            Err(error) if is_timeout(&error) => Err(Lost::TooLate),
            Ok(None) | Err(_) => {
                let signal = self.end();
                Err(Lost::During { signal, said: self.last_words() })
            }
        }
    }

    /// Has it do `job` on `input` and write to its memory file, and has `read` look at that.
    pub(crate) fn run_in_memory<T>(
        &mut self,
        job: &Job,
        input: BorrowedFd<'_>,
        read: impl Fn(&Outcome, &File) -> Result<T, WorkerFault>,
    ) -> Result<(Outcome, Result<T, WorkerFault>), Lost> {
        let memory = Arc::clone(&self.memory);
        let outcome = self.run(job, &[input, memory.as_fd()])?;
        let read = read(&outcome, &memory);
        if memory.metadata().is_ok_and(|metadata| metadata.len() > KEPT_MEMORY) {
            let _ = memory.set_len(0);
        }
        Ok((outcome, read))
    }

    /// Ends the process and gives the signal that ended it.
    fn end(&mut self) -> Option<i32> {
        // A process that has died already cannot be killed; what it died of is what `wait` gives.
        if !matches!(self.child.try_wait(), Ok(Some(_))) && !self.closes_by_itself() {
            let _ = self.child.kill();
        }
        self.child.wait().ok().and_then(|status| status.signal())
    }

    /// Whether a process whose socket has closed is ending: its signal is worth the short wait.
    fn closes_by_itself(&mut self) -> bool {
        (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            matches!(self.child.try_wait(), Ok(Some(_)))
        })
    }

    fn last_words(&self) -> String {
        let length = self.said.metadata().map_or(0, |metadata| metadata.len());
        let from = length.saturating_sub(LAST_WORDS);
        let mut bytes = vec![0; usize::try_from(length - from).unwrap_or(0)];
        match self.said.read_exact_at(&mut bytes, from) {
            Ok(()) if !bytes.is_empty() => String::from_utf8_lossy(&bytes).trim().to_owned(),
            _ => "it said nothing".to_owned(),
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
