//! The topic log: one trait, one contract test suite, several engines.
//!
//! A stage joins a [`Group`] and reads [`Event`]s from a stream; it works, then hands everything that
//! came out of the work to [`Member::commit`], which makes outputs, state and positions durable at once
//! or not at all. Positions are opaque and increasing, never dense; order holds inside one partition.

use std::{fmt, pin::Pin};

use async_trait::async_trait;
use counterpoint_messages::{Fingerprint, RecordId, StageName, Topic, TraceParent};
use futures::Stream;

/// Place of a record in its partition: increasing, with gaps, comparable only inside one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// Counts the owners of a group; a commit under an older epoch is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// What travels beside a record's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers {
    /// Trace the record belongs to.
    pub trace: Option<TraceParent>,
    /// Fingerprint of the stage that wrote it.
    pub revision: Option<Fingerprint>,
    /// Clip it is about.
    pub clip: Option<RecordId>,
}

/// A record to be written.
#[derive(Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Topic.
    pub topic: Topic,
    /// Partition, below the topic's number of partitions.
    pub partition: u32,
    /// The record's own id, or a state key.
    pub key: Vec<u8>,
    /// Envelope bytes.
    pub value: Vec<u8>,
    /// Headers.
    pub headers: Headers,
}

/// A record as read.
#[derive(Clone, PartialEq, Eq)]
pub struct Received {
    /// Topic.
    pub topic: Topic,
    /// Partition.
    pub partition: u32,
    /// Position.
    pub position: Position,
    /// Key.
    pub key: Vec<u8>,
    /// Value.
    pub value: Vec<u8>,
    /// Headers.
    pub headers: Headers,
    /// When it was written, in milliseconds since 1970.
    pub written_ms: i64,
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outgoing({}/{}, {} bytes)", self.topic, self.partition, self.value.len())
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Received({}/{}@{}, {} bytes)",
            self.topic,
            self.partition,
            self.position.0,
            self.value.len()
        )
    }
}

/// A stage under one set of settings; its positions and its state are kept under this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group {
    /// Stage.
    pub stage: StageName,
    /// Its settings and those above it.
    pub fingerprint: Fingerprint,
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.stage, self.fingerprint)
    }
}

/// How a stage joins its group.
#[derive(Debug, Clone)]
pub struct Membership {
    /// Group.
    pub group: Group,
    /// Name of this instance, stable over restarts.
    pub instance: String,
    /// Topics to read.
    pub inputs: Vec<Topic>,
    /// Whether one member must own every partition (stages whose state spans partitions).
    pub exclusive: bool,
    /// Most records of one [`Event::Records`].
    pub max_records: usize,
    /// Most bytes of one [`Event::Records`]; a single larger record still comes, alone.
    pub max_bytes: usize,
}

/// A piece of a stage's state.
#[derive(Clone, PartialEq, Eq)]
pub struct StateEntry {
    /// Partition it belongs to (0 for exclusive stages).
    pub partition: u32,
    /// Key, unique in the group and partition.
    pub key: Vec<u8>,
    /// Value; `None` removes the key.
    pub value: Option<Vec<u8>>,
}

impl fmt::Debug for StateEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.value.as_ref().map(Vec::len);
        write!(f, "StateEntry({}, {:?}, {bytes:?} bytes)", self.partition, String::from_utf8_lossy(&self.key))
    }
}

/// What a member learns from its log.
pub enum Event {
    /// Another process owns the group; the member waits. Sent when that is found out and whenever the holder changes.
    Waiting {
        /// Who: process and host, for people.
        holder: String,
    },
    /// These partitions are the member's from now on, from their committed positions. Replaces any
    /// earlier assignment: what was read and not committed will be read again.
    Assigned {
        /// To be given with every commit.
        epoch: Epoch,
        /// Topics and partitions.
        partitions: Vec<(Topic, u32)>,
        /// The group's committed state in those partitions.
        state: Vec<StateEntry>,
    },
    /// Records of one partition, in order.
    Records(Vec<Received>),
    /// Everything written so far has been handed out; sent once each time the end is reached.
    CaughtUp,
    /// The partitions go to another member as soon as `ack` is dropped; work in flight may still be committed until then.
    Revoked {
        /// Dropped by the member when it has committed what it could.
        ack: tokio::sync::oneshot::Sender<()>,
    },
    /// Another member owns the group; nothing of this member can be committed any more. The stream ends.
    Fenced {
        /// Who.
        holder: String,
    },
}

