//! Real servers for tests and for people: each is started on a free port with a folder of its own, is
//! ready when it has answered, and is gone when its value is dropped.

mod child;
mod collector;
mod folder;
mod http;
mod jaeger;
pub mod kafka;
mod model;
pub mod s3;
mod tools;

use std::{io, path::PathBuf, time::Duration};

pub use child::free_ports;
pub use collector::{Collector, attribute};
pub use http::{Answer, Request, get};
pub use jaeger::{JaegerServer, JaegerSpan, Trace};
pub use model::{ModelServer, Reply};

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// What it consists of is not there.
    #[error("{name} is not installed: run ops/setup.sh test")]
    Missing {
        /// What is missing.
        name: String,
    },
    /// A file or a process could not be had.
    #[error("{what} {}", place.display())]
    Io {
        /// What was tried, e.g. `cannot write`.
        what: &'static str,
        /// Where.
        place: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It ended instead of answering.
    #[error("{name} ended before it answered; the end of its log:\n{log}")]
    Ended {
        /// Server.
        name: String,
        /// What it said last.
        log: String,
    },
    /// It neither ended nor answered.
    #[error("{name} does not answer after {patience:?}; the end of its log:\n{log}")]
    Silent {
        /// Server.
        name: String,
        /// How long it was waited for.
        patience: Duration,
        /// What it said last.
        log: String,
    },
}
