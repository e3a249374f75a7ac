//! What happens to one record: planned, worked on, concluded, or tried again.

use std::{sync::Arc, time::Instant};

use counterpoint_log::{Outgoing, Position, Received};
use counterpoint_messages::{
    Cause, DeadLetter, EncodeError, Message, RecipeName, Topic, TraceParent, wire::MAX_DEAD_LETTER_BYTES,
};
use counterpoint_telemetry::{
    events::{self, Event},
    span, trace,
};
use futures::FutureExt;
use tokio::sync::oneshot;
use tracing::Span;

use super::{
    Effects, Fault, Order, Output, Record, Stage, Step, Trace, Work,
    actor::Ending,
    attempts::MAX_ATTEMPTS,
    batch::outgoing,
    cycle::{Cycle, Halt, Outcome, Place},
    guard::guarded,
    lane::{Finished, Status},
};
use crate::later::LaterRecord;

/// What a piece of work came back with, and to which record it belongs.
pub(super) struct Returned<O> {
    generation: u64,
    place: Place,
    position: Position,
    span: Span,
    started: Instant,
    result: Result<Result<O, Fault>, String>,
}

impl<S: Stage> Cycle<S> {
    /// Looks at a record for the first time, or again.
    pub(super) async fn start(&mut self, place: Place, position: Position) -> Result<(), Halt> {
        let taken = self.lanes.get_mut(&place).and_then(|lane| lane.take(position));
        let Some(Status::Waiting(received)) = taken else { return Ok(()) };
        if !self.options.reads(&received.headers) {
            self.put(place, position, Status::Done(Finished::default()));
            return Ok(());
        }
        let message = match Message::decode(&received.value) {
            Ok(message) => message,
            Err(error) if error.is_of_later_release() => {
                self.hold(place, LaterRecord::new(&received, error));
                return Ok(());
            }
            Err(error) => return self.give_up(&received, 1, &format!("the record {error}")),
        };
        let announced = self.attempts.is_careful();
        if announced {
            if self.attempts.is_hopeless(&received) {
                let reason = "each time this record was worked on, it failed or the process died";
                return self.give_up(&received, MAX_ATTEMPTS, reason);
            }
            if self.suspect.is_none() {
                self.suspect = Some(self.process.suspect().await);
            }
            // What is done goes along: the mark of an earlier record must not outlive it if this one kills us.
            self.harvest();
            let entry = self.attempts.announce(&received);
            self.batch.add(vec![], vec![entry]);
            self.commit().await?;
        }
        let span = tracing::info_span!(
            span::STAGE_WORK,
            stage = %self.profile.stage,
            clip = received.headers.clip.map(tracing::field::display),
        );
        if let Some(parent) = received.headers.trace {
            trace::continue_from(&span, parent);
        }
        let record = Record { message, received };
        let (stage, name, machine) = (&mut self.stage, self.profile.stage, self.process.machine());
        let started = machine.now();
        let planned = span.in_scope(|| {
            guarded(|| {
                machine.at(name, "plan", &record).into_iter().for_each(|strike| strike());
                stage.plan(&record)
            })
        });
        let duration = machine.now() - started;
        if announced && self.profile.blameless {
            self.harvest();
            self.batch.add(vec![], self.attempts.withdraw().into_iter().collect());
            self.commit().await?;
            self.suspect = None;
        }
        match planned {
            Ok(Ok(Step::Done(effects))) => {
                events::WorkDone { stage: name, duration, media_seconds: 0.0 }.emit();
                self.finished(place, record, effects, &span)
            }
            Ok(Ok(Step::Work(work))) => {
                self.spawn(place, work, &record, span);
                self.put(place, position, Status::Working(Box::new(record)));
                Ok(())
            }
            Ok(Err(error)) => self.failed(place, &record, &error.to_string(), &span),
            Err(panic) => self.failed(place, &record, &panic, &span),
        }
    }

    /// Leaves a partition alone from this record on; the others go on.
    fn hold(&mut self, place: Place, record: LaterRecord) {
        if let Some(lane) = self.lanes.get_mut(&place) {
            lane.hold(record.position);
        }
        let mut partitions = 0;
        self.health.send_modify(|health| {
            health.held.insert(place, record.clone());
            partitions = health.held.len() as u64;
        });
        let newest = Some(record.to_string());
        events::PartitionsHeld { stage: self.profile.stage, partitions, newest: newest.as_deref() }.emit();
    }

