//! `topics`: a look into the log, and dead letters put back.

use std::{collections::BTreeMap, path::Path, process::ExitCode};

use anyhow::Context as _;
use counterpoint_actors::{
    dead_letters::{self, Waiting},
    format,
    projection::newest_revision,
};
use counterpoint_log::{LogError, Received, RecordStream, StateKey, TopicLog};
use counterpoint_messages::{DeadLetter, FormatLevel, Message, MessageKind, StageName, Topic};
use futures::TryStreamExt;
use serde::Serialize;
use serde_json::Value;

use crate::{
    args::{self, Common, TopicsAction},
    context::{log_flags, open_existing_log},
    output::{Failure, Outcome, print, print_json, say, thousands},
};

#[derive(Serialize)]
struct Topics {
    topics: Vec<TopicLine>,
    groups: Vec<GroupLine>,
    /// Format level that the log is written at.
    format_level: u16,
    /// The newest level that this program knows.
    newest_format_level: u16,
}

#[derive(Serialize)]
struct Upgraded {
    was: u16,
    format_level: u16,
    changes: Vec<VersionChange>,
}

/// A kind of message that is written in another version from here on.
#[derive(Serialize)]
struct VersionChange {
    kind: String,
    /// Null for a kind that is new.
    was: Option<u16>,
    version: Option<u16>,
}

