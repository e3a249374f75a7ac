//! Membership of a consumer group, which says who may work on which partitions.
//!
//! The group does not subscribe to what its stage reads but to a topic without records, whose partitions are
//! locks: one for the whole group where one member must own everything, else one for each partition of the
//! partitioned topics. All inputs of a partition and its state therefore go to one member together, and
//! reading has nothing to do with rebalancing.
//!
//! A thread polls as long as the member lives, whatever its stage does. Assignments are cooperative and
//! sticky: a member keeps what it has when another comes. What is taken away is first offered back to the
//! stage, to commit what it has in flight.

use std::{
    collections::BTreeSet,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rdkafka::{
    ClientContext, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata},
    error::{KafkaError, RDKafkaErrorCode as Code},
    types::RDKafkaRespErr,
};
use tokio::sync::watch;

use super::{
    cluster::{Cluster, Locks},
    config, fault, groups,
};
use crate::LogError;

/// How often the thread looks at what it is told by others.
const GLANCE: Duration = Duration::from_millis(50);
/// How long a stage may take to commit what it has in flight when its partitions go to another member.
const GRACE: Duration = Duration::from_secs(30);
/// How long leaving may take.
const PARTING: Duration = Duration::from_secs(5);

/// What the brokers ask of the member.
enum Change {
    Assigned(Vec<u32>),
    Revoked { partitions: TopicPartitionList, lost: bool },
}

/// Notes changes as they come; the thread acts on them outside the callback.
#[derive(Default)]
struct Notes(Mutex<Vec<Change>>);

impl ClientContext for Notes {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        fault::log_line(level, facility, line);
    }
}

impl ConsumerContext for Notes {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let change = if what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            if let Err(error) = consumer.incremental_assign(partitions) {
                tracing::warn!(%error, "a partition of a group cannot be taken");
            }
            Change::Assigned(numbers(partitions))
        } else {
            Change::Revoked { partitions: partitions.clone(), lost: consumer.assignment_lost() }
        };
        self.0.lock().push(change);
    }
}

fn numbers(partitions: &TopicPartitionList) -> Vec<u32> {
    partitions.elements().iter().map(|element| element.partition().unsigned_abs()).collect()
}

/// What a member may do, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not told yet.
    Joining,
    /// In the group, without a lock.
    Idle,
    /// Holds these.
    Holds(BTreeSet<u32>),
    /// Another process bears the member's name.
    Fenced,
    /// The group went to another member for good.
    Lost(String),
    /// Left, or is leaving.
    Left,
}

#[derive(Default)]
struct Inner {
    joined: bool,
    assigned: BTreeSet<u32>,
    /// What the stage was told that it has; `None` if that is no longer so.
    claimed: Option<BTreeSet<u32>>,
    revoking: Option<(TopicPartitionList, Instant)>,
    acknowledged: bool,
    fenced: bool,
    successor: Option<String>,
    leaving: bool,
    closed: bool,
    fault: Option<LogError>,
    consumer: Option<Arc<BaseConsumer<Notes>>>,
}

/// A member's hold on its group.
pub(super) struct Lock {
    cluster: Arc<Cluster>,
    group: String,
    member: String,
    locks: Locks,
    inner: Mutex<Inner>,
    changes: Arc<watch::Sender<()>>,
}

impl Lock {
    pub(super) fn new(
        cluster: &Arc<Cluster>,
        group: String,
        member: String,
        locks: Locks,
        changes: &Arc<watch::Sender<()>>,
    ) -> Self {
        Self {
            cluster: Arc::clone(cluster),
            group,
            member,
            locks,
            inner: Mutex::default(),
            changes: Arc::clone(changes),
        }
    }

    pub(super) fn group(&self) -> &str {
        &self.group
    }

    pub(super) fn member(&self) -> &str {
        &self.member
    }

    pub(super) fn locks(&self) -> Locks {
        self.locks
    }

