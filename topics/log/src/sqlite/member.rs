//! A member of a group on the log in SQLite.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use counterpoint_messages::Topic;
use tokio::sync::watch;

use super::{
    Shared,
    lease::Hold,
    read::ReaderSlot,
    writer::{Answer, Work},
};
use crate::{
    Commit, Epoch, LogError, Member, Membership, checks,
    cursors::{Cursors, Limits},
    session::{Assignment, Claim, Page, Session},
};

/// How often a waiting member looks whether the holder has ended or its lease has run out, of which no
/// commit tells.
const LOOK: Duration = Duration::from_millis(250);

/// Pause before a passing fault is tried again.
const RECOVERY: Duration = Duration::from_millis(500);

pub(super) struct SqliteMember {
    shared: Arc<Shared>,
    hold: Arc<Hold>,
    inputs: Vec<Topic>,
}

impl SqliteMember {
    pub(super) fn new(shared: Arc<Shared>, hold: Arc<Hold>, inputs: Vec<Topic>) -> Self {
        Self { shared, hold, inputs }
    }
}

#[async_trait]
impl Member for SqliteMember {
    async fn commit(&self, epoch: Epoch, commit: Commit) -> Result<(), LogError> {
        checks::commit(&commit, &self.inputs, self.shared.partitions)?;
        let hold = Arc::clone(&self.hold);
        self.shared.write(Work::Commit { hold, epoch, commit }).await.map(drop)
    }

    async fn abort(&self, epoch: Epoch) -> Result<(), LogError> {
        // By way of the queue, so that commits before the abort count among what is committed.
        let hold = Arc::clone(&self.hold);
        self.shared.write(Work::Confirm { hold, epoch }).await?;
        self.hold.signals.abort();
        self.shared.wake();
        Ok(())
    }

    async fn leave(&self) -> Result<(), LogError> {
        self.hold.signals.leave();
        self.shared.write(Work::Release(Arc::clone(&self.hold))).await.map(drop)
    }
}

impl Drop for SqliteMember {
    fn drop(&mut self) {
        if !self.hold.signals.has_left() {
            self.hold.signals.leave();
            self.shared.release_later(Arc::clone(&self.hold));
        }
    }
}

pub(super) struct SqliteSession {
    shared: Arc<Shared>,
    hold: Arc<Hold>,
    inputs: Vec<Topic>,
    limits: Limits,
    aborts: u64,
    waiting: bool,
    slot: ReaderSlot,
    changes: watch::Receiver<()>,
}

impl SqliteSession {
    pub(super) fn new(shared: Arc<Shared>, hold: Arc<Hold>, membership: &Membership) -> Self {
        Self {
            inputs: membership.inputs.clone(),
            limits: Limits { records: membership.max_records, bytes: membership.max_bytes },
            aborts: 0,
            waiting: false,
            slot: ReaderSlot::new(shared.file.clone()),
            changes: shared.changes.subscribe(),
            shared,
            hold,
        }
    }
}

#[async_trait]
impl Session for SqliteSession {
    async fn claim(&mut self) -> Result<Claim, LogError> {
        self.changes.borrow_and_update();
        if self.hold.signals.has_left() {
            return Ok(Claim::Left);
        }
        let (hold, shared) = (Arc::clone(&self.hold), Arc::clone(&self.shared));
        let obstacle = self.slot.read(move |reader| reader.obstacle(&hold, &shared.identity)).await?;
        let claim = match obstacle {
            Some(holder) => Claim::Held(holder),
            None => match self.shared.write(Work::Claim(Arc::clone(&self.hold))).await? {
                Answer::Claimed(claim) => claim,
                Answer::Done => Claim::Left,
            },
        };
        self.waiting = matches!(claim, Claim::Held(_));
        Ok(claim)
    }

    async fn assignment(&mut self) -> Result<Assignment, LogError> {
        self.aborts = self.hold.signals.aborts();
        let (hold, inputs, partitions) =
            (Arc::clone(&self.hold), self.inputs.clone(), self.shared.partitions);
        self.slot.read(move |reader| reader.assignment(&hold, &inputs, partitions)).await
    }

    async fn page(&mut self, epoch: Epoch, cursors: &mut Cursors) -> Result<Page, LogError> {
        self.changes.borrow_and_update();
        let (hold, limits, mut moved) = (Arc::clone(&self.hold), self.limits, cursors.clone());
        let (page, moved) = self
            .slot
            .read(move |reader| Ok((reader.member_page(&hold, epoch, &mut moved, limits)?, moved)))
            .await?;
        if self.hold.signals.has_left() {
            return Ok(Page::Left);
        }
        if !matches!(page, Page::Lost(_)) && self.hold.signals.aborts() != self.aborts {
            return Ok(Page::Aborted);
        }
        *cursors = moved;
        Ok(page)
    }

    async fn changed(&mut self) {
        let changed = self.changes.changed();
        if self.waiting {
            // Either way there is something to look at.
            let _ = tokio::time::timeout(LOOK, changed).await;
        } else {
            // The sender lives as long as the log this session holds, so an error cannot come.
            let _ = changed.await;
        }
    }

    async fn recover(&mut self) {
        tokio::time::sleep(RECOVERY).await;
    }
}
