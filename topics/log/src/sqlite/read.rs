//! Reading: one connection a reader, used off the async runtime.

use std::collections::BTreeMap;

use counterpoint_messages::{Fingerprint, RecordId, Topic, TraceParent};
use rusqlite::{Connection, OptionalExtension, Row, params, types::Type};

use super::{
    file::LogFile,
    identity::Identity,
    lease::{self, Hold},
};
use crate::{
    Epoch, GroupDescription, Headers, LogError, Position, Received, StateEntry, TopicDescription, checks,
    cursors::{Cursor, Cursors, Limits},
    session::{Assignment, Page},
    state_key,
};

const TRACE_BYTES: usize = 25;

/// A connection between two uses. It is opened by the first use, and again after a fault.
pub(super) struct ReaderSlot {
    file: LogFile,
    reader: Option<Reader>,
}

impl ReaderSlot {
    pub(super) fn new(file: LogFile) -> Self {
        Self { file, reader: None }
    }

    /// Does this with the reader on a thread that may block.
    pub(super) async fn read<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Reader) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let (reader, file) = (self.reader.take(), self.file.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let reader = match reader {
                Some(reader) => reader,
                None => Reader::open(file)?,
            };
            let value = work(&reader)?;
            Ok((reader, value))
        });
        let (reader, value) = reading.await.map_err(|error| self.file.unavailable(error))??;
        self.reader = Some(reader);
        Ok(value)
    }
}

/// A connection that only reads.
pub(super) struct Reader {
    file: LogFile,
    connection: Connection,
}

impl Reader {
    fn open(file: LogFile) -> Result<Self, LogError> {
        let connection = file.connect()?;
        connection.pragma_update(None, "query_only", true).map_err(|error| file.fault(error))?;
        Ok(Self { file, connection })
    }

    /// From now on, until the reader is dropped, sees only what is committed before its first look.
    pub(super) fn begin(&self) -> Result<(), LogError> {
        self.connection.execute_batch("BEGIN").map_err(|error| self.file.fault(error))
    }

    /// One look at one state of the log.
    fn snapshot<T>(&self, look: impl FnOnce(&Connection) -> Result<T, LogError>) -> Result<T, LogError> {
        self.begin()?;
        let value = look(&self.connection);
        self.connection.execute_batch("COMMIT").map_err(|error| self.file.fault(error))?;
        value
    }

    /// Records of a partition behind a position.
    pub(super) fn page(
        &self,
        topic: Topic,
        partition: u32,
        after: Position,
        limits: Limits,
    ) -> Result<Vec<Received>, LogError> {
        let read = || -> rusqlite::Result<Vec<Received>> {
            let mut statement = self.connection.prepare_cached(
                "SELECT position, key, trace, revision, clip, reader, written_ms, value FROM records
                 WHERE topic = ?1 AND partition = ?2 AND position > ?3 ORDER BY position LIMIT ?4",
            )?;
            let (mut page, mut bytes) = (Vec::new(), 0_usize);
            let most = i64::try_from(limits.records).unwrap_or(i64::MAX);
            let mut rows = statement.query(params![topic.to_string(), partition, stored(after), most])?;
            while let Some(row) = rows.next()? {
                let record = received(topic, partition, row)?;
                if !limits.admit(page.len(), bytes, record.bytes()) {
                    break;
                }
                bytes = bytes.saturating_add(record.bytes());
                page.push(record);
            }
            Ok(page)
        };
        read().map_err(|error| self.file.fault(error))
    }

    /// The next page of the partition whose turn it is.
    pub(super) fn next_page(&self, cursors: &mut Cursors, limits: Limits) -> Result<Vec<Received>, LogError> {
        self.snapshot(|_| {
            cursors.next_page(|cursor| self.page(cursor.topic, cursor.partition, cursor.after, limits))
        })
    }