    /// Joins the group, the first time it is called.
    pub(super) fn join(self: &Arc<Self>) -> Result<(), LogError> {
        let mut inner = self.inner.lock();
        if inner.consumer.is_some() || inner.leaving {
            return Ok(());
        }
        let place = &self.cluster.place;
        let config = config::member(&self.cluster.base, &self.group, &self.member);
        let consumer: BaseConsumer<Notes> =
            config.create_with_context(Notes::default()).map_err(|error| place.fault(&error))?;
        consumer.subscribe(&[&self.cluster.locks(self.locks)]).map_err(|error| place.fault(&error))?;
        let consumer = Arc::new(consumer);
        inner.consumer = Some(Arc::clone(&consumer));
        let lock = Arc::clone(self);
        thread::Builder::new()
            .name("kafka-group".into())
            .spawn(move || lock.serve(consumer))
            .map_err(|error| place.unavailable(error))?;
        Ok(())
    }

    /// How things stand, or what is wrong.
    pub(super) fn standing(&self) -> Result<Standing, LogError> {
        let mut inner = self.inner.lock();
        if let Some(fault) = inner.fault.take() {
            return Err(fault);
        }
        Ok(if inner.leaving {
            Standing::Left
        } else if let Some(holder) = &inner.successor {
            Standing::Lost(holder.clone())
        } else if inner.fenced {
            Standing::Fenced
        } else if !inner.joined || inner.revoking.is_some() {
            Standing::Joining
        } else if inner.assigned.is_empty() {
            Standing::Idle
        } else {
            Standing::Holds(inner.assigned.clone())
        })
    }

    /// The stage is given these, unless they have changed meanwhile.
    pub(super) fn claim(&self, partitions: &BTreeSet<u32>) -> bool {
        let mut inner = self.inner.lock();
        let may_work = inner.joined && !inner.leaving && !inner.fenced && inner.successor.is_none();
        let is_so = may_work && inner.assigned == *partitions;
        inner.claimed = is_so.then(|| partitions.clone());
        is_so
    }

    /// What the stage has, if it still has it.
    pub(super) fn claimed(&self) -> Option<BTreeSet<u32>> {
        self.inner.lock().claimed.clone()
    }

    /// Whether the stage should commit and be assigned anew.
    pub(super) fn is_changing(&self) -> bool {
        let inner = self.inner.lock();
        inner.claimed.as_ref().is_some_and(|claimed| inner.revoking.is_some() || *claimed != inner.assigned)
    }

    /// The stage has nothing in flight any more.
    pub(super) fn acknowledge(&self) {
        let mut inner = self.inner.lock();
        inner.claimed = None;
        inner.acknowledged = true;
    }

    pub(super) fn is_fenced(&self) -> bool {
        self.inner.lock().fenced
    }

    /// Who took the group over, once that is known.
    pub(super) fn successor(&self) -> Option<String> {
        self.inner.lock().successor.clone()
    }

    /// The group is this holder's: the member works no more, whatever its own client knows of it.
    pub(super) fn lose(&self, holder: &str) {
        let mut inner = self.inner.lock();
        inner.successor = Some(holder.to_owned());
        inner.claimed = None;
        drop(inner);
        self.changes.send_replace(());
    }

    /// The member as the brokers know it now.
    pub(super) fn metadata(&self) -> Option<ConsumerGroupMetadata> {
        let consumer = self.inner.lock().consumer.clone();
        consumer.and_then(|consumer| consumer.group_metadata())
    }

    /// Leaves; the thread sees to it.
    pub(super) fn leave(&self) {
        let mut inner = self.inner.lock();
        inner.leaving = true;
        inner.claimed = None;
        if inner.consumer.is_none() {
            inner.closed = true;
        }
        drop(inner);
        self.changes.send_replace(());
    }

    /// Whether the group has been left.
    pub(super) fn is_closed(&self) -> bool {
        self.inner.lock().closed
    }

    fn serve(&self, consumer: Arc<BaseConsumer<Notes>>) {
        while !self.inner.lock().leaving {
            if let Some(Err(error)) = consumer.poll(GLANCE) {
                self.failed(&error);
            }
            self.apply(&consumer);
        }
        // Unlike closing, this makes even a member with a name of its own leave at once.
        consumer.unsubscribe();
        let start = Instant::now();
        while !self.inner.lock().assigned.is_empty() && start.elapsed() < PARTING {
            // What it says now no longer matters.
            let _ = consumer.poll(GLANCE);
            self.apply(&consumer);
        }
        // A member with a name of its own that is closed before it has said so says nothing at all, and whoever comes
        // next waits until its session is over.
        while self.may_be_member() && start.elapsed() < PARTING {
            let _ = consumer.poll(GLANCE);
        }
        self.inner.lock().consumer = None;
        drop(consumer);
        self.inner.lock().closed = true;
        self.changes.send_replace(());
    }

