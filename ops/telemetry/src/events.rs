//! What happens in the pipeline, as typed events: each records its metrics and writes the log line that
//! belongs to it, so no other place in the project names a metric.
//!
//! Labels hold values from closed sets only (stages, reasons, recipes); free text goes to the log.

mod training;

use std::time::Duration;

use counterpoint_messages::{RecipeName, RejectReason, SkipReason, StageName, Topic};
use opentelemetry::KeyValue;

pub use self::training::{TrainingEnded, TrainingStep};
use crate::metric::{MetricName, record};

/// Something that happened and is worth a metric.
pub trait Event {
    /// The metrics it records.
    const METRICS: &'static [MetricName];

    /// Records it.
    fn emit(self);
}

fn at(stage: StageName) -> [KeyValue; 1] {
    [KeyValue::new("stage", stage.as_str())]
}

/// A stage read a batch from its input topics.
#[derive(Debug, Clone, Copy)]
pub struct RecordsRead {
    /// Stage.
    pub stage: StageName,
    /// Records in the batch.
    pub count: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

impl Event for RecordsRead {
    const METRICS: &'static [MetricName] = &[MetricName::RecordsRead, MetricName::BytesRead];

    fn emit(self) {
        record(MetricName::RecordsRead, self.count as f64, &at(self.stage));
        record(MetricName::BytesRead, self.bytes as f64, &at(self.stage));
    }
}

/// A stage committed: outputs, state and positions are durable.
#[derive(Debug, Clone, Copy)]
pub struct BatchCommitted {
    /// Stage.
    pub stage: StageName,
    /// Input records the commit is done with.
    pub records: u64,
    /// Records it wrote.
    pub outputs: u64,
    /// From begin to durable.
    pub duration: Duration,
}

impl Event for BatchCommitted {
    const METRICS: &'static [MetricName] =
        &[MetricName::RecordsCommitted, MetricName::OutputsCommitted, MetricName::CommitDuration];

    fn emit(self) {
        record(MetricName::RecordsCommitted, self.records as f64, &at(self.stage));
        record(MetricName::OutputsCommitted, self.outputs as f64, &at(self.stage));
        record(MetricName::CommitDuration, self.duration.as_secs_f64(), &at(self.stage));
        tracing::debug!(
            stage = %self.stage,
            records = self.records,
            outputs = self.outputs,
            duration = ?self.duration,
            "committed"
        );
    }
}

/// A stage finished its work on one record, before the commit.
#[derive(Debug, Clone, Copy)]
pub struct WorkDone {
    /// Stage.
    pub stage: StageName,
    /// How long it took.
    pub duration: Duration,
    /// Seconds of media decoded or made; 0 where the stage touches none.
    pub media_seconds: f64,
}

impl Event for WorkDone {
    const METRICS: &'static [MetricName] = &[MetricName::WorkDuration, MetricName::MediaProcessed];

    fn emit(self) {
        record(MetricName::WorkDuration, self.duration.as_secs_f64(), &at(self.stage));
        if self.media_seconds > 0.0 {
            record(MetricName::MediaProcessed, self.media_seconds, &at(self.stage));
        }
    }
}

/// A stage turned a clip away.
#[derive(Debug, Clone, Copy)]
pub struct ClipRejected {
    /// Stage.
    pub stage: StageName,
    /// Why.
    pub reason: RejectReason,
}

impl Event for ClipRejected {
    const METRICS: &'static [MetricName] = &[MetricName::ClipsRejected];

    fn emit(self) {
        let [stage] = at(self.stage);
        record(MetricName::ClipsRejected, 1.0, &[stage, KeyValue::new("reason", self.reason.as_str())]);
        tracing::debug!(stage = %self.stage, reason = self.reason.as_str(), "clip rejected");
    }
}

/// A recipe of the plan cannot be made for a host.
#[derive(Debug, Clone, Copy)]
pub struct RecipeSkippedEvent {
    /// What was asked for.
    pub recipe: RecipeName,
    /// Why it cannot be made.
    pub reason: SkipReason,
}

impl Event for RecipeSkippedEvent {
    const METRICS: &'static [MetricName] = &[MetricName::RecipesSkipped];

