//! A member of a group on Kafka.

use std::{
    collections::BTreeSet,
    sync::{Arc, mpsc},
    time::Duration,
};

use async_trait::async_trait;
use counterpoint_messages::Topic;
use tokio::sync::{oneshot, watch};

use super::{
    cluster::{Cluster, Locks},
    feed::{Feeding, Serving},
    groups,
    lock::{Lock, Standing},
    state::Kept,
    work::{Claimed, Job, Worker, places},
};
use crate::{
    Commit, Epoch, Group, LogError, Member, Membership, Position, checks,
    cursors::{Cursor, Cursors, Limits},
    session::{Assignment, Claim, Page, Session, Signals},
};

/// How often a member that waits asks who holds the group.
const LOOK: Duration = Duration::from_millis(500);
/// How long to wait before asking again after a passing fault.
const RECOVERY: Duration = Duration::from_secs(1);
/// How long a stage may take to commit what it has in flight.
const GRACE: Duration = Duration::from_secs(30);

/// What a member and its stream share.
struct Shared {
    cluster: Arc<Cluster>,
    group: Group,
    lock: Arc<Lock>,
    jobs: mpsc::Sender<Job>,
    signals: Signals,
    changes: Arc<watch::Sender<()>>,
}

impl Shared {
    /// Has the worker do it.
    async fn done<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, LogError>>) -> Job,
    ) -> Result<T, LogError> {
        let (reply, answer) = oneshot::channel();
        // It ends only after it was told to, by a member that left.
        let gone =
            || LogError::Fenced { group: self.group, holder: "nobody: this member has left".to_owned() };
        self.jobs.send(job(reply)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    fn leave(&self) {
        if !self.signals.has_left() {
            self.signals.leave();
            // Fails only when it has ended.
            let _ = self.jobs.send(Job::Leave);
            self.lock.leave();
        }
    }
}

pub(super) struct KafkaMember {
    shared: Arc<Shared>,
    inputs: Vec<Topic>,
}

/// A member that has not joined its group yet, and the session that does so when it is polled.
pub(super) fn join(
    cluster: &Arc<Cluster>,
    membership: &Membership,
) -> Result<(KafkaSession, KafkaMember), LogError> {
    let Membership { group, instance, inputs, exclusive, max_records, max_bytes } = membership;
    super::cluster::check_name("topics.instance", instance)?;
    let is_whole = *exclusive || !inputs.iter().any(|topic| topic.is_partitioned());
    let locks = if is_whole { Locks::Whole } else { Locks::Split };
    let changes = Arc::new(watch::Sender::new(()));
    let member = cluster.member(group.stage, instance);
    let lock = Arc::new(Lock::new(cluster, cluster.group(*group), member, locks, &changes));
    let jobs = Worker::start(cluster, *group, &lock)?;
    let shared = Arc::new(Shared {
        cluster: Arc::clone(cluster),
        group: *group,
        lock,
        jobs,
        signals: Signals::default(),
        changes,
    });
    let session = KafkaSession {
        inputs: inputs.clone(),
        limits: Limits { records: *max_records, bytes: *max_bytes },
        aborts: 0,
        changed: shared.changes.subscribe(),
        revoked: None,
        owned: false,
        kept: None,
        feeding: None,
        waiting: false,
        shared: Arc::clone(&shared),
    };
    Ok((session, KafkaMember { shared, inputs: inputs.clone() }))
}

#[async_trait]
impl Member for KafkaMember {
    async fn commit(&self, epoch: Epoch, commit: Commit) -> Result<(), LogError> {
        checks::commit(&commit, &self.inputs, self.shared.cluster.partitions)?;
        self.shared.done(|reply| Job::Commit(epoch, commit, reply)).await
    }

    async fn abort(&self, epoch: Epoch) -> Result<(), LogError> {
        // By way of the queue, so that commits before the abort count among what is committed.
        self.shared.done(|reply| Job::Confirm(epoch, reply)).await?;
        self.shared.signals.abort();
        self.shared.changes.send_replace(());
        Ok(())
    }

    async fn leave(&self) -> Result<(), LogError> {
        let mut changed = self.shared.changes.subscribe();
        self.shared.leave();
        while !self.shared.lock.is_closed() {
            // The sender lives as long as this member, so an error cannot come.
            let _ = changed.changed().await;
        }
        Ok(())
    }
}

impl Drop for KafkaMember {
    fn drop(&mut self) {
        self.shared.leave();
    }
}

pub(super) struct KafkaSession {
    shared: Arc<Shared>,
    inputs: Vec<Topic>,
    limits: Limits,
    aborts: u64,
    changed: watch::Receiver<()>,
    /// Told when the stage has committed what it had in flight.
    revoked: Option<oneshot::Receiver<()>>,
    /// Whether the group was this member's before.
    owned: bool,
    /// What was committed when the group was claimed, until it is asked for.
    kept: Option<Kept>,
    feeding: Option<Feeding>,
    waiting: bool,
}

impl KafkaSession {
    /// Takes over the locks.
    async fn take(&mut self, locks: BTreeSet<u32>) -> Result<Option<Epoch>, LogError> {
        let wanted = locks.clone();
        let Claimed { epoch, kept } = self.shared.done(|reply| Job::Claim(wanted, reply)).await?;
        if !self.shared.lock.claim(&locks) {
            return Ok(None);
        }
        (self.kept, self.owned, self.waiting) = (Some(kept), true, false);
        Ok(Some(epoch))
    }

    /// Who holds the group, for people.
    async fn holder(&self) -> Result<Option<String>, LogError> {
        let (cluster, name) = (Arc::clone(&self.shared.cluster), self.shared.lock.group().to_owned());
        let place = cluster.place.clone();
        let asked =
            tokio::task::spawn_blocking(move || groups::members(&cluster, &name, groups::ANSWER)).await;
        let members = asked.map_err(|error| place.unavailable(error))??;
        Ok(groups::holders(members.unwrap_or_default()))
    }

    async fn wait(&mut self) {
        // Either way there is something to look at.
        let _ = tokio::time::timeout(LOOK, self.changed.changed()).await;
    }
}

#[async_trait]
impl Session for KafkaSession {
    async fn claim(&mut self) -> Result<Claim, LogError> {
        self.feeding = None;
        if let Some(revoked) = self.revoked.take() {
            // Dropping it is as good as telling.
            let _ = tokio::time::timeout(GRACE, revoked).await;
            self.shared.lock.acknowledge();
        }
        loop {
            self.changed.borrow_and_update();
            if self.shared.signals.has_left() {
                return Ok(Claim::Left);
            }
            self.shared.lock.join()?;
            match self.shared.lock.standing()? {
                Standing::Left => return Ok(Claim::Left),
                Standing::Joining => self.wait().await,
                Standing::Fenced => return Ok(Claim::Lost(self.twin().await)),
                Standing::Lost(holder) => return Ok(Claim::Lost(holder)),
                Standing::Holds(locks) => {
                    if let Some(epoch) = self.take(locks).await? {
                        return Ok(Claim::Granted(epoch));
                    }
                }
                Standing::Idle => match self.holder().await? {
                    Some(holder) if self.owned && self.shared.lock.locks() == Locks::Whole => {
                        return Ok(Claim::Lost(holder));
                    }
                    Some(holder) => {
                        self.waiting = true;
                        return Ok(Claim::Held(holder));
                    }
                    None => self.wait().await,
                },
            }
        }
    }

    async fn assignment(&mut self) -> Result<Assignment, LogError> {
        self.aborts = self.shared.signals.aborts();
        self.feeding = None;
        let kept = match self.kept.take() {
            Some(kept) => kept,
            None => self.shared.done(Job::Restore).await?,
        };
        let held = self.shared.lock.claimed().unwrap_or_default();
        let split = self.shared.cluster.partitions;
        let places = places(&self.inputs, self.shared.lock.locks(), &held, |topic| {
            checks::partitions_of(topic, split)
        });
        let after = |place: &(Topic, u32)| kept.positions.get(place).copied().unwrap_or(Position(0));
        let from: Vec<_> = places.iter().map(|place| (place.0, place.1, after(place))).collect();
        let cursors = from.iter().map(|(topic, partition, after)| Cursor {
            topic: *topic,
            partition: *partition,
            after: *after,
        });
        let cursors = Cursors::new(cursors.collect());
        self.feeding =
            Some(Feeding::start(&self.shared.cluster, &from, self.limits.bytes, &self.shared.changes)?);
        Ok(Assignment { cursors, state: kept.entries })
    }

    async fn page(&mut self, _: Epoch, _: &mut Cursors) -> Result<Page, LogError> {
        loop {
            self.changed.borrow_and_update();
            if self.shared.signals.has_left() {
                return Ok(Page::Left);
            }
            // Before aborts: what is committed under a claim that is gone fails, is aborted, fails again.
            if self.shared.lock.claimed().is_none() {
                return Ok(Page::Unassigned);
            }
            if self.shared.signals.aborts() != self.aborts {
                return Ok(Page::Aborted);
            }
            if self.shared.lock.is_changing() {
                let (ack, revoked) = oneshot::channel();
                self.revoked = Some(revoked);
                return Ok(Page::Revoked(ack));
            }
            let Some(feeding) = &self.feeding else { return Ok(Page::Aborted) };
            match feeding.next(self.limits)? {
                Serving::Records(records) => return Ok(Page::Records(records)),
                Serving::End => return Ok(Page::End),
                Serving::Nothing => self.wait().await,
            }
        }
    }

    async fn changed(&mut self) {
        if self.waiting {
            self.wait().await;
        } else {
            // The sender lives as long as this session, so an error cannot come.
            let _ = self.changed.changed().await;
        }
    }

    async fn recover(&mut self) {
        let _ = tokio::time::timeout(RECOVERY, self.changed.changed()).await;
    }
}

impl KafkaSession {
    /// The process that bears this member's name.
    async fn twin(&self) -> String {
        let name = self.shared.lock.member();
        let process = self.holder().await.ok().flatten().unwrap_or_else(|| "another process".to_owned());
        format!("{process}, which bears the same name {name}: give each process a topics.instance of its own")
    }
}
