//! What happens while models are trained.

use std::time::Duration;

use counterpoint_messages::{StageName, TrainingFault};
use opentelemetry::KeyValue;

use super::{Event, at};
use crate::metric::{MetricName, record};

/// A training took a step.
#[derive(Debug, Clone, Copy)]
pub struct TrainingStep {
    /// Mean surprise of a token of the answers in nats, before the step.
    pub loss: f64,
    /// Rate of the step.
    pub rate: f64,
    /// How long it took.
    pub duration: Duration,
}

impl Event for TrainingStep {
    const METRICS: &'static [MetricName] = &[
        MetricName::TrainingSteps,
        MetricName::TrainingLoss,
        MetricName::TrainingRate,
        MetricName::TrainingStepDuration,
    ];

    fn emit(self) {
        let stage = at(StageName::Trainer);
        record(MetricName::TrainingSteps, 1.0, &stage);
        record(MetricName::TrainingLoss, self.loss, &stage);
        record(MetricName::TrainingRate, self.rate, &stage);
        record(MetricName::TrainingStepDuration, self.duration.as_secs_f64(), &stage);
    }
}

/// A training came to its end.
#[derive(Debug, Clone, Copy)]
pub struct TrainingEnded<'a> {
    /// Why it has no result; `None` if it has one.
    pub fault: Option<TrainingFault>,
    /// Where its result lies, or what happened, for people.
    pub said: &'a str,
}

impl Event for TrainingEnded<'_> {
    const METRICS: &'static [MetricName] = &[MetricName::TrainingsEnded];

    fn emit(self) {
        let [stage] = at(StageName::Trainer);
        let outcome = self.fault.map_or("saved", TrainingFault::as_str);
        record(MetricName::TrainingsEnded, 1.0, &[stage, KeyValue::new("outcome", outcome)]);
        match self.fault {
            None => tracing::info!(folder = self.said, "training ended"),
            Some(_) => tracing::warn!(outcome, reason = self.said, "training ended without a result"),
        }
    }
}