    fn spawn(&mut self, place: Place, work: S::Work, record: &Record, span: Span) {
        let (generation, tools) = (self.generation, Arc::clone(&self.tools));
        let position = record.received.position;
        let machine = self.process.machine();
        let started = machine.now();
        let [before, after] = ["work", "worked"].map(|point| machine.at(self.profile.stage, point, record));
        let (sender, returned) = oneshot::channel();
        let job = move || {
            let result = span.in_scope(|| {
                guarded(|| {
                    before.into_iter().for_each(|strike| strike());
                    let outcome = work.perform(&tools);
                    after.into_iter().for_each(|strike| strike());
                    outcome
                })
            });
            // Nobody listens when the stage has ended in the meantime.
            let _ = sender.send(Returned { generation, place, position, span, started, result });
        };
        let performed = machine.perform(Box::new(job));
        self.running.push(performed.then(|()| returned).boxed());
    }

    pub(super) fn work_returned(&mut self, returned: Returned<Outcome<S>>) -> Result<(), Halt> {
        let Returned { generation, place, position, span, started, result } = returned;
        if generation != self.generation {
            return Ok(());
        }
        let taken = self.lanes.get_mut(&place).and_then(|lane| lane.take(position));
        let Some(Status::Working(record)) = taken else { return Ok(()) };
        let media_seconds = match &result {
            Ok(Ok(outcome)) => S::Work::media_seconds(outcome),
            _ => 0.0,
        };
        let now = self.process.machine().now();
        events::WorkDone { stage: self.profile.stage, duration: now - started, media_seconds }.emit();
        match result {
            Ok(Ok(outcome)) => {
                let (stage, name, machine) = (&mut self.stage, self.profile.stage, self.process.machine());
                let concluded = span.in_scope(|| {
                    guarded(|| {
                        machine.at(name, "conclude", &record).into_iter().for_each(|strike| strike());
                        let effects = stage.conclude(&record, outcome);
                        machine.at(name, "concluded", &record).into_iter().for_each(|strike| strike());
                        effects
                    })
                });
                match concluded {
                    Ok(Ok(effects)) => self.finished(place, *record, effects, &span),
                    Ok(Err(error)) => self.failed(place, &record, &error.to_string(), &span),
                    Err(panic) => self.failed(place, &record, &panic, &span),
                }
            }
            Ok(Err(Fault::Ours(reason))) => {
                trace::fail(&span, "paused");
                self.batch.add(vec![], self.attempts.withdraw().into_iter().collect());
                self.put(place, position, Status::Waiting(record.received));
                self.pause(&reason)?;
                self.doubt_memory()
            }
            Ok(Err(Fault::Setup(reason))) => {
                trace::fail(&span, "set-up");
                Err(Halt::Ending(Ending::Hopeless(reason)))
            }
            Ok(Err(Fault::Record(reason))) | Err(reason) => self.failed(place, &record, &reason, &span),
        }
    }

    fn finished(&mut self, place: Place, record: Record, effects: Effects, span: &Span) -> Result<(), Halt> {
        let Effects { outputs, state, more, settled } = effects;
        let written: Result<Vec<_>, _> =
            span.in_scope(|| outputs.iter().map(|output| self.write(output, span)).collect());
        let outputs = match written {
            Ok(outputs) => outputs,
            Err(error) if error.is_mended_by_upgrade() => {
                // No fault of the record. It is worked on again once the log is raised, which shows when the
                // partitions are assigned anew.
                self.put(place, record.received.position, Status::Waiting(record.received));
                self.pause(&format!("an output {error}"))?;
                return Err(Halt::Restore);
            }
            Err(error) => return self.failed(place, &record, &format!("an output {error}"), span),
        };
        let position = record.received.position;
        if more {
            let (topic, partition) = place;
            // A step that is behind it did not kill the process; the next one starts its own count.
            let forgotten = self.attempts.forget(topic, partition, position);
            self.batch.add(outputs, state);
            self.batch.add(vec![], forgotten.into_iter().collect());
            self.batch.hurry(settled);
            self.put(place, position, Status::Waiting(record.received));
        } else {
            // Not after a step, which may go well for ever while a later one fails.
            self.resume();
            self.put(place, position, Status::Done(Finished { outputs, state }));
            if self.profile.order == Order::Sequential {
                // The next record sees this one's state in memory, so it must not be committed before it.
                self.harvest();
            }
        }
        Ok(())
    }

    fn write(&self, output: &Output, work: &Span) -> Result<Outgoing, EncodeError> {
        let elsewhere = match output.trace {
            Trace::Record => None,
            Trace::Own => Some(self.root(output)),
            Trace::Clip(trace) => Some(self.composed(output, trace)),
        };
        if let (Some(span), Some(work)) = (&elsewhere, trace::of(work)) {
            trace::link(span, work);
        }
        let span = elsewhere.as_ref().unwrap_or(work);
        match &output.message {
            Message::Rejected(rejected) => {
                trace::fail(span, rejected.reason.as_str());
                events::ClipRejected { stage: rejected.stage, reason: rejected.reason }.emit();
            }
            Message::RecipeSkipped(skipped) => {
                events::RecipeSkippedEvent { recipe: skipped.recipe, reason: skipped.reason }.emit();
            }
            Message::CheckpointSaved(saved) => {
                events::TrainingEnded { fault: None, said: &saved.folder }.emit();
            }
            Message::TrainingFailed(failed) => {
                trace::fail(span, failed.reason.as_str());
                events::TrainingEnded { fault: Some(failed.reason), said: &failed.detail }.emit();
            }
            _ => {}
        }
        let partitions = self.log.partitions(output.topic);
        outgoing(output, self.level, partitions, self.options.fingerprint, trace::of(span))
    }

