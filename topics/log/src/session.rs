//! How a member's events come about: claim, assign, read, until the group is lost or left.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use tokio::sync::oneshot;

use crate::{Epoch, Event, EventStream, LogError, Received, StateEntry, cursors::Cursors};

/// Answer to a member that asks for its group.
#[derive(Debug)]
pub(crate) enum Claim {
    /// The group is the member's.
    Granted(Epoch),
    /// Somebody else has it.
    Held(String),
    /// Somebody else has it, and the member can never get it again.
    Lost(String),
    /// The member left in the meantime.
    Left,
}

/// What a group has committed.
#[derive(Debug)]
pub(crate) struct Assignment {
    pub(crate) cursors: Cursors,
    pub(crate) state: Vec<StateEntry>,
}

/// Outcome of one look at the log.
#[derive(Debug)]
pub(crate) enum Page {
    /// Records of one partition.
    Records(Vec<Received>),
    /// Nothing behind the cursors.
    End,
    /// The member aborted: what was read no longer counts.
    Aborted,
    /// The member is to be assigned other partitions as soon as the receiver is told.
    Revoked(oneshot::Sender<()>),
    /// The member is to be assigned its partitions anew, and can commit nothing until then.
    Unassigned,
    /// Somebody else owns the group.
    Lost(String),
    /// The member left.
    Left,
}

/// What a member tells its stream.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    left: AtomicBool,
    aborts: AtomicU64,
}

impl Signals {
    pub(crate) fn leave(&self) {
        self.left.store(true, Ordering::SeqCst);
    }

    pub(crate) fn has_left(&self) -> bool {
        self.left.load(Ordering::SeqCst)
    }

    pub(crate) fn abort(&self) {
        self.aborts.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn aborts(&self) -> u64 {
        self.aborts.load(Ordering::SeqCst)
    }
}

/// A member's view of the store of its engine.
#[async_trait]
pub(crate) trait Session: Send {
    /// Asks for the group.
    async fn claim(&mut self) -> Result<Claim, LogError>;

    /// What the group has committed.
    async fn assignment(&mut self) -> Result<Assignment, LogError>;

    /// Looks for records behind the cursors and at who owns the group, in one snapshot.
    async fn page(&mut self, epoch: Epoch, cursors: &mut Cursors) -> Result<Page, LogError>;

    /// Returns when something may have changed since the last look.
    async fn changed(&mut self);

    /// Returns when a passing fault is worth another try.
    async fn recover(&mut self);
}

/// The events of a member.
pub(crate) fn events(session: impl Session + 'static) -> EventStream {
    let mut driver = Driver { session, phase: Phase::Claiming { named: None } };
    Box::pin(async_stream::stream! {
        loop {
            match driver.next().await {
                Ok(Some(event)) => yield Ok(event),
                Ok(None) => break,
                Err(error) if error.is_passing() => {
                    driver.has_failed();
                    yield Err(error);
                    driver.session.recover().await;
                }
                Err(error) => {
                    yield Err(error);
                    break;
                }
            }
        }
    })
}

struct Driver<S> {
    session: S,
    phase: Phase,
}

enum Phase {
    Claiming { named: Option<String> },
    Assigning { epoch: Epoch },
    Reading { epoch: Epoch, cursors: Cursors, caught_up: bool },
    Over,
}

impl<S: Session> Driver<S> {
    /// That the end is reached is news once more after a fault: it tells that the fault has passed.
    fn has_failed(&mut self) {
        if let Phase::Reading { caught_up, .. } = &mut self.phase {
            *caught_up = false;
        }
    }

    async fn next(&mut self) -> Result<Option<Event>, LogError> {
        loop {
            match &mut self.phase {
                Phase::Claiming { named } => match self.session.claim().await? {
                    Claim::Granted(epoch) => self.phase = Phase::Assigning { epoch },
                    Claim::Held(holder) if named.as_ref() == Some(&holder) => self.session.changed().await,
                    Claim::Held(holder) => {
                        *named = Some(holder.clone());
                        return Ok(Some(Event::Waiting { holder }));
                    }
                    Claim::Lost(holder) => {
                        self.phase = Phase::Over;
                        return Ok(Some(Event::Fenced { holder }));
                    }
                    Claim::Left => self.phase = Phase::Over,
                },
                Phase::Assigning { epoch } => {
                    let epoch = *epoch;
                    let Assignment { cursors, state } = self.session.assignment().await?;
                    let (partitions, committed) = (cursors.partitions(), cursors.positions());
                    self.phase = Phase::Reading { epoch, cursors, caught_up: false };
                    return Ok(Some(Event::Assigned { epoch, partitions, committed, state }));
                }
                Phase::Reading { epoch, cursors, caught_up } => {
                    match self.session.page(*epoch, cursors).await? {
                        Page::Records(records) => {
                            *caught_up = false;
                            return Ok(Some(Event::Records(records)));
                        }
                        Page::End if *caught_up => self.session.changed().await,
                        Page::End => {
                            *caught_up = true;
                            return Ok(Some(Event::CaughtUp));
                        }
                        Page::Aborted => self.phase = Phase::Assigning { epoch: *epoch },
                        Page::Revoked(ack) => {
                            self.phase = Phase::Claiming { named: None };
                            return Ok(Some(Event::Revoked { ack }));
                        }
                        Page::Unassigned => self.phase = Phase::Claiming { named: None },
                        Page::Lost(holder) => {
                            self.phase = Phase::Over;
                            return Ok(Some(Event::Fenced { holder }));
                        }
                        Page::Left => self.phase = Phase::Over,
                    }
                }
                Phase::Over => return Ok(None),
            }
        }
    }
}
