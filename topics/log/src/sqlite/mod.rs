//! The engine on SQLite: one file, several processes on one host.
//!
//! ```text
//! members, append ──▶ bounded queue ──▶ writer thread ──▶ topics.sqlite3 ◀── readers (one connection each)
//!                                            └── wakes ──▶ streams ◀── wakes ── watcher thread
//! ```
//!
//! One writer is at work at a time, over all processes, so the order of positions is the order of commits:
//! a reader that has seen a position will never see a smaller one appear. The writer makes everything that
//! waits in the queue durable with one sync. The watcher notices what other processes commit, and renews
//! the leases of this one. WAL needs shared memory, so the folder must lie on a file system of this host.

mod apply;
mod file;
mod identity;
mod lease;
mod member;
mod read;
mod schema;
mod watcher;
mod writer;

use std::{
    path::Path,
    sync::{Arc, Weak},
    time::Duration,
};

use async_trait::async_trait;
use counterpoint_messages::Topic;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    EventStream, GroupDescription, LogError, Member, Membership, Outgoing, RecordStream, TopicDescription,
    TopicLog, checks,
    cursors::{Cursors, Limits},
};
use file::LogFile;
use identity::Identity;
use lease::Hold;
use member::{SqliteMember, SqliteSession};
use read::ReaderSlot;
use writer::{Answer, Request, Work};

/// How a log is opened.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// Partitions of the partitioned topics, at least one; decided when the log is created, and ignored
    /// for one that is there.
    pub partitions: u32,
    /// Whether a log that is not there is created.
    pub create: bool,
    /// How long a group stays its holder's without being renewed.
    pub lease: Duration,
    /// How often leases are renewed.
    pub renewal: Duration,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { partitions: 4, create: true, lease: Duration::from_secs(10), renewal: Duration::from_secs(2) }
    }
}

/// A log in one SQLite file.
pub struct SqliteLog {
    shared: Arc<Shared>,
}

/// What members, streams and threads of one open log share.
struct Shared {
    file: LogFile,
    partitions: u32,
    identity: Identity,
    queue: mpsc::Sender<Request>,
    changes: Arc<watch::Sender<()>>,
    holds: Mutex<Vec<Weak<Hold>>>,
}

impl SqliteLog {
    /// Opens the log in this folder, creating both if need be.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] for a damaged file, [`LogError::Full`] without space, [`LogError::Invalid`] for a
    /// folder that cannot be written, for a file of another program or of a newer version, and for a log
    /// that is not there and not to be created.
    pub fn open(folder: &Path, options: SqliteOptions) -> Result<Self, LogError> {
        let file = LogFile::in_folder(folder);
        let partitions = schema::prepare(&file, &options)?;
        let identity = Identity::of_this_process().map_err(|error| file.unavailable(error))?;
        let changes = Arc::new(watch::Sender::new(()));
        let queue = writer::start(&file, &identity, options.lease, Arc::clone(&changes))?;
        let shared = Arc::new(Shared { file, partitions, identity, queue, changes, holds: Mutex::default() });
        watcher::start(&shared, options.renewal)?;
        Ok(Self { shared })
    }
}

impl Shared {
    /// Has the writer do it, and waits until that is durable.
    async fn write(&self, work: Work) -> Result<Answer, LogError> {
        let (reply, answer) = oneshot::channel();
        let stopped = || self.file.unavailable("its writer has stopped");
        self.queue.send(Request { work, reply }).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Has the writer give a group back some time, or not at all when its queue is full.
    fn release_later(&self, hold: Arc<Hold>) {
        let (reply, _) = oneshot::channel();
        let request = Request { work: Work::Release(hold), reply };
        if self.queue.try_send(request).is_err() {
            tracing::debug!(place = %self.file, "the log's queue is full: the lease runs out by itself");
        }
    }

    /// Has the writer renew what this process holds. Waits for room in its queue, so that no load makes a
    /// process lose its groups; to be called on a thread of its own.
    fn renew(&self) {
        let holds = self.holds();
        if !holds.is_empty() {
            let (reply, _) = oneshot::channel();
            // Without a writer there is nothing to hold.
            let _ = self.queue.blocking_send(Request { work: Work::Renew(holds), reply });
        }
    }

    fn wake(&self) {
        self.changes.send_replace(());
    }

    fn keep(&self, hold: &Arc<Hold>) {
        let mut holds = self.holds.lock();
        holds.retain(|hold| hold.strong_count() > 0);
        holds.push(Arc::downgrade(hold));
    }

    /// The members of this process that have not left.
    fn holds(&self) -> Vec<Arc<Hold>> {
        let holds = self.holds.lock();
        holds.iter().filter_map(Weak::upgrade).filter(|hold| !hold.signals.has_left()).collect()
    }
}

#[async_trait]
impl TopicLog for SqliteLog {
    fn partitions(&self, topic: Topic) -> u32 {
        checks::partitions_of(topic, self.shared.partitions)
    }

    async fn join(&self, membership: Membership) -> Result<(EventStream, Box<dyn Member>), LogError> {
        checks::membership(&membership)?;
        let hold = Arc::new(Hold::new(membership.group, &self.shared.identity));
        self.shared.keep(&hold);
        let session = SqliteSession::new(Arc::clone(&self.shared), Arc::clone(&hold), &membership);
        let member = SqliteMember::new(Arc::clone(&self.shared), hold, membership.inputs);
        Ok((crate::session::events(session), Box::new(member)))
    }

    async fn append(&self, records: Vec<Outgoing>) -> Result<(), LogError> {
        checks::outputs(&records, self.shared.partitions)?;
        self.shared.write(Work::Append(records)).await.map(drop)
    }

    fn scan(&self, topic: Topic) -> RecordStream {
        let mut slot = ReaderSlot::new(self.shared.file.clone());
        let partitions = self.partitions(topic);
        Box::pin(async_stream::try_stream! {
            // One transaction for all pages: compaction between two pages must not hide a key.
            slot.read(|reader| reader.begin()).await?;
            for partition in 0..partitions {
                let mut after = crate::Position(0);
                loop {
                    let page =
                        slot.read(move |reader| reader.page(topic, partition, after, Limits::SCAN)).await?;
                    let Some(last) = page.last() else { break };
                    after = last.position;
                    for record in page {
                        yield record;
                    }
                }
            }
        })
    }

    fn follow(&self, topic: Topic) -> RecordStream {
        let mut slot = ReaderSlot::new(self.shared.file.clone());
        let shared = Arc::clone(&self.shared);
        let mut cursors = Cursors::at_beginning(topic, self.partitions(topic));
        Box::pin(async_stream::try_stream! {
            let mut changes = shared.changes.subscribe();
            loop {
                changes.borrow_and_update();
                let mut moved = cursors.clone();
                let (page, moved) = slot
                    .read(move |reader| Ok((reader.next_page(&mut moved, Limits::SCAN)?, moved)))
                    .await?;
                cursors = moved;
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
        let partitions = self.shared.partitions;
        ReaderSlot::new(self.shared.file.clone()).read(move |reader| reader.topics(partitions)).await
    }

    async fn groups(&self) -> Result<Vec<GroupDescription>, LogError> {
        let (partitions, identity) = (self.shared.partitions, self.shared.identity.clone());
        ReaderSlot::new(self.shared.file.clone())
            .read(move |reader| reader.groups(partitions, &identity))
            .await
    }
}
