//! The way to the collector. Each signal has a bounded queue, a thread of its own that empties it, and a
//! [`Delivery`] that knows what became of every record.
//!
//! ```text
//! span, log record ──▶ Gate ──▶ batch queue ──▶ thread: Watched exporter ──▶ HTTP POST
//!                       │ full: drop, count                │ failed: drop, count, warn once
//! ```

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use opentelemetry::{Context, InstrumentationScope, logs::Severity};
use opentelemetry_otlp::{ExporterBuildError, RetryPolicy, WithExportConfig, WithHttpConfig};
use opentelemetry_otlp::{LogExporter as OtlpLogs, MetricExporter as OtlpMetrics, SpanExporter as OtlpSpans};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    logs::{
        BatchConfigBuilder as LogQueue, BatchLogProcessor, LogBatch, LogExporter, LogProcessor, SdkLogRecord,
        SdkLoggerProvider,
    },
    metrics::{PeriodicReader, Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
    trace::{
        BatchConfigBuilder as SpanQueue, BatchSpanProcessor, Sampler, SdkTracerProvider, Span, SpanData,
        SpanExporter, SpanProcessor,
    },
};

use crate::{
    TelemetryError,
    events::{Event, ExportDropped},
};

/// Records of one signal that may wait for the collector: some megabytes, some seconds of a busy run.
pub(crate) const QUEUE_RECORDS: usize = 8192;
const BATCH_RECORDS: usize = 512;
/// How long a record may wait for its batch to fill.
const BATCH_DELAY: Duration = Duration::from_secs(1);
const METRICS_INTERVAL: Duration = Duration::from_secs(5);
/// For one batch, retries included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// How the exporter's error ends where the collector has no such path.
const NO_SUCH_PATH: &str = "status code: 404";

/// What became of one signal's records.
#[derive(Debug)]
pub(crate) struct Delivery {
    signal: &'static str,
    endpoint: String,
    waiting: AtomicUsize,
    dropped: AtomicU64,
    /// The collector has no such path: Jaeger takes traces alone. Nothing is sent to it any more.
    unwanted: AtomicBool,
    /// Of all signals: one collector is worth one warning.
    complained: Arc<AtomicBool>,
}

impl Delivery {
    fn new(signal: &'static str, base: &str, complained: &Arc<AtomicBool>) -> Arc<Self> {
        Arc::new(Self {
            signal,
            endpoint: format!("{base}/v1/{signal}"),
            waiting: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            unwanted: AtomicBool::new(false),
            complained: Arc::clone(complained),
        })
    }

    /// Records that did not reach the collector, those that still wait included.
    pub(crate) fn lost(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed).saturating_add(self.waiting.load(Ordering::Relaxed) as u64)
    }

    /// Takes a place in the queue; without one the record is dropped here, so the queue behind never
    /// overflows and every loss is counted.
    fn admit(&self) -> bool {
        if self.is_unwanted() {
            return false;
        }
        let admitted = self
            .waiting
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
                (waiting < QUEUE_RECORDS).then_some(waiting + 1)
            })
            .is_ok();
        if !admitted {
            self.drop_records(1, "queue_full");
        }
        admitted
    }

    fn is_unwanted(&self) -> bool {
        self.unwanted.load(Ordering::Relaxed)
    }

    fn release(&self, records: usize) {
        let _ = self.waiting.try_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
            Some(waiting.saturating_sub(records))
        });
    }

    /// Notes how an export of so many records ended. Called on the exporter's thread, whose log lines the
    /// SDK keeps from being exported in turn.
    fn ended(&self, records: u64, result: &OTelSdkResult) {
        let Err(error) = result else { return };
        if error.to_string().contains(NO_SUCH_PATH) {
            if !self.unwanted.swap(true, Ordering::Relaxed) {
                tracing::info!("nothing takes {} at {}; none are sent", self.signal, self.endpoint);
            }
            return;
        }
        self.drop_records(records, "not_delivered");
        if !self.complained.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "{} cannot be delivered to {}: {error}; what the collector does not take is dropped, and the run \
                 goes on without it",
                self.signal,
                self.endpoint
            );
        }
    }

    fn drop_records(&self, count: u64, cause: &'static str) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
        ExportDropped { signal: self.signal, cause, count }.emit();
    }
}

/// A processor that lets a record through only while the queue behind it has room.
#[derive(Debug)]
struct Gate<P> {
    delivery: Arc<Delivery>,
    queue: P,
}

impl<P: SpanProcessor> SpanProcessor for Gate<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.queue.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.delivery.admit() {
            self.queue.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.queue.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.queue.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.queue.set_resource(resource);
    }
}

impl<P: LogProcessor> LogProcessor for Gate<P> {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        if self.delivery.admit() {
            self.queue.emit(record, scope);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.queue.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.queue.shutdown_with_timeout(timeout)
    }

