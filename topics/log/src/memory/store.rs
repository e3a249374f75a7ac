//! What the log holds, and the operations that change it as a whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use counterpoint_messages::Topic;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    Commit, Epoch, Group, GroupDescription, Headers, LogError, Outgoing, Position, Received, StateEntry,
    TopicDescription, checks,
    cursors::{Cursor, Cursors, Limits},
    session::{Assignment, Claim},
    state_key,
};

type Clock = Box<dyn Fn() -> i64 + Send + Sync>;

/// A process as the others see it.
pub(super) struct Process {
    name: String,
    suspended: AtomicBool,
    dead: AtomicBool,
}

impl Process {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), suspended: AtomicBool::new(false), dead: AtomicBool::new(false) }
    }

    pub(super) fn suspend(&self, suspended: bool) {
        self.suspended.store(suspended, Ordering::SeqCst);
    }

    pub(super) fn kill(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    /// Refuses what a process does that was killed.
    pub(super) fn check(&self) -> Result<(), LogError> {
        if self.dead.load(Ordering::SeqCst) {
            let detail = "it was killed".to_owned();
            return Err(LogError::Unavailable { place: self.name.clone(), detail });
        }
        Ok(())
    }
}

/// A member as the log knows it.
#[derive(Clone)]
pub(super) struct Holder {
    pub(super) member: u64,
    pub(super) process: Arc<Process>,
}

pub(super) struct Store {
    pub(super) partitions: u32,
    clock: Clock,
    contents: Mutex<Contents>,
    changes: watch::Sender<()>,
}

#[derive(Default)]
struct Contents {
    last: u64,
    members: u64,
    records: BTreeMap<(Topic, u32), BTreeMap<Position, Received>>,
    newest: BTreeMap<(Topic, u32, Vec<u8>), Position>,
    positions: BTreeMap<(Group, Topic, u32), Position>,
    leases: BTreeMap<Group, Lease>,
}

#[derive(Default)]
struct Lease {
    epoch: u64,
    holder: Option<Holder>,
}

impl Lease {
    /// The holder, unless others may take over.
    fn live(&self) -> Option<&Holder> {
        self.holder.as_ref().filter(|holder| !holder.process.suspended.load(Ordering::SeqCst))
    }
}

impl Store {
    pub(super) fn new(partitions: u32, clock: Clock) -> Self {
        Self { partitions, clock, contents: Mutex::default(), changes: watch::Sender::new(()) }
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    pub(super) fn wake(&self) {
        self.changes.send_replace(());
    }

    pub(super) fn new_member(&self) -> u64 {
        let mut contents = self.contents.lock();
        contents.members += 1;
        contents.members
    }

    pub(super) fn append(&self, records: Vec<Outgoing>) {
        let now = (self.clock)();
        let mut contents = self.contents.lock();
        for record in records {
            contents.write(record, now);
        }
        drop(contents);
        self.wake();
    }

    pub(super) fn commit(
        &self,
        group: Group,
        member: u64,
        epoch: Epoch,
        commit: Commit,
    ) -> Result<(), LogError> {
        let now = (self.clock)();
        let mut contents = self.contents.lock();
        contents.require(group, member, epoch)?;
        for record in commit.outputs {
            contents.write(record, now);
        }
        for entry in commit.state {
            contents.change_state(group, entry, now);
        }
        for (topic, partition, position) in commit.positions {
            contents.positions.insert((group, topic, partition), position);
        }
        drop(contents);
        self.wake();
        Ok(())
    }

    pub(super) fn require(&self, group: Group, member: u64, epoch: Epoch) -> Result<(), LogError> {
        self.contents.lock().require(group, member, epoch)
    }

    pub(super) fn claim(&self, group: Group, holder: &Holder) -> Claim {
        let mut contents = self.contents.lock();
        let lease = contents.leases.entry(group).or_default();
        match lease.live() {
            Some(other) if other.member != holder.member => Claim::Held(other.process.name.clone()),
            Some(_) => Claim::Granted(Epoch(lease.epoch)),
            None => {
                lease.epoch += 1;
                lease.holder = Some(holder.clone());
                let epoch = Epoch(lease.epoch);
                drop(contents);
                self.wake();
                Claim::Granted(epoch)
            }
        }
    }

    pub(super) fn release(&self, group: Group, member: u64) {
        if let Some(lease) = self.contents.lock().leases.get_mut(&group) {
            lease.holder.take_if(|holder| holder.member == member);
        }
        self.wake();
    }

    /// Name of the owner if it is not this member under this epoch.
    pub(super) fn successor(&self, group: Group, member: u64, epoch: Epoch) -> Option<String> {
        match self.require(group, member, epoch) {
            Err(LogError::Fenced { holder, .. }) => Some(holder),
            _ => None,
        }
    }

    pub(super) fn assignment(&self, group: Group, inputs: &[Topic]) -> Assignment {
        let contents = self.contents.lock();
        let mut cursors = Vec::new();
        for topic in inputs.iter().copied() {
            for partition in 0..checks::partitions_of(topic, self.partitions) {
                let after = contents.positions.get(&(group, topic, partition)).copied();
                cursors.push(Cursor { topic, partition, after: after.unwrap_or(Position(0)) });
            }
        }
        Assignment { cursors: Cursors::new(cursors), state: contents.state(group) }
    }

    pub(super) fn page(&self, cursors: &mut Cursors, limits: Limits) -> Result<Vec<Received>, LogError> {
        let contents = self.contents.lock();
        cursors.next_page(|cursor| {
            let (mut page, mut bytes) = (Vec::new(), 0_usize);
            for record in contents.behind(cursor.topic, cursor.partition, cursor.after) {
                if !limits.admit(page.len(), bytes, record.bytes()) {
                    break;
                }
                bytes = bytes.saturating_add(record.bytes());
                page.push(record.clone());
            }
            Ok(page)
        })
    }

    pub(super) fn snapshot(&self, topic: Topic) -> Vec<Received> {
        let contents = self.contents.lock();
        (0..checks::partitions_of(topic, self.partitions))
            .flat_map(|partition| contents.behind(topic, partition, Position(0)).cloned())
            .collect()
    }

    pub(super) fn topics(&self) -> Vec<TopicDescription> {
        let contents = self.contents.lock();
        Topic::all()
            .map(|topic| {
                let partitions = checks::partitions_of(topic, self.partitions);
                let mut described =
                    TopicDescription { topic, partitions, records: 0, bytes: 0, newest_ms: None };
                for partition in 0..partitions {
                    for record in contents.behind(topic, partition, Position(0)) {
                        described.records += 1;
                        described.bytes += record.bytes() as u64;
                        described.newest_ms = described.newest_ms.max(Some(record.written_ms));
                    }
                }
                described
            })
            .collect()
    }

    pub(super) fn groups(&self) -> Vec<GroupDescription> {
        let contents = self.contents.lock();
        let mut topics: BTreeMap<Group, BTreeSet<Topic>> = BTreeMap::new();
        for (group, topic, _) in contents.positions.keys() {
            topics.entry(*group).or_default().insert(*topic);
        }
        let mut described: Vec<_> = topics
            .into_iter()
            .map(|(group, topics)| {
                let holder = contents.leases.get(&group).and_then(Lease::live);
                let lag = |topic| (topic, contents.lag(group, topic, self.partitions));
                let lag_by_topic: Vec<_> = topics.into_iter().map(lag).collect();
                GroupDescription {
                    group,
                    holder: holder.map(|holder| holder.process.name.clone()),
                    lag: lag_by_topic.iter().map(|(_, lag)| lag).sum(),
                    lag_by_topic,
                }
            })
            .collect();
        described.sort_by_key(|group| group.group.to_string());
        described
    }
}

impl Contents {
    fn behind(&self, topic: Topic, partition: u32, after: Position) -> impl Iterator<Item = &Received> {
        self.records
            .get(&(topic, partition))
            .into_iter()
            .flat_map(move |records| records.range((Bound::Excluded(after), Bound::Unbounded)))
            .map(|(_, record)| record)
    }