    /// Whether the brokers may still count it among the members; what cannot be asked is not waited for.
    fn may_be_member(&self) -> bool {
        let inner = self.inner.lock();
        if !inner.joined || inner.fenced || inner.successor.is_some() {
            return false;
        }
        drop(inner);
        match groups::members(&self.cluster, &self.group, PARTING) {
            Ok(Some(members)) => members.iter().any(|seen| self.is_named_like(&seen.id)),
            Ok(None) => true,
            Err(_) => false,
        }
    }

    /// Brokers call a member with a name of its own by that name and something random.
    pub(super) fn is_named_like(&self, id: &str) -> bool {
        id.strip_prefix(self.member.as_str()).is_some_and(|rest| rest.starts_with('-') && rest.len() == 37)
    }

    fn failed(&self, error: &KafkaError) {
        tracing::debug!(group = self.group, %error, "a member of a group has trouble");
        let mut inner = self.inner.lock();
        match error {
            KafkaError::MessageConsumptionFatal(_) => {
                inner.fenced = true;
                inner.claimed = None;
            }
            error => match error.rdkafka_error_code() {
                // There are no records, so that nothing is lost; and those who write or read notice as well.
                Some(
                    Code::AllBrokersDown
                    | Code::BrokerTransportFailure
                    | Code::Resolve
                    | Code::OperationTimedOut
                    | Code::AutoOffsetReset
                    | Code::PollExceeded,
                ) => {}
                _ => inner.fault = Some(self.cluster.place.fault(error)),
            },
        }
        drop(inner);
        self.changes.send_replace(());
    }

    /// Acts on what the brokers asked for.
    fn apply(&self, consumer: &BaseConsumer<Notes>) {
        let changes = std::mem::take(&mut *consumer.context().0.lock());
        let mut inner = self.inner.lock();
        let mut has_changed = !changes.is_empty();
        for change in changes {
            match change {
                Change::Assigned(partitions) => {
                    tracing::debug!(group = self.group, ?partitions, "locks given");
                    inner.joined = true;
                    inner.assigned.extend(partitions);
                }
                Change::Revoked { partitions, lost } => {
                    let concerned = numbers(&partitions);
                    tracing::debug!(group = self.group, partitions = ?concerned, lost, "locks taken back");
                    let is_in_use = inner
                        .claimed
                        .as_ref()
                        .is_some_and(|claimed| concerned.iter().any(|partition| claimed.contains(partition)));
                    if lost {
                        inner.joined = false;
                    }
                    if is_in_use && !lost && !inner.leaving {
                        inner.acknowledged = false;
                        inner.revoking = Some((partitions, Instant::now()));
                    } else {
                        inner.give_up(consumer, &partitions);
                    }
                }
            }
        }
        let may_go = |inner: &Inner| {
            inner.acknowledged
                || inner.leaving
                || inner.revoking.as_ref().is_some_and(|(_, since)| since.elapsed() > GRACE)
        };
        if inner.revoking.is_some()
            && may_go(&inner)
            && let Some((partitions, _)) = inner.revoking.take()
        {
            inner.give_up(consumer, &partitions);
            has_changed = true;
        }
        drop(inner);
        if has_changed {
            self.changes.send_replace(());
        }
    }
}

impl Inner {
    fn give_up(&mut self, consumer: &BaseConsumer<Notes>, partitions: &TopicPartitionList) {
        let concerned = numbers(partitions);
        if self.claimed.as_ref().is_some_and(|claimed| concerned.iter().any(|p| claimed.contains(p))) {
            self.claimed = None;
        }
        self.assigned.retain(|partition| !concerned.contains(partition));
        if let Err(error) = consumer.incremental_unassign(partitions) {
            tracing::debug!(%error, "a partition of a group is gone already");
        }
    }
}
