//! Trains models on samples.
//!
//! Reads [`TrainingPlanned`]; writes a [`CheckpointSaved`], or a [`TrainingFailed`] where the same training could only
//! come to the same end. One training after the other, by one owner. What is learned is kept in a folder beside the
//! result, so a training that is killed or told to stop goes on to the result that it would have come to. In a process
//! that asks checkpoints, too ([`crate::assessor`]), the two take turns.

use counterpoint_log::StateEntry;
use counterpoint_messages::{
    Cause, CheckpointSaved, Fingerprint, Message, StageName, Topic, TrainingFailed, TrainingPlanned,
};

use crate::{
    Tools,
    stage::{Effects, Fault, Order, Output, Profile, Record, Stage, StageError, Step, Work},
    tuition::{Checkpoint, Learned},
};

const STAGE: StageName = StageName::Trainer;

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trainer;

/// A training.
#[derive(Debug)]
pub struct Learn(TrainingPlanned);

impl Work for Learn {
    type Outcome = Learned;

    fn perform(self, tools: &Tools) -> Result<Learned, Fault> {
        let nothing = || Fault::Setup("there is nothing here that trains models".to_owned());
        let tuition = tools.tuition.as_ref().ok_or_else(nothing)?;
        let told_to_end = || Fault::Ours("the training was told to end before its turn came".to_owned());
        let _turn = tools.turns.take(&tools.stopping).ok_or_else(told_to_end)?;
        tuition.teach(&self.0, tools)
    }
}

impl Stage for Trainer {
    type Work = Learn;

    fn profile(&self) -> Profile {
        // Blameless: a training lasts, so a process that was killed during one was killed by chance, most likely.
        Profile { stage: STAGE, inputs: vec![Topic::Trainings], order: Order::Sequential, blameless: true }
    }

    fn restore(&mut self, _: &[StateEntry]) -> Result<(), StageError> {
        Ok(())
    }

    fn plan(&mut self, record: &Record) -> Result<Step<Learn>, StageError> {
        Ok(Step::Work(Learn(planned(record)?.clone())))
    }

    fn conclude(&mut self, record: &Record, learned: Learned) -> Result<Effects, StageError> {
        let training = planned(record)?.clone();
        let Learned { ended, trace } = learned;
        // Of no group: the first one of a training counts, whoever brought it to its end.
        let (settings, inputs) = (Fingerprint::default(), &[training.id]);
        let id = |detail| Cause { stage: STAGE, transform: 1, settings, inputs, detail }.id();
        let (id, message): (_, Message) = match ended {
            Ok(checkpoint) => {
                let Checkpoint { config, losses, device, folder, content, model, identity } = *checkpoint;
                let (id, folder) = (id("saved"), folder.display().to_string());
                let version = env!("CARGO_PKG_VERSION").to_owned();
                let saved = CheckpointSaved {
                    id,
                    training,
                    config,
                    losses,
                    version,
                    device,
                    folder,
                    content,
                    model,
                    identity,
                    trace,
                };
                (id, saved.into())
            }
            Err((reason, detail)) => {
                let id = id("failed");
                (id, TrainingFailed { id, training, reason, detail, trace }.into())
            }
        };
        Ok(Effects::output(Output::of_run(Topic::Checkpoints, id, message)))
    }
}

fn planned(record: &Record) -> Result<&TrainingPlanned, StageError> {
    match &record.message {
        Message::TrainingPlanned(planned) => Ok(planned),
        other => Err(StageError::unexpected(STAGE, other)),
    }
}
