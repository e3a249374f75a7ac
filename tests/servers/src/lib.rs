//! Servers that tests start for themselves: real ones on free ports, gone with the value that stands for them.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a broken expectation is how a test fails")]

mod collector;
mod http;
mod jaeger;
mod process;

pub use collector::{Collector, attribute};
pub use http::{Answer, get};
pub use jaeger::{JaegerServer, JaegerSpan, Trace};
pub use process::free_ports;
