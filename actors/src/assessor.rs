//! Has every checkpoint of the run's rounds asked about the run's samples: the evaluator of a run that trains.
//!
//! Reads [`CheckpointSaved`]; writes the [`counterpoint_messages::AnswerGiven`]s of an evaluation, which are those that
//! [`crate::evaluator`] would write, and has scores and report written at its end. One checkpoint after the other, by one
//! owner, some samples a step: each step is committed, so one that is killed goes on behind what was answered.
//!
//! 1. what is asked about which samples is written down, and stays so;
//! 2. the checkpoint is opened, once it is this stage's turn to have a model in memory, and asked;
//! 3. it is closed, and what was answered is scored.
//!
//! A checkpoint that has gone or makes no model ends in dead letters, and the next one is asked.

use std::sync::Arc;

use counterpoint_log::StateEntry;
use counterpoint_messages::{CheckpointSaved, Message, StageName, Topic};

use crate::{
    Tools,
    assessment::{Answered, Assessment, Session, Sitting},
    stage::{Effects, Fault, Order, Profile, Record, Stage, StageError, Step, Work, read_state, state_entry},
};

const STAGE: StageName = StageName::Evaluator;

/// Key of the state.
const SITTING: &str = "sitting";

/// See the module.
#[derive(Debug, Default)]
pub struct Assessor {
    sitting: Option<Sitting>,
    /// The checkpoint as a model, while it is asked.
    session: Option<Arc<Session>>,
}

/// A step on the way of a checkpoint.
#[derive(Debug)]
pub struct Assess {
    saved: CheckpointSaved,
    at: At,
}

#[derive(Debug)]
enum At {
    Begin,
    Ask(Sitting, Option<Arc<Session>>),
    Finish(Sitting),
}

/// What came of a step.
#[derive(Debug)]
pub struct Assessed(Came);

#[derive(Debug)]
enum Came {
    /// There is nothing to ask.
    Nothing,
    Begun(Sitting),
    /// Its turn did not come before the word to end.
    LeftOff,
    Answered(Answered, Arc<Session>),
    Finished,
}

impl Work for Assess {
    type Outcome = Assessed;

    fn perform(self, tools: &Tools) -> Result<Assessed, Fault> {
        let nothing = || Fault::Setup("there is nothing here that asks checkpoints".to_owned());
        let assessment = tools.assessment.as_ref().ok_or_else(nothing)?;
        self.step(assessment, tools).map(Assessed)
    }
}

impl Assess {
    fn step(self, assessment: &Assessment, tools: &Tools) -> Result<Came, Fault> {
        let saved = &self.saved;
        match self.at {
            At::Begin => {
                let begun = assessment.begin(saved, &tools.store)?;
                if begun.is_none() {
                    let model = &saved.model;
                    tracing::info!(
                        "checkpoint {model} is asked nothing: there is no sample to ask about yet"
                    );
                }
                Ok(begun.map_or(Came::Nothing, Came::Begun))
            }
            At::Ask(sitting, session) => {
                let session = match session {
                    Some(session) => session,
                    None => match Session::open(assessment, saved, &sitting, tools)? {
                        Some(session) => Arc::new(session),
                        None => return Ok(Came::LeftOff),
                    },
                };
                Ok(Came::Answered(session.ask(sitting.done, tools)?, session))
            }
            At::Finish(sitting) => assessment.finish(saved, &sitting, tools).map(|()| Came::Finished),
        }
    }
}

impl Stage for Assessor {
    type Work = Assess;

    fn profile(&self) -> Profile {
        // Blameless: waiting for the turn and opening a model last, so a process that was killed meanwhile was killed by
        // chance, most likely.
        Profile { stage: STAGE, inputs: vec![Topic::Checkpoints], order: Order::Sequential, blameless: true }
    }

    fn restore(&mut self, state: &[StateEntry]) -> Result<(), StageError> {
        *self = Self::default();
        for entry in state.iter().filter(|entry| entry.key == SITTING.as_bytes()) {
            self.sitting = Some(read_state(STAGE, entry)?);
        }
        Ok(())
    }

    fn set_aside(&mut self) {
        *self = Self::default();
    }

    fn plan(&mut self, record: &Record) -> Result<Step<Assess>, StageError> {
        let saved = match &record.message {
            Message::CheckpointSaved(saved) => saved.clone(),
            Message::TrainingFailed(_) => return Ok(Step::Done(Effects::default())),
            other => return Err(StageError::unexpected(STAGE, other)),
        };
        let sitting = self.sitting.clone().filter(|sitting| sitting.checkpoint == saved.id);
        let at = match sitting {
            None => At::Begin,
            Some(sitting) if sitting.done < sitting.count => At::Ask(sitting, self.session.clone()),
            Some(sitting) => At::Finish(sitting),
        };
        Ok(Step::Work(Assess { saved, at }))
    }

    fn conclude(&mut self, _: &Record, Assessed(came): Assessed) -> Result<Effects, StageError> {
        let (outputs, settled) = match came {
            Came::Nothing => return Ok(Effects::default()),
            Came::LeftOff => return Ok(Effects { more: true, ..Effects::default() }),
            Came::Finished => {
                self.sitting = None;
                let over = StateEntry { partition: 0, key: SITTING.as_bytes().to_vec(), value: None };
                return Ok(Effects { state: vec![over], ..Effects::default() });
            }
            Came::Begun(sitting) => {
                self.sitting = Some(sitting);
                (Vec::new(), false)
            }
            Came::Answered(Answered { outputs, done }, session) => {
                let Some(sitting) = &mut self.sitting else {
                    return Err(StageError::Content("there are answers that nobody asked for".to_owned()));
                };
                sitting.done = done;
                let is_last = done == sitting.count;
                self.session = (!is_last).then_some(session);
                (outputs, is_last)
            }
        };
        Ok(Effects { outputs, state: vec![state_entry(STAGE, SITTING, &self.sitting)?], more: true, settled })
    }
}
