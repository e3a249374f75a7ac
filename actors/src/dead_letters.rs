//! Dead letters, and putting them back where they came from.

use std::collections::BTreeSet;

use counterpoint_log::{Headers, LogError, Outgoing, TopicLog};
use counterpoint_messages::{
    Cause, DeadLetter, DecodeError, Fingerprint, Message, MessageKind, RecordId, RecordRequeued, StageName,
    Topic,
};
use futures::TryStreamExt;

use crate::{
    format,
    later::{self, LaterRecord},
    projection::newest_revision,
};

/// The dead letters of the newest revision that were not put back.
#[derive(Debug, Default)]
pub struct Waiting {
    /// In order of their positions.
    pub letters: Vec<DeadLetter>,
    /// Letters, and words of some that were put back, that only a later release can read.
    pub later: Vec<LaterRecord>,
    /// The revision that each letter was written under.
    revisions: Vec<Option<Fingerprint>>,
}

/// Dead letters of the newest revision that were not put back. Those of other revisions stay: what they
/// were about is done anew under the newest one.
///
/// # Errors
/// If the log cannot be read.
pub async fn list(log: &dyn TopicLog) -> Result<Waiting, LogError> {
    let revisions = newest_revision(log).await?.map(|revision| revision.fingerprints()).unwrap_or_default();
    let mut waiting = Waiting::default();
    let mut requeued: BTreeSet<RecordId> = BTreeSet::new();
    let mut runs = log.scan(Topic::Runs);
    while let Some(record) = runs.try_next().await? {
        match later::read(&record) {
            Ok(Some(Message::RecordRequeued(record))) => {
                requeued.insert(record.dead_letter);
            }
            Err(
                record @ LaterRecord {
                    reason: DecodeError::Newer { kind: MessageKind::RecordRequeued, .. },
                    ..
                },
            ) => {
                waiting.later.push(record);
            }
            Ok(_) | Err(_) => {}
        }
    }
    let mut records = log.scan(Topic::DeadLetters);
    while let Some(record) = records.try_next().await? {
        let revision = record.headers.revision;
        match later::read(&record) {
            Ok(Some(Message::DeadLetter(letter)))
                if revision.is_none_or(|revision| revisions.contains(&revision))
                    && !requeued.contains(&letter.id) =>
            {
                waiting.letters.push(letter);
                waiting.revisions.push(revision);
            }
            Ok(_) => {}
            Err(record) => waiting.later.push(record),
        }
    }
    Ok(waiting)
}

/// The clip that ends with a letter, which is about one of its own records. What the fetcher did not get or
/// the source turned away never was a clip, though its records name it in the same place, and so do letters
/// and words that it was put back.
pub(crate) fn clip_of(letter: &DeadLetter) -> Option<RecordId> {
    let is_of_clip = match Topic::parse(&letter.topic) {
        Some(Topic::Clips | Topic::Curated | Topic::Decoded | Topic::Accepted) => true,
        Some(Topic::Rejected) => !matches!(Message::decode(&letter.raw), Ok(Message::Rejected(file))
            if matches!(file.stage, StageName::Fetcher | StageName::Source)),
        _ => false,
    };
    letter.clip.filter(|_| is_of_clip)
}

/// The input that goes no further because of a letter: the stage that was to read it gave up on it. Each
/// offer is for either the source or the fetcher, and the other one only passes over it.
pub(crate) fn input_of(letter: &DeadLetter) -> Option<RecordId> {
    let is_input = [Topic::Inputs, Topic::Fetched].map(|topic| topic.to_string()).contains(&letter.topic);
    if !is_input {
        return None;
    }
    match Message::decode(&letter.raw) {
        Ok(Message::InputOffered(input)) => {
            (input.fetch == (letter.stage == StageName::Fetcher)).then_some(input.id)
        }
        Ok(Message::InputFetched(fetched)) => Some(fetched.input.id),
        _ => letter.key.as_slice().try_into().ok().map(RecordId),
    }
}

/// Puts every dead letter's record back on its topic, once, for the stage that gave up on it; how many that
/// were.
///
/// The record and the word that it was put back are written together, so an interruption repeats nothing.
///
/// # Errors
/// If the log cannot be read or written; [`LogError::Invalid`], with nothing put back, if a later release
/// wrote some of the letters or of the words that they were put back, as one might be put back twice.
pub async fn requeue(log: &dyn TopicLog) -> Result<usize, LogError> {
    let Waiting { letters, later, revisions } = list(log).await?;
    if let Some(record) = later.first() {
        return Err(LogError::Invalid { detail: format!("{record}; nothing was put back") });
    }
    let level = format::level(log).await?;
    let mut put_back = 0;
    for (letter, revision) in letters.into_iter().zip(revisions) {
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
        let value = word.encode(level).map_err(|error| format::refused(&error))?;
        // It is for the stage that gave up on it: the others have its first copy, and so have all stages under
        // later settings. A compacted topic keeps this one only.
        let reader = revision.filter(|_| !topic.is_compacted());
        let back = Outgoing {
            topic,
            partition: letter.partition,
            key: letter.key,
            value: letter.raw,
            headers: Headers { trace: None, revision: letter.revision, clip: letter.clip, reader },
        };
        let word = Outgoing {
            topic: Topic::Runs,
            partition: 0,
            key: cause.id().0.to_vec(),
            value,
            headers: Headers { revision, clip: letter.clip, ..Headers::default() },
        };
        log.append(vec![back, word]).await?;
        put_back += 1;
    }
    Ok(put_back)
}
