//! Records of a later release: whole, kept, and not to be judged by this program.

use std::fmt;

use counterpoint_log::{Position, Received};
use counterpoint_messages::{DecodeError, Message, Topic};

/// A record that only a later release can read. The stage that meets it leaves the partition alone from
/// there on; everybody else tells that it is missing from what they counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaterRecord {
    /// Topic.
    pub topic: Topic,
    /// Partition.
    pub partition: u32,
    /// Position.
    pub position: Position,
    /// What of it is new.
    pub reason: DecodeError,
}

impl LaterRecord {
    pub(crate) fn new(received: &Received, reason: DecodeError) -> Self {
        let Received { topic, partition, position, .. } = received;
        Self { topic: *topic, partition: *partition, position: *position, reason }
    }
}

impl fmt::Display for LaterRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, partition, position, reason } = self;
        write!(f, "{topic}/{partition} at position {} holds a record that {reason}", position.0)
    }
}

/// The message of a record; `None` for one that is no message, which is a dead letter of the stage that
/// reads it and told there.
///
/// # Errors
/// The record itself, if it is of a later release.
pub fn read(received: &Received) -> Result<Option<Message>, LaterRecord> {
    match Message::decode(&received.value) {
        Ok(message) => Ok(Some(message)),
        Err(reason) if reason.is_of_later_release() => Err(LaterRecord::new(received, reason)),
        Err(_) => Ok(None),
    }
}
