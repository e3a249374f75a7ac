//! What every engine refuses before it touches its store, in the same words.

use counterpoint_messages::Topic;

use crate::{Commit, LogError, MAX_RECORD_BYTES, Membership, Outgoing};

/// Number of partitions of a topic on a log whose partitioned topics have `split`.
pub(crate) fn partitions_of(topic: Topic, split: u32) -> u32 {
    if topic.is_partitioned() { split } else { 1 }
}

pub(crate) fn membership(membership: &Membership) -> Result<(), LogError> {
    let group = membership.group;
    if membership.inputs.is_empty() {
        return Err(LogError::invalid(format!("group {group} reads no topic")));
    }
    for (index, topic) in membership.inputs.iter().enumerate() {
        if matches!(topic, Topic::State(_)) {
            return Err(LogError::invalid(format!(
                "group {group} reads {topic}: state comes with the assignment"
            )));
        }
        if membership.inputs[..index].contains(topic) {
            return Err(LogError::invalid(format!("group {group} reads {topic} twice")));
        }
    }
    if membership.max_records == 0 {
        return Err(LogError::invalid(format!("group {group} takes at most 0 records at a time")));
    }
    Ok(())
}

pub(crate) fn outputs(records: &[Outgoing], split: u32) -> Result<(), LogError> {
    for record in records {
        let topic = record.topic;
        if matches!(topic, Topic::State(_)) {
            return Err(LogError::invalid(format!("{topic} takes no records: state is part of a commit")));
        }
        let partitions = partitions_of(topic, split);
        if record.partition >= partitions {
            return Err(LogError::invalid(format!(
                "{topic} has no partition {}: it has {partitions}, counted from 0",
                record.partition
            )));
        }
        size(topic, record.key.len().saturating_add(record.value.len()))?;
    }
    Ok(())
}

pub(crate) fn commit(commit: &Commit, inputs: &[Topic], split: u32) -> Result<(), LogError> {
    outputs(&commit.outputs, split)?;
    for entry in &commit.state {
        if entry.partition >= split {
            return Err(LogError::invalid(format!(
                "state is kept by partition, and there is no partition {}: the log has {split}, counted from 0",
                entry.partition
            )));
        }
        let value = entry.value.as_ref().map_or(0, Vec::len);
        let stored = crate::state_key::PREFIX_BYTES.saturating_add(entry.key.len()).saturating_add(value);
        size("a state entry", stored)?;
    }
    for (topic, partition, position) in &commit.positions {
        if !inputs.contains(topic) || *partition >= partitions_of(*topic, split) {
            return Err(LogError::invalid(format!("{topic}/{partition} is not assigned to this member")));
        }
        if i64::try_from(position.0).is_err() {
            return Err(LogError::invalid(format!("{topic}/{partition} has no position {}", position.0)));
        }
    }
    Ok(())
}

fn size(what: impl std::fmt::Display, bytes: usize) -> Result<(), LogError> {
    if bytes > MAX_RECORD_BYTES {
        return Err(LogError::invalid(format!(
            "a record of {bytes} bytes for {what} is larger than the {MAX_RECORD_BYTES} bytes one may have"
        )));
    }
    Ok(())
}
