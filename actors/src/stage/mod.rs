//! What a stage is, and the one actor that runs any of them.
//!
//! A stage is a pure state machine: given its state and a record it plans work, and turns what came of
//! the work into effects. It has no clock, no IO, no actix and no tokio, so the same stage runs on every
//! engine of the log and under any scheduler. Work is the part that does IO; it runs on a thread of its
//! own and is handed its [`Tools`]. Clock and threads are those of a [`Machine`].

mod actor;
mod attempts;
mod batch;
mod cycle;
mod failpoints;
mod guard;
mod lane;
mod process;
mod records;

use std::fmt;

use counterpoint_log::{Received, StateEntry};
use counterpoint_messages::{FormatLevel, Message, RecordId, StageName, Topic, TraceParent};

pub use actor::{Ended, Ending, Life, Phase, StageActor, StageHealth, StageOptions, Stop, live};
pub use process::{Job, Machine, Process};
use serde::{Serialize, de::DeserializeOwned};

use crate::Tools;

/// One step of the pipeline.
pub trait Stage: Send + 'static {
    /// IO that the stage asks for.
    type Work: Work;

    /// Who the stage is and what it reads.
    fn profile(&self) -> Profile;

    /// Replaces all state by what was committed.
    ///
    /// # Errors
    /// If an entry cannot be read, which no retry will mend.
    fn restore(&mut self, state: &[StateEntry]) -> Result<(), StageError>;

    /// Told that its records are another's, or nobody's, until the next [`Stage::restore`]: what it holds in memory for
    /// them goes.
    fn set_aside(&mut self) {}

    /// Told before each [`Stage::restore`]: the format level of the log, at which programs of that level must
    /// be able to read what the stage leaves outside its messages (objects and state). Only a stage that
    /// has since learned to say more there needs to know.
    fn write_for(&mut self, _: FormatLevel) {}

    /// Decides what to do about a record.
    ///
    /// # Errors
    /// If the record makes no sense here; it ends in dead letters after three attempts.
    fn plan(&mut self, record: &Record) -> Result<Step<Self::Work>, StageError>;

    /// Turns what came of the work into effects.
    ///
    /// # Errors
    /// As for [`Stage::plan`].
    fn conclude(
        &mut self,
        record: &Record,
        outcome: <Self::Work as Work>::Outcome,
    ) -> Result<Effects, StageError>;
}

/// IO on behalf of a stage.
pub trait Work: Send + 'static {
    /// What comes of it.
    type Outcome: Send + 'static;

    /// Does it; may block.
    ///
    /// # Errors
    /// [`Fault::Ours`] pauses the stage and tries again, [`Fault::Record`] counts as an attempt.
    fn perform(self, tools: &Tools) -> Result<Self::Outcome, Fault>;

    /// Seconds of media that went through, for the metrics.
    fn media_seconds(_: &Self::Outcome) -> f64 {
        0.0
    }
}

/// The work of a stage that never asks for any.
#[derive(Debug)]
pub enum NoWork {}

impl Work for NoWork {
    type Outcome = Self;

    fn perform(self, _: &Tools) -> Result<Self, Fault> {
        match self {}
    }
}

/// Who a stage is and how its records may be worked on.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Name.
    pub stage: StageName,
    /// Topics it reads.
    pub inputs: Vec<Topic>,
    /// Whether records depend on each other.
    pub order: Order,
    /// Whether a death of this process while the work runs says nothing about the record: the work runs in
    /// a process of its own, whose crash is seen from here, or it is long and does no more than read.
    pub blameless: bool,
}

/// Whether a stage's records depend on each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Records of all partitions one after the other, by one owner: the stage keeps state across them.
    Sequential,
    /// Several at once; committed in order of their partition.
    Parallel,
}

/// A record as a stage sees it.
#[derive(Debug)]
pub struct Record {
    /// What it says.
    pub message: Message,
    /// How it came.
    pub received: Received,
}

/// What a stage decided.
#[derive(Debug)]
pub enum Step<W> {
    /// IO first.
    Work(W),
    /// Nothing more to find out.
    Done(Effects),
}

