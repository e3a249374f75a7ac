//! Dead letters, and putting them back where they came from.

use std::collections::{BTreeMap, BTreeSet};

use counterpoint_log::{Headers, LogError, Outgoing, TopicLog};
use counterpoint_messages::{
    Cause, DeadLetter, Fingerprint, Message, RecordId, RecordRequeued, StageName, Topic,
};
use futures::TryStreamExt;

use crate::projection::newest_revision;

/// Dead letters of the newest revision that were not put back.
///
/// # Errors
/// If the log cannot be read.
pub async fn list(log: &dyn TopicLog) -> Result<Vec<DeadLetter>, LogError> {
    Ok(waiting(log).await?.into_iter().map(|(letter, _)| letter).collect())
}

/// The same with the revision that each was written under. Letters of other revisions stay: what they
/// were about is done anew under the newest one.
async fn waiting(log: &dyn TopicLog) -> Result<Vec<(DeadLetter, Option<Fingerprint>)>, LogError> {
    let revisions = newest_revision(log).await?.map(|revision| revision.fingerprints()).unwrap_or_default();
    let mut requeued: BTreeSet<RecordId> = BTreeSet::new();
    let mut runs = log.scan(Topic::Runs);
    while let Some(record) = runs.try_next().await? {
        if let Ok(Message::RecordRequeued(record)) = Message::decode(&record.value) {
            requeued.insert(record.dead_letter);
        }
    }
    let mut letters = BTreeMap::new();
    let mut records = log.scan(Topic::DeadLetters);
    while let Some(record) = records.try_next().await? {
        let revision = record.headers.revision;
        if let Ok(Message::DeadLetter(letter)) = Message::decode(&record.value)
            && revision.is_none_or(|revision| revisions.contains(&revision))
            && !requeued.contains(&letter.id)
        {
            letters.insert(record.position, (letter, revision));
        }
    }
    Ok(letters.into_values().collect())
}

/// The clip that a letter is about. A file that the source turned away never was one, though its records name
/// it in the same place.
pub(crate) fn clip_of(letter: &DeadLetter) -> Option<RecordId> {
    let is_file = letter.topic == Topic::Rejected.to_string()
        && matches!(Message::decode(&letter.raw), Ok(Message::Rejected(file)) if file.stage == StageName::Source);
    letter.clip.filter(|_| !is_file)
}

/// Puts every dead letter's record back on its topic, once; how many that were.
///
/// The record and the word that it was put back are written together, so an interruption repeats nothing.
///
/// # Errors
/// If the log cannot be read or written.
pub async fn requeue(log: &dyn TopicLog) -> Result<usize, LogError> {
    let mut put_back = 0;
    for (letter, revision) in waiting(log).await? {
        // A topic of a later version of this program: it is for that one to put the record back.
        let Some(topic) = Topic::parse(&letter.topic) else { continue };
        let settings = revision.unwrap_or_default();
        let inputs = &[letter.id];
        let cause = Cause { stage: letter.stage, transform: 1, settings, inputs, detail: "requeued" };
        let word = Message::from(RecordRequeued {
            dead_letter: letter.id,
            stage: letter.stage,
            clip: clip_of(&letter),
            key: letter.key.clone(),
        });
        let value =
            word.encode().map_err(|error| LogError::Invalid { detail: format!("the message {error}") })?;
        // It is for the stage that gave up on it: under later settings its first copy is read from the
        // beginning anyway. A compacted topic keeps this one only.
        let reader = if topic.is_compacted() { letter.revision } else { revision };
        let back = Outgoing {
            topic,
            partition: letter.partition,
            key: letter.key,
            value: letter.raw,
            headers: Headers { trace: None, revision: reader, clip: letter.clip },
        };
        let word = Outgoing {
            topic: Topic::Runs,
            partition: 0,
            key: cause.id().0.to_vec(),
            value,
            headers: Headers { trace: None, revision, clip: letter.clip },
        };
        log.append(vec![back, word]).await?;
        put_back += 1;
    }
    Ok(put_back)
}
