//! A log that release 0.1 left, records of a later release, and what lies between.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use counterpoint_log::{
    Headers, Outgoing, TopicLog,
    sqlite::{SqliteLog, SqliteOptions},
};
use counterpoint_messages::{ContentHash, Message, Topic, partition_of};
use counterpoint_tests::{
    out::{Out, assert_adds_up, number, text},
    program::{Program, until},
    shared,
    workplace::{Workplace, video},
};
use futures::TryStreamExt;
use rusqlite::Connection;

/// Partitions of the log of release 0.1, and of one that settings say nothing about.
const PARTITIONS: u32 = 4;

/// A workplace whose output folder holds nothing but the topic log that release 0.1 left: a run on four
/// good films and a broken one, and two more films that only source, curator and decoder have seen.
fn left_by_release_0_1() -> Workplace {
    let workplace = Workplace::new();
    let folder = workplace.path("out/topics");
    fs::create_dir_all(&folder).unwrap();
    let dump = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/release-0.1.sql")).unwrap();
    Connection::open(folder.join("topics.sqlite3")).unwrap().execute_batch(&dump).unwrap();
    // By its ontology a run knows that the store is its own.
    let ontology = fs::read(shared("ontology.json")).unwrap();
    let name = ContentHash::of(&ontology).to_string();
    let folder = workplace.path("out/objects").join(&name[..2]);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), ontology).unwrap();
    workplace
}

