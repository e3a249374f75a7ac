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
    /// The record that is announced: its count is one ahead, for the case that the process dies of it.
    announced: Option<Announced>,
    /// Records that this process saw fail, so that their counts are no signs of deaths.
    seen: BTreeSet<String>,
    /// Records still to be taken one at a time.
    careful: usize,
    partitions: BTreeSet<u32>,
    session: String,
}

#[derive(Debug)]
struct Announced {
    partition: u32,
    key: String,
    count: u32,
}

impl Attempts {
    /// Splits a group's state into what concerns attempts and the stage's own. `session` names this
    /// process; `window` is the most records that can have been in flight when another one ended.
    pub fn restore(
        self,
        session: &str,
        partitions: &[(Topic, u32)],
        state: Vec<StateEntry>,
        window: usize,
    ) -> (Self, Vec<StateEntry>) {
        let mut attempts = Self {
            partitions: partitions.iter().map(|(_, partition)| *partition).collect(),
            session: session.to_owned(),
            seen: self.seen,
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
        // The process lives, so an announcement of its own that was not withdrawn says nothing.
        if let Some(Announced { key, count, .. }) = self.announced
            && let Some(there) = attempts.counts.get_mut(&key)
            && *there == count
        {
            *there -= 1;
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

    /// Whether this record was tried so often that the last process may have died of it for the last time.
    pub fn is_hopeless(&self, received: &Received) -> bool {
        let key = key_of(received);
        self.count(&key) + 1 >= MAX_ATTEMPTS && !self.seen.contains(&key)
    }

    /// Counts an attempt ahead; to be made durable before the record is touched.
    pub fn announce(&mut self, received: &Received) -> StateEntry {
        let (partition, key) = (received.partition, key_of(received));
        let count = self.count(&key) + 1;
        self.announced = Some(Announced { partition, key: key.clone(), count });
        self.set(partition, key, count)
    }

    /// Takes the announcement back, if there is one: its record did not kill the process.
    pub fn withdraw(&mut self) -> Option<StateEntry> {
        let Announced { partition, key, count } = self.announced.take()?;
        Some(self.set(partition, key, count - 1))
    }

    /// Counts an attempt that failed, announced or not; how many that makes.
    pub fn failed(&mut self, received: &Received) -> (u32, StateEntry) {
        let (partition, key) = (received.partition, key_of(received));
        // Its record is this one: nothing else is worked on beside an announced one.
        self.withdraw();
        self.seen.insert(key.clone());
        let count = self.count(&key) + 1;
        (count, self.set(partition, key, count))
    }

    fn count(&self, key: &str) -> u32 {
        self.counts.get(key).copied().unwrap_or(0)
    }

    /// Sets the count of a record and returns the state that makes it durable.
    fn set(&mut self, partition: u32, key: String, count: u32) -> StateEntry {
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
        let key = key(topic, partition, position);
        self.announced.take_if(|announced| announced.key == key);
        self.seen.remove(&key);
        self.counts.contains_key(&key).then(|| self.set(partition, key, 0))
    }
}

fn key_of(received: &Received) -> String {
    key(received.topic, received.partition, received.position)
}

fn key(topic: Topic, partition: u32, position: Position) -> String {
    format!("{ATTEMPT}{topic}/{partition}/{}", position.0)
}

#[cfg(test)]
mod tests {
    use counterpoint_log::Headers;

    use super::*;

    const PLACES: [(Topic, u32); 2] = [(Topic::Clips, 0), (Topic::Clips, 2)];

    fn restored(before: Attempts, session: &str, state: &[StateEntry]) -> (Attempts, Vec<StateEntry>) {
        before.restore(session, &PLACES, state.to_vec(), 8)
    }

    fn received(position: u64) -> Received {
        Received {
            topic: Topic::Clips,
            partition: 2,
            position: Position(position),
            key: vec![],
            value: vec![],
            headers: Headers::default(),
            written_ms: 0,
        }
    }

    #[test]
    fn an_open_session_makes_the_next_one_careful_and_counts_survive() {
        let (mut first, _) = restored(Attempts::default(), "a", &[]);
        assert!(!first.is_careful());
        let mut state = first.open();
        assert_eq!(state.len(), 2);
        state.push(first.failed(&received(9)).1);
        state.push(StateEntry { partition: 0, key: b"own".to_vec(), value: Some(vec![1]) });

        assert!(!restored(Attempts::default(), "a", &state).0.is_careful());
        let (mut second, own) = restored(Attempts::default(), "b", &state);
        assert!(second.is_careful());
        assert_eq!(own.len(), 1);
        assert_eq!(second.counts.values().copied().collect::<Vec<_>>(), [1]);
        assert!(second.forget(Topic::Clips, 2, Position(9)).unwrap().value.is_none());
        assert!(second.forget(Topic::Clips, 2, Position(9)).is_none());
        second.relax();
        assert!(!second.is_careful());
    }

    #[test]
    fn two_announcements_left_behind_are_the_end_and_a_failure_that_was_announced_counts_once() {
        let record = received(9);
        let (mut first, _) = restored(Attempts::default(), "a", &[]);
        let left = first.announce(&record);
        let (mut second, _) = restored(Attempts::default(), "b", std::slice::from_ref(&left));
        assert!(!second.is_hopeless(&record));
        let left = second.announce(&record);
        assert!(restored(Attempts::default(), "c", &[left]).0.is_hopeless(&record));

        let (mut living, _) = restored(Attempts::default(), "a", &[]);
        for attempt in 1..=MAX_ATTEMPTS {
            assert!(!living.is_hopeless(&record), "this process did not die of it");
            living.announce(&record);
            assert_eq!(living.failed(&record).0, attempt);
        }
    }

    #[test]
    fn an_announcement_of_a_process_that_lives_on_counts_nothing() {
        let record = received(9);
        let (mut first, _) = restored(Attempts::default(), "a", &[]);
        let left = first.announce(&record);
        assert_eq!(first.withdraw(), Some(StateEntry { value: None, ..left.clone() }));
        assert_eq!(first.withdraw(), None);
        first.announce(&record);
        // Assigned anew, with the announcement still there.
        let (mut again, _) = restored(first, "a", std::slice::from_ref(&left));
        assert_eq!(again.failed(&record).0, 1);
        let (mut other, _) = restored(Attempts::default(), "b", &[left]);
        assert_eq!(other.failed(&record).0, 2);
    }
}
