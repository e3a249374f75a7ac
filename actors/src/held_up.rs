//! Whether a run has done all it can while records of a later release keep the rest waiting.

use std::collections::BTreeMap;

use counterpoint_log::{LogError, Position, TopicLog};
use counterpoint_messages::{StageName, Topic};
use futures::TryStreamExt;

use crate::{pipeline::RunningPipeline, revision::Revision, stage::Phase};

/// Last record of each partition.
type Ends = BTreeMap<(Topic, u32), Position>;

/// Whether the stages of this process have done every record of every partition that no record of a later
/// release holds back, and nobody else is about to write more.
///
/// Nothing is concluded from time passing. Each stage is compared with the ends of its partitions twice; if
/// no end moved in between, all stages were at rest together. Reads the topics concerned from end to end, so
/// it is for runs that seem to be done.
///
/// # Errors
/// If the log cannot be read.
pub async fn is_held_up(
    running: &RunningPipeline,
    log: &dyn TopicLog,
    revision: &Revision,
) -> Result<bool, LogError> {
    if running.held().is_empty() || !is_done_elsewhere(running, log, revision).await? {
        return Ok(false);
    }
    let Some(before) = ends_if_done(running, log).await? else { return Ok(false) };
    Ok(ends_if_done(running, log).await? == Some(before))
}

/// Whether the stages of other processes have read all there is.
async fn is_done_elsewhere(
    running: &RunningPipeline,
    log: &dyn TopicLog,
    revision: &Revision,
) -> Result<bool, LogError> {
    // The end of a run waits for no training.
    let is_awaited =
        |stage: &StageName| !matches!(stage, StageName::Planner | StageName::Trainer | StageName::Evaluator);
    let here: Vec<_> = running.health().into_iter().map(|(stage, _)| stage).filter(is_awaited).collect();
    let stages: Vec<_> = revision.stages().into_iter().filter(is_awaited).collect();
    if here.len() == stages.len() {
        return Ok(true);
    }
    let groups = log.groups().await?;
    Ok(stages.into_iter().filter(|stage| !here.contains(stage)).all(|stage| {
        let fingerprint = revision.fingerprint(stage);
        groups
            .iter()
            .any(|group| (group.group.stage, group.group.fingerprint, group.lag) == (stage, fingerprint, 0))
    }))
}

async fn ends_if_done(running: &RunningPipeline, log: &dyn TopicLog) -> Result<Option<Ends>, LogError> {
    let mut ends = Ends::new();
    for (_, health) in running.health() {
        if health.phase != Phase::Running {
            return Ok(None);
        }
        for topic in health.assigned.iter().map(|(topic, _)| *topic) {
            if !ends.keys().any(|(known, _)| *known == topic) {
                ends.extend(ends_of(log, topic).await?);
            }
        }
        let is_done = health.assigned.iter().filter(|place| !health.held.contains_key(place)).all(|place| {
            ends.get(place).is_none_or(|end| health.committed.get(place).is_some_and(|done| done >= end))
        });
        if !is_done {
            return Ok(None);
        }
    }
    Ok(Some(ends))
}

async fn ends_of(log: &dyn TopicLog, topic: Topic) -> Result<Ends, LogError> {
    let mut ends = Ends::new();
    let mut records = log.scan(topic);
    while let Some(record) = records.try_next().await? {
        ends.insert((topic, record.partition), record.position);
    }
    Ok(ends)
}
