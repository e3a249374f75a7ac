//! Where a reader stands in each of its partitions.

use counterpoint_messages::Topic;

use crate::{LogError, Position, Received};

/// Bounds of one page of records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Most records.
    pub(crate) records: usize,
    /// Most bytes of keys and values; a single larger record still makes a page.
    pub(crate) bytes: usize,
}

impl Limits {
    /// What a reader outside any group takes at a time.
    pub(crate) const SCAN: Self = Self { records: 256, bytes: 1 << 20 };

    /// Whether a page of `records` records and `bytes` bytes has room for one of `next` bytes.
    pub(crate) fn admit(self, records: usize, bytes: usize, next: usize) -> bool {
        records == 0 || (records < self.records && bytes.saturating_add(next) <= self.bytes)
    }
}

/// Place in one partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor {
    pub(crate) topic: Topic,
    pub(crate) partition: u32,
    /// Position of the last record read; 0 at the beginning, where no record stands.
    pub(crate) after: Position,
}

/// Places in several partitions, read in turn so that none starves.
#[derive(Debug, Clone)]
pub(crate) struct Cursors {
    cursors: Vec<Cursor>,
    turn: usize,
}

impl Cursors {
    pub(crate) fn new(cursors: Vec<Cursor>) -> Self {
        Self { cursors, turn: 0 }
    }

    /// At the beginning of every partition of a topic.
    pub(crate) fn at_beginning(topic: Topic, partitions: u32) -> Self {
        let cursors =
            (0..partitions).map(|partition| Cursor { topic, partition, after: Position(0) }).collect();
        Self::new(cursors)
    }

    pub(crate) fn partitions(&self) -> Vec<(Topic, u32)> {
        self.cursors.iter().map(|cursor| (cursor.topic, cursor.partition)).collect()
    }

    /// The last record read of each partition in which any was.
    pub(crate) fn positions(&self) -> Vec<(Topic, u32, Position)> {
        let read = self.cursors.iter().filter(|cursor| cursor.after > Position(0));
        read.map(|cursor| (cursor.topic, cursor.partition, cursor.after)).collect()
    }

    /// The next page of the first partition in turn that has one; empty when none has.
    pub(crate) fn next_page(
        &mut self,
        mut read: impl FnMut(&Cursor) -> Result<Vec<Received>, LogError>,
    ) -> Result<Vec<Received>, LogError> {
        for _ in 0..self.cursors.len() {
            let turn = self.turn;
            let cursor = &mut self.cursors[turn];
            let page = read(cursor)?;
            self.turn = (turn + 1) % self.cursors.len();
            if let Some(last) = page.last() {
                self.cursors[turn].after = last.position;
                return Ok(page);
            }
        }
        Ok(Vec::new())
    }
}
