//! The catalogue of metrics: every name, once, with its unit, labels and meaning.

use std::sync::OnceLock;

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, Histogram, Meter},
};

/// How a metric's values add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// The latest value counts.
    Gauge,
    /// Counted by size.
    Histogram,
}

/// What a metric is.
#[derive(Debug, Clone, Copy)]
pub struct Description {
    /// Name as exported, unit included.
    pub name: &'static str,
    /// How its values add up.
    pub kind: Kind,
    /// Unit in the UCUM notation that OpenTelemetry uses.
    pub unit: &'static str,
    /// Keys of its labels.
    pub labels: &'static [&'static str],
    /// The event in [`crate::events`] that records it.
    pub event: &'static str,
    /// Meaning, for people.
    pub meaning: &'static str,
}

macro_rules! catalogue {
    ($($metric:ident = $name:literal, $kind:ident, $unit:literal, $labels:expr, $event:ident, $meaning:literal;)*) => {
        /// Name of a metric. The exported name is [`Description::name`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum MetricName {
            $(#[doc = $meaning] $metric,)*
        }

        impl MetricName {
            /// Every metric.
            pub const ALL: &'static [Self] = &[$(Self::$metric,)*];

            /// What it is.
            pub const fn describe(self) -> Description {
                match self {
                    $(Self::$metric => Description {
                        name: concat!("counterpoint_", $name),
                        kind: Kind::$kind,
                        unit: $unit,
                        labels: &$labels,
                        event: stringify!($event),
                        meaning: $meaning,
                    },)*
                }
            }
        }
    };
}

catalogue! {
    RecordsRead = "records_read_total", Counter, "{record}", ["stage"], RecordsRead,
        "Records a stage read from its input topics.";
    BytesRead = "read_bytes_total", Counter, "By", ["stage"], RecordsRead,
        "Bytes of the records a stage read.";
    RecordsCommitted = "records_committed_total", Counter, "{record}", ["stage"], BatchCommitted,
        "Records a stage is done with, committed with their outputs.";
    OutputsCommitted = "outputs_committed_total", Counter, "{record}", ["stage"], BatchCommitted,
        "Records a stage wrote and committed.";
    CommitDuration = "commit_duration_seconds", Histogram, "s", ["stage"], BatchCommitted,
        "Time from begin to durable of one commit.";
    WorkDuration = "work_duration_seconds", Histogram, "s", ["stage"], WorkDone,
        "Time a stage worked on one record.";
    MediaProcessed = "media_processed_seconds_total", Counter, "s", ["stage"], WorkDone,
        "Length of the media a stage decoded or made.";
    ClipsRejected = "clips_rejected_total", Counter, "{clip}", ["stage", "reason"], ClipRejected,
        "Clips turned away, by typed reason.";
    RecipesSkipped = "recipes_skipped_total", Counter, "{sample}", ["recipe", "reason"], RecipeSkippedEvent,
        "Samples that could not be planned, by typed reason.";
    RecordsDeadLettered = "records_dead_lettered_total", Counter, "{record}", ["stage"], RecordDeadLettered,
        "Records a stage gave up on and set aside raw.";
    AttemptsFailed = "attempts_failed_total", Counter, "{attempt}", ["stage"], AttemptFailed,
        "Attempts at one record that failed by the record's fault.";
    StagePaused = "stage_paused", Gauge, "1", ["stage"], StagePaused,
        "1 while a stage waits for a fault of ours to pass (store, disk, worker), else 0.";
    StagePauses = "stage_pauses_total", Counter, "{pause}", ["stage"], StagePaused,
        "Times a stage began to wait for a fault of ours to pass.";
    PartitionsHeld = "partitions_held", Gauge, "{partition}", ["stage"], PartitionsHeld,
        "Partitions a stage leaves alone until a later release reads a record of theirs.";
    InFlight = "in_flight_bytes", Gauge, "By", ["stage"], BytesInFlight,
        "Bytes of records a stage read and has not committed; bounded by its credits.";
    Lag = "lag_records", Gauge, "{record}", ["stage", "topic"], LagObserved,
        "Records that wait for a stage on an input topic.";
    WorkersReplaced = "workers_replaced_total", Counter, "{process}", ["reason"], WorkerReplaced,
        "Media workers that ended and were started anew.";
    LeaseWaits = "lease_waits_total", Counter, "{wait}", ["stage"], LeaseWaiting,
        "Times a reader found its partitions held by another process.";
    ActorsRebuilt = "actors_rebuilt_total", Counter, "{actor}", ["stage"], ActorRebuilt,
        "Stage actors the supervisor built again after a panic.";
    TrainingSteps = "training_steps_total", Counter, "{step}", ["stage"], TrainingStep,
        "Steps of trainings.";
    TrainingLoss = "training_loss", Gauge, "1", ["stage"], TrainingStep,
        "Mean surprise of a token of the answers in nats, before the newest step.";
    TrainingRate = "training_rate", Gauge, "1", ["stage"], TrainingStep,
        "Rate of the newest step.";
    TrainingStepDuration = "training_step_duration_seconds", Histogram, "s", ["stage"], TrainingStep,
        "Time that one step of a training took.";
    TrainingsEnded = "trainings_ended_total", Counter, "{training}", ["stage", "outcome"], TrainingEnded,
        "Trainings that came to an end: saved, or why there is no result.";
    ExportDropped = "export_dropped_total", Counter, "{record}", ["signal", "cause"], ExportDropped,
        "Spans, log records and metric exports that did not reach the collector.";
}

