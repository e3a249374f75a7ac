//! The log in memory as a process meets it: late, now and then failing, and broken on purpose where a test
//! wants to see that this is noticed.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use counterpoint_log::{
    Commit, Epoch, EventStream, GroupDescription, LogError, Member, Membership, Outgoing, RecordStream,
    TopicDescription, TopicLog, memory::MemoryLog,
};
use counterpoint_messages::Topic;
use futures::{StreamExt, stream};

use crate::{
    faults::{Fault, Faults},
    scheduler::Scheduler,
};

/// Longest that a call takes.
const CALL: Duration = Duration::from_millis(8);

/// A rule that is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// Positions are committed before the outputs and the state that belong to them.
    PositionsFirst,
    /// Outputs are committed before the positions that belong to them.
    OutputsFirst,
    /// State is not committed with the rest, but after it.
    StateLast,
    /// Attempts are not durable.
    AttemptsForgotten,
    /// A member that was fenced writes all the same.
    Unfenced,
}

#[derive(Clone)]
pub struct FaultyLog {
    pub inner: MemoryLog,
    pub scheduler: Arc<Scheduler>,
    pub faults: Arc<Faults>,
    pub broken: Option<Broken>,
}

fn unavailable() -> LogError {
    LogError::Unavailable { place: "here".to_owned(), detail: "for a moment".to_owned() }
}

#[async_trait]
impl TopicLog for FaultyLog {
    fn partitions(&self, topic: Topic) -> u32 {
        self.inner.partitions(topic)
    }

    async fn join(&self, membership: Membership) -> Result<(EventStream, Box<dyn Member>), LogError> {
        self.scheduler.dawdle(CALL).await;
        if self.faults.strikes(Fault::JoinFails) {
            return Err(unavailable());
        }
        let (events, member) = self.inner.join(membership).await?;
        let events = stream::unfold((events, self.clone()), |(mut events, log)| async move {
            log.scheduler.dawdle(CALL).await;
            if log.faults.strikes(Fault::ReadFails) {
                return Some((Err(unavailable()), (events, log)));
            }
            let event = events.next().await?;
            Some((event, (events, log)))
        });
        Ok((Box::pin(events), Box::new(FaultyMember { inner: member, log: self.clone() })))
    }

    async fn append(&self, records: Vec<Outgoing>) -> Result<(), LogError> {
        self.scheduler.dawdle(CALL).await;
        self.inner.append(records).await
    }

    fn scan(&self, topic: Topic) -> RecordStream {
        if self.faults.strikes(Fault::ReadFails) {
            return Box::pin(stream::iter([Err(unavailable())]));
        }
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

struct FaultyMember {
    inner: Box<dyn Member>,
    log: FaultyLog,
}

impl FaultyMember {
    async fn commit_in_parts(&self, epoch: Epoch, commit: Commit) -> Result<(), LogError> {
        let Commit { outputs, mut state, positions } = commit;
        let outputs = Commit { outputs, ..Commit::default() };
        let positions = Commit { positions, ..Commit::default() };
        let whole = |outputs: Commit, positions: Commit, state| Commit {
            outputs: outputs.outputs,
            positions: positions.positions,
            state,
        };
        let parts = match self.log.broken {
            None => vec![whole(outputs, positions, state)],
            Some(Broken::PositionsFirst) => {
                vec![positions, Commit { state, ..outputs }]
            }
            Some(Broken::OutputsFirst) => vec![outputs, Commit { state, ..positions }],
            Some(Broken::StateLast) => {
                let first = whole(outputs, positions, vec![]);
                vec![first, Commit { state, ..Commit::default() }]
            }
            Some(Broken::AttemptsForgotten) => {
                state.retain(|entry| !entry.key.starts_with(b"!attempt/"));
                vec![whole(outputs, positions, state)]
            }
            Some(Broken::Unfenced) => {
                let kept = outputs.outputs.clone();
                let committed = self.inner.commit(epoch, whole(outputs, positions, state)).await;
                if matches!(committed, Err(LogError::Fenced { .. })) {
                    self.log.inner.append(kept).await?;
                }
                return committed;
            }
        };
        for (number, part) in parts.into_iter().enumerate() {
            if number > 0 {
                self.log.scheduler.dawdle(CALL).await;
            }
            self.inner.commit(epoch, part).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Member for FaultyMember {
    async fn commit(&self, epoch: Epoch, commit: Commit) -> Result<(), LogError> {
        let FaultyLog { scheduler, faults, .. } = &self.log;
        scheduler.dawdle(CALL).await;
        if faults.strikes(Fault::CommitRefused) {
            return Err(match scheduler.chance(0.5) {
                true => unavailable(),
                false => LogError::Full { place: "here".to_owned() },
            });
        }
        let (outputs, positions) = (commit.outputs.len(), commit.positions.clone());
        let committed = self.commit_in_parts(epoch, commit).await;
        let told = committed.as_ref().map_err(ToString::to_string);
        scheduler.note(format_args!("commit of {outputs} outputs up to {positions:?}: {told:?}"));
        scheduler.dawdle(CALL).await;
        if committed.is_ok() && faults.strikes(Fault::CommitUnknown) {
            return Err(unavailable());
        }
        committed
    }

    async fn abort(&self, epoch: Epoch) -> Result<(), LogError> {
        self.log.scheduler.dawdle(CALL).await;
        if self.log.faults.strikes(Fault::CommitRefused) {
            return Err(unavailable());
        }
        self.inner.abort(epoch).await
    }

    async fn leave(&self) -> Result<(), LogError> {
        self.inner.leave().await
    }
}
