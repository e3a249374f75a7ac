//! The trait every engine implements.

use async_trait::async_trait;
use counterpoint_messages::Topic;

use crate::{EventStream, Group, LogError, Member, Membership, Outgoing, RecordStream};

/// A topic as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    /// Topic.
    pub topic: Topic,
    /// Number of partitions.
    pub partitions: u32,
    /// Records kept. An engine that can only tell by the distance of positions counts their gaps as well.
    pub records: u64,
    /// Bytes of their keys and values; an engine that would have to read them all estimates by the newest.
    pub bytes: u64,
    /// When the newest was written, in milliseconds since 1970.
    pub newest_ms: Option<i64>,
}

/// A group as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    /// Group.
    pub group: Group,
    /// Process that owns it now.
    pub holder: Option<String>,
    /// Records written behind the committed positions of the topics of which it has committed any; counted
    /// as [`TopicDescription::records`], but 0 exactly if there is none and no commit of anybody is under way.
    pub lag: u64,
    /// The same for each of those topics.
    pub lag_by_topic: Vec<(Topic, u64)>,
}

/// The topic log. Every engine passes the contract test suite (feature `contract`).
#[async_trait]
pub trait TopicLog: Send + Sync {
    /// Number of partitions of a topic.
    fn partitions(&self, topic: Topic) -> u32;

    /// Joins a group. The group is claimed when the stream is first polled.
    ///
    /// # Errors
    /// [`LogError::Invalid`] when the membership can never be served.
    async fn join(&self, membership: Membership) -> Result<(EventStream, Box<dyn Member>), LogError>;

    /// Writes records outside any group, all or nothing: what operators and commands do.
    async fn append(&self, records: Vec<Outgoing>) -> Result<(), LogError>;

    /// The committed records of a topic from the beginning to what is its end when the stream is first
    /// polled, partition after partition.
    fn scan(&self, topic: Topic) -> RecordStream;

    /// The committed records of a topic from the beginning, then those to come, without end; in order
    /// inside each partition.
    fn follow(&self, topic: Topic) -> RecordStream;

    /// Every topic, in the order of [`Topic::all`], empty ones as well.
    async fn topics(&self) -> Result<Vec<TopicDescription>, LogError>;

    /// Every group that ever committed a position, ordered by name.
    async fn groups(&self) -> Result<Vec<GroupDescription>, LogError>;
}
