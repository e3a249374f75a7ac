//! The engine in memory: the same semantics behind one mutex, for tests and simulation.
//!
//! It starts no thread, waits only for what other calls on the same log do, and reads no clock but the
//! one it is given, so a seeded scheduler that polls its streams decides everything that happens.

mod member;
mod store;

use std::sync::Arc;

use async_trait::async_trait;
use counterpoint_messages::Topic;

use crate::{
    EventStream, GroupDescription, LogError, Member, Membership, Outgoing, RecordStream, TopicDescription,
    TopicLog, checks,
    cursors::{Cursors, Limits},
};
use member::{MemoryMember, MemorySession};
use store::{Process, Store};

/// A log in memory, as one process sees it. Clones are the same process.
#[derive(Clone)]
pub struct MemoryLog {
    store: Arc<Store>,
    process: Arc<Process>,
}

impl MemoryLog {
    /// An empty log whose partitioned topics have this many partitions (at least one). Its clock counts
    /// the writes.
    pub fn new(partitions: u32) -> Self {
        let writes = std::sync::atomic::AtomicI64::new(0);
        Self::with_clock(partitions, move || writes.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
    }

    /// An empty log that asks `clock` for the time of each write, in milliseconds since 1970.
    pub fn with_clock(partitions: u32, clock: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        let store = Arc::new(Store::new(partitions.max(1), Box::new(clock)));
        Self { store, process: Arc::new(Process::new("process 1")) }
    }

    /// The same log as another process sees it; `name` is what members that wait for it are told.
    pub fn process(&self, name: &str) -> Self {
        Self { store: Arc::clone(&self.store), process: Arc::new(Process::new(name)) }
    }

    /// Lets the other processes take over this one's groups, as if it had been suspended until its leases
    /// ran out. It is not told, and is fenced as soon as somebody did.
    pub fn suspend(&self) {
        self.process.suspend(true);
        self.store.wake();
    }

    /// Lets a suspended process keep those of its groups that nobody took over, as if it had renewed their
    /// leases.
    pub fn resume(&self) {
        self.process.suspend(false);
    }

    /// Nothing that this process does from now on has any effect, as if it had been killed. Its groups stay
    /// its own until [`MemoryLog::suspend`] says that this was noticed.
    pub fn kill(&self) {
        self.process.kill();
    }
}

#[async_trait]
impl TopicLog for MemoryLog {
    fn partitions(&self, topic: Topic) -> u32 {
        checks::partitions_of(topic, self.store.partitions)
    }

    async fn join(&self, membership: Membership) -> Result<(EventStream, Box<dyn Member>), LogError> {
        checks::membership(&membership)?;
        let member = MemoryMember::new(Arc::clone(&self.store), Arc::clone(&self.process), &membership);
        let session = MemorySession::new(&member, &membership);
        Ok((crate::session::events(session), Box::new(member)))
    }

    async fn append(&self, records: Vec<Outgoing>) -> Result<(), LogError> {
        checks::outputs(&records, self.store.partitions)?;
        self.process.check()?;
        self.store.append(records);
        Ok(())
    }

    fn scan(&self, topic: Topic) -> RecordStream {
        let store = Arc::clone(&self.store);
        Box::pin(async_stream::stream! {
            for record in store.snapshot(topic) {
                yield Ok(record);
            }
        })
    }

    fn follow(&self, topic: Topic) -> RecordStream {
        let store = Arc::clone(&self.store);
        let mut cursors = Cursors::at_beginning(topic, self.partitions(topic));
        Box::pin(async_stream::try_stream! {
            let mut changes = store.changes();
            loop {
                changes.borrow_and_update();
                let page = store.page(&mut cursors, Limits::SCAN)?;
                if page.is_empty() && changes.changed().await.is_err() {
                    break;
                }
                for record in page {
                    yield record;
                }
            }
        })
    }

    async fn topics(&self) -> Result<Vec<TopicDescription>, LogError> {
        Ok(self.store.topics())
    }

    async fn groups(&self) -> Result<Vec<GroupDescription>, LogError> {
        Ok(self.store.groups())
    }
}
