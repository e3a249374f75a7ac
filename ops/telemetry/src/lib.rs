//! What the program says about itself while it runs: logs for people, traces, metrics and logs for a
//! collector that speaks OTLP over HTTP, and metrics for Prometheus to read.
//!
//! * [`init`] sets all of it up once, from [`TelemetrySettings`]; [`Telemetry::shutdown`] flushes with a
//!   deadline.
//! * [`events`] are the only way to record a metric: a typed struct with [`Event::emit`], so that a name,
//!   its labels and the log line that belongs to it are written in one place.
//! * [`metric`] is the catalogue of those names; [`catalogue`] lists it for the documents.
//! * [`span`] holds the stable names of spans; [`trace`] carries a clip's trace through record headers.
//!
//! Nothing here can slow the pipeline: what waits for the collector is bounded, what does not fit is
//! dropped and counted, and all network traffic is on threads of its own.

pub mod events;
mod export;
pub mod metric;
mod scrape;
mod settings;
pub mod span;
mod telemetry;
pub mod trace;

pub use events::Event;
pub use metric::{MetricName, catalogue};
pub use settings::{DEFAULT_FILTER, LOG_VARIABLE, LogSink, TelemetryError, TelemetrySettings};
pub use telemetry::{Flushed, Telemetry, build, init};
