//! The format level of a log: which versions of the messages may be written to it.
//!
//! A log says its level in a record ([`FormatDeclared`]). One without records is declared to be of the
//! newest level before anything else is written; one with records and no such word was begun by release
//! 0.1 and is of the first level until `counterpoint topics upgrade` raises it. Readers need no level, so
//! it never matters when a writer learns that it was raised: what it writes until then is read by all.

use counterpoint_log::{Headers, LogError, Outgoing, TopicLog};
use counterpoint_messages::{
    Cause, EncodeError, Fingerprint, FormatDeclared, FormatLevel, Message, StageName, Topic,
};
use futures::TryStreamExt;

/// What a log says of its format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// Highest level declared, or the one that follows from nothing being declared; a later release may
    /// have declared one that this program does not know.
    pub declared: u16,
    /// Level at which this program writes to it.
    pub level: FormatLevel,
}

/// The format of a log. One without records is of the newest level.
///
/// # Errors
/// If the log cannot be read.
pub async fn of(log: &dyn TopicLog) -> Result<Format, LogError> {
    // In this order: the declaration is the first record, so a log that has any has it already.
    let is_empty = is_empty(log).await?;
    let declared = match declared(log).await? {
        Some(number) => number,
        None if is_empty => FormatLevel::NEWEST.number(),
        None => FormatLevel::FIRST.number(),
    };
    Ok(Format { declared, level: FormatLevel::up_to(declared) })
}

/// The level to write at; declares the newest one on a log without records.
///
/// # Errors
/// If the log cannot be read or written.
pub async fn level(log: &dyn TopicLog) -> Result<FormatLevel, LogError> {
    if is_empty(log).await? {
        declare(log, FormatLevel::NEWEST).await?;
        return Ok(FormatLevel::NEWEST);
    }
    Ok(FormatLevel::up_to(declared(log).await?.unwrap_or(FormatLevel::FIRST.number())))
}

/// Raises a log to the newest level; what it was before. Says nothing to a log that is there already.
///
/// # Errors
/// If the log cannot be read or written.
pub async fn upgrade(log: &dyn TopicLog) -> Result<Format, LogError> {
    let before = of(log).await?;
    if before.level < FormatLevel::NEWEST {
        declare(log, FormatLevel::NEWEST).await?;
    }
    Ok(before)
}

/// A message that cannot be written, as an error of the log.
pub(crate) fn refused(error: &EncodeError) -> LogError {
    LogError::Invalid { detail: format!("the message {error}") }
}

async fn is_empty(log: &dyn TopicLog) -> Result<bool, LogError> {
    Ok(log.topics().await?.iter().all(|topic| topic.records == 0))
}

async fn declared(log: &dyn TopicLog) -> Result<Option<u16>, LogError> {
    let mut highest = None;
    let mut records = log.scan(Topic::Revisions);
    while let Some(record) = records.try_next().await? {
        if let Ok(Message::FormatDeclared(FormatDeclared { level })) = Message::decode(&record.value) {
            highest = highest.max(Some(level));
        }
    }
    Ok(highest)
}

async fn declare(log: &dyn TopicLog, level: FormatLevel) -> Result<(), LogError> {
    let detail = format!("format level {level}");
    let settings = Fingerprint::default();
    let cause = Cause { stage: StageName::Source, transform: 1, settings, inputs: &[], detail: &detail };
    let declared = Message::from(FormatDeclared { level: level.number() });
    let value = declared.encode(level).map_err(|error| refused(&error))?;
    let (key, headers) = (cause.id().0.to_vec(), Headers::default());
    log.append(vec![Outgoing { topic: Topic::Revisions, partition: 0, key, value, headers }]).await
}
