//! A topic log that was damaged, and records that nobody can read.

use std::fs;

use counterpoint_log::{
    Headers, Outgoing, TopicLog,
    sqlite::{SqliteLog, SqliteOptions},
};
use counterpoint_messages::Topic;
use counterpoint_tests::{
    out::{number, text},
    program::until,
    workplace::Workplace,
};

use crate::next_good_clip_works;

fn open(workplace: &Workplace) -> SqliteLog {
    SqliteLog::open(&workplace.path("out/topics"), SqliteOptions::default()).unwrap()
}

#[test]
fn a_damaged_log_is_refused_by_name_and_goes_on_once_restored() {
    let workplace = Workplace::with_clips(2);
    workplace.run().run().done();
    // Whoever closes it last moves what was written into the one file.
    drop(open(&workplace));
    let log = workplace.path("out/topics/topics.sqlite3");
    until("the log is one file", || !log.with_extension("sqlite3-wal").exists());
    let whole = fs::read(&log).unwrap();
    let mut holed = whole.clone();
    let middle = whole.len() / 2;
    holed[middle..middle + 8192].fill(0xa5);
    for damaged in
        [&b""[..], b"no database at all, but a text of a few words", &whole[..whole.len() / 2], &holed]
    {
        fs::write(&log, damaged).unwrap();
        for program in [workplace.run(), workplace.run().with(["--stages", "gate"])] {
            program.run().ended_with(1, &[log.to_str().unwrap(), "damaged", "restore it from a copy"]);
        }
    }
    fs::write(&log, &whole).unwrap();
    next_good_clip_works(&workplace, 2, 3);
}

#[test]
fn records_that_nobody_can_read_are_dead_letters_and_stop_nothing() {
    let workplace = Workplace::with_clips(3);
    workplace.run().run().done();
    let junk = |topic, value: &[u8]| Outgoing {
        topic,
        partition: 0,
        key: b"junk".to_vec(),
        value: value.to_vec(),
        headers: Headers::default(),
    };
    let records = vec![junk(Topic::Clips, b"this is no message"), junk(Topic::Accepted, &[0xff; 64])];
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        open(&workplace).append(records).await.unwrap();
    });
    workplace.add_good(3);
    workplace.run().run().done();

    let out = workplace.out();
    let summary = out.summary();
    assert_eq!(number(&summary["accepted"]), 4, "{summary:#}");
    assert_eq!(number(&summary["dead_letters"]), 2, "{summary:#}");
    let tail = out.ask(["topics", "tail", "clips"]);
    let messages = tail["records"].as_array().unwrap().iter().map(|record| &record["message"]);
    let unreadable =
        messages.filter(|message| message.as_str().is_some_and(|text| text.starts_with("unreadable: ")));
    assert_eq!(unreadable.count(), 1, "{tail:#}");
    let letters = out.ask(["topics", "dead-letters"]);
    let mut lost: Vec<_> =
        letters["dead_letters"].as_array().unwrap().iter().map(|letter| text(&letter["topic"])).collect();
    lost.sort();
    assert_eq!(lost, ["accepted", "clips"]);
}
