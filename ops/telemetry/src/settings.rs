//! What can be chosen about telemetry, and what is refused.

use std::{fmt, io, net::SocketAddr, sync::Arc};

use http::Uri;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// Environment variable that holds the filter of the human log, in the syntax of `RUST_LOG`.
pub const LOG_VARIABLE: &str = "COUNTERPOINT_LOG";

/// Filter of the human log where none is given. The exporter reports its own trouble once, so what the
/// OpenTelemetry crates say about it each second is left out.
pub const DEFAULT_FILTER: &str = "warn,counterpoint=info,opentelemetry=off";

/// What can be chosen about telemetry.
#[derive(Debug, Clone)]
pub struct TelemetrySettings {
    /// Base address of an OTLP/HTTP collector, e.g. `http://localhost:4318`; `None` exports nothing.
    pub otlp: Option<String>,
    /// Address at which metrics are served to Prometheus, e.g. `127.0.0.1:9464` (port 0: any free one);
    /// `None` serves none.
    pub metrics: Option<String>,
    /// Share of the traces that are recorded, from 0 to 1; a clip's trace is recorded whole or not at all.
    pub sample_share: f64,
    /// `service.name` of everything exported.
    pub service: String,
    /// `service.instance.id`: tells processes of one service apart.
    pub instance: String,
    /// Filter of the human log in the syntax of `RUST_LOG`; `None` is [`DEFAULT_FILTER`].
    pub filter: Option<String>,
    /// Colours in the human log.
    pub ansi: bool,
    /// Where the human log goes.
    pub sink: LogSink,
}

impl Default for TelemetrySettings {
    /// No collector; the human log goes to standard error, without colours, by [`DEFAULT_FILTER`].
    fn default() -> Self {
        Self {
            otlp: None,
            metrics: None,
            sample_share: 1.0,
            service: "counterpoint".to_owned(),
            instance: std::process::id().to_string(),
            filter: None,
            ansi: false,
            sink: LogSink::stderr(),
        }
    }
}

impl TelemetrySettings {
    pub(crate) fn env_filter(&self) -> Result<EnvFilter, TelemetryError> {
        let filter = self.filter.as_deref().unwrap_or(DEFAULT_FILTER);
        EnvFilter::try_new(filter)
            .map_err(|error| TelemetryError::Filter { value: filter.to_owned(), reason: error.to_string() })
    }
}

/// Takes each line of the human log whole, so that it can be written without tearing a progress bar.
#[derive(Clone)]
pub struct LogSink(Arc<WriteLine>);

type WriteLine = dyn Fn(&[u8]) + Send + Sync;

impl LogSink {
    /// A sink that hands every line, newline included, to this function, on the thread that logs.
    pub fn new(write: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        Self(Arc::new(write))
    }

    /// Standard error. A closed one is no reason to fail.
    pub fn stderr() -> Self {
        Self::new(|line| {
            let _ = io::Write::write_all(&mut io::stderr().lock(), line);
        })
    }
}

impl fmt::Debug for LogSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogSink")
    }
}

impl io::Write for LogSink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        (self.0)(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogSink {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Settings that cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The collector's address is none.
    #[error("`{value}` is no address of an OTLP collector: {reason}; write it like http://localhost:4318")]
    Endpoint {
        /// What was given.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The address for Prometheus is none.
    #[error("`{value}` is no address to serve metrics at; write it like 127.0.0.1:9464")]
    Metrics {
        /// What was given.
        value: String,
    },
    /// The address for Prometheus cannot be opened.
    #[error("cannot serve metrics at {address}: {source}; give a free port of this machine, or 0 for any")]
    Scrape {
        /// Address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// No share of anything.
    #[error("sample share {value} is none; give a number from 0 (no trace) to 1 (every trace)")]
    Share {
        /// What was given.
        value: f64,
    },
    /// The log filter cannot be read.
    #[error("`{value}` is no log filter: {reason}; write it like info,counterpoint_actors=debug")]
    Filter {
        /// What was given.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The exporter for this collector cannot be set up.
    #[error("cannot set up the exporter to {endpoint}: {reason}")]
    Exporter {
        /// Address it was for.
        endpoint: String,
        /// What happened.
        reason: String,
    },
    /// Telemetry was set up before in this process.
    #[error("telemetry is set up already: call init once a process")]
    AlreadySetUp,
}

/// The address at which metrics are served, checked.
pub(crate) fn metrics_address(value: &str) -> Result<SocketAddr, TelemetryError> {
    value.trim().parse().map_err(|_| TelemetryError::Metrics { value: value.to_owned() })
}

/// The share of traces that are recorded, checked.
pub(crate) fn share(value: f64) -> Result<f64, TelemetryError> {
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err(TelemetryError::Share { value }) }
}

/// The base address of a collector, checked.
pub(crate) fn endpoint(value: &str) -> Result<String, TelemetryError> {
    let refuse =
        |reason: &str| Err(TelemetryError::Endpoint { value: value.to_owned(), reason: reason.to_owned() });
    let uri: Uri = match value.trim().parse() {
        Ok(uri) => uri,
        Err(error) => return refuse(&format!("{error}")),
    };
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => return refuse("this build speaks no TLS, run a collector on this host"),
        Some(_) => return refuse("only http is spoken"),
        None => return refuse("it has no scheme"),
    }
    let Some(authority) = uri.authority().filter(|authority| !authority.host().is_empty()) else {
        return refuse("it names no host");
    };
    if authority.port().is_none() && authority.as_str() != authority.host() {
        return refuse("what follows the host is no port");
    }
    if uri.query().is_some() {
        return refuse("it has a query");
    }
    Ok(value.trim().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collectors_address_is_taken_with_or_without_a_slash() {
        assert_eq!(endpoint("http://localhost:4318").unwrap(), "http://localhost:4318");
        assert_eq!(endpoint("http://[::1]:4318/otlp/").unwrap(), "http://[::1]:4318/otlp");
    }

    #[test]
    fn a_malformed_address_is_refused_by_value_and_example() {
        for bad in [
            "",
            "localhost:4318",
            "localhost",
            "https://host:4318",
            "http://",
            "http://h:99999",
            "http://user:word@h",
            "grpc://h:1",
            "http://h?x=1",
            "a b",
        ] {
            let error = endpoint(bad).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{bad}` is no address")), "{error}");
            assert!(error.ends_with("http://localhost:4318"), "{error}");
        }
    }

    #[test]
    fn an_address_for_prometheus_is_one_of_numbers_with_a_port() {
        assert!(metrics_address("127.0.0.1:9464").is_ok() && metrics_address("[::]:0").is_ok());
        for bad in ["", "9464", ":9464", "127.0.0.1", "127.0.0.1:99999", "http://127.0.0.1:9464"] {
            let error = metrics_address(bad).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{bad}` is no address")), "{error}");
            assert!(error.ends_with("127.0.0.1:9464"), "{error}");
        }
    }

    #[test]
    fn a_share_lies_between_nothing_and_everything() {
        assert!(share(0.0).is_ok() && share(1.0).is_ok());
        for bad in [-0.1, 1.5, f64::NAN] {
            assert!(share(bad).unwrap_err().to_string().contains(&bad.to_string()));
        }
    }

    #[test]
    fn a_malformed_filter_is_refused_by_value() {
        let settings =
            TelemetrySettings { filter: Some("counterpoint=loud".to_owned()), ..Default::default() };
        let error = settings.env_filter().unwrap_err().to_string();
        assert!(error.contains("`counterpoint=loud`"), "{error}");
    }
}
