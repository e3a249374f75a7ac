//! A member of a group on the log in memory.

use std::sync::Arc;

use async_trait::async_trait;
use counterpoint_messages::Topic;
use tokio::sync::watch;

use super::store::{Holder, Process, Store};
use crate::{
    Commit, Epoch, Group, LogError, Member, Membership, checks,
    cursors::{Cursors, Limits},
    session::{Assignment, Claim, Page, Session, Signals},
};

pub(super) struct MemoryMember {
    store: Arc<Store>,
    group: Group,
    inputs: Vec<Topic>,
    holder: Holder,
    signals: Arc<Signals>,
}

impl MemoryMember {
    pub(super) fn new(store: Arc<Store>, process: Arc<Process>, membership: &Membership) -> Self {
        let holder = Holder { member: store.new_member(), process };
        let Membership { group, inputs, .. } = membership;
        Self { store, group: *group, inputs: inputs.clone(), holder, signals: Arc::default() }
    }

    fn release(&self) {
        self.signals.leave();
        if self.holder.process.check().is_ok() {
            self.store.release(self.group, self.holder.member);
        }
    }
}

#[async_trait]
impl Member for MemoryMember {
    async fn commit(&self, epoch: Epoch, commit: Commit) -> Result<(), LogError> {
        checks::commit(&commit, &self.inputs, self.store.partitions)?;
        self.holder.process.check()?;
        self.store.commit(self.group, self.holder.member, epoch, commit)
    }

    async fn abort(&self, epoch: Epoch) -> Result<(), LogError> {
        self.store.require(self.group, self.holder.member, epoch)?;
        self.signals.abort();
        self.store.wake();
        Ok(())
    }

    async fn leave(&self) -> Result<(), LogError> {
        self.release();
        Ok(())
    }
}

impl Drop for MemoryMember {
    fn drop(&mut self) {
        self.release();
    }
}

pub(super) struct MemorySession {
    store: Arc<Store>,
    group: Group,
    inputs: Vec<Topic>,
    holder: Holder,
    signals: Arc<Signals>,
    limits: Limits,
    aborts: u64,
    changes: watch::Receiver<()>,
}

impl MemorySession {
    pub(super) fn new(member: &MemoryMember, membership: &Membership) -> Self {
        Self {
            store: Arc::clone(&member.store),
            group: member.group,
            inputs: member.inputs.clone(),
            holder: member.holder.clone(),
            signals: Arc::clone(&member.signals),
            limits: Limits { records: membership.max_records, bytes: membership.max_bytes },
            aborts: 0,
            changes: member.store.changes(),
        }
    }
}

#[async_trait]
impl Session for MemorySession {
    async fn claim(&mut self) -> Result<Claim, LogError> {
        self.changes.borrow_and_update();
        if self.signals.has_left() {
            return Ok(Claim::Left);
        }
        self.holder.process.check()?;
        Ok(self.store.claim(self.group, &self.holder))
    }

    async fn assignment(&mut self) -> Result<Assignment, LogError> {
        self.aborts = self.signals.aborts();
        Ok(self.store.assignment(self.group, &self.inputs))
    }

    async fn page(&mut self, epoch: Epoch, cursors: &mut Cursors) -> Result<Page, LogError> {
        self.changes.borrow_and_update();
        if self.signals.has_left() {
            return Ok(Page::Left);
        }
        if let Some(holder) = self.store.successor(self.group, self.holder.member, epoch) {
            return Ok(Page::Lost(holder));
        }
        if self.signals.aborts() != self.aborts {
            return Ok(Page::Aborted);
        }
        let page = self.store.page(cursors, self.limits)?;
        Ok(if page.is_empty() { Page::End } else { Page::Records(page) })
    }

    async fn changed(&mut self) {
        // The sender lives as long as the store this session holds, so an error cannot come.
        let _ = self.changes.changed().await;
    }

    async fn recover(&mut self) {}
}
