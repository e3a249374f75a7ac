//! The engine on Apache Kafka: many processes on many hosts.
//!
//! ```text
//! stage ◀─events── session ◀── feed ◀── readers (a thread and a client for each input topic)
//!   │                 ▲
//!   │                lock (a thread in the consumer group; holds partitions of a topic without records)
//!   │                 ▼
//!   └──commit──▶ worker (a thread with the transactions) ──▶ outputs, state, positions, the group's offsets
//! ```
//!
//! Every commit is one transaction; whatever reads, reads what is committed. The group's offsets are part of
//! the transaction, so the brokers refuse one of a member that no longer belongs to its group. A writer that
//! begins ends what the last one of its name left open. The same name in two processes therefore means that
//! the newer one fences the older.
//!
//! A commit whose outcome is not known, as the brokers are gone in the middle of it, fails as
//! [`LogError::Unavailable`]; whether it took place is decided before the member is assigned anew.
//!
//! Transactions leave marks in partitions: counts of records by the distance of positions are upper bounds, except
//! that a group with nothing left to read is told to be 0 behind.
//!
//! A reader sees nothing behind a transaction that is open, of whomever. One whose process died is ended by the
//! brokers a few seconds after its time-out of half a minute; so is one that was open when a broker died, once that
//! broker or another is there: who writes in what is kept on a topic of theirs. Should a fault of the brokers' own
//! leave one open for ever (KIP-890 tells how that came about before Kafka 4), readers behind it say so after a minute,
//! with the command that ends it.

mod cluster;
mod config;
mod convert;
mod fault;
mod feed;
mod gaps;
mod groups;
mod lock;
mod member;
mod reader;
mod records;
mod stalls;
mod state;
mod transactions;
mod work;

use std::sync::Arc;

use async_trait::async_trait;
use counterpoint_messages::Topic;
use parking_lot::Mutex;

pub use self::config::KafkaOptions;
use self::{cluster::Cluster, groups::Observer, transactions::Transactions};
use crate::{
    EventStream, GroupDescription, LogError, Member, Membership, Outgoing, RecordStream, TopicDescription,
    TopicLog, checks,
};

/// A log on a Kafka cluster.
pub struct KafkaLog {
    cluster: Arc<Cluster>,
    appends: Arc<Mutex<Transactions>>,
    observer: Arc<Observer>,
}

impl KafkaLog {
    /// Connects to the cluster and creates the topics of the log if need be. Blocks for some seconds where
    /// nobody answers.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] when no broker answers; [`LogError::Invalid`] for settings that cannot be, for
    /// a user that is refused, for topics of another make, and for a log that is not there and not to be created.
    pub fn open(options: &KafkaOptions) -> Result<Self, LogError> {
        let cluster = Arc::new(Cluster::open(options)?);
        let appends = Arc::new(Mutex::new(Transactions::new(&cluster, cluster.appender())));
        Ok(Self { cluster, appends, observer: Arc::default() })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Cluster>) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let cluster = Arc::clone(&self.cluster);
        let done = tokio::task::spawn_blocking(move || work(&cluster)).await;
        done.map_err(|error| self.cluster.place.unavailable(error))?
    }
}

#[async_trait]
impl TopicLog for KafkaLog {
    fn partitions(&self, topic: Topic) -> u32 {
        checks::partitions_of(topic, self.cluster.partitions)
    }

    async fn join(&self, membership: Membership) -> Result<(EventStream, Box<dyn Member>), LogError> {
        checks::membership(&membership)?;
        let (session, member) = member::join(&self.cluster, &membership)?;
        Ok((crate::session::events(session), Box::new(member)))
    }

    async fn append(&self, records: Vec<Outgoing>) -> Result<(), LogError> {
        checks::outputs(&records, self.cluster.partitions)?;
        let appends = Arc::clone(&self.appends);
        self.blocking(move |cluster| records::append(cluster, &appends, records)).await
    }

    fn scan(&self, topic: Topic) -> RecordStream {
        records::scan(&self.cluster, topic)
    }

    fn follow(&self, topic: Topic) -> RecordStream {
        records::follow(&self.cluster, topic)
    }

    async fn topics(&self) -> Result<Vec<TopicDescription>, LogError> {
        self.blocking(records::describe).await
    }

    async fn groups(&self) -> Result<Vec<GroupDescription>, LogError> {
        let observer = Arc::clone(&self.observer);
        self.blocking(move |cluster| groups::describe(cluster, &observer)).await
    }
}