    fn emit(self) {
        let (recipe, reason) = (self.recipe.as_str(), self.reason.as_str());
        record(
            MetricName::RecipesSkipped,
            1.0,
            &[KeyValue::new("recipe", recipe), KeyValue::new("reason", reason)],
        );
        tracing::debug!(recipe, reason, "recipe skipped");
    }
}

/// A stage gave up on a record and set it aside, raw.
#[derive(Debug, Clone, Copy)]
pub struct RecordDeadLettered<'a> {
    /// Stage.
    pub stage: StageName,
    /// What happened, for people.
    pub reason: &'a str,
}

impl Event for RecordDeadLettered<'_> {
    const METRICS: &'static [MetricName] = &[MetricName::RecordsDeadLettered];

    fn emit(self) {
        record(MetricName::RecordsDeadLettered, 1.0, &at(self.stage));
        tracing::error!(stage = %self.stage, reason = self.reason, "record sent to dead letters");
    }
}

/// An attempt at one record failed by the record's fault.
#[derive(Debug, Clone, Copy)]
pub struct AttemptFailed<'a> {
    /// Stage.
    pub stage: StageName,
    /// Which attempt, counted from 1.
    pub attempt: u32,
    /// What happened, for people.
    pub reason: &'a str,
}

impl Event for AttemptFailed<'_> {
    const METRICS: &'static [MetricName] = &[MetricName::AttemptsFailed];

    fn emit(self) {
        record(MetricName::AttemptsFailed, 1.0, &at(self.stage));
        tracing::warn!(stage = %self.stage, attempt = self.attempt, reason = self.reason, "attempt failed");
    }
}

/// A stage waits for a fault of ours to pass; no record is to blame and no attempt is counted.
#[derive(Debug, Clone, Copy)]
pub struct StagePaused<'a> {
    /// Stage.
    pub stage: StageName,
    /// What is amiss, for people.
    pub cause: &'a str,
}

impl Event for StagePaused<'_> {
    const METRICS: &'static [MetricName] = &[MetricName::StagePaused, MetricName::StagePauses];

    fn emit(self) {
        record(MetricName::StagePaused, 1.0, &at(self.stage));
        record(MetricName::StagePauses, 1.0, &at(self.stage));
        tracing::warn!(stage = %self.stage, cause = self.cause, "stage paused");
    }
}

/// The fault a stage waited for has passed.
#[derive(Debug, Clone, Copy)]
pub struct StageResumed {
    /// Stage.
    pub stage: StageName,
}

impl Event for StageResumed {
    const METRICS: &'static [MetricName] = &[MetricName::StagePaused];

    fn emit(self) {
        record(MetricName::StagePaused, 0.0, &at(self.stage));
        tracing::info!(stage = %self.stage, "stage resumed");
    }
}

/// Partitions of a stage wait for a later release to read a record; the others go on.
#[derive(Debug, Clone, Copy)]
pub struct PartitionsHeld<'a> {
    /// Stage.
    pub stage: StageName,
    /// Partitions that wait now.
    pub partitions: u64,
    /// The record at which the newest of them waits, for people.
    pub newest: Option<&'a str>,
}

impl Event for PartitionsHeld<'_> {
    const METRICS: &'static [MetricName] = &[MetricName::PartitionsHeld];

    fn emit(self) {
        record(MetricName::PartitionsHeld, self.partitions as f64, &at(self.stage));
        if let Some(newest) = self.newest {
            tracing::warn!(stage = %self.stage, record = newest, "partition paused, nothing is skipped");
        }
    }
}

/// A stage has its partitions and nothing keeps it from working.
#[derive(Debug, Clone, Copy)]
pub struct StageReady {
    /// Stage.
    pub stage: StageName,
}

impl Event for StageReady {
    const METRICS: &'static [MetricName] = &[MetricName::StagePaused];

    fn emit(self) {
        record(MetricName::StagePaused, 0.0, &at(self.stage));
    }
}

/// How many bytes of records a stage holds that it has not committed.
#[derive(Debug, Clone, Copy)]
pub struct BytesInFlight {
    /// Stage.
    pub stage: StageName,
    /// Bytes.
    pub bytes: u64,
}