#[derive(Serialize)]
struct TopicLine {
    topic: String,
    partitions: u32,
    records: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct GroupLine {
    group: String,
    holder: Option<String>,
    lag: u64,
    older_revision: bool,
}

#[derive(Serialize)]
struct RecordLine {
    partition: u32,
    position: u64,
    key: String,
    clip: Option<String>,
    trace: Option<String>,
    /// Kind of the message; none in a state topic, and of what cannot be read.
    kind: Option<String>,
    /// The message or state as an object, else text.
    message: Value,
}

#[derive(Serialize)]
struct LetterLine {
    id: String,
    clip: Option<String>,
    stage: &'static str,
    topic: String,
    partition: u32,
    position: u64,
    attempts: u32,
    reason: String,
    raw_bytes: usize,
}

pub fn run(arguments: &args::Topics, common: &Common) -> Outcome {
    let log = open_existing_log(common, &arguments.out)?;
    actix::System::new().block_on(async {
        match &arguments.action {
            TopicsAction::List => list(&*log, &arguments.out, common).await,
            TopicsAction::Tail { topic, records } => tail(&*log, topic, *records, common).await,
            TopicsAction::Upgrade { while_running } => {
                upgrade(&*log, *while_running, &arguments.out, common).await
            }
            TopicsAction::DeadLetters { requeue } => letters(&*log, *requeue, &arguments.out, common).await,
        }
    })
}

async fn list(log: &dyn TopicLog, out: &Path, common: &Common) -> Outcome {
    let format = format::of(log).await.map_err(anyhow::Error::from)?;
    let described = log.topics().await.map_err(anyhow::Error::from)?;
    let groups = log.groups().await.map_err(anyhow::Error::from)?;
    let newest = newest_revision(log).await.map_err(anyhow::Error::from)?;
    let current = newest.map(|revision| revision.fingerprints()).unwrap_or_default();
    let mut groups: Vec<_> = groups
        .into_iter()
        .map(|group| GroupLine {
            group: group.group.to_string(),
            holder: group.holder,
            lag: group.lag,
            // An evaluation's group is named by the model, too, and that of a training by what was asked for.
            older_revision: !matches!(group.group.stage, StageName::Evaluator | StageName::Trainer)
                && !current.contains(&group.group.fingerprint),
        })
        .collect();
    groups.sort_by_key(|group| group.older_revision);
    let topics = Topics {
        topics: described
            .into_iter()
            .map(|topic| TopicLine {
                topic: topic.topic.to_string(),
                partitions: topic.partitions,
                records: topic.records,
                bytes: topic.bytes,
            })
            .collect(),
        groups,
        format_level: format.declared,
        newest_format_level: FormatLevel::NEWEST.number(),
    };
    if common.json {
        print_json(&topics)?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&format!("{:20} {:>10} {:>12} {:>14}", "topic", "partitions", "records", "bytes"));
    for topic in &topics.topics {
        let (records, bytes) = (thousands(topic.records), thousands(topic.bytes));
        print(&format!("{:20} {:>10} {records:>12} {bytes:>14}", topic.topic, topic.partitions));
    }
    print(&format!("\n{:32} {:>8}  held by", "group", "lag"));
    for group in &topics.groups {
        let holder = group.holder.as_deref().unwrap_or("nobody");
        let older = if group.older_revision { "  (older revision)" } else { "" };
        print(&format!("{:32} {:>8}  {holder}{older}", group.group, thousands(group.lag)));
    }
    print(&format!("\n{}", level_line(format, common, out)));
    Ok(ExitCode::SUCCESS)
}

/// The format level of a log in one line for people.
pub fn level_line(format: format::Format, common: &Common, out: &Path) -> String {
    let (declared, newest) = (format.declared, FormatLevel::NEWEST);
    if format.level < newest {
        let flags = log_flags(common, out);
        return format!(
            "format level {declared} of {newest}: `counterpoint topics upgrade {flags}` raises it"
        );
    }
    if declared > newest.number() {
        return format!("format level {declared}, of a later release; this program writes level {newest}");
    }
    format!("format level {declared}")
}

async fn upgrade(log: &dyn TopicLog, while_running: bool, out: &Path, common: &Common) -> Outcome {
    let groups = log.groups().await.map_err(anyhow::Error::from)?;
    let before = format::of(log).await.map_err(anyhow::Error::from)?;
    if let Some((group, holder)) = groups.iter().find_map(|group| Some((group.group, group.holder.as_ref()?)))
        && before.level < FormatLevel::NEWEST
        && !while_running
    {
        return Err(Failure::Failed(anyhow::anyhow!(
            "{holder} is at work on this log (group {group}): a process of an earlier release would stop at the \
             first record of a newer version; let it end first, or give --while-running if every process on \
             this log is of this release"
        )));
    }
    let before = format::upgrade(log).await.map_err(anyhow::Error::from)?;
    let after = format::of(log).await.map_err(anyhow::Error::from)?;
    let versions = |kind: &MessageKind| (kind.version_at(before.level), kind.version_at(after.level));
    let changes: Vec<_> = MessageKind::ALL
        .iter()
        .map(|kind| (kind, versions(kind)))
        .filter(|(_, (was, version))| was != version)
        .map(|(kind, (was, version))| VersionChange { kind: format!("{kind:?}"), was, version })
        .collect();
    if common.json {
        print_json(&Upgraded { was: before.declared, format_level: after.declared, changes })?;
        return Ok(ExitCode::SUCCESS);
    }
    if changes.is_empty() {
        print(&format!("nothing to do: {}", level_line(after, common, out)));
        return Ok(ExitCode::SUCCESS);
    }
    print(&format!("format level {}, was {}; from here on are written", after.declared, before.declared));
    for VersionChange { kind, was, version } in &changes {
        let was = was.map_or_else(|| "new".to_owned(), |was| format!("was {was}"));
        print(&format!("{kind:>18} as version {} ({was})", version.unwrap_or_default()));
    }
    print(
        "what is there stays as it is; processes at work follow when they are next assigned their partitions",
    );
    Ok(ExitCode::SUCCESS)
}

async fn tail(log: &dyn TopicLog, name: &str, count: usize, common: &Common) -> Outcome {
    let Some(topic) = Topic::parse(name) else {
        let names: Vec<_> = Topic::all().map(|topic| topic.to_string()).collect();
        return Err(Failure::usage(format!("`{name}` is no topic: choose from {}", names.join(", "))));
    };
    let newest = newest(log.scan(topic), count).await.map_err(anyhow::Error::from)?;
    if common.json {
        let lines = newest.iter().map(record_line).collect::<Result<Vec<_>, _>>();
        let lines = lines.context("cannot write the records")?;
        print_json(&BTreeMap::from([("records", &lines)]))?;
        return Ok(ExitCode::SUCCESS);
    }
    for record in &newest {
        print(&format!("{}@{} {}", record.partition, record.position.0, describe(record)));
    }
    Ok(ExitCode::SUCCESS)
}

/// The records written last, oldest first. A scan goes through one partition after the other.
async fn newest(mut records: RecordStream, count: usize) -> Result<Vec<Received>, LogError> {
    let mut newest = BTreeMap::new();
    while let Some(record) = records.try_next().await? {
        newest.insert((record.written_ms, record.partition, record.position), record);
        if newest.len() > count {
            newest.pop_first();
        }
    }
    Ok(newest.into_values().collect())
}

/// A record in one line for people.
fn describe(record: &Received) -> String {
    match (record.topic, Message::decode(&record.value)) {
        (Topic::State(_), _) => format!("{} {}", state_key(&record.key), text(&record.value)),
        (_, Ok(message)) => format!("{message:?}"),
        (_, Err(error)) => format!("unreadable: the record {error}"),
    }
}

/// A record for programs.
fn record_line(record: &Received) -> serde_json::Result<RecordLine> {
    let (key, kind, message) = match (record.topic, Message::decode(&record.value)) {
        (Topic::State(_), _) => {
            let value = serde_json::from_slice(&record.value);
            (state_key(&record.key), None, value.unwrap_or_else(|_| Value::String(text(&record.value))))
        }
        (_, decoded) => {
            let key = hex(&record.key);
            match decoded {
                Ok(message) => (key, Some(format!("{:?}", message.kind())), body(&message)?),
                Err(error) => (key, None, Value::String(format!("unreadable: the record {error}"))),
            }
        }
    };
    Ok(RecordLine {
        partition: record.partition,
        position: record.position.0,
        key,
        clip: record.headers.clip.map(|clip| clip.to_string()),
        trace: record.headers.trace.map(|trace| trace.to_string()),
        kind,
        message,
    })
}

/// Whose state it is, of which partition, and the stage's own key.
fn state_key(bytes: &[u8]) -> String {
    match StateKey::parse(bytes) {
        Some(StateKey { fingerprint, partition, key }) => match partition {
            StateKey::OF_ENGINE => format!("{fingerprint}/engine {}", text(key)),
            partition => format!("{fingerprint}/{partition} {}", text(key)),
        },
        None => hex(bytes),
    }
}

/// Bytes that are text as they are, of others their number.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        _ => format!("({} bytes)", thousands(bytes.len() as u64)),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn body(message: &Message) -> serde_json::Result<Value> {
    match message {
        Message::InputOffered(message) => serde_json::to_value(message),
        Message::InputFetched(message) => serde_json::to_value(message),
        Message::InputSealed(message) => serde_json::to_value(message),
        Message::ClipFound(message) => serde_json::to_value(message),
        Message::ClipCurated(message) => serde_json::to_value(message),
        Message::ClipDecoded(message) => serde_json::to_value(message),
        Message::ClipAccepted(message) => serde_json::to_value(message),
        Message::PoolSealed(message) => serde_json::to_value(message),
        Message::PoolComposed(message) => serde_json::to_value(message),
        Message::SampleComposed(message) => serde_json::to_value(message),
        Message::RecipeSkipped(message) => serde_json::to_value(message),
        Message::Rejected(message) => serde_json::to_value(message),
        // Its raw bytes would be a list of numbers.
        Message::DeadLetter(letter) => serde_json::to_value(line(letter)),
        Message::RecordRequeued(message) => serde_json::to_value(message),
        Message::RevisionDeclared(message) => serde_json::to_value(message),
        Message::RunFinished(message) => serde_json::to_value(message),
        Message::FormatDeclared(message) => serde_json::to_value(message),
        Message::ClipProbed(message) => serde_json::to_value(message),
        Message::AnswerGiven(message) => serde_json::to_value(message),
        Message::TrainingPlanned(message) => serde_json::to_value(message),
        Message::CheckpointSaved(message) => serde_json::to_value(message),
        Message::TrainingFailed(message) => serde_json::to_value(message),
    }
}

