//! Putting dead letters back where they came from.

use std::collections::BTreeSet;

use counterpoint_log::{Headers, LogError, Outgoing, TopicLog};
use counterpoint_messages::{
    Cause, DeadLetter, Fingerprint, Message, RecordId, RecordRequeued, StageName, Topic,
};
use futures::TryStreamExt;

/// Dead letters that were not put back, and records of the topic that cannot be read.
///
/// # Errors
/// If the log cannot be read.
pub async fn list(log: &dyn TopicLog) -> Result<Vec<DeadLetter>, LogError> {
    let mut requeued: BTreeSet<RecordId> = BTreeSet::new();
    let mut runs = log.scan(Topic::Runs);
    while let Some(record) = runs.try_next().await? {
        if let Ok(Message::RecordRequeued(record)) = Message::decode(&record.value) {
            requeued.insert(record.dead_letter);
        }
    }
    let mut letters = Vec::new();
    let mut records = log.scan(Topic::DeadLetters);
    while let Some(record) = records.try_next().await? {
        if let Ok(Message::DeadLetter(letter)) = Message::decode(&record.value)
            && !requeued.contains(&letter.id)
        {
            letters.push(letter);
        }
    }
    Ok(letters)
}

/// Puts every dead letter's record back on its topic, once; how many that were.
///
/// The record and the word that it was put back are written together, so an interruption repeats nothing.
///
/// # Errors
/// If the log cannot be read or written.
pub async fn requeue(log: &dyn TopicLog) -> Result<usize, LogError> {
    let letters = list(log).await?;
    for letter in &letters {
        let Some(topic) = Topic::parse(&letter.topic) else { continue };
        let back = Outgoing {
            topic,
            partition: letter.partition,
            key: letter.key.clone(),
            value: letter.raw.clone(),
            headers: Headers { trace: None, revision: letter.revision, clip: letter.clip },
        };
        let requeued = Message::from(RecordRequeued { dead_letter: letter.id, clip: letter.clip });
        let value = requeued
            .encode()
            .map_err(|error| LogError::Invalid { detail: format!("the message {error}") })?;
        let settings = Fingerprint::default();
        let inputs = &[letter.id];
        let cause = Cause { stage: StageName::Source, transform: 1, settings, inputs, detail: "requeued" };
        let word = Outgoing {
            topic: Topic::Runs,
            partition: 0,
            key: cause.id().0.to_vec(),
            value,
            headers: Headers::default(),
        };
        log.append(vec![back, word]).await?;
    }
    Ok(letters.len())
}