impl Event for BytesInFlight {
    const METRICS: &'static [MetricName] = &[MetricName::InFlight];

    fn emit(self) {
        record(MetricName::InFlight, self.bytes as f64, &at(self.stage));
    }
}

/// How many records wait for a stage on one of its topics.
#[derive(Debug, Clone, Copy)]
pub struct LagObserved {
    /// Stage.
    pub stage: StageName,
    /// One of its input topics.
    pub topic: Topic,
    /// Records on it past the committed positions.
    pub records: u64,
}

impl Event for LagObserved {
    const METRICS: &'static [MetricName] = &[MetricName::Lag];

    fn emit(self) {
        let [stage] = at(self.stage);
        let topic = KeyValue::new("topic", self.topic.to_string());
        record(MetricName::Lag, self.records as f64, &[stage, topic]);
    }
}

/// A media worker ended and another took its place.
#[derive(Debug, Clone, Copy)]
pub struct WorkerReplaced {
    /// Why, from a closed set: `crashed`, `timed_out`, or `served_enough`, which is no trouble.
    pub reason: &'static str,
}

impl Event for WorkerReplaced {
    const METRICS: &'static [MetricName] = &[MetricName::WorkersReplaced];

    fn emit(self) {
        record(MetricName::WorkersReplaced, 1.0, &[KeyValue::new("reason", self.reason)]);
        if self.reason == "served_enough" {
            tracing::debug!(reason = self.reason, "media worker replaced");
        } else {
            tracing::warn!(reason = self.reason, "media worker replaced");
        }
    }
}

/// A reader waits because another process holds its partitions.
#[derive(Debug, Clone, Copy)]
pub struct LeaseWaiting<'a> {
    /// Stage.
    pub stage: StageName,
    /// Who holds the lease.
    pub holder: &'a str,
}

impl Event for LeaseWaiting<'_> {
    const METRICS: &'static [MetricName] = &[MetricName::LeaseWaits];

    fn emit(self) {
        record(MetricName::LeaseWaits, 1.0, &at(self.stage));
        tracing::info!(stage = %self.stage, holder = self.holder, "waiting for another process to let go");
    }
}

/// The supervisor built a stage's actor again after it panicked.
#[derive(Debug, Clone, Copy)]
pub struct ActorRebuilt {
    /// Stage.
    pub stage: StageName,
    /// How many actors the stage has had before this one.
    pub generation: u64,
}

impl Event for ActorRebuilt {
    const METRICS: &'static [MetricName] = &[MetricName::ActorsRebuilt];

    fn emit(self) {
        record(MetricName::ActorsRebuilt, 1.0, &at(self.stage));
        tracing::warn!(stage = %self.stage, generation = self.generation, "stage actor rebuilt");
    }
}

/// Telemetry that will not reach the collector. Writes no log line: whoever sees the cause does, once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExportDropped {
    /// `traces`, `metrics` or `logs`.
    pub(crate) signal: &'static str,
    /// `queue_full` or `not_delivered`.
    pub(crate) cause: &'static str,
    /// Spans, log records or metric exports.
    pub(crate) count: u64,
}

impl Event for ExportDropped {
    const METRICS: &'static [MetricName] = &[MetricName::ExportDropped];

