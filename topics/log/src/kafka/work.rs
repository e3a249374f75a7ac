//! The thread of a member that writes: commits one after another, and knows whether it may.

use std::{
    collections::BTreeSet,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use counterpoint_messages::Topic;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::oneshot;

use super::{
    cluster::{Cluster, Locks},
    groups,
    lock::Lock,
    state::{self, Kept, Written},
    transactions::{Standing, Transactions},
};
use crate::{Commit, Epoch, Group, LogError};

/// How long the brokers may take to agree on who belongs to a group.
const AGREEMENT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);
/// How often the client is served while there is nothing to do.
const IDLE: Duration = Duration::from_secs(1);

/// What a member has to have done.
pub(super) enum Job {
    /// Take over these locks.
    Claim(BTreeSet<u32>, oneshot::Sender<Result<Claimed, LogError>>),
    /// Read again what is committed.
    Restore(oneshot::Sender<Result<Kept, LogError>>),
    Commit(Epoch, Commit, oneshot::Sender<Result<(), LogError>>),
    /// Find out whether the epoch still holds, and end what was left undecided.
    Confirm(Epoch, oneshot::Sender<Result<(), LogError>>),
    /// End, after all that came before.
    Leave,
}

/// What a member took over.
pub(super) struct Claimed {
    pub(super) epoch: Epoch,
    pub(super) kept: Kept,
}

/// Who a member is to its group.
enum Place {
    Mine,
    Anothers(String),
    Nobodys,
}

pub(super) struct Worker {
    cluster: Arc<Cluster>,
    group: Group,
    lock: Arc<Lock>,
    transactions: Transactions,
    epoch: Option<Epoch>,
    /// Whether what the last commit came to is not known.
    in_doubt: bool,
    /// What the brokers call this member.
    member: Option<String>,
}

impl Worker {
    pub(super) fn start(
        cluster: &Arc<Cluster>,
        group: Group,
        lock: &Arc<Lock>,
    ) -> Result<mpsc::Sender<Job>, LogError> {
        let (queue, jobs) = mpsc::channel();
        let worker = Self {
            cluster: Arc::clone(cluster),
            group,
            lock: Arc::clone(lock),
            transactions: Transactions::new(cluster, lock.member().to_owned()),
            epoch: None,
            in_doubt: false,
            member: None,
        };
        thread::Builder::new()
            .name("kafka-commit".into())
            .spawn(move || worker.run(&jobs))
            .map_err(|error| cluster.place.unavailable(error))?;
        Ok(queue)
    }

