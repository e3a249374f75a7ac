//! A process that is killed in the middle of its commits.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use counterpoint_log::{
    Commit, Epoch, Event, EventStream, Group, Headers, Member, Membership, Outgoing, Position, Received,
    StateEntry, TopicLog,
    sqlite::{SqliteLog, SqliteOptions},
};
use counterpoint_messages::{Fingerprint, StageName, Topic};
use futures::StreamExt;

const FOLDER: &str = "COUNTERPOINT_LOG_KILL_FOLDER";
const RECORDS: usize = 2000;
const KILLS: usize = 6;

fn open(folder: &Path) -> SqliteLog {
    SqliteLog::open(folder, SqliteOptions::default()).unwrap()
}

fn record(topic: Topic, key: usize, value: usize) -> Outgoing {
    Outgoing {
        topic,
        partition: 0,
        key: key.to_string().into(),
        value: value.to_string().into(),
        headers: Headers::default(),
    }
}

fn number(bytes: &[u8]) -> usize {
    std::str::from_utf8(bytes).unwrap().parse().unwrap()
}

struct Owner {
    events: EventStream,
    member: Box<dyn Member>,
    epoch: Epoch,
    /// Records done so far, as the state says.
    count: usize,
}

/// Joins, and is assigned at once: nobody who still lives owns the group.
async fn join(log: &SqliteLog) -> Owner {
    let (mut events, member) = log
        .join(Membership {
            group: Group { stage: StageName::Composer, fingerprint: Fingerprint([1; 8]) },
            instance: "test".into(),
            inputs: vec![Topic::Clips],
            exclusive: true,
            max_records: 10,
            max_bytes: 1 << 20,
        })
        .await
        .unwrap();
    match events.next().await.unwrap().unwrap() {
        Event::Assigned { epoch, state, .. } => {
            let count = state.first().map_or(0, |entry| number(entry.value.as_deref().unwrap()));
            Owner { events, member, epoch, count }
        }
        other => panic!("a successor should be assigned at once, not {other:?}"),
    }
}

/// Commits every record by itself: two outputs, one on another topic, the count, the position.
async fn work(owner: &mut Owner) {
    loop {
        let page = match owner.events.next().await.unwrap().unwrap() {
            Event::Records(page) => page,
            Event::CaughtUp => return,
            other => panic!("unexpected {other:?}"),
        };
        for Received { value, position, .. } in page {
            let input = number(&value);
            assert_eq!(input, owner.count, "each record comes once, in order");
            owner.count += 1;
            let commit = Commit {
                outputs: vec![
                    record(Topic::Samples, input, 2 * input),
                    record(Topic::Samples, input, 2 * input + 1),
                    record(Topic::Skipped, input, input),
                ],
                state: vec![StateEntry {
                    partition: 0,
                    key: "count".into(),
                    value: Some(owner.count.to_string().into()),
                }],
                positions: vec![(Topic::Clips, 0, position)],
            };
            owner.member.commit(owner.epoch, commit).await.unwrap();
        }
    }
}

#[tokio::test]
#[ignore = "the process that the test below starts and kills"]
async fn killed_process() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let log = open(Path::new(&folder));
    work(&mut join(&log).await).await;
    // Done early: holds the group until it is killed.
    std::future::pending::<()>().await;
}

fn start(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed_process", "--ignored"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

async fn written(log: &SqliteLog, topic: Topic) -> Vec<usize> {
    log.scan(topic).map(|record| number(&record.unwrap().value)).collect().await
}

/// What the group committed, which must be the same by every measure.
async fn committed(log: &SqliteLog, owner: &Owner) -> usize {
    let count = owner.count;
    assert_eq!(written(log, Topic::Samples).await, (0..2 * count).collect::<Vec<_>>());
    assert_eq!(written(log, Topic::Skipped).await, (0..count).collect::<Vec<_>>());
    let lag: u64 = log.groups().await.unwrap().iter().map(|group| group.lag).sum();
    assert_eq!(count, if count == 0 { 0 } else { RECORDS - lag as usize });
    count
}

#[tokio::test]
async fn a_killed_process_leaves_whole_commits_and_its_successor_takes_over_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    log.append((0..RECORDS).map(|input| record(Topic::Clips, input, input)).collect()).await.unwrap();
    let mut before = 0;
    for _ in 0..KILLS {
        let mut child = start(folder.path());
        let mut outputs = log.follow(Topic::Skipped).skip(before);
        outputs.next().await.unwrap().unwrap();
        let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
        tokio::time::sleep(Duration::from_micros(u64::from(nanoseconds % 60_000))).await;
        child.kill().unwrap();
        child.wait().unwrap();
        let owner = join(&log).await;
        let count = committed(&log, &owner).await;
        assert!(count > before);
        before = count;
        owner.member.leave().await.unwrap();
    }
    let mut owner = join(&log).await;
    work(&mut owner).await;
    assert_eq!(committed(&log, &owner).await, RECORDS);
    let late = owner
        .member
        .commit(Epoch(1), Commit { positions: vec![(Topic::Clips, 0, Position(1))], ..Commit::default() });
    assert!(late.await.is_err(), "the first owner's epoch is long gone");
}