    fn emit(self) {
        let labels = [KeyValue::new("signal", self.signal), KeyValue::new("cause", self.cause)];
        record(MetricName::ExportDropped, self.count as f64, &labels);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use counterpoint_messages::TrainingFault;
    use opentelemetry::metrics::MeterProvider;
    use opentelemetry_sdk::metrics::{
        InMemoryMetricExporter, InMemoryMetricExporterBuilder, SdkMeterProvider, Temporality,
        data::{AggregatedMetrics, Metric, MetricData},
    };

    use super::*;

    struct Recorder {
        exporter: InMemoryMetricExporter,
        provider: SdkMeterProvider,
        seen: BTreeSet<&'static str>,
    }

    impl Recorder {
        fn new() -> Self {
            let exporter = InMemoryMetricExporterBuilder::new().with_temporality(Temporality::Delta).build();
            let provider = SdkMeterProvider::builder().with_periodic_exporter(exporter.clone()).build();
            crate::metric::install(&provider.meter("test"));
            Self { exporter, provider, seen: BTreeSet::new() }
        }

        /// Emits and checks that exactly the declared metrics were recorded, with the labels and under
        /// the event that the catalogue names.
        fn check<E: Event>(&mut self, event: E) {
            self.exporter.reset();
            event.emit();
            self.provider.force_flush().unwrap();
            let type_name = std::any::type_name::<E>().split('<').next().unwrap();
            let event = type_name.rsplit("::").next().unwrap();
            let mut recorded = BTreeSet::new();
            for batch in self.exporter.get_finished_metrics().unwrap() {
                for metric in batch.scope_metrics().flat_map(|scope| scope.metrics()) {
                    recorded.insert((metric.name().to_owned(), labels(metric)));
                }
            }
            let declared: BTreeSet<_> = E::METRICS
                .iter()
                .map(|metric| metric.describe())
                .map(|metric| (metric.name.to_owned(), metric.labels.iter().map(|l| l.to_string()).collect()))
                .collect();
            assert_eq!(recorded, declared, "{event}");
            for metric in E::METRICS.iter().map(|metric| metric.describe()) {
                let ends_pause = ["StageReady", "StageResumed"].contains(&event);
                assert!(metric.event == event || ends_pause, "{} names {event}", metric.name);
                self.seen.insert(metric.name);
            }
        }
    }

    fn labels(metric: &Metric) -> BTreeSet<String> {
        let AggregatedMetrics::F64(data) = metric.data() else { panic!("{} is no f64", metric.name()) };
        let keys = |attributes: &mut dyn Iterator<Item = &KeyValue>| {
            attributes.map(|label| label.key.to_string()).collect()
        };
        match data {
            MetricData::Sum(sum) => keys(&mut sum.data_points().flat_map(|point| point.attributes())),
            MetricData::Gauge(gauge) => keys(&mut gauge.data_points().flat_map(|point| point.attributes())),
            MetricData::Histogram(histogram) => {
                keys(&mut histogram.data_points().flat_map(|point| point.attributes()))
            }
            MetricData::ExponentialHistogram(_) => panic!("{} is exponential", metric.name()),
        }
    }

    #[test]
    fn every_metric_of_the_catalogue_is_recorded_by_the_event_it_names() {
        let stage = StageName::Decoder;
        let duration = Duration::from_millis(20);
        let mut recorder = Recorder::new();
        recorder.check(PartitionsHeld { stage, partitions: 1, newest: Some("a later record") });
        recorder.check(RecordsRead { stage, count: 3, bytes: 300 });
        recorder.check(BatchCommitted { stage, records: 3, outputs: 2, duration });
        recorder.check(WorkDone { stage, duration, media_seconds: 10.0 });
        recorder.check(ClipRejected { stage, reason: RejectReason::NoSound });
        let reason = SkipReason::DonorsUsedUp;
        recorder.check(RecipeSkippedEvent { recipe: RecipeName::Mixup, reason });
        recorder.check(RecordDeadLettered { stage, reason: "no message" });
        recorder.check(AttemptFailed { stage, attempt: 1, reason: "panicked" });
        recorder.check(StagePaused { stage, cause: "disk is full" });
        recorder.check(StageResumed { stage });
        recorder.check(StageReady { stage });
        recorder.check(BytesInFlight { stage, bytes: 1 << 20 });
        recorder.check(LagObserved { stage, topic: Topic::Curated, records: 7 });
        recorder.check(WorkerReplaced { reason: "crashed" });
        recorder.check(LeaseWaiting { stage, holder: "process 7" });
        recorder.check(ActorRebuilt { stage, generation: 1 });
        recorder.check(TrainingStep { loss: 2.5, rate: 1e-3, duration });
        recorder.check(TrainingEnded { fault: Some(TrainingFault::OneClass), said: "one class" });
        recorder.check(ExportDropped { signal: "traces", cause: "queue_full", count: 5 });
        let all: BTreeSet<_> = crate::catalogue().map(|metric| metric.name).collect();
        assert_eq!(recorder.seen, all);
    }
}
