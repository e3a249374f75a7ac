use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a media job has no outcome, where the fault is not (known to be) the input's.
#[derive(Debug, thiserror::Error)]
pub enum WorkerFault {
    /// The worker died on the job; it was replaced.
    #[error("the media worker died ({}) on the job: {detail}", match signal { Some(number) => format!("signal {number}"), None => "no signal".to_owned() })]
    Crashed {
        /// Signal that killed it, where one did.
        signal: Option<i32>,
        /// The last it said.
        detail: String,
    },
    /// The worker gave no outcome in time; it was replaced.
    #[error("the media worker gave no outcome within {} s", wall.as_secs_f64())]
    Timeout {
        /// The limit.
        wall: Duration,
    },
    /// The worker failed on data of ours.
    #[error("the media worker failed: {detail}")]
    Broken {
        /// What it said.
        detail: String,
    },
    /// The worker program cannot be started.
    #[error(
        "cannot start the media worker {}: {source}; build it with `cargo build --release -p counterpoint-worker` \
         or name another program",
        path.display()
    )]
    ProgramMissing {
        /// Where it was looked for.
        path: PathBuf,
        /// What the operating system or the program itself said.
        source: io::Error,
    },
    /// No space is left for the result.
    #[error("no space left to write {}; free some and start again", path.display())]
    OutputFull {
        /// What was to be written.
        path: PathBuf,
    },
    /// The result cannot be written.
    #[error("cannot write {}; check the folder and its permissions", path.display())]
    Output {
        /// What was to be written.
        path: PathBuf,
        /// What the operating system or the program itself said.
        source: io::Error,
    },
    /// GStreamer lacks an element.
    #[error("gstreamer element {element} is missing; install it with `apt-get install {package}`")]
    ElementMissing {
        /// Its name.
        element: String,
        /// Debian package that brings it.
        package: String,
    },
}

impl WorkerFault {
    /// Whether the record that led to the job may be to blame, so that the fault counts as one of its
    /// attempts. The others are faults of the machine: the stage waits, and no attempt is spent.
    pub fn is_attempt(&self) -> bool {
        matches!(self, Self::Crashed { .. } | Self::Timeout { .. } | Self::Broken { .. })
    }

    /// The fault behind an error on the way to `path`.
    pub(crate) fn output(path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            Self::OutputFull { path }
        } else {
            Self::Output { path, source }
        }
    }
}
