//! Records as Kafka carries them: positions, headers, tombstones.

use std::fmt::Display;

use counterpoint_messages::Topic;
use rdkafka::{
    Message, Offset,
    message::{BorrowedMessage, Header, Headers as _, OwnedHeaders},
};

use crate::{Headers, Position, Received};

/// W3C's name, which other tools know.
const TRACE: &str = "traceparent";
const REVISION: &str = "revision";
const CLIP: &str = "clip";
const READER: &str = "reader";

/// The position of the record at this offset: one more, since positions begin behind 0. It is as well the
/// offset at which reading resumes behind the record.
pub(super) fn position(offset: i64) -> Position {
    Position(offset.max(-1).saturating_add(1).unsigned_abs())
}

/// The offset at which reading resumes behind a position.
pub(super) fn resume(position: Position) -> Offset {
    match i64::try_from(position.0) {
        Ok(0) => Offset::Beginning,
        Ok(offset) => Offset::Offset(offset),
        Err(_) => Offset::End,
    }
}

/// Headers as text, which any tool shows.
pub(super) fn written(headers: &Headers) -> OwnedHeaders {
    let Headers { trace, revision, clip, reader } = headers;
    let mut written = OwnedHeaders::new_with_capacity(4);
    for (key, value) in [
        (TRACE, trace.map(|trace| trace.to_string())),
        (REVISION, revision.map(|revision| revision.to_string())),
        (CLIP, clip.map(|clip| clip.to_string())),
        (READER, reader.map(|reader| reader.to_string())),
    ] {
        if let Some(value) = value {
            written = written.insert(Header { key, value: Some(&value) });
        }
    }
    written
}

/// What was read at a position.
#[derive(Debug)]
pub(super) struct Found {
    /// The record; a tombstone has an empty value.
    pub(super) record: Received,
    /// Whether it only says that its key is gone.
    pub(super) is_tombstone: bool,
}

/// A record as read. Headers that cannot be read are as good as none: anybody may write to a topic.
pub(super) fn found(topic: Topic, message: &BorrowedMessage<'_>) -> Found {
    let record = Received {
        topic,
        partition: message.partition().unsigned_abs(),
        position: position(message.offset()),
        key: message.key().unwrap_or_default().to_vec(),
        value: message.payload().unwrap_or_default().to_vec(),
        headers: Headers {
            trace: header(message, TRACE),
            revision: header(message, REVISION),
            clip: header(message, CLIP),
            reader: header(message, READER),
        },
        written_ms: message.timestamp().to_millis().unwrap_or(0),
    };
    Found { record, is_tombstone: message.payload().is_none() }
}

fn header<T: std::str::FromStr<Err: Display>>(message: &BorrowedMessage<'_>, key: &str) -> Option<T> {
    let found = message.headers()?.iter().find(|header| header.key == key)?.value?;
    match std::str::from_utf8(found).ok()?.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::debug!(topic = message.topic(), offset = message.offset(), "header {key}: {error}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_where_reading_resumes_behind_its_record() {
        assert_eq!(position(0), Position(1));
        assert_eq!(resume(position(41)), Offset::Offset(42));
        assert_eq!(resume(Position(0)), Offset::Beginning);
    }
}
