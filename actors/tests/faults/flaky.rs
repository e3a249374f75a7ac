//! A log that fails now and then.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use counterpoint_log::{
    Commit, Epoch, EventStream, GroupDescription, LogError, Member, Membership, Outgoing, RecordStream,
    TopicDescription, TopicLog,
};
use counterpoint_messages::Topic;

/// Passes everything on, apart from every n-th commit or abort, which does not answer.
pub struct FlakyLog {
    inner: Arc<dyn TopicLog>,
    calls: Arc<Calls>,
}

struct Calls {
    made: AtomicUsize,
    every: usize,
}

impl Calls {
    fn next(&self) -> Result<(), LogError> {
        match self.made.fetch_add(1, Ordering::Relaxed) % self.every {
            0 => Err(LogError::Unavailable { place: "here".to_owned(), detail: "for a moment".to_owned() }),
            _ => Ok(()),
        }
    }
}

impl FlakyLog {
    pub fn new(inner: Arc<dyn TopicLog>, every: usize) -> Self {
        Self { inner, calls: Arc::new(Calls { made: AtomicUsize::new(1), every }) }
    }
}

#[async_trait]
impl TopicLog for FlakyLog {
    fn partitions(&self, topic: Topic) -> u32 {
        self.inner.partitions(topic)
    }

    async fn join(&self, membership: Membership) -> Result<(EventStream, Box<dyn Member>), LogError> {
        let (events, inner) = self.inner.join(membership).await?;
        Ok((events, Box::new(FlakyMember { inner, calls: Arc::clone(&self.calls) })))
    }

    async fn append(&self, records: Vec<Outgoing>) -> Result<(), LogError> {
        self.inner.append(records).await
    }

    fn scan(&self, topic: Topic) -> RecordStream {
        self.inner.scan(topic)
    }

    fn follow(&self, topic: Topic) -> RecordStream {
        self.inner.follow(topic)
    }

    async fn topics(&self) -> Result<Vec<TopicDescription>, LogError> {
        self.inner.topics().await
    }

    async fn groups(&self) -> Result<Vec<GroupDescription>, LogError> {
        self.inner.groups().await
    }
}

struct FlakyMember {
    inner: Box<dyn Member>,
    calls: Arc<Calls>,
}

#[async_trait]
impl Member for FlakyMember {
    async fn commit(&self, epoch: Epoch, commit: Commit) -> Result<(), LogError> {
        self.calls.next()?;
        self.inner.commit(epoch, commit).await
    }

    async fn abort(&self, epoch: Epoch) -> Result<(), LogError> {
        self.calls.next()?;
        self.inner.abort(epoch).await
    }

    async fn leave(&self) -> Result<(), LogError> {
        self.inner.leave().await
    }
}