    fn event_enabled(&self, level: Severity, target: &str, name: Option<&str>) -> bool {
        self.queue.event_enabled(level, target, name)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.queue.set_resource(resource);
    }
}

/// An exporter whose outcomes are noted.
pub(crate) struct Watched<E> {
    delivery: Arc<Delivery>,
    exporter: E,
}

impl<E> fmt::Debug for Watched<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.delivery.fmt(f)
    }
}

impl<E: SpanExporter> SpanExporter for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let records = batch.len();
        let result = self.exporter.export(batch).await;
        self.delivery.release(records);
        self.delivery.ended(records as u64, &result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: LogExporter> LogExporter for Watched<E> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let records = batch.iter().count();
        let result = self.exporter.export(batch).await;
        self.delivery.release(records);
        self.delivery.ended(records as u64, &result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Watched<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        if self.delivery.is_unwanted() {
            return Ok(());
        }
        let result = self.exporter.export(metrics).await;
        self.delivery.ended(1, &result);
        result
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}

/// Pushes the metrics to the collector from time to time.
pub(crate) type MetricsReader = PeriodicReader<Watched<OtlpMetrics>>;

/// The three signals on their way to one collector.
pub(crate) struct Exporters {
    pub(crate) traces: SdkTracerProvider,
    pub(crate) logs: SdkLoggerProvider,
    /// One for each signal.
    pub(crate) deliveries: [Arc<Delivery>; 3],
}

impl Exporters {
    /// Starts the threads. Connects to nothing yet, so it does not matter whether anybody listens.
    ///
    /// Metrics leave through the reader that comes with it.
    pub(crate) fn start(
        base: &str,
        resource: &Resource,
        sampler: Sampler,
    ) -> Result<(Self, MetricsReader), TelemetryError> {
        let refused = |error: ExporterBuildError| TelemetryError::Exporter {
            endpoint: base.to_owned(),
            reason: error.to_string(),
        };
        let complained = Arc::default();
        let signals = ["traces", "logs", "metrics"];
        let deliveries = signals.map(|signal| Delivery::new(signal, base, &complained));
        let [spans, logs, metrics] = &deliveries;
        let reader = export_metrics(metrics).map_err(refused)?;
        let traces = export_traces(spans, resource, sampler).map_err(refused)?;
        let logs = export_logs(logs, resource).map_err(refused)?;
        Ok((Self { traces, logs, deliveries }, reader))
    }
}

fn export_traces(
    delivery: &Arc<Delivery>,
    resource: &Resource,
    sampler: Sampler,
) -> Result<SdkTracerProvider, ExporterBuildError> {
    let exporter = addressed(OtlpSpans::builder().with_http(), delivery).build()?;
    let queue = BatchSpanProcessor::builder(Watched { delivery: delivery.clone(), exporter })
        .with_batch_config(
            SpanQueue::default()
                .with_max_queue_size(QUEUE_RECORDS)
                .with_max_export_batch_size(BATCH_RECORDS)
                .with_scheduled_delay(BATCH_DELAY)
                .build(),
        );
    let gate = Gate { delivery: delivery.clone(), queue: queue.build() };
    Ok(SdkTracerProvider::builder()
        .with_resource(resource.clone())
        .with_sampler(sampler)
        .with_span_processor(gate)
        .build())
}

fn export_logs(
    delivery: &Arc<Delivery>,
    resource: &Resource,
) -> Result<SdkLoggerProvider, ExporterBuildError> {
    let exporter = addressed(OtlpLogs::builder().with_http(), delivery).build()?;
    let queue = BatchLogProcessor::builder(Watched { delivery: delivery.clone(), exporter })
        .with_batch_config(
            LogQueue::default()
                .with_max_queue_size(QUEUE_RECORDS)
                .with_max_export_batch_size(BATCH_RECORDS)
                .with_scheduled_delay(BATCH_DELAY)
                .build(),
        );
    let gate = Gate { delivery: delivery.clone(), queue: queue.build() };
    Ok(SdkLoggerProvider::builder().with_resource(resource.clone()).with_log_processor(gate).build())
}

fn export_metrics(delivery: &Arc<Delivery>) -> Result<MetricsReader, ExporterBuildError> {
    let exporter = addressed(OtlpMetrics::builder().with_http(), delivery).build()?;
    let exporter = Watched { delivery: delivery.clone(), exporter };
    Ok(PeriodicReader::builder(exporter).with_interval(METRICS_INTERVAL).build())
}

/// One retry bridges a restart of the collector; more would only hold up the end of the program.
fn addressed<B: WithExportConfig + WithHttpConfig>(builder: B, delivery: &Delivery) -> B {
    builder
        .with_endpoint(&delivery.endpoint)
        .with_timeout(REQUEST_TIMEOUT)
        .with_retry_policy(RetryPolicy::default().with_max_retries(1))
}
