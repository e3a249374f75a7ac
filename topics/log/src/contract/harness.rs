//! What the rules are written with.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use counterpoint_messages::{Fingerprint, StageName, Topic};
use futures::{Stream, StreamExt};

use crate::{
    Commit, Epoch, Event, EventStream, Group, Headers, LogError, Member, Membership, Outgoing, Position,
    Received, StateEntry, TopicLog,
};

/// How long an engine may take for anything at all, on a machine that has other work to do.
const PATIENCE: Duration = Duration::from_secs(300);

/// The group most rules use.
pub(super) const GROUP: Group = Group { stage: StageName::Gate, fingerprint: Fingerprint([7; 8]) };

/// A topic with one partition and one with several.
pub(super) const SINGLE: Topic = Topic::Samples;
pub(super) const SPLIT: Topic = Topic::Clips;

pub(super) fn record(topic: Topic, partition: u32, key: &str, value: &str) -> Outgoing {
    Outgoing { topic, partition, key: key.into(), value: value.into(), headers: Headers::default() }
}

/// Records of a topic's first partition, each its own key.
pub(super) fn numbered(topic: Topic, numbers: std::ops::Range<u32>) -> Vec<Outgoing> {
    numbers.map(|number| record(topic, 0, &format!("k{number}"), &number.to_string())).collect()
}

pub(super) fn entry(key: &str, value: Option<&str>) -> StateEntry {
    StateEntry { partition: 0, key: key.into(), value: value.map(Into::into) }
}

/// A membership of an instance of its own: two processes of one name are for each engine's own tests.
pub(super) fn membership(inputs: &[Topic]) -> Membership {
    static INSTANCES: AtomicU64 = AtomicU64::new(1);
    Membership {
        group: GROUP,
        instance: format!("test-{}", INSTANCES.fetch_add(1, Ordering::Relaxed)),
        inputs: inputs.to_vec(),
        exclusive: true,
        max_records: 100,
        max_bytes: 1 << 20,
    }
}

pub(super) fn values(records: &[Received]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8_lossy(&record.value).into_owned()).collect()
}

pub(super) fn texts(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

/// Waits, but not for ever.
pub(super) async fn patiently<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("the engine should have answered by now")
}

pub(super) async fn next<T>(stream: &mut (impl Stream<Item = Result<T, LogError>> + Unpin)) -> T {
    patiently(stream.next()).await.expect("the stream should go on").unwrap()
}

/// Everything there is on a topic.
pub(super) async fn scan(log: &Arc<dyn TopicLog>, topic: Topic) -> Vec<Received> {
    patiently(log.scan(topic).map(Result::unwrap).collect()).await
}

/// A member that owns its group.
pub(super) struct Owner {
    pub(super) events: EventStream,
    pub(super) member: Box<dyn Member>,
    pub(super) epoch: Epoch,
    pub(super) partitions: Vec<(Topic, u32)>,
    pub(super) state: Vec<StateEntry>,
}

impl Owner {
    /// Joins and waits for the assignment, whoever has to leave first.
    pub(super) async fn join(log: &Arc<dyn TopicLog>, membership: Membership) -> Self {
        let (mut events, member) = log.join(membership).await.unwrap();
        loop {
            match next(&mut events).await {
                Event::Waiting { .. } => {}
                Event::Assigned { epoch, partitions, state, .. } => {
                    return Self { events, member, epoch, partitions, state };
                }
                other => panic!("expected an assignment, got {other:?}"),
            }
        }
    }

    /// The records up to the end as it is found.
    pub(super) async fn read(&mut self) -> Vec<Received> {
        let mut records = Vec::new();
        loop {
            match next(&mut self.events).await {
                Event::Records(page) => records.extend(page),
                Event::CaughtUp => return records,
                other => panic!("expected records, got {other:?}"),
            }
        }
    }

    /// Waits until it is assigned its partitions once more.
    pub(super) async fn reassigned(&mut self) -> Vec<StateEntry> {
        match next(&mut self.events).await {
            Event::Assigned { epoch, partitions, state, .. } => {
                (self.epoch, self.partitions) = (epoch, partitions);
                state
            }
            other => panic!("expected an assignment, got {other:?}"),
        }
    }

    pub(super) async fn commit(&self, commit: Commit) -> Result<(), LogError> {
        patiently(self.member.commit(self.epoch, commit)).await
    }

    pub(super) async fn leave(self) {
        patiently(self.member.leave()).await.unwrap();
    }
}

/// A commit of the place up to which these records go, each partition by itself.
pub(super) fn done(records: &[Received]) -> Commit {
    let mut positions: Vec<(Topic, u32, Position)> = Vec::new();
    for record in records {
        match positions.iter_mut().find(|(t, p, _)| (*t, *p) == (record.topic, record.partition)) {
            Some((_, _, position)) => *position = record.position,
            None => positions.push((record.topic, record.partition, record.position)),
        }
    }
    Commit { positions, ..Commit::default() }
}