    /// The span that a trace begins with.
    fn root(&self, output: &Output) -> Span {
        let stage = tracing::field::display(self.profile.stage);
        match &output.message {
            Message::PoolSealed(sealed) => tracing::info_span!(
                parent: None,
                span::POOL_SEAL,
                stage,
                pool = %sealed.id,
                members = sealed.members,
            ),
            Message::RunFinished(_) => tracing::info_span!(parent: None, span::RUN_FINISHED, stage),
            Message::TrainingPlanned(planned) => tracing::info_span!(
                parent: None,
                span::TRAINING_PLAN,
                stage,
                training = %planned.id,
                samples = planned.samples,
            ),
            _ => tracing::info_span!(
                parent: None,
                span::CLIP_FOUND,
                stage,
                clip = output.clip.map(tracing::field::display),
                video = output.video,
            ),
        }
    }

    /// A sample or a skip, in the trace of its host.
    fn composed(&self, output: &Output, host: Option<TraceParent>) -> Span {
        let recipe = match &output.message {
            Message::SampleComposed(sample) => Some(sample.recipe.name()),
            Message::RecipeSkipped(skipped) => Some(skipped.recipe),
            _ => None,
        };
        let span = tracing::info_span!(
            span::SAMPLE_COMPOSE,
            stage = %self.profile.stage,
            clip = output.clip.map(tracing::field::display),
            recipe = recipe.map(RecipeName::as_str),
            id = %output.key,
        );
        if let Some(host) = host {
            trace::continue_from(&span, host);
        }
        span
    }

    /// Counts the attempt; the third ends in dead letters.
    fn failed(&mut self, place: Place, record: &Record, reason: &str, span: &Span) -> Result<(), Halt> {
        // The reason may quote what it was given; it goes to the log and the dead letter.
        trace::fail(span, "attempt failed");
        let received = &record.received;
        let (attempt, entry) = self.attempts.failed(received);
        events::AttemptFailed { stage: self.profile.stage, attempt, reason }.emit();
        if attempt >= MAX_ATTEMPTS {
            self.give_up(received, attempt, reason)?;
        } else {
            self.batch.add(vec![], vec![entry]);
            self.put(place, received.position, Status::Waiting(received.clone()));
        }
        self.doubt_memory()
    }

    /// After a record that was not finished: what a sequential stage holds in memory may have half of it.
    fn doubt_memory(&self) -> Result<(), Halt> {
        match self.profile.order {
            Order::Sequential => Err(Halt::Restore),
            Order::Parallel => Ok(()),
        }
    }

    fn give_up(&mut self, received: &Received, attempts: u32, reason: &str) -> Result<(), Halt> {
        let stage = self.profile.stage;
        events::RecordDeadLettered { stage, reason }.emit();
        let id = Cause {
            stage,
            transform: 1,
            settings: self.options.fingerprint,
            inputs: &[],
            detail: &format!("{}/{}@{}", received.topic, received.partition, received.position.0),
        }
        .id();
        let letter = DeadLetter {
            id,
            clip: received.headers.clip,
            revision: received.headers.revision,
            stage,
            topic: received.topic.to_string(),
            partition: received.partition,
            position: received.position.0,
            attempts,
            reason: reason.to_owned(),
            // No message of ours is longer; of what others wrote the beginning is enough to tell what it is.
            key: received.key.iter().take(MAX_DEAD_LETTER_BYTES / 4).copied().collect(),
            raw: received.value.iter().take(MAX_DEAD_LETTER_BYTES / 2).copied().collect(),
        };
        let output = Output {
            topic: Topic::DeadLetters,
            key: id,
            video: String::new(),
            clip: received.headers.clip,
            trace: Trace::Record,
            message: letter.into(),
        };
        let outputs = match outgoing(&output, self.level, 1, self.options.fingerprint, received.headers.trace)
        {
            Ok(letter) => vec![letter],
            Err(error) => {
                return Err(Halt::Ending(Ending::Hopeless(format!("a dead letter {error}"))));
            }
        };
        let place = (received.topic, received.partition);
        self.put(place, received.position, Status::Done(Finished { outputs, state: vec![] }));
        Ok(())
    }

    fn put(&mut self, (topic, partition): Place, position: Position, status: Status) {
        if let Some(lane) = self.lanes.get_mut(&(topic, partition)) {
            lane.put(position, status);
        }
    }
}
