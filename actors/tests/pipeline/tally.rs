//! Counting as the log grows: whatever the order in which topics are read, it comes to what the summary says.

use std::sync::{Arc, atomic::Ordering};

use counterpoint_actors::{dead_letters, tally::Tally};
use counterpoint_log::{Received, TopicLog, memory::MemoryLog};
use counterpoint_messages::{RejectReason, StageName, Topic};
use futures::TryStreamExt;

use crate::{harness::Harness, tallied};

fn memory() -> Arc<dyn TopicLog> {
    Arc::new(MemoryLog::new(4))
}

fn records(log: &Arc<dyn TopicLog>, topic: Topic) -> Vec<Received> {
    actix::System::new().block_on(log.scan(topic).try_collect()).unwrap()
}

/// See [`tallied::checked`].
pub fn checked(harness: &Harness, log: &Arc<dyn TopicLog>) -> Tally {
    actix::System::new().block_on(tallied::checked(&**log, &harness.revision())).unwrap()
}

#[test]
fn it_comes_to_what_the_summary_says_in_whatever_order_topics_are_read() {
    let harness = Harness::with_clips(8);
    harness.add_clip(8, "bad");
    harness.add_clip(9, "still");
    std::fs::write(harness.path("clips/nobody-knows-it.mp4"), "good").unwrap();
    let log = memory();
    harness.run(&log);
    let tally = checked(&harness, &log);
    let counts = tally.counts();
    assert_eq!((counts.found, counts.accepted, counts.unlabelled), (11, 8, 1));
    assert!(tally.has_ended());
    // Ten clips, a file that no list names, and that the input is read.
    assert_eq!(tally.written(StageName::Source), 12);
    assert_eq!(tally.written(StageName::Decoder), 10);
    let accepted = records(&log, Topic::Accepted);
    let hosts = accepted.iter().filter_map(|record| record.headers.clip);
    let of_hosts: u64 = hosts.map(|clip| tally.samples_of(clip)).sum();
    assert_eq!(of_hosts, records(&log, Topic::Samples).len() as u64);

    // The lists name now what they did not.
    let list = harness.path("train.csv");
    let rows = std::fs::read_to_string(&list).unwrap();
    std::fs::write(&list, format!("{rows}nobody-knows-it,30.000,40.000,\"/m/01yrx\"\n")).unwrap();
    harness.run(&log);
    let counts = checked(&harness, &log).counts().clone();
    assert_eq!((counts.found, counts.accepted, counts.unlabelled), (11, 9, 0), "{counts:?}");
}

#[test]
fn a_letter_counts_until_its_record_is_put_back_and_that_record_counts_once() {
    let harness = Harness::with_clips(6);
    harness.add_clip(6, "crash");
    harness.media.crashes.store(3, Ordering::Relaxed);
    let log = memory();
    harness.run(&log);
    assert_eq!(checked(&harness, &log).counts().dead_letters, [(StageName::Decoder, 1)].into());
    actix::System::new().block_on(dead_letters::requeue(&*log)).unwrap();
    assert!(checked(&harness, &log).counts().dead_letters.is_empty());
    harness.run(&log);
    let tally = checked(&harness, &log);
    assert_eq!((tally.counts().curated, tally.counts().decoded, tally.counts().accepted), (7, 7, 7));
    assert_eq!(tally.written(StageName::Curator), 7);
}

#[test]
fn records_of_other_settings_do_not_count_and_those_that_are_reused_do() {
    let mut harness = Harness::with_clips(6);
    let log = memory();
    harness.run(&log);
    harness.settings.gate.motion_min = 0.5;
    let tally = checked(&harness, &log);
    assert_eq!((tally.counts().decoded, tally.counts().accepted), (6, 0));
    assert!(!tally.has_ended(), "the input is not at its end under the new settings");
    harness.run(&log);
    let tally = checked(&harness, &log);
    assert_eq!(tally.counts().rejected, [((StageName::Gate, RejectReason::Static), 6)].into());
    assert!(tally.has_ended());
}