    /// The next page of a member, if the group is still its own.
    pub(super) fn member_page(
        &self,
        hold: &Hold,
        epoch: Epoch,
        cursors: &mut Cursors,
        limits: Limits,
    ) -> Result<Page, LogError> {
        self.snapshot(|connection| {
            let successor =
                lease::successor(connection, hold, epoch).map_err(|error| self.file.fault(error))?;
            if let Some(holder) = successor {
                return Ok(if hold.signals.has_left() { Page::Left } else { Page::Lost(holder) });
            }
            let page = cursors
                .next_page(|cursor| self.page(cursor.topic, cursor.partition, cursor.after, limits))?;
            Ok(if page.is_empty() { Page::End } else { Page::Records(page) })
        })
    }

    /// Who keeps the group from this member.
    pub(super) fn obstacle(&self, hold: &Hold, me: &Identity) -> Result<Option<String>, LogError> {
        lease::obstacle(&self.connection, hold, me).map_err(|error| self.file.fault(error))
    }

    /// What a group has committed.
    pub(super) fn assignment(
        &self,
        hold: &Hold,
        inputs: &[Topic],
        partitions: u32,
    ) -> Result<Assignment, LogError> {
        self.snapshot(|connection| {
            let read = || -> rusqlite::Result<Assignment> {
                let mut cursors = Vec::new();
                for topic in inputs.iter().copied() {
                    for partition in 0..checks::partitions_of(topic, partitions) {
                        let after = committed(connection, &hold.name, topic, partition)?;
                        cursors.push(Cursor { topic, partition, after });
                    }
                }
                Ok(Assignment { cursors: Cursors::new(cursors), state: state(connection, hold)? })
            };
            read().map_err(|error| self.file.fault(error))
        })
    }

    /// Every topic.
    pub(super) fn topics(&self, partitions: u32) -> Result<Vec<TopicDescription>, LogError> {
        let read = || -> rusqlite::Result<Vec<TopicDescription>> {
            let mut statement = self.connection.prepare_cached(
                "SELECT topic, sum(records), sum(bytes), max(newest_ms) FROM totals GROUP BY topic",
            )?;
            let totals = statement
                .query_map([], |row| {
                    let (records, bytes): (i64, i64) = (row.get(1)?, row.get(2)?);
                    Ok((
                        row.get::<_, String>(0)?,
                        (records.unsigned_abs(), bytes.unsigned_abs(), row.get(3)?),
                    ))
                })?
                .collect::<rusqlite::Result<BTreeMap<_, _>>>()?;
            let describe = |topic: Topic| {
                let (records, bytes, newest_ms) = totals.get(&topic.name()).copied().unwrap_or((0, 0, None));
                let partitions = checks::partitions_of(topic, partitions);
                let newest_ms = newest_ms.filter(|_| records > 0);
                TopicDescription { topic, partitions, records, bytes, newest_ms }
            };
            Ok(Topic::all().map(describe).collect())
        };
        read().map_err(|error| self.file.fault(error))
    }

    /// Every group that committed a position.
    pub(super) fn groups(&self, partitions: u32, me: &Identity) -> Result<Vec<GroupDescription>, LogError> {
        self.snapshot(|connection| {
            let fault = |error| self.file.fault(error);
            let mut described: BTreeMap<String, GroupDescription> = BTreeMap::new();
            for (name, topic) in read_topics(connection).map_err(fault)? {
                // What a later release added to the log is for that release to describe.
                let (Some(topic), Ok(group)) = (Topic::parse(&topic), name.parse()) else { continue };
                let lag = lag(connection, &name, topic, partitions).map_err(fault)?;
                if let Some(group) = described.get_mut(&name) {
                    group.lag = group.lag.saturating_add(lag);
                    group.lag_by_topic.push((topic, lag));
                    continue;
                }
                let holder = lease::holder(connection, &name, me).map_err(fault)?;
                described
                    .insert(name, GroupDescription { group, holder, lag, lag_by_topic: vec![(topic, lag)] });
            }
            Ok(described.into_values().collect())
        })
    }
}

