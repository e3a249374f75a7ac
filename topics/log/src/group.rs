//! Groups: how a stage reads, and what it makes durable at once.

use std::{fmt, pin::Pin, str::FromStr};

use async_trait::async_trait;
use counterpoint_messages::{Fingerprint, StageName, Topic};
use futures::Stream;

use crate::{LogError, Outgoing, Position, Received};

/// Counts the owners of a group; a commit under an older epoch is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// A stage under one set of settings; its positions and its state are kept under this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group {
    /// Stage.
    pub stage: StageName,
    /// Its settings and those above it.
    pub fingerprint: Fingerprint,
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.stage, self.fingerprint)
    }
}

impl FromStr for Group {
    type Err = LogError;

    fn from_str(text: &str) -> Result<Self, LogError> {
        text.split_once('.')
            .and_then(|(stage, fingerprint)| {
                Some(Self { stage: stage.parse().ok()?, fingerprint: fingerprint.parse().ok()? })
            })
            .ok_or_else(|| LogError::invalid(format!("`{text}` is no group: expected STAGE.FINGERPRINT")))
    }
}

/// How a stage joins its group.
#[derive(Debug, Clone)]
pub struct Membership {
    /// Group.
    pub group: Group,
    /// Name of this instance, stable over restarts.
    pub instance: String,
    /// Topics to read: at least one, none twice, no state topic.
    pub inputs: Vec<Topic>,
    /// Whether one member must own every partition (stages whose state spans partitions).
    pub exclusive: bool,
    /// Most records of one [`Event::Records`]; at least 1.
    pub max_records: usize,
    /// Most bytes of one [`Event::Records`]; a single larger record still comes, alone.
    pub max_bytes: usize,
}

/// A piece of a stage's state.
#[derive(Clone, PartialEq, Eq)]
pub struct StateEntry {
    /// Partition it belongs to (0 for exclusive stages).
    pub partition: u32,
    /// Key, unique in the group and partition.
    pub key: Vec<u8>,
    /// Value; `None` removes the key.
    pub value: Option<Vec<u8>>,
}

impl fmt::Debug for StateEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.value.as_ref().map(Vec::len);
        write!(f, "StateEntry({}, {:?}, {bytes:?} bytes)", self.partition, String::from_utf8_lossy(&self.key))
    }
}

/// What a member learns from its log.
#[derive(Debug)]
pub enum Event {
    /// Another process owns the group; the member waits. Sent when that is found out and whenever the
    /// holder changes.
    Waiting {
        /// Who: process and host, for people.
        holder: String,
    },
    /// These partitions are the member's from now on, from their committed positions. Replaces any
    /// earlier assignment: what was read and not committed will be read again.
    Assigned {
        /// To be given with every commit.
        epoch: Epoch,
        /// Topics and partitions.
        partitions: Vec<(Topic, u32)>,
        /// Last record done in each partition where any is.
        committed: Vec<(Topic, u32, Position)>,
        /// The group's committed state in those partitions, ordered by partition and key.
        state: Vec<StateEntry>,
    },
    /// Records of one partition, in order.
    Records(Vec<Received>),
    /// Everything written so far has been handed out; sent once each time the end is reached.
    CaughtUp,
    /// The partitions go to another member as soon as `ack` is dropped; work in flight may still be
    /// committed until then.
    Revoked {
        /// Dropped by the member when it has committed what it could.
        ack: tokio::sync::oneshot::Sender<()>,
    },
    /// Another member owns the group; nothing of this member can be committed any more. The stream ends.
    Fenced {
        /// Who.
        holder: String,
    },
}

/// All that came out of a piece of work, made durable at once or not at all.
#[derive(Debug, Default, Clone)]
pub struct Commit {
    /// Records to write.
    pub outputs: Vec<Outgoing>,
    /// State to change; of entries with the same partition and key the last one counts.
    pub state: Vec<StateEntry>,
    /// Last record done in each partition; reading resumes behind it.
    pub positions: Vec<(Topic, u32, Position)>,
}

/// Stream of what happens to a member. Not polling it is how a member holds the log back.
///
/// After a [passing](LogError::is_passing) error the stream goes on when it is polled again; after any
/// other error, after [`Event::Fenced`] and after [`Member::leave`] it ends.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<Event, LogError>> + Send>>;

/// A stage instance's hold on its group. Dropping it leaves the group as well as that can be done
/// without waiting.
#[async_trait]
pub trait Member: Send + Sync {
    /// Makes a piece of work durable.
    ///
    /// # Errors
    /// [`LogError::Fenced`] when the epoch is not the group's newest or its owner has left;
    /// [`LogError::Invalid`] when the commit names a partition that is not there or not assigned. After
    /// any error nothing of the commit is visible, now or later; except that after
    /// [`LogError::Unavailable`] a distributed engine may have done all of it. It refuses further commits
    /// until [`Member::abort`], and the next [`Event::Assigned`] tells.
    async fn commit(&self, epoch: Epoch, commit: Commit) -> Result<(), LogError>;

    /// Forgets everything read and not committed: the next event is [`Event::Assigned`] with the
    /// committed state, and reading resumes at the committed positions.
    ///
    /// # Errors
    /// [`LogError::Fenced`] as with [`Member::commit`].
    async fn abort(&self, epoch: Epoch) -> Result<(), LogError>;

    /// Leaves the group at once, so that another process need not wait for the lease to run out.
    async fn leave(&self) -> Result<(), LogError>;
}
