//! What the source makes of folders and lists that are not as they should be.

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc};

use counterpoint_log::{TopicLog, memory::MemoryLog};
use counterpoint_messages::{InputSealed, Message, Rejected, Topic};
use futures::TryStreamExt;

use crate::harness::{CLASSES, Harness, assert_adds_up};

fn memory() -> Arc<dyn TopicLog> {
    Arc::new(MemoryLog::new(4))
}

fn messages(log: &Arc<dyn TopicLog>, topic: Topic) -> Vec<Message> {
    actix::System::new().block_on(async {
        let records: Vec<_> = log.scan(topic).try_collect().await.unwrap();
        records.iter().map(|record| Message::decode(&record.value).unwrap()).collect()
    })
}

fn rejected(log: &Arc<dyn TopicLog>) -> Vec<Rejected> {
    let rejected = |message| match message {
        Message::Rejected(rejected) => Some(rejected),
        _ => None,
    };
    messages(log, Topic::Rejected).into_iter().filter_map(rejected).collect()
}

fn sealed(log: &Arc<dyn TopicLog>) -> InputSealed {
    let sealed = |message| match message {
        Message::InputSealed(sealed) => Some(sealed),
        _ => None,
    };
    messages(log, Topic::Runs).into_iter().filter_map(sealed).next_back().unwrap()
}

#[test]
fn the_same_clip_twice_is_repeated_and_with_other_bytes_conflicting() {
    let harness = Harness::with_clips(4);
    let clips = harness.path("clips");
    let first = clips.join(format!("{}.mp4", Harness::video(0)));
    fs::copy(&first, clips.join(format!("zz-{}.mp4", Harness::video(0)))).unwrap();
    fs::copy(&first, clips.join(format!("Y{}.mp4", Harness::video(0)))).unwrap();
    fs::write(clips.join(format!("Y{}_30.000_40.000.mkv", Harness::video(1))), "other bytes").unwrap();
    let log = memory();
    let summary = harness.run(&log);
    assert_adds_up(&summary);
    // The one named `zz-...` is nobody's clip. Those with a Y sort first and are kept.
    assert_eq!((summary.found, summary.unlabelled, summary.accepted), (7, 1, 4));
    assert_eq!(summary.rejected["source"]["repeated_clip"], 1);
    assert_eq!(summary.rejected["source"]["conflicting_media"], 1);
    let conflict = rejected(&log).into_iter().find(|r| r.reason.as_str() == "conflicting_media").unwrap();
    assert!(conflict.path.ends_with(&format!("{}.mp4", Harness::video(1))));
    assert!(conflict.detail.contains("30.000_40.000.mkv was read first"), "{}", conflict.detail);
}

#[test]
fn rows_without_clip_unknown_mids_and_broken_rows_are_counted_and_explained() {
    let harness = Harness::with_clips(2);
    let list = harness.path("train.csv");
    let rows = fs::read_to_string(&list).unwrap();
    let extra = format!(
        "# a comment\nnot-there-00,0.000,10.000,\"{}\"\n{},30.000,40.000,\"/m/nobody\"\nbroken\n",
        CLASSES[0].1,
        Harness::video(0)
    );
    fs::write(&list, rows + &extra).unwrap();
    let log = memory();
    let summary = harness.run(&log);
    assert_eq!((summary.labels_without_clip, summary.broken_rows), (1, 1));
    let sealed = sealed(&log);
    assert_eq!(sealed.unknown_mids["/m/nobody"], 1);
    assert_eq!(sealed.repeated_rows, 1);
    assert!(sealed.explanations.iter().any(|text| text.contains("train.csv") && text.contains("broken")));
}

#[test]
fn a_video_of_both_lists_stays_in_the_split_of_the_first() {
    let harness = Harness::with_clips(2);
    let rows = fs::read_to_string(harness.path("train.csv")).unwrap();
    let eval = fs::read_to_string(harness.path("eval.csv")).unwrap();
    fs::write(harness.path("eval.csv"), eval + &rows.replace("30.000,40.000", "50.000,60.000")).unwrap();
    let log = memory();
    let summary = harness.run(&log);
    assert_eq!(summary.accepted, 2);
    let explained = sealed(&log).explanations;
    assert!(explained[0].contains("is already in the train split"), "{explained:?}");
}

#[test]
fn a_clip_that_gets_its_label_later_is_taken_up_then() {
    let harness = Harness::with_clips(2);
    fs::write(harness.path("clips/later000000.mp4"), "good later").unwrap();
    let log = memory();
    assert_eq!(harness.run(&log).unlabelled, 1);
    assert_eq!(harness.run(&log).unlabelled, 1);
    let rows = fs::read_to_string(harness.path("train.csv")).unwrap();
    let row = format!("later000000,0.000,10.000,\"{}\"\n", CLASSES[1].1);
    fs::write(harness.path("train.csv"), rows + &row).unwrap();
    let summary = harness.run(&log);
    assert_adds_up(&summary);
    assert_eq!((summary.found, summary.unlabelled, summary.accepted), (3, 0, 3));
}

#[test]
fn a_file_and_a_folder_without_permission_are_explained_and_the_rest_goes_on() {
    if rustix::process::geteuid().is_root() {
        // Root may read everything: take the permission away by being somebody else is not possible in
        // one process, so a name that leads nowhere stands for it.
        let harness = Harness::with_clips(2);
        std::os::unix::fs::symlink("/nowhere", harness.path("clips/video000099.mp4")).unwrap();
        let log = memory();
        assert_eq!(harness.run(&log).accepted, 2);
        assert!(sealed(&log).explanations[0].contains("video000099.mp4 was left out"));
        return;
    }
    let harness = Harness::with_clips(2);
    let closed = harness.path("clips/closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    harness.add_clip(3, "good");
    let file = harness.path("clips").join(format!("{}.mp4", Harness::video(3)));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    let log = memory();
    let summary = harness.run(&log);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
    assert_adds_up(&summary);
    assert_eq!((summary.accepted, summary.rejected["source"]["unreadable_file"]), (2, 1));
    assert!(sealed(&log).explanations[0].contains("closed was left out"));
}
