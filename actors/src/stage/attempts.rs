//! Durable attempts: how often a record was tried, known also after the process died of it.
//!
//! A panic or a crashed worker is seen and counted by the living process. A death of the process itself
//! is not; so a stage that finds its last session left open (it did not stop cleanly) takes the records
//! that may have been in flight one at a time and commits a marker before each. Two markers left behind
//! plus the death that led to them make three attempts.
//!
//! Where the work is blameless (see [`super::Profile`]) the marker is withdrawn once it is planned: a process
//! that is killed by chance during a long piece of work proves nothing against the record.
//!
//! One stage of a process at a time has a record announced ([`super::process::Suspect`]): a record that kills the process
//! each time must not take an innocent one of another stage with it.

use std::collections::{BTreeMap, BTreeSet};

use counterpoint_log::{Position, Received, StateEntry};
use counterpoint_messages::Topic;

/// Attempts after which a record goes to dead letters.
pub(super) const MAX_ATTEMPTS: u32 = 3;

const OPEN: &[u8] = b"!open";
const ATTEMPT: &str = "!attempt/";

/// What is known of earlier attempts.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    counts: BTreeMap<String, u32>,
    /// Records still to be taken one at a time.
    careful: usize,
    partitions: BTreeSet<u32>,
    session: String,
}

impl Attempts {
    /// Splits a group's state into what concerns attempts and the stage's own. `session` names this
    /// process; `window` is the most records that can have been in flight when another one ended.
    pub fn restore(
        session: &str,
        partitions: &[(Topic, u32)],
        state: Vec<StateEntry>,
        window: usize,
    ) -> (Self, Vec<StateEntry>) {
        let mut attempts = Self {
            partitions: partitions.iter().map(|(_, partition)| *partition).collect(),
            session: session.to_owned(),
            ..Self::default()
        };
        let mut own = Vec::with_capacity(state.len());
        for entry in state {
            if entry.key == OPEN {
                // Our own mark only says that the log went back, not that a process died.
                if entry.value.as_deref() != Some(session.as_bytes()) {
                    attempts.careful = window;
                }
            } else if entry.key.starts_with(ATTEMPT.as_bytes()) {
                let key = String::from_utf8_lossy(&entry.key).into_owned();
                let count = entry.value.as_deref().and_then(|value| std::str::from_utf8(value).ok());
                attempts.counts.insert(key, count.and_then(|count| count.parse().ok()).unwrap_or(1));
            } else {
                own.push(entry);
            }
        }
        (attempts, own)
    }

    /// Marks that records are being worked on from now on.
    pub fn open(&self) -> Vec<StateEntry> {
        self.mark(Some(self.session.clone().into_bytes()))
    }

    /// Marks a clean stop.
    pub fn close(&self) -> Vec<StateEntry> {
        self.mark(None)
    }

    fn mark(&self, value: Option<Vec<u8>>) -> Vec<StateEntry> {
        self.partitions
            .iter()
            .map(|partition| StateEntry { partition: *partition, key: OPEN.to_vec(), value: value.clone() })
            .collect()
    }

    /// Whether the next record must be announced before it is touched.
    pub fn is_careful(&self) -> bool {
        self.careful > 0
    }

    /// One record of the uncertain ones is past.
    pub fn passed(&mut self) {
        self.careful = self.careful.saturating_sub(1);
    }

    /// Nothing uncertain is left to read.
    pub fn relax(&mut self) {
        self.careful = 0;
    }

    pub fn count(&self, received: &Received) -> u32 {
        self.counts.get(&key(received.topic, received.partition, received.position)).copied().unwrap_or(0)
    }

    /// Sets the count of a record and returns the state that makes it durable.
    pub fn set(&mut self, topic: Topic, partition: u32, position: Position, count: u32) -> StateEntry {
        let key = key(topic, partition, position);
        let value = if count == 0 {
            self.counts.remove(&key);
            None
        } else {
            self.counts.insert(key.clone(), count);
            Some(count.to_string().into_bytes())
        };
        StateEntry { partition, key: key.into_bytes(), value }
    }

    /// Forgets a record that is done, if it was ever counted.
    pub fn forget(&mut self, topic: Topic, partition: u32, position: Position) -> Option<StateEntry> {
        self.counts
            .contains_key(&key(topic, partition, position))
            .then(|| self.set(topic, partition, position, 0))
    }
}

fn key(topic: Topic, partition: u32, position: Position) -> String {
    format!("{ATTEMPT}{topic}/{partition}/{}", position.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_session_makes_the_next_one_careful_and_counts_survive() {
        let partitions = [(Topic::Clips, 0), (Topic::Clips, 2)];
        let (mut first, _) = Attempts::restore("a", &partitions, vec![], 8);
        assert!(!first.is_careful());
        let mut state = first.open();
        assert_eq!(state.len(), 2);
        state.push(first.set(Topic::Clips, 2, Position(9), 2));
        state.push(StateEntry { partition: 0, key: b"own".to_vec(), value: Some(vec![1]) });

        assert!(!Attempts::restore("a", &partitions, state.clone(), 8).0.is_careful());
        let (mut second, own) = Attempts::restore("b", &partitions, state, 8);
        assert!(second.is_careful());
        assert_eq!(own.len(), 1);
        assert_eq!(second.counts.values().copied().collect::<Vec<_>>(), [2]);
        assert!(second.forget(Topic::Clips, 2, Position(9)).unwrap().value.is_none());
        assert!(second.forget(Topic::Clips, 2, Position(9)).is_none());
        second.relax();
        assert!(!second.is_careful());
    }
}