/// All that came out of a piece of work, made durable at once or not at all.
#[derive(Debug, Default, Clone)]
pub struct Commit {
    /// Records to write.
    pub outputs: Vec<Outgoing>,
    /// State to change.
    pub state: Vec<StateEntry>,
    /// Last record done in each partition; reading resumes behind it.
    pub positions: Vec<(Topic, u32, Position)>,
}

/// Stream of what happens to a member. Not polling it is how a member holds the log back.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<Event, LogError>> + Send>>;

/// Stream of records that are there already, or (when following) of those to come.
pub type RecordStream = Pin<Box<dyn Stream<Item = Result<Received, LogError>> + Send>>;

/// A topic as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    /// Topic.
    pub topic: Topic,
    /// Number of partitions.
    pub partitions: u32,
    /// Records kept.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// When the newest was written, in milliseconds since 1970.
    pub newest_ms: Option<i64>,
}

/// A group as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    /// Group.
    pub group: Group,
    /// Process that owns it now.
    pub holder: Option<String>,
    /// Records written behind the committed positions of the topics it has read.
    pub lag: u64,
}

/// The topic log. Every engine passes the tests of [`contract`].
#[async_trait]
pub trait TopicLog: Send + Sync {
    /// Number of partitions of a topic.
    fn partitions(&self, topic: Topic) -> u32;

    /// Joins a group.
    async fn join(&self, membership: Membership) -> Result<(EventStream, Box<dyn Member>), LogError>;

    /// Writes records outside any group, all or nothing: what operators and commands do.
    async fn append(&self, records: Vec<Outgoing>) -> Result<(), LogError>;

    /// The committed records of a topic from the beginning to what is its end when the stream is first
    /// polled, partition after partition.
    fn scan(&self, topic: Topic) -> RecordStream;

    /// The committed records of a topic from the beginning, then those to come, without end.
    fn follow(&self, topic: Topic) -> RecordStream;

    /// Every topic.
    async fn topics(&self) -> Result<Vec<TopicDescription>, LogError>;

    /// Every group that ever committed.
    async fn groups(&self) -> Result<Vec<GroupDescription>, LogError>;
}

/// A stage instance's hold on its group.
#[async_trait]
pub trait Member: Send + Sync {
    /// Makes a piece of work durable.
    async fn commit(&self, epoch: Epoch, commit: Commit) -> Result<(), LogError>;

    /// Forgets everything read and not committed: the next event is [`Event::Assigned`] with the
    /// committed state, and reading resumes at the committed positions.
    async fn abort(&self, epoch: Epoch) -> Result<(), LogError>;

    /// Leaves the group at once, so that another process need not wait for the lease to run out.
    async fn leave(&self) -> Result<(), LogError>;
}

/// Why the log could not do it.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Another member owns the group.
    #[error("group {group} now belongs to {holder}")]
    Fenced {
        /// Group.
        group: Group,
        /// Who.
        holder: String,
    },
    /// No space.
    #[error("no space left for the topic log at {place}: free some and run again, nothing is lost")]
    Full {
        /// File or broker.
        place: String,
    },
    /// The stored log cannot be read.
    #[error(
        "the topic log at {place} is damaged ({detail}): restore it from a copy, or move it away to begin anew"
    )]
    Corrupt {
        /// File.
        place: String,
        /// What the engine said.
        detail: String,
    },
    /// A passing fault: try again.
    #[error("the topic log at {place} did not answer: {detail}")]
    Unavailable {
        /// File or broker.
        place: String,
        /// What the engine said.
        detail: String,
    },
    /// A request that can never succeed.
    #[error("the topic log refuses: {detail}")]
    Invalid {
        /// What is wrong with it.
        detail: String,
    },
}