/// What a record brings about, made durable at once.
#[derive(Debug, Default)]
pub struct Effects {
    /// Messages to write.
    pub outputs: Vec<Output>,
    /// State to change.
    pub state: Vec<StateEntry>,
    /// Whether the record has more to come: these effects are committed, the position stays, and the
    /// record is planned again.
    pub more: bool,
    /// Whether it is planned again only when they are durable, as what follows reads them from the log.
    pub settled: bool,
}

impl Effects {
    /// One message and nothing else.
    pub fn output(output: Output) -> Self {
        Self { outputs: vec![output], ..Self::default() }
    }
}

/// A message to be written.
#[derive(Debug)]
pub struct Output {
    /// Topic.
    pub topic: Topic,
    /// The record's own id.
    pub key: RecordId,
    /// Source video, which decides the partition on topics that clips flow on.
    pub video: String,
    /// Clip it is about.
    pub clip: Option<RecordId>,
    /// Which trace it belongs to.
    pub trace: Trace,
    /// What it says.
    pub message: Message,
}

/// Which trace a message belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trace {
    /// That of the record that is worked on.
    Record,
    /// One of its own, which begins here: of a clip that is found, of a pool, of the end of a run. Linked to
    /// the record's.
    Own,
    /// That of a clip whose record came by earlier.
    Clip(Option<TraceParent>),
}

impl Output {
    /// A message about a clip.
    pub fn of_clip(
        topic: Topic,
        key: RecordId,
        clip: RecordId,
        video: &str,
        message: impl Into<Message>,
    ) -> Self {
        Self {
            topic,
            key,
            video: video.to_owned(),
            clip: Some(clip),
            trace: Trace::Record,
            message: message.into(),
        }
    }

    /// A message about the run as a whole.
    pub fn of_run(topic: Topic, key: RecordId, message: impl Into<Message>) -> Self {
        let message = message.into();
        Self { topic, key, video: String::new(), clip: None, trace: Trace::Record, message }
    }

    /// The same message in another trace than the record's.
    #[must_use]
    pub fn in_trace(self, trace: Trace) -> Self {
        Self { trace, ..self }
    }
}

/// Why work did not come to an outcome.
#[derive(Debug)]
pub enum Fault {
    /// Ours: store, disk, a missing program. The stage pauses and tries again; no attempt is counted.
    Ours(String),
    /// The record's: it crashed its worker, say. Counted as an attempt.
    Record(String),
    /// Of how the run is set up: no record can be worked on until somebody changes that, so the run ends. No
    /// attempt is counted.
    Setup(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours(reason) | Self::Record(reason) | Self::Setup(reason) => f.write_str(reason),
        }
    }
}

/// A record or a state that a stage cannot make sense of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StageError {
    /// A message that does not belong on the topics of this stage.
    #[error("{stage} does not read {found}")]
    Unexpected {
        /// Stage.
        stage: StageName,
        /// Kind of message.
        found: String,
    },
    /// State that cannot be read back.
    #[error(
        "state `{key}` of {stage} cannot be read: {detail}; a new revision begins without it (--new-revision)"
    )]
    State {
        /// Stage.
        stage: StageName,
        /// Key.
        key: String,
        /// What the decoder said.
        detail: String,
    },
    /// Content that contradicts itself.
    #[error("{0}")]
    Content(String),
}

impl StageError {
    /// A message that does not belong here.
    pub fn unexpected(stage: StageName, message: &Message) -> Self {
        Self::Unexpected { stage, found: format!("{:?}", message.kind()) }
    }
}

/// A state entry of an exclusive stage, as JSON so that `topics tail state.STAGE` can be read.
pub(crate) fn state_entry<T: Serialize>(
    stage: StageName,
    key: impl Into<String>,
    value: &T,
) -> Result<StateEntry, StageError> {
    let key = key.into();
    match serde_json::to_vec(value) {
        Ok(value) => Ok(StateEntry { partition: 0, key: key.into_bytes(), value: Some(value) }),
        Err(error) => Err(StageError::State { stage, key, detail: error.to_string() }),
    }
}

/// The value of a state entry.
pub(crate) fn read_state<T: DeserializeOwned>(stage: StageName, entry: &StateEntry) -> Result<T, StageError> {
    let bytes = entry.value.as_deref().unwrap_or_default();
    serde_json::from_slice(bytes).map_err(|error| StageError::State {
        stage,
        key: String::from_utf8_lossy(&entry.key).into_owned(),
        detail: error.to_string(),
    })
}
