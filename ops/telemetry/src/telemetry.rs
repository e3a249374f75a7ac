//! Setting telemetry up, and ending it.

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use opentelemetry::{KeyValue, metrics::MeterProvider, trace::TracerProvider};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::{
    Resource,
    metrics::SdkMeterProvider,
    trace::{Sampler, SdkTracerProvider},
};
use tracing::{Dispatch, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, Registry, filter::Targets, layer::SubscriberExt, registry::LookupSpan, util::SubscriberInitExt,
};

use crate::{
    TelemetryError, TelemetrySettings,
    export::Exporters,
    metric,
    scrape::{self, Scrape},
    settings::{endpoint, metrics_address, share},
};

/// Scope of what is exported, and prefix of the names of our crates.
const SCOPE: &str = "counterpoint";

/// How long [`Telemetry`]'s drop waits for the collector.
const DROP_DEADLINE: Duration = Duration::from_secs(2);

/// Running telemetry. Keep it until the program ends: [`Telemetry::shutdown`], or else its drop, sends what
/// still waits.
pub struct Telemetry {
    exporters: Option<Exporters>,
    meters: Option<SdkMeterProvider>,
    scrape: Option<Scrape>,
}

/// How telemetry ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flushed {
    /// Whether everything was sent, or given up on, before the deadline.
    pub in_time: bool,
    /// Spans, log records and metric exports that did not reach the collector.
    pub lost: u64,
}

/// Sets telemetry up for the whole process; called once, before the first thread logs.
///
/// # Errors
/// [`TelemetryError`] if a setting cannot be followed or telemetry is set up already. Whether a collector
/// listens is not looked at.
pub fn init(settings: &TelemetrySettings) -> Result<Telemetry, TelemetryError> {
    let (telemetry, dispatch) = build(settings)?;
    dispatch.try_init().map_err(|_| TelemetryError::AlreadySetUp)?;
    if let Some(meters) = &telemetry.meters {
        metric::install(&meters.meter(SCOPE));
    }
    if let Some(scrape) = &telemetry.scrape {
        tracing::info!("metrics are served at {}", scrape.url());
    }
    Ok(telemetry)
}

/// Telemetry that is not installed: spans and logs reach it through the dispatch
/// (`tracing::dispatcher::with_default`), metrics do not.
///
/// # Errors
/// [`TelemetryError`] if a setting cannot be followed.
pub fn build(settings: &TelemetrySettings) -> Result<(Telemetry, Dispatch), TelemetryError> {
    let human = tracing_subscriber::fmt::layer()
        .compact()
        .with_ansi(settings.ansi)
        .with_writer(settings.sink.clone())
        .with_filter(settings.env_filter()?);
    let registry = Registry::default().with(human);
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share(settings.sample_share)?)));
    let resource = Resource::builder()
        .with_service_name(settings.service.clone())
        .with_attribute(KeyValue::new("service.instance.id", settings.instance.clone()))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let mut telemetry = Telemetry { exporters: None, meters: None, scrape: None };
    let mut meters = SdkMeterProvider::builder().with_resource(resource.clone());
    if let Some(address) = &settings.metrics {
        let (reader, registry) = scrape::reader()?;
        meters = meters.with_reader(reader);
        telemetry.scrape = Some(Scrape::start(metrics_address(address)?, registry)?);
    }
    let dispatch = match &settings.otlp {
        // Without a processor spans cost little and still have the ids that records carry.
        None => {
            let traces = SdkTracerProvider::builder().with_sampler(sampler).build();
            Dispatch::new(registry.with(spans(&traces)))
        }
        Some(address) => {
            let (exporters, reader) = Exporters::start(&endpoint(address)?, &resource, sampler)?;
            meters = meters.with_reader(reader);
            let logs = OpenTelemetryTracingBridge::new(&exporters.logs).with_filter(ours());
            let dispatch = Dispatch::new(registry.with(spans(&exporters.traces)).with(logs));
            telemetry.exporters = Some(exporters);
            dispatch
        }
    };
    if telemetry.exporters.is_some() || telemetry.scrape.is_some() {
        telemetry.meters = Some(meters.build());
    }
    Ok((telemetry, dispatch))
}

