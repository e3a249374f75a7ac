//! Writes what people and other programs read: manifest, summary and report.
//!
//! Reads [`counterpoint_messages::RunFinished`] and writes no message: files are projections of the log,
//! made anew from its beginning and renamed into place, so they can be deleted and come back.

use counterpoint_log::StateEntry;
use counterpoint_messages::{Message, StageName, Topic};

use crate::{
    Tools,
    stage::{Effects, Fault, Order, Profile, Record, Stage, StageError, Step, Work},
};

const STAGE: StageName = StageName::Reporter;

/// See the module.
#[derive(Debug, Default)]
pub struct Reporter;

/// Projects the log into files.
#[derive(Debug)]
pub struct WriteFiles;

impl Work for WriteFiles {
    type Outcome = ();

    fn perform(self, tools: &Tools) -> Result<(), Fault> {
        let _span = tracing::info_span!(counterpoint_telemetry::span::REPORT_WRITE).entered();
        tools.publisher.publish(tools)
    }
}

impl Stage for Reporter {
    type Work = WriteFiles;

    fn profile(&self) -> Profile {
        Profile { stage: STAGE, inputs: vec![Topic::Runs], order: Order::Sequential, blameless: true }
    }

    fn restore(&mut self, _: &[StateEntry]) -> Result<(), StageError> {
        Ok(())
    }

    fn plan(&mut self, record: &Record) -> Result<Step<WriteFiles>, StageError> {
        match &record.message {
            Message::RunFinished(_) => Ok(Step::Work(WriteFiles)),
            _ => Ok(Step::Done(Effects::default())),
        }
    }

    fn conclude(&mut self, _: &Record, (): ()) -> Result<Effects, StageError> {
        Ok(Effects::default())
    }
}
