//! `topics`: a look into the log, and dead letters put back.

use std::{collections::VecDeque, process::ExitCode};

use counterpoint_actors::dead_letters;
use counterpoint_log::{Received, TopicLog};
use counterpoint_messages::{DeadLetter, Message, Topic};
use futures::TryStreamExt;
use serde::Serialize;

use crate::{
    args::{self, Common, TopicsAction},
    output::{Failure, Outcome, print, print_json, thousands},
};

#[derive(Serialize)]
struct Topics {
    topics: Vec<TopicLine>,
    groups: Vec<GroupLine>,
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
}

#[derive(Serialize)]
struct RecordLine {
    partition: u32,
    position: u64,
    key: String,
    clip: Option<String>,
    trace: Option<String>,
    message: String,
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
    let log = counterpoint_log::open_existing(common.broker.as_deref(), &arguments.out)
        .map_err(anyhow::Error::from)?;
    actix::System::new().block_on(async {
        match &arguments.action {
            TopicsAction::List => list(&*log, common).await,
            TopicsAction::Tail { topic, records } => tail(&*log, topic, *records, common).await,
            TopicsAction::DeadLetters { requeue } => letters(&*log, *requeue, common).await,
        }
    })
}

async fn list(log: &dyn TopicLog, common: &Common) -> Outcome {
    let described = log.topics().await.map_err(anyhow::Error::from)?;
    let groups = log.groups().await.map_err(anyhow::Error::from)?;
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
        groups: groups
            .into_iter()
            .map(|group| GroupLine { group: group.group.to_string(), holder: group.holder, lag: group.lag })
            .collect(),
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
        print(&format!("{:32} {:>8}  {holder}", group.group, thousands(group.lag)));
    }
    Ok(ExitCode::SUCCESS)
}

async fn tail(log: &dyn TopicLog, name: &str, count: usize, common: &Common) -> Outcome {
    let Some(topic) = Topic::parse(name) else {
        let names: Vec<_> = Topic::all().map(|topic| topic.to_string()).collect();
        return Err(Failure::usage(format!("`{name}` is no topic: choose from {}", names.join(", "))));
    };
    let mut newest: VecDeque<Received> = VecDeque::new();
    let mut records = log.scan(topic);
    while let Some(record) = records.try_next().await.map_err(anyhow::Error::from)? {
        newest.push_back(record);
        if newest.len() > count {
            newest.pop_front();
        }
    }
    let lines: Vec<_> = newest.iter().map(describe).collect();
    if common.json {
        print_json(&std::collections::BTreeMap::from([("records", &lines)]))?;
        return Ok(ExitCode::SUCCESS);
    }
    for line in lines {
        print(&format!("{}@{} {}", line.partition, line.position, line.message));
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(record: &Received) -> RecordLine {
    let (key, message) = match record.topic {
        Topic::State(_) => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (text(&record.key), text(&record.value))
        }
        _ => {
            let key: String = record.key.iter().map(|byte| format!("{byte:02x}")).collect();
            let message = match Message::decode(&record.value) {
                Ok(message) => format!("{message:?}"),
                Err(error) => format!("unreadable: the record {error}"),
            };
            (key, message)
        }
    };
    RecordLine {
        partition: record.partition,
        position: record.position.0,
        key,
        clip: record.headers.clip.map(|clip| clip.to_string()),
        trace: record.headers.trace.map(|trace| trace.to_string()),
        message,
    }
}

async fn letters(log: &dyn TopicLog, requeue: bool, common: &Common) -> Outcome {
    let letters = dead_letters::list(log).await.map_err(anyhow::Error::from)?;
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
        }
        print_json(&Letters { dead_letters: lines, put_back })?;
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
        (_, false) => print("`counterpoint topics dead-letters --requeue` puts them back"),
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
