//! What one request changes, inside the writer's transaction.

use std::collections::BTreeMap;

use counterpoint_messages::Topic;
use rusqlite::{Connection, OptionalExtension, params};

use super::{file::now_ms, read::stored_trace};
use crate::{Commit, Group, Headers, Outgoing, state_key};

/// Writes records.
pub(super) fn append(connection: &Connection, records: &[Outgoing]) -> rusqlite::Result<()> {
    let mut writing = Writing::new(connection);
    for record in records {
        writing.put(record)?;
    }
    writing.finish()
}

/// Writes outputs, state and positions of a group.
pub(super) fn commit(connection: &Connection, group: Group, commit: &Commit) -> rusqlite::Result<()> {
    let mut writing = Writing::new(connection);
    for record in &commit.outputs {
        writing.put(record)?;
    }
    let topic = Topic::State(group.stage);
    for entry in &commit.state {
        let key = state_key::encode(group.fingerprint, entry.partition, &entry.key);
        match entry.value.clone() {
            Some(value) => {
                let headers = Headers { revision: Some(group.fingerprint), ..Headers::default() };
                writing.put(&Outgoing { topic, partition: 0, key, value, headers })?;
            }
            None => writing.forget(topic, 0, &key)?,
        }
    }
    writing.finish()?;
    let mut advance =
        connection.prepare_cached("INSERT OR REPLACE INTO positions VALUES (?1, ?2, ?3, ?4)")?;
    for (topic, partition, position) in &commit.positions {
        let position = i64::try_from(position.0).unwrap_or(i64::MAX);
        advance.execute(params![group.to_string(), topic.to_string(), partition, position])?;
    }
    Ok(())
}

/// Records on their way in, and what they change in the totals.
struct Writing<'a> {
    connection: &'a Connection,
    now: i64,
    changes: BTreeMap<(Topic, u32), Change>,
}

#[derive(Default)]
struct Change {
    records: i64,
    bytes: i64,
}

impl<'a> Writing<'a> {
    fn new(connection: &'a Connection) -> Self {
        Self { connection, now: now_ms(), changes: BTreeMap::new() }
    }

    fn put(&mut self, record: &Outgoing) -> rusqlite::Result<()> {
        let Outgoing { topic, partition, key, value, headers } = record;
        let compacted = topic.is_compacted();
        if compacted {
            self.forget(*topic, *partition, key)?;
        }
        self.connection
            .prepare_cached(
                "INSERT INTO records
                     (topic, partition, compacted, key, trace, revision, clip, reader, written_ms, value)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                topic.to_string(),
                partition,
                compacted,
                key,
                headers.trace.map(stored_trace),
                headers.revision.map(|revision| revision.0),
                headers.clip.map(|clip| clip.0),
                headers.reader.map(|reader| reader.0),
                self.now,
                value,
            ])?;
        let bytes = key.len().saturating_add(value.len());
        self.count(*topic, *partition, 1, i64::try_from(bytes).unwrap_or(i64::MAX));
        Ok(())
    }

    /// Removes the record of a key of a compacted topic.
    fn forget(&mut self, topic: Topic, partition: u32, key: &[u8]) -> rusqlite::Result<()> {
        let removed: Option<i64> = self
            .connection
            .prepare_cached(
                "DELETE FROM records WHERE topic = ?1 AND partition = ?2 AND key = ?3 AND compacted = 1
                 RETURNING length(key) + length(value)",
            )?
            .query_row(params![topic.to_string(), partition, key], |row| row.get(0))
            .optional()?;
        if let Some(bytes) = removed {
            self.count(topic, partition, -1, bytes.saturating_neg());
        }
        Ok(())
    }

    fn count(&mut self, topic: Topic, partition: u32, records: i64, bytes: i64) {
        let change = self.changes.entry((topic, partition)).or_default();
        change.records = change.records.saturating_add(records);
        change.bytes = change.bytes.saturating_add(bytes);
    }

    fn finish(self) -> rusqlite::Result<()> {
        let mut update = self.connection.prepare_cached(
            "INSERT INTO totals VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (topic, partition) DO UPDATE SET
                 records = records + excluded.records,
                 bytes = bytes + excluded.bytes,
                 newest_ms = max(newest_ms, excluded.newest_ms)",
        )?;
        for ((topic, partition), change) in self.changes {
            update.execute(params![topic.to_string(), partition, change.records, change.bytes, self.now])?;
        }
        Ok(())
    }
}
