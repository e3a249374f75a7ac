use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use counterpoint_log::{Commit, Headers, Outgoing, Position, StateEntry};
use counterpoint_messages::{EncodeError, Fingerprint, FormatLevel, Topic, TraceParent, partition_of};

use super::Output;

/// Longest a finished record waits for others before it is committed.
const LONGEST_WAIT: Duration = Duration::from_millis(250);
/// Records and bytes that are committed without waiting for more.
const FULL_RECORDS: usize = 64;
const FULL_BYTES: usize = 1 << 20;

/// Effects that are waiting to be committed together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    outputs: Vec<Outgoing>,
    /// The last change of a key wins.
    state: BTreeMap<(u32, Vec<u8>), Option<Vec<u8>>>,
    positions: BTreeMap<(Topic, u32), Position>,
    records: usize,
    bytes: usize,
    since: Option<Instant>,
    hurried: bool,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.outputs.is_empty() && self.state.is_empty() && self.records == 0
    }

    /// What is in it has waited since now, unless some of it did before.
    pub fn wait_from(&mut self, now: Instant) {
        if !self.is_empty() {
            self.since.get_or_insert(now);
        }
    }

    /// If so told, what is in it waits for nothing more.
    pub fn hurry(&mut self, hurried: bool) {
        self.hurried |= hurried;
    }

    /// When the batch has waited long enough.
    pub fn deadline(&self) -> Option<Instant> {
        self.since.map(|since| since + LONGEST_WAIT)
    }

    pub fn is_due(&self, now: Instant) -> bool {
        self.hurried
            || self.records >= FULL_RECORDS
            || self.bytes >= FULL_BYTES
            || self.deadline().is_some_and(|deadline| deadline <= now)
    }

    pub fn records(&self) -> usize {
        self.records
    }

    pub fn outputs(&self) -> usize {
        self.outputs.len()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn add(&mut self, outputs: Vec<Outgoing>, state: Vec<StateEntry>) {
        self.bytes += outputs.iter().map(|output| output.key.len() + output.value.len()).sum::<usize>();
        self.outputs.extend(outputs);
        for entry in state {
            self.bytes += entry.value.as_ref().map_or(0, Vec::len);
            self.state.insert((entry.partition, entry.key), entry.value);
        }
    }

    pub fn reach(&mut self, topic: Topic, partition: u32, position: Position) {
        self.records += 1;
        self.positions.insert((topic, partition), position);
    }

    pub fn take(&mut self) -> Commit {
        let batch = std::mem::take(self);
        Commit {
            outputs: batch.outputs,
            state: batch
                .state
                .into_iter()
                .map(|((partition, key), value)| StateEntry { partition, key, value })
                .collect(),
            positions: batch
                .positions
                .into_iter()
                .map(|((topic, partition), position)| (topic, partition, position))
                .collect(),
        }
    }
}

/// The record that a message is written as.
pub(super) fn outgoing(
    output: &Output,
    level: FormatLevel,
    partitions: u32,
    revision: Fingerprint,
    trace: Option<TraceParent>,
) -> Result<Outgoing, EncodeError> {
    Ok(Outgoing {
        topic: output.topic,
        partition: if output.topic.is_partitioned() { partition_of(&output.video, partitions) } else { 0 },
        key: output.key.0.to_vec(),
        value: output.message.encode(level)?,
        headers: Headers { trace, revision: Some(revision), clip: output.clip, reader: None },
    })
}
