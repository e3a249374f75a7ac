//! Records, as written and as read.

use std::{fmt, pin::Pin};

use counterpoint_messages::{Fingerprint, RecordId, Topic, TraceParent};
use futures::Stream;

use crate::LogError;

/// Largest record, key and value together, in bytes. A message's envelope stays far below it; a Kafka
/// broker has to be set up for at least as much.
pub const MAX_RECORD_BYTES: usize = 4 << 20;

/// Place of a record in its partition: increasing, with gaps, comparable only inside one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// What travels beside a record's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers {
    /// Trace the record belongs to.
    pub trace: Option<TraceParent>,
    /// Fingerprint of the stage that wrote it.
    pub revision: Option<Fingerprint>,
    /// Clip it is about.
    pub clip: Option<RecordId>,
    /// Fingerprint of the only stage that it is for, where it was put back for one. Whoever else reads the
    /// topic passes over it, having read the record when it came first. Release 0.1 does not know this
    /// header: what it put back has none and is for every reader, and it reads for itself what has one.
    pub reader: Option<Fingerprint>,
}

/// A record to be written.
#[derive(Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Topic; never [`Topic::State`], which is written by way of [`Commit::state`](crate::Commit::state).
    pub topic: Topic,
    /// Partition, below the topic's number of partitions.
    pub partition: u32,
    /// The record's own id, or a state key.
    pub key: Vec<u8>,
    /// Envelope bytes; at most [`MAX_RECORD_BYTES`] together with the key.
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

impl Received {
    /// Bytes of key and value, which is what limits count.
    pub(crate) fn bytes(&self) -> usize {
        self.key.len().saturating_add(self.value.len())
    }
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

/// Stream of records that are there already, or (when following) of those to come. After an error it ends.
pub type RecordStream = Pin<Box<dyn Stream<Item = Result<Received, LogError>> + Send>>;
