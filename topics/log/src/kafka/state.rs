//! State, positions and epochs of a group, all on the compacted topic of its stage.
//!
//! The group's offsets say the same of the positions, for tools that show lag. But brokers forget the
//! offsets of a group that has been idle for some days (`offsets.retention.minutes`), so reading resumes
//! at what is written here, in the same transactions, and kept for ever.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use counterpoint_messages::{Fingerprint, Topic};

use super::{
    cluster::Cluster,
    convert::Found,
    reader::{Read, Reader},
};
use crate::{Epoch, Group, Headers, LogError, Outgoing, Position, StateEntry, state_key};

/// Stands where state has its partition, and is larger than any.
const OWN: u32 = u32::MAX;

const WAIT: Duration = Duration::from_millis(200);

/// What a group has committed.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Ordered by partition and key.
    pub(super) entries: Vec<StateEntry>,
    pub(super) positions: BTreeMap<(Topic, u32), Position>,
    /// Newest epoch of each lock.
    pub(super) epochs: BTreeMap<u32, u64>,
}

/// A record of a state topic; without a value its key is forgotten.
#[derive(Debug, Clone)]
pub(super) struct StateRecord {
    pub(super) key: Vec<u8>,
    pub(super) value: Option<Vec<u8>>,
}

/// The record of a state entry.
pub(super) fn entry(fingerprint: Fingerprint, entry: StateEntry) -> StateRecord {
    let StateEntry { partition, key, value } = entry;
    StateRecord { key: state_key::encode(fingerprint, partition, &key), value }
}

/// The record of a position.
pub(super) fn position(
    fingerprint: Fingerprint,
    topic: Topic,
    partition: u32,
    position: Position,
) -> StateRecord {
    own(fingerprint, &format!("position/{topic}/{partition}"), position.0)
}

/// The record of an epoch.
pub(super) fn epoch(fingerprint: Fingerprint, lock: u32, epoch: Epoch) -> StateRecord {
    own(fingerprint, &format!("epoch/{lock}"), epoch.0)
}

fn own(fingerprint: Fingerprint, key: &str, value: u64) -> StateRecord {
    let key = state_key::encode(fingerprint, OWN, key.as_bytes());
    StateRecord { key, value: Some(value.to_be_bytes().to_vec()) }
}

/// Whether a record of a state topic is the engine's own business.
pub(super) fn is_own(key: &[u8]) -> bool {
    state_key::decode(key).is_some_and(|(partition, _)| partition == OWN)
}

/// The newest of a state topic's records, as outputs of a transaction.
pub(super) fn headers(fingerprint: Fingerprint) -> Headers {
    Headers { revision: Some(fingerprint), ..Headers::default() }
}

/// Reads what a group has committed; of its state only those partitions that pass.
pub(super) fn read(
    cluster: &Arc<Cluster>,
    group: Group,
    partitions: Option<&BTreeSet<u32>>,
) -> Result<Kept, LogError> {
    let topic = Topic::State(group.stage);
    let end = cluster.settled_end(topic, 0)?;
    let (mut kept, mut entries) = (Kept::default(), BTreeMap::new());
    each(cluster, topic, 0, end, |Found { record, is_tombstone }| {
        let Some((partition, key)) = state_key::decode(&record.key) else { return };
        if record.key[..8] != group.fingerprint.0 {
            return;
        }
        if partition == OWN {
            kept.note(key, &record.value);
        } else if is_tombstone {
            entries.remove(&(partition, key.to_vec()));
        } else if partitions.is_none_or(|partitions| partitions.contains(&partition)) {
            entries.insert((partition, key.to_vec()), record.value);
        }
    })?;
    kept.entries = entries
        .into_iter()
        .map(|((partition, key), value)| StateEntry { partition, key, value: Some(value) })
        .collect();
    Ok(kept)
}

impl Kept {
    fn note(&mut self, key: &[u8], value: &[u8]) {
        let (Ok(key), Ok(value)) = (std::str::from_utf8(key), value.try_into().map(u64::from_be_bytes))
        else {
            return;
        };
        let mut parts = key.split('/');
        match (parts.next(), parts.next(), parts.next().map(str::parse)) {
            (Some("position"), Some(topic), Some(Ok(partition))) => {
                if let Some(topic) = Topic::parse(topic) {
                    self.positions.insert((topic, partition), Position(value));
                }
            }
            (Some("epoch"), Some(lock), None) => {
                if let Ok(lock) = lock.parse() {
                    self.epochs.insert(lock, value);
                }
            }
            _ => {}
        }
    }
}

/// Does this with every record of a partition before `end`.
pub(super) fn each(
    cluster: &Arc<Cluster>,
    topic: Topic,
    partition: u32,
    end: i64,
    work: impl FnMut(Found),
) -> Result<(), LogError> {
    let (first, _) = cluster.ends(topic, partition)?;
    between(cluster, topic, partition, first, end, work)
}

/// Does this with every record of a partition from offset `first` on that is before `end`.
pub(super) fn between(
    cluster: &Arc<Cluster>,
    topic: Topic,
    partition: u32,
    first: i64,
    end: i64,
    mut work: impl FnMut(Found),
) -> Result<(), LogError> {
    if first >= end {
        return Ok(());
    }
    let reader = Reader::up_to_the_end(cluster, topic)?;
    // What lies before the first offset, or before none, is not there: the position behind it is the same.
    reader.read_from(&[(partition, Position(first.max(0).unsigned_abs()))])?;
    let end = Position(end.unsigned_abs());
    loop {
        match reader.next(WAIT)? {
            Read::Found(found) => {
                let position = found.record.position;
                if position <= end {
                    work(found);
                }
                if position >= end {
                    return Ok(());
                }
            }
            Read::End(_) => return Ok(()),
            Read::Nothing => {}
        }
    }
}

/// What a record of a commit is written as.
#[derive(Debug, Clone)]
pub(super) enum Written {
    /// On the topic of its own.
    Output(Outgoing),
    /// On the stage's state topic.
    State(StateRecord),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_epochs_read_back_and_are_told_from_state() {
        let fingerprint = Fingerprint([3; 8]);
        let mut kept = Kept::default();
        for record in
            [position(fingerprint, Topic::DeadLetters, 2, Position(41)), epoch(fingerprint, 1, Epoch(7))]
        {
            assert!(is_own(&record.key));
            let (_, key) = state_key::decode(&record.key).unwrap();
            kept.note(key, record.value.as_deref().unwrap());
        }
        assert_eq!(kept.positions, [((Topic::DeadLetters, 2), Position(41))].into());
        assert_eq!(kept.epochs, [(1, 7)].into());
        let state = StateEntry { partition: 0, key: b"epoch/1".to_vec(), value: None };
        assert!(!is_own(&entry(fingerprint, state).key));
    }
}