fn spans<S>(provider: &SdkTracerProvider) -> impl Layer<S>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(SCOPE))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(ours())
}

/// What is exported whatever the filter of the human log: our crates, from info on. The HTTP client of the
/// exporter is not ours, so exporting never causes more to export.
fn ours() -> Targets {
    Targets::new().with_target(SCOPE, LevelFilter::INFO)
}

impl Telemetry {
    /// Sends what still waits and stops. Blocks until that is done, at most until the deadline, wherever it
    /// is called from: the work is done by threads of its own. What is not sent by then is given up.
    pub fn shutdown(mut self, deadline: Duration) -> Flushed {
        self.finish(deadline)
    }

    fn finish(&mut self, deadline: Duration) -> Flushed {
        self.scrape = None;
        let meters = self.meters.take();
        let Some(Exporters { traces, logs, deliveries }) = self.exporters.take() else {
            return Flushed { in_time: true, lost: 0 };
        };
        let in_time = run_within(
            deadline,
            [
                Box::new(move || drop(traces.shutdown_with_timeout(deadline))),
                Box::new(move || drop(logs.shutdown_with_timeout(deadline))),
                Box::new(move || drop(meters.map(|meters| meters.shutdown_with_timeout(deadline)))),
            ],
        );
        let lost = deliveries.iter().map(|delivery| delivery.lost()).sum();
        if lost > 0 {
            tracing::warn!("{lost} spans, log records and metric exports did not reach the collector");
        }
        Flushed { in_time, lost }
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.finish(DROP_DEADLINE);
    }
}

/// Runs the jobs on threads of their own; whether all ended in time. A job that did not is left behind.
fn run_within<const N: usize>(deadline: Duration, jobs: [Box<dyn FnOnce() + Send>; N]) -> bool {
    let start = Instant::now();
    let (done, ended) = mpsc::channel();
    for job in jobs {
        let done = done.clone();
        let spawned = thread::Builder::new().name("telemetry-flush".to_owned()).spawn(move || {
            job();
            done.send(())
        });
        if spawned.is_err() {
            return false;
        }
    }
    (0..N).all(|_| ended.recv_timeout(deadline.saturating_sub(start.elapsed())).is_ok())
}

#[cfg(test)]
mod tests {
    use tracing::info_span;

    use super::*;
    use crate::{LogSink, trace};

    #[test]
    fn without_a_collector_spans_still_have_real_ids() {
        let settings = TelemetrySettings { filter: Some("off".to_owned()), ..Default::default() };
        let (telemetry, dispatch) = build(&settings).unwrap();
        tracing::dispatcher::with_default(&dispatch, || {
            let _entered = info_span!(crate::span::CLIP_FOUND).entered();
            let parent = trace::current().unwrap();
            assert_ne!(parent.trace_id, [0; 16]);
            assert!(parent.sampled);
        });
        assert_eq!(telemetry.shutdown(Duration::ZERO), Flushed { in_time: true, lost: 0 });
    }

    #[test]
    fn the_human_log_reaches_the_sink_in_whole_lines() {
        let lines = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let kept = lines.clone();
        let sink =
            LogSink::new(move |line| kept.lock().unwrap().push(String::from_utf8_lossy(line).into_owned()));
        let (_telemetry, dispatch) = build(&TelemetrySettings { sink, ..Default::default() }).unwrap();
        tracing::dispatcher::with_default(&dispatch, || {
            tracing::info!(clips = 3, "read a list");
            tracing::debug!("not for people");
            tracing::info!(target: "hyper", "not ours");
            tracing::warn!(target: "hyper", "somebody else's trouble");
        });
        let lines = lines.lock().unwrap();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].ends_with("read a list clips=3\n"), "{lines:?}");
        assert!(lines[1].contains("trouble"), "{lines:?}");
    }

    #[test]
    fn jobs_that_do_not_end_are_left_behind() {
        let (_keep, never) = mpsc::channel::<()>();
        let stuck = move || {
            let _ = never.recv();
        };
        assert!(!run_within(Duration::from_millis(50), [Box::new(|| ()), Box::new(stuck)]));
        assert!(run_within(Duration::MAX, [Box::new(|| ()), Box::new(|| ())]));
    }
}