fn in_log<T>(workplace: &Workplace, ask: impl AsyncFnOnce(&SqliteLog) -> T) -> T {
    let log = SqliteLog::open(&workplace.path("out/topics"), SqliteOptions::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(ask(&log))
}

/// Versions that are written of each kind.
fn versions(workplace: &Workplace) -> BTreeMap<String, BTreeSet<u16>> {
    in_log(workplace, async |log| {
        let mut versions: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for topic in Topic::MESSAGES {
            let mut records = log.scan(topic);
            while let Some(record) = records.try_next().await.unwrap() {
                let kind = Message::decode(&record.value).unwrap().kind();
                let version = u16::from_le_bytes([record.value[6], record.value[7]]);
                versions.entry(format!("{kind:?}")).or_default().insert(version);
            }
        }
        versions
    })
}

fn samples(out: &Out) -> BTreeSet<String> {
    out.samples().iter().map(|row| text(&row["sample"])).collect()
}

fn command(arguments: &[&str], out: &Path) -> Program {
    Program::counterpoint(arguments).with(["--out".as_ref(), out])
}

#[test]
fn a_run_goes_on_where_release_0_1_left_it_and_speaks_its_language_until_the_log_is_upgraded() {
    let workplace = left_by_release_0_1();
    let out = workplace.out();
    let list = out.ask(["topics", "list"]);
    assert_eq!((number(&list["format_level"]), number(&list["newest_format_level"])), (1, 4));
    let before = out.records();
    assert_eq!((before["decoded"], before["accepted"], before["samples"]), (6, 4, 24));

    workplace.add_good(10);
    workplace.add_good(11);
    // The normal form of clips is another one since: what source and curator did is reused. The media of
    // release 0.1 are not at hand here, so only the new films are brought into it.
    workplace.run().run().ended_with(2, &["transforms have changed", "--new-revision"]);
    workplace.run().with(["--new-revision"]).run().done();
    let summary = out.summary();
    assert_adds_up(&summary);
    assert_eq!((number(&summary["found"]), number(&summary["accepted"])), (9, 2), "{summary:#}");
    assert_eq!(number(&summary["rejected"]["decoder"]["media_missing"]), 7, "{summary:#}");
    assert_eq!(number(&summary["revision"]), 2);
    let after = out.records();
    assert_eq!((after["clips"], after["decoded"]), (before["clips"] + 2, before["decoded"] + 2));
    let written = versions(&workplace);
    assert!(written.values().all(|versions| *versions == BTreeSet::from([1])), "{written:?}");
    let made = samples(&out);
    assert_eq!(made.len() as u64, after["samples"] - before["samples"]);

    let told = command(&["topics", "upgrade"], &workplace.path("out")).run().done().stdout;
    for words in
        ["format level 4, was 1", "InputOffered as version 2 (was 1)", "FormatDeclared as version 1 (new)"]
    {
        assert!(told.contains(words), "{told}");
    }
    let again = out.ask(["topics", "upgrade"]);
    assert_eq!((number(&again["format_level"]), again["changes"].as_array().unwrap().len()), (4, 0));
    assert_eq!(number(&out.status()["format_level"]), 4);

    workplace.add_good(12);
    workplace.run().run().done();
    assert_eq!(number(&out.summary()["accepted"]), 3);
    assert_eq!(versions(&workplace)["InputOffered"], BTreeSet::from([1, 2]));
    assert!(samples(&out).is_superset(&made), "what there was is there still");
}

#[test]
fn a_log_is_not_upgraded_under_the_feet_of_a_process_at_work() {
    let workplace = left_by_release_0_1();
    let (out, folder) = (workplace.out(), workplace.path("out"));
    workplace.add_good(10);
    // It waits for an end that only the stages of other processes can bring about.
    let mut gate = workplace.run().with(["--stages", "gate", "--new-revision"]).start();
    gate.until("the gate has read what there is", |_| {
        let status = out.status();
        let stages = status["stages"].as_array().unwrap().iter();
        stages.clone().any(|stage| stage["stage"] == "gate" && !stage["holder"].is_null())
    });
    command(&["topics", "upgrade"], &folder)
        .run()
        .ended_with(1, &["is at work on this log", "group gate.", "--while-running"]);
    assert_eq!(number(&out.status()["format_level"]), 1, "nothing was changed");
    command(&["topics", "upgrade", "--while-running"], &folder).run().done();
    assert_eq!(number(&out.status()["format_level"]), 4);
    gate.interrupt();
    gate.wait().ended_with(130, &[]);
}

#[test]
fn a_record_of_a_later_release_pauses_its_partition_shows_in_status_and_ends_the_run_with_its_name() {
    let workplace = Workplace::with_clips(2);
    workplace.run().run().done();
    let held = partition_of(&video(10), PARTITIONS);
    let free = (11..).find(|number| partition_of(&video(*number), PARTITIONS) != held).unwrap();
    let position = in_log(&workplace, async |log| {
        let mut found: Vec<_> = log.scan(Topic::Clips).try_collect().await.unwrap();
        let found = found.remove(0);
        let mut value = found.value;
        value[6..8].copy_from_slice(&3_u16.to_le_bytes());
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&value[4..12]), &value[16..]);
        value[12..16].copy_from_slice(&checksum.to_le_bytes());
        let headers = Headers { clip: None, ..found.headers };
        let key = b"of a later release".to_vec();
        log.append(vec![Outgoing { topic: Topic::Clips, partition: held, key, value, headers }])
            .await
            .unwrap();
        let records: Vec<_> = log.scan(Topic::Clips).try_collect().await.unwrap();
        let newest = records.into_iter().map(|record| record.position).max().unwrap();
        i64::try_from(newest.0).unwrap()
    });
    workplace.add_good(10);
    workplace.add_good(free);
    let place =
        format!("paused: clips/{held} at position {position} holds a record that is version 3 of ClipFound");
    // A second run of the same program finds the same.
    for _ in 0..2 {
        workplace.run().run().ended_with(1, &[&place, "newer than the 1", "upgrade counterpoint"]);
        let out = workplace.out();
        let status = out.status();
        assert_eq!(status["paused"].as_array().unwrap().len(), 1, "{status:#}");
        assert_eq!(number(&status["summary"]["accepted"]), 3, "the other partitions went on: {status:#}");
        assert_eq!(number(&status["summary"]["later_records"]), 1);
        assert_eq!(number(&status["summary"]["dead_letters"]), 0);
        let told = command(&["status"], &workplace.path("out")).run().done().stdout;
        assert!(told.contains(&place), "{told}");
    }
    // The clip that waits behind it is taken up as soon as nothing is in its way.
    let log = Connection::open(workplace.path("out/topics/topics.sqlite3")).unwrap();
    assert_eq!(log.execute("DELETE FROM records WHERE position = ?1", [position]).unwrap(), 1);
    drop(log);
    workplace.run().run().done();
    let summary = workplace.out().summary();
    assert_adds_up(&summary);
    assert_eq!((number(&summary["accepted"]), number(&summary["later_records"])), (4, 0), "{summary:#}");
}

#[test]
fn a_topic_that_came_later_is_there_on_an_older_log() {
    let workplace = left_by_release_0_1();
    let log = Connection::open(workplace.path("out/topics/topics.sqlite3")).unwrap();
    let named = |table: &str| -> i64 {
        let count = format!("SELECT count(*) FROM {table} WHERE topic = 'dead-letters'");
        log.query_row(&count, [], |row| row.get(0)).unwrap()
    };
    assert_eq!((named("records"), named("totals")), (0, 0), "this log never heard of it");
    let topic = Topic::DeadLetters;
    in_log(&workplace, async |log| {
        let (key, value, headers) = (vec![1], vec![2], Headers::default());
        log.append(vec![Outgoing { topic, partition: 0, key, value, headers }]).await.unwrap();
        let records: Vec<_> = log.scan(topic).try_collect().await.unwrap();
        assert_eq!(records.len(), 1);
    });
    until("the list names it", || workplace.out().records()["dead-letters"] == 1);
}
