//! What a damaged, foreign, locked or full store does to the engine on SQLite.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use counterpoint_log::{
    Group, Headers, LogError, Membership, Outgoing, Position, Received, TopicLog,
    sqlite::{SqliteLog, SqliteOptions},
};
use counterpoint_messages::{Fingerprint, StageName, Topic};
use futures::StreamExt;

fn open(folder: &Path) -> Result<SqliteLog, LogError> {
    SqliteLog::open(folder, SqliteOptions::default())
}

fn file(folder: &Path) -> PathBuf {
    folder.join("topics.sqlite3")
}

fn error(folder: &Path) -> LogError {
    open(folder).err().expect("the log should not open")
}

fn record(topic: Topic, value: Vec<u8>) -> Outgoing {
    Outgoing { topic, partition: 0, key: Vec::new(), value, headers: Headers::default() }
}

async fn scan(log: &SqliteLog, topic: Topic) -> Vec<Result<Received, LogError>> {
    log.scan(topic).collect().await
}

#[test]
fn a_file_that_is_no_database_is_named_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    for contents in
        ["", "x", "this is a text, and long enough to hold a header of a hundred bytes, which it is not"]
    {
        fs::write(file(folder.path()), contents).unwrap();
        let error = error(folder.path());
        assert!(matches!(error, LogError::Corrupt { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("topics.sqlite3") && text.contains("move it away"), "{text}");
        assert_eq!(fs::read_to_string(file(folder.path())).unwrap(), contents);
    }
}

#[test]
fn a_database_of_another_program_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let foreign = rusqlite::Connection::open(file(folder.path())).unwrap();
    foreign.execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = fs::read(file(folder.path())).unwrap();
    let error = error(folder.path());
    assert!(matches!(error, LogError::Invalid { .. }), "{error}");
    assert!(error.to_string().contains("another program"), "{error}");
    assert_eq!(fs::read(file(folder.path())).unwrap(), before);
}

#[test]
fn a_log_of_a_newer_format_asks_for_an_upgrade() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).unwrap());
    let connection = rusqlite::Connection::open(file(folder.path())).unwrap();
    connection.pragma_update(None, "user_version", 2).unwrap();
    connection.pragma_update(None, "wal_checkpoint", "TRUNCATE").unwrap();
    drop(connection);
    let error = error(folder.path()).to_string();
    assert!(error.contains("format 2") && error.contains("upgrade counterpoint"), "{error}");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let occupied = folder.path().join("occupied");
    fs::write(&occupied, "").unwrap();
    let error = error(&occupied.join("log"));
    assert!(matches!(error, LogError::Invalid { .. }), "{error}");
    assert!(error.to_string().contains("occupied/log/topics.sqlite3"), "{error}");
}

#[tokio::test]
async fn damage_is_found_when_it_is_read_and_when_the_log_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    log.append((0..2000).map(|number| record(Topic::Samples, vec![number as u8; 500])).collect())
        .await
        .unwrap();
    let connection = rusqlite::Connection::open(file(folder.path())).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let mut bytes = fs::read(file(folder.path())).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0xee);
    fs::write(file(folder.path()), bytes).unwrap();
    let read = scan(&log, Topic::Samples).await;
    let Some(Err(error)) = read.last() else { panic!("should end with an error") };
    assert!(matches!(error, LogError::Corrupt { .. }), "{error}");
    drop(log);
    let error = self::error(folder.path());
    assert!(matches!(error, LogError::Corrupt { .. }), "{error}");
}

#[tokio::test]
async fn a_header_of_a_wrong_length_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    log.append(vec![record(Topic::Samples, vec![1])]).await.unwrap();
    let connection = rusqlite::Connection::open(file(folder.path())).unwrap();
    connection.execute("UPDATE records SET clip = x'00'", []).unwrap();
    let read = scan(&log, Topic::Samples).await;
    assert!(matches!(read.as_slice(), [Err(LogError::Corrupt { .. })]), "{read:?}");
}

#[test]
fn the_number_of_partitions_is_decided_when_the_log_is_created() {
    let folder = tempfile::tempdir().unwrap();
    let with = |partitions| {
        let options = SqliteOptions { partitions, ..SqliteOptions::default() };
        let log = SqliteLog::open(folder.path(), options).unwrap();
        (log.partitions(Topic::Clips), log.partitions(Topic::Samples))
    };
    assert_eq!(with(7), (7, 1));
    assert_eq!(with(2), (7, 1));
}

#[test]
fn processes_that_start_at_once_make_one_log() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        let opened: Vec<_> = (1..9_u32)
            .map(|partitions| {
                let options = SqliteOptions { partitions, ..SqliteOptions::default() };
                scope
                    .spawn(|| SqliteLog::open(folder.path(), options).map(|log| log.partitions(Topic::Clips)))
            })
            .collect();
        let partitions: Vec<_> = opened.into_iter().map(|opened| opened.join().unwrap().unwrap()).collect();
        assert!(partitions.iter().all(|number| *number == partitions[0]), "{partitions:?}");
    });
    let left = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| name.to_string_lossy().starts_with("topics.sqlite3")));
}