/// What every metric is, for documents and pages.
pub fn catalogue() -> impl Iterator<Item = Description> {
    MetricName::ALL.iter().map(|metric| metric.describe())
}

/// Bucket bounds of the durations, in seconds: a plan takes microseconds, a commit milliseconds, a clip
/// seconds.
const SECONDS: [f64; 16] =
    [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0];

enum Instrument {
    Counter(Counter<f64>),
    Gauge(Gauge<f64>),
    Histogram(Histogram<f64>),
}

/// One instrument for each of [`MetricName::ALL`], in its order; empty until somebody is to read them.
static INSTRUMENTS: OnceLock<Vec<Instrument>> = OnceLock::new();

/// Makes the instruments; metrics recorded before are not kept. The first call wins.
pub(crate) fn install(meter: &Meter) {
    let make = |metric: &MetricName| {
        let Description { name, kind, unit, meaning, .. } = metric.describe();
        match kind {
            Kind::Counter => {
                Instrument::Counter(meter.f64_counter(name).with_unit(unit).with_description(meaning).build())
            }
            Kind::Gauge => {
                Instrument::Gauge(meter.f64_gauge(name).with_unit(unit).with_description(meaning).build())
            }
            Kind::Histogram => Instrument::Histogram(
                meter
                    .f64_histogram(name)
                    .with_unit(unit)
                    .with_description(meaning)
                    .with_boundaries(SECONDS.to_vec())
                    .build(),
            ),
        }
    };
    INSTRUMENTS.get_or_init(|| MetricName::ALL.iter().map(make).collect());
}

/// Whether anybody reads metrics: where not, nothing needs to be measured for them alone.
pub fn are_read() -> bool {
    INSTRUMENTS.get().is_some()
}

/// Records a value. Costs one load when nobody reads metrics.
pub(crate) fn record(metric: MetricName, value: f64, labels: &[KeyValue]) {
    match INSTRUMENTS.get().and_then(|instruments| instruments.get(metric as usize)) {
        Some(Instrument::Counter(counter)) => counter.add(value, labels),
        Some(Instrument::Gauge(gauge)) => gauge.record(value, labels),
        Some(Instrument::Histogram(histogram)) => histogram.record(value, labels),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_prefixed_and_say_their_unit() {
        let mut names: Vec<_> = catalogue().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), MetricName::ALL.len());
        for Description { name, kind, unit, meaning, .. } in catalogue() {
            assert!(name.starts_with("counterpoint_"), "{name}");
            assert_eq!(name.ends_with("_total"), kind == Kind::Counter, "{name}");
            assert_eq!(name.contains("_seconds"), unit == "s", "{name}");
            assert_eq!(name.contains("_bytes"), unit == "By", "{name}");
            assert!(meaning.ends_with('.'), "{name} is not described by a sentence");
        }
    }
}