    fn write(&mut self, record: Outgoing, now: i64) {
        let Outgoing { topic, partition, key, value, headers } = record;
        if topic.is_compacted() {
            self.forget(topic, partition, &key);
            self.newest.insert((topic, partition, key.clone()), Position(self.last + 1));
        }
        self.last += 1;
        let position = Position(self.last);
        let received = Received { topic, partition, position, key, value, headers, written_ms: now };
        self.records.entry((topic, partition)).or_default().insert(position, received);
    }

    fn forget(&mut self, topic: Topic, partition: u32, key: &[u8]) {
        if let Some(old) = self.newest.remove(&(topic, partition, key.to_vec()))
            && let Some(records) = self.records.get_mut(&(topic, partition))
        {
            records.remove(&old);
        }
    }

    fn change_state(&mut self, group: Group, entry: StateEntry, now: i64) {
        let topic = Topic::State(group.stage);
        let key = state_key::encode(group.fingerprint, entry.partition, &entry.key);
        match entry.value {
            Some(value) => {
                let headers = Headers { revision: Some(group.fingerprint), ..Headers::default() };
                self.write(Outgoing { topic, partition: 0, key, value, headers }, now);
            }
            None => self.forget(topic, 0, &key),
        }
    }

    fn state(&self, group: Group) -> Vec<StateEntry> {
        let topic = Topic::State(group.stage);
        let (first, end) = state_key::range(group.fingerprint);
        self.newest
            .range((topic, 0, first)..(topic, 0, end))
            .filter_map(|((_, _, key), position)| {
                let (partition, own) = state_key::decode(key)?;
                let record = self.records.get(&(topic, 0))?.get(position)?;
                Some(StateEntry { partition, key: own.to_vec(), value: Some(record.value.clone()) })
            })
            .collect()
    }

    fn require(&self, group: Group, member: u64, epoch: Epoch) -> Result<(), LogError> {
        let lease = self.leases.get(&group);
        let holder = lease.and_then(|lease| lease.holder.as_ref());
        if holder.is_some_and(|holder| holder.member == member)
            && lease.is_some_and(|lease| Epoch(lease.epoch) == epoch)
        {
            return Ok(());
        }
        let holder = holder.map_or("nobody: this member has left", |holder| holder.process.name.as_str());
        Err(LogError::Fenced { group, holder: holder.to_owned() })
    }

    fn lag(&self, group: Group, topic: Topic, partitions: u32) -> u64 {
        (0..checks::partitions_of(topic, partitions))
            .map(|partition| {
                let after = self.positions.get(&(group, topic, partition)).copied();
                self.behind(topic, partition, after.unwrap_or(Position(0))).count() as u64
            })
            .sum()
    }
}