async fn letters(log: &dyn TopicLog, requeue: bool, out: &Path, common: &Common) -> Outcome {
    let Waiting { letters, later, .. } = dead_letters::list(log).await.map_err(anyhow::Error::from)?;
    for record in &later {
        say(&format!("{record}; it is not among what follows"));
    }
    let put_back = match requeue {
        true => dead_letters::requeue(log).await.map_err(anyhow::Error::from)?,
        false => 0,
    };
    let lines: Vec<_> = letters.iter().map(line).collect();
    if common.json {
        #[derive(Serialize)]
        struct Letters {
            dead_letters: Vec<LetterLine>,
            put_back: usize,
            /// Letters, or words of some put back, that only a later release can read.
            later_records: usize,
        }
        print_json(&Letters { dead_letters: lines, put_back, later_records: later.len() })?;
        return Ok(ExitCode::SUCCESS);
    }
    for line in &lines {
        let LetterLine { stage, topic, partition, position, attempts, reason, .. } = line;
        print(&format!(
            "{topic}/{partition}@{position}: {stage} gave up after {attempts} attempts: {reason}"
        ));
    }
    match (lines.len(), requeue) {
        (0, _) => print("no dead letters"),
        (_, true) => print(&format!("{put_back} put back; the next run takes them up")),
        (_, false) => {
            let flags = log_flags(common, out);
            print(&format!("`counterpoint topics dead-letters --requeue {flags}` puts them back"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn line(letter: &DeadLetter) -> LetterLine {
    LetterLine {
        id: letter.id.to_string(),
        clip: letter.clip.map(|clip| clip.to_string()),
        stage: letter.stage.as_str(),
        topic: letter.topic.clone(),
        partition: letter.partition,
        position: letter.position,
        attempts: letter.attempts,
        reason: letter.reason.clone(),
        raw_bytes: letter.raw.len(),
    }
}

#[cfg(test)]
mod tests {
    use counterpoint_log::{Headers, Position};
    use futures::{StreamExt, stream};

    use super::*;

    #[test]
    fn state_is_told_in_words_and_what_is_none_by_its_size() {
        let key = [[0xab_u8; 8].as_slice(), &[0, 0, 0, 3], b"member/1"].concat();
        assert_eq!(state_key(&key), "abababababababab/3 member/1");
        let of_engine = [[0xab_u8; 8].as_slice(), &[0xff; 4], b"epoch/1"].concat();
        assert_eq!(state_key(&of_engine), "abababababababab/engine epoch/1");
        assert_eq!(state_key(&[1, 255]), "01ff");
        assert_eq!(text(b"{\"found\":1}"), "{\"found\":1}");
        for binary in [[0, 0, 0, 7], [0xff, 0xfe, 65, 66]] {
            assert_eq!(text(&binary), "(4 bytes)");
        }
    }

    #[test]
    fn the_tail_is_what_was_written_last_in_any_partition() {
        let record = |partition, position, written_ms| Received {
            topic: Topic::Clips,
            partition,
            position: Position(position),
            key: vec![],
            value: vec![],
            headers: Headers::default(),
            written_ms,
        };
        // One partition after the other, as a scan gives them.
        let scanned =
            [record(0, 5, 100), record(0, 9, 400), record(1, 2, 200), record(1, 3, 300), record(2, 1, 50)];
        let tail = |count| {
            let records = stream::iter(scanned.clone()).map(Ok).boxed();
            let newest = futures::executor::block_on(newest(records, count)).unwrap();
            newest.into_iter().map(|record| record.written_ms).collect::<Vec<_>>()
        };
        assert_eq!(tail(2), [300, 400]);
        assert_eq!(tail(9), [50, 100, 200, 300, 400]);
        assert!(tail(0).is_empty());
    }
}