#[tokio::test]
async fn a_lock_that_is_held_too_long_is_a_passing_fault() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    let other = rusqlite::Connection::open(file(folder.path())).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = log.append(vec![record(Topic::Samples, vec![1])]).await.unwrap_err();
    assert!(matches!(error, LogError::Unavailable { .. }) && error.is_passing(), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    log.append(vec![record(Topic::Samples, vec![2])]).await.unwrap();
    let read = scan(&log, Topic::Samples).await;
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].as_ref().unwrap().value, [2]);
}

#[tokio::test]
async fn the_holder_is_named_by_process_and_host() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    log.append(vec![record(Topic::Samples, vec![1])]).await.unwrap();
    let membership = Membership {
        group: Group { stage: StageName::Reporter, fingerprint: Fingerprint([1; 8]) },
        instance: "test".into(),
        inputs: vec![Topic::Samples],
        exclusive: true,
        max_records: 1,
        max_bytes: 1,
    };
    let (mut events, member) = log.join(membership).await.unwrap();
    let Some(Ok(counterpoint_log::Event::Assigned { epoch, .. })) = events.next().await else { panic!() };
    let positions = vec![(Topic::Samples, 0, Position(1))];
    member.commit(epoch, counterpoint_log::Commit { positions, ..Default::default() }).await.unwrap();
    let groups = log.groups().await.unwrap();
    let holder = groups[0].holder.as_deref().unwrap();
    assert!(holder.starts_with(&format!("process {} on host ", std::process::id())), "{holder}");
    assert!(holder.contains("(since 2") && holder.ends_with("Z)"), "{holder}");
    assert_eq!(groups[0].lag, 0);
}

#[tokio::test]
async fn what_compaction_removes_no_longer_counts_in_the_totals() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    for size in [10, 20, 30] {
        log.append(vec![record(Topic::Curated, vec![0; size])]).await.unwrap();
    }
    let topics = log.topics().await.unwrap();
    let curated = topics.iter().find(|topic| topic.topic == Topic::Curated).unwrap();
    assert_eq!((curated.records, curated.bytes), (1, 30));
}

/// A file system of a mebibyte, unmounted at the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where mounting is not allowed.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "none"])
            .arg(folder.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).output();
    }
}

/// Where nothing can be mounted the same is tested by the writer's own tests, with a limit on the file.
#[tokio::test]
async fn a_full_disk_loses_nothing_and_the_log_works_again_when_there_is_space() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("skipped: a small file system cannot be mounted here");
        return;
    };
    let folder = disk.0.path();
    let ballast = folder.join("ballast");
    fs::write(&ballast, vec![1; 256 << 10]).unwrap();
    let log = open(folder).unwrap();
    let mut written = Vec::new();
    let error = loop {
        assert!(written.len() < 1000, "a mebibyte should be full by now");
        let value = vec![written.len() as u8; 20 << 10];
        match log.append(vec![record(Topic::Samples, value.clone())]).await {
            Ok(()) => written.push(value),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, LogError::Full { .. }) && error.is_passing(), "{error}");
    assert!(error.to_string().contains("topics.sqlite3"), "{error}");
    let read = |records: Vec<Result<Received, LogError>>| {
        records.into_iter().map(|record| record.unwrap().value).collect::<Vec<_>>()
    };
    assert_eq!(read(scan(&log, Topic::Samples).await), written);
    fs::remove_file(ballast).unwrap();
    for number in 0..4 {
        let value = vec![number; 10 << 10];
        log.append(vec![record(Topic::Samples, value.clone())]).await.unwrap();
        written.push(value);
    }
    assert_eq!(read(scan(&log, Topic::Samples).await), written);
    drop(log);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(read(scan(&open(folder).unwrap(), Topic::Samples).await), written);
}

#[tokio::test]
async fn a_stage_and_a_topic_of_a_later_release_are_passed_over_and_not_taken_for_damage() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    log.append(vec![record(Topic::Clips, vec![1])]).await.unwrap();
    let group = Group { stage: StageName::Curator, fingerprint: Fingerprint([1; 8]) };
    let later = rusqlite::Connection::open(file(folder.path())).unwrap();
    for (group, topic) in [
        (group.to_string(), "clips"),
        (group.to_string(), "topic-of-a-later-release"),
        ("stage-of-a-later-release.0101010101010101".to_owned(), "clips"),
    ] {
        later.execute("INSERT INTO positions VALUES (?1, ?2, 0, 1)", [&group, topic]).unwrap();
    }
    later.execute("INSERT INTO totals VALUES ('topic-of-a-later-release', 0, 1, 1, 0)", []).unwrap();
    let groups = log.groups().await.unwrap();
    assert_eq!(groups.iter().map(|group| (group.group, group.lag)).collect::<Vec<_>>(), [(group, 0)]);
    assert_eq!(log.topics().await.unwrap().len(), Topic::all().count());
}