    fn run(mut self, jobs: &mpsc::Receiver<Job>) {
        loop {
            // Whoever asked may have stopped waiting for the answer.
            match jobs.recv_timeout(IDLE) {
                Ok(Job::Claim(locks, reply)) => drop(reply.send(self.claim(&locks))),
                Ok(Job::Restore(reply)) => drop(reply.send(self.restore())),
                Ok(Job::Commit(epoch, commit, reply)) => drop(reply.send(self.commit(epoch, commit))),
                Ok(Job::Confirm(epoch, reply)) => drop(reply.send(self.confirm(epoch))),
                Err(mpsc::RecvTimeoutError::Timeout) => self.transactions.idle(),
                Ok(Job::Leave) | Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn claim(&mut self, locks: &BTreeSet<u32>) -> Result<Claimed, LogError> {
        self.member = Some(self.find_member()?);
        self.transactions.ready()?;
        self.in_doubt = false;
        let kept = self.read(locks)?;
        let last = locks.iter().filter_map(|lock| kept.epochs.get(lock)).max();
        let epoch = Epoch(last.copied().unwrap_or(0).saturating_add(1));
        let fingerprint = self.group.fingerprint;
        let records: Vec<_> =
            locks.iter().map(|lock| Written::State(state::epoch(fingerprint, *lock, epoch))).collect();
        self.transact(&records, &Commit::default(), locks)?;
        self.epoch = Some(epoch);
        Ok(Claimed { epoch, kept })
    }

    fn restore(&mut self) -> Result<Kept, LogError> {
        let locks = self.lock.claimed().unwrap_or_default();
        self.read(&locks)
    }

    fn read(&self, locks: &BTreeSet<u32>) -> Result<Kept, LogError> {
        let partitions = match self.lock.locks() {
            Locks::Whole => None,
            Locks::Split => Some(locks),
        };
        state::read(&self.cluster, self.group, partitions)
    }

    fn commit(&mut self, epoch: Epoch, commit: Commit) -> Result<(), LogError> {
        let locks = self.require(epoch)?;
        if self.in_doubt {
            return Err(self.cluster.place.unavailable("an earlier commit is not decided yet"));
        }
        let fingerprint = self.group.fingerprint;
        let Commit { outputs, state: entries, positions } = commit;
        if self.lock.locks() == Locks::Split
            && let Some((topic, partition, _)) =
                positions.iter().find(|(_, partition, _)| !locks.contains(partition))
        {
            return Err(LogError::invalid(format!("{topic}/{partition} is not assigned to this member")));
        }
        if outputs.is_empty() && entries.is_empty() && positions.is_empty() {
            return Ok(());
        }
        let mut records: Vec<_> = outputs.into_iter().map(Written::Output).collect();
        let entries = entries.into_iter().map(|entry| state::entry(fingerprint, entry));
        let placed = positions
            .iter()
            .map(|(topic, partition, position)| state::position(fingerprint, *topic, *partition, *position));
        records.extend(entries.chain(placed).map(Written::State));
        self.transact(&records, &Commit { positions, ..Commit::default() }, &locks)
    }

    /// Writes in a transaction that the brokers refuse unless the member still belongs to its group.
    fn transact(
        &mut self,
        records: &[Written],
        commit: &Commit,
        locks: &BTreeSet<u32>,
    ) -> Result<(), LogError> {
        let offsets = self.offsets(commit, locks)?;
        let start = Instant::now();
        loop {
            if self.transactions.is_spent() {
                self.stand()?;
                self.transactions.ready()?;
            }
            let Some(member) = self.lock.metadata() else { return Err(self.left()) };
            let standing = Standing { offsets: &offsets, member: &member };
            let Err(failure) = self.transactions.write(Some(self.group), records, Some(&standing)) else {
                return Ok(());
            };
            tracing::debug!(group = self.lock.group(), ?failure, "a transaction failed");
            if failure.undecided {
                self.in_doubt = true;
            }
            if failure.is_of_membership() {
                self.stand()?;
                // The group was about to agree anew, and this member still belongs to it.
                if !failure.undecided && start.elapsed() < AGREEMENT {
                    thread::sleep(PAUSE);
                    continue;
                }
            }
            return Err(failure.error);
        }
    }

    /// Positions, and the locks themselves: a transaction without any offset would not be checked.
    fn offsets(&self, commit: &Commit, locks: &BTreeSet<u32>) -> Result<TopicPartitionList, LogError> {
        let mut list = TopicPartitionList::new();
        let mut add = |name: &str, partition: u32, offset: u64| {
            let partition = i32::try_from(partition).unwrap_or(i32::MAX);
            let offset = Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX));
            list.add_partition_offset(name, partition, offset)
                .map_err(|error| self.cluster.place.fault(&error))
        };
        for (topic, partition, position) in &commit.positions {
            add(&self.cluster.topic(*topic), *partition, position.0)?;
        }
        let name = self.cluster.locks(self.lock.locks());
        for lock in locks {
            add(&name, *lock, 0)?;
        }
        Ok(list)
    }

    fn confirm(&mut self, epoch: Epoch) -> Result<(), LogError> {
        match self.require(epoch) {
            Ok(_) => {}
            // It will be assigned anew in any case.
            Err(LogError::Unavailable { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
        if self.transactions.is_spent() {
            self.stand()?;
            self.transactions.ready()?;
        }
        self.in_doubt = false;
        Ok(())
    }

    /// The locks that the member has under this epoch.
    fn require(&mut self, epoch: Epoch) -> Result<BTreeSet<u32>, LogError> {
        if let Some(holder) = self.lock.successor() {
            return Err(self.fenced(holder));
        }
        match (self.epoch, self.lock.claimed()) {
            (Some(own), Some(locks)) if own == epoch => Ok(locks),
            (Some(own), _) if own >= epoch => {
                self.stand()?;
                Err(self.cluster.place.unavailable("the group is being assigned anew"))
            }
            _ => Err(self.fenced("another owner, under a later epoch".to_owned())),
        }
    }

    /// Waits until it is known whether the member still belongs to its group.
    fn stand(&mut self) -> Result<(), LogError> {
        let start = Instant::now();
        loop {
            match self.place() {
                Ok(Place::Mine) => return Ok(()),
                Ok(Place::Anothers(holder)) => {
                    self.lock.lose(&holder);
                    return Err(self.fenced(holder));
                }
                // Thrown out, and nobody came: it joins again by itself.
                Ok(Place::Nobodys) if start.elapsed() > AGREEMENT || self.lock.claimed().is_none() => {
                    return Err(self.cluster.place.unavailable("the group is being assigned anew"));
                }
                Err(error) if start.elapsed() > AGREEMENT => return Err(error),
                Ok(Place::Nobodys) | Err(_) => thread::sleep(PAUSE),
            }
        }
    }

    fn place(&self) -> Result<Place, LogError> {
        let Some(members) = groups::members(&self.cluster, self.lock.group(), groups::ANSWER)? else {
            return Ok(Place::Nobodys);
        };
        let own = members.iter().find(|seen| Some(&seen.id) == self.member.as_ref());
        let twin = members.iter().find(|seen| self.lock.is_named_like(&seen.id) && own.is_none());
        if let Some(twin) = twin
            && (self.lock.is_fenced() || self.lock.claimed().is_some())
        {
            let name = self.lock.member();
            return Ok(Place::Anothers(format!(
                "{}, which bears the same name {name}: give each process a topics.instance of its own",
                twin.process
            )));
        }
        let is_whole = self.lock.locks() == Locks::Whole;
        // One that is named like this member may be itself: after an absence it has joined under another id.
        let other = members.iter().find(|seen| is_whole && seen.holds && !self.lock.is_named_like(&seen.id));
        Ok(match (own, other) {
            (Some(own), _) if own.holds || !is_whole => Place::Mine,
            (_, Some(other)) => Place::Anothers(other.process.clone()),
            (Some(_), None) => Place::Mine,
            (None, None) => Place::Nobodys,
        })
    }

    /// What the brokers call this member, which has just been given its locks.
    fn find_member(&self) -> Result<String, LogError> {
        let start = Instant::now();
        loop {
            let members =
                groups::members(&self.cluster, self.lock.group(), groups::ANSWER)?.unwrap_or_default();
            match members.into_iter().find(|seen| self.lock.is_named_like(&seen.id)) {
                Some(found) => return Ok(found.id),
                None if self.lock.is_fenced() || start.elapsed() > AGREEMENT => {
                    return Err(self.cluster.place.unavailable("the group does not come to an agreement"));
                }
                None => thread::sleep(PAUSE),
            }
        }
    }

    fn left(&self) -> LogError {
        self.fenced("nobody: this member has left".to_owned())
    }

    fn fenced(&self, holder: String) -> LogError {
        LogError::Fenced { group: self.group, holder }
    }
}

/// The partitions of its inputs that come with these locks.
pub(super) fn places(
    inputs: &[Topic],
    locks: Locks,
    held: &BTreeSet<u32>,
    partitions: impl Fn(Topic) -> u32,
) -> Vec<(Topic, u32)> {
    let all = inputs.iter().flat_map(|topic| (0..partitions(*topic)).map(|partition| (*topic, partition)));
    all.filter(|(_, partition)| locks == Locks::Whole || held.contains(partition)).collect()
}