/// Groups and the topics of which they committed a position.
fn read_topics(connection: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    connection
        .prepare_cached("SELECT DISTINCT group_name, topic FROM positions")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

fn lag(connection: &Connection, group: &str, topic: Topic, partitions: u32) -> rusqlite::Result<u64> {
    let mut count = connection.prepare_cached(
        "SELECT count(*) FROM records WHERE topic = ?1 AND partition = ?2 AND position > ?3",
    )?;
    let mut lag = 0_u64;
    for partition in 0..checks::partitions_of(topic, partitions) {
        let after = committed(connection, group, topic, partition)?;
        let behind: i64 =
            count.query_row(params![topic.to_string(), partition, stored(after)], |row| row.get(0))?;
        lag = lag.saturating_add(behind.unsigned_abs());
    }
    Ok(lag)
}

fn committed(
    connection: &Connection,
    group: &str,
    topic: Topic,
    partition: u32,
) -> rusqlite::Result<Position> {
    let position: Option<i64> = connection
        .prepare_cached(
            "SELECT position FROM positions WHERE group_name = ?1 AND topic = ?2 AND partition = ?3",
        )?
        .query_row(params![group, topic.to_string(), partition], |row| row.get(0))
        .optional()?;
    Ok(Position(position.unwrap_or(0).unsigned_abs()))
}

fn state(connection: &Connection, hold: &Hold) -> rusqlite::Result<Vec<StateEntry>> {
    let (first, end) = state_key::range(hold.group.fingerprint);
    connection
        .prepare_cached(
            "SELECT key, value FROM records
             WHERE topic = ?1 AND partition = 0 AND compacted = 1 AND key >= ?2 AND key < ?3 ORDER BY key",
        )?
        .query_map(params![Topic::State(hold.group.stage).to_string(), first, end], |row| {
            let stored: Vec<u8> = row.get(0)?;
            let (partition, key) = state_key::decode(&stored).ok_or_else(|| malformed(0, "state key"))?;
            Ok(StateEntry { partition, key: key.to_vec(), value: Some(row.get(1)?) })
        })?
        .collect()
}

fn received(topic: Topic, partition: u32, row: &Row<'_>) -> rusqlite::Result<Received> {
    Ok(Received {
        topic,
        partition,
        position: Position(row.get::<_, i64>(0)?.unsigned_abs()),
        key: row.get(1)?,
        headers: Headers {
            trace: bytes(row, 2)?.map(trace),
            revision: bytes(row, 3)?.map(Fingerprint),
            clip: bytes(row, 4)?.map(RecordId),
            reader: bytes(row, 5)?.map(Fingerprint),
        },
        written_ms: row.get(6)?,
        value: row.get(7)?,
    })
}

/// A column of a fixed number of bytes.
fn bytes<const N: usize>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<[u8; N]>> {
    row.get_ref(column)?
        .as_blob_or_null()?
        .map(|bytes| bytes.try_into().map_err(|_| malformed(column, "header")))
        .transpose()
}

fn malformed(column: usize, what: &str) -> rusqlite::Error {
    let detail = format!("a {what} of a wrong length");
    rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, detail.into())
}

/// Trace id, span id and flag in one column.
pub(super) fn stored_trace(trace: TraceParent) -> [u8; TRACE_BYTES] {
    let mut bytes = [0; TRACE_BYTES];
    bytes[..16].copy_from_slice(&trace.trace_id);
    bytes[16..24].copy_from_slice(&trace.span_id);
    bytes[24] = u8::from(trace.sampled);
    bytes
}

fn trace(bytes: [u8; TRACE_BYTES]) -> TraceParent {
    let mut trace = TraceParent { trace_id: [0; 16], span_id: [0; 8], sampled: bytes[24] == 1 };
    trace.trace_id.copy_from_slice(&bytes[..16]);
    trace.span_id.copy_from_slice(&bytes[16..24]);
    trace
}

fn stored(position: Position) -> i64 {
    i64::try_from(position.0).unwrap_or(i64::MAX)
}
