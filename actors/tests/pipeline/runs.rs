//! Runs without faults: everything ends, counts add up, nothing is done twice.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use counterpoint_actors::stage::StageHealth;
use counterpoint_log::{TopicLog, memory::MemoryLog, sqlite::SqliteLog};
use counterpoint_messages::{StageName, Topic};

use crate::harness::{Harness, assert_adds_up};

fn memory() -> Arc<dyn TopicLog> {
    Arc::new(MemoryLog::new(4))
}

fn sqlite(harness: &Harness) -> Arc<dyn TopicLog> {
    Arc::new(SqliteLog::open(&harness.path("out/topics"), Default::default()).unwrap())
}

/// Records of each topic.
fn records(log: &Arc<dyn TopicLog>) -> BTreeMap<String, u64> {
    actix::System::new().block_on(async {
        let topics = log.topics().await.unwrap();
        topics.into_iter().map(|topic| (topic.topic.to_string(), topic.records)).collect()
    })
}

/// Runs some stages until `enough` holds of their health, then stops them.
fn run_until(
    harness: &Harness,
    log: &Arc<dyn TopicLog>,
    stages: &[StageName],
    enough: impl Fn(&[(StageName, StageHealth)]) -> bool,
) {
    actix::System::new().block_on(async {
        let mut running = harness.pipeline(log, stages).start();
        while !enough(&running.health()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        running.stop();
        running.ended().await.unwrap();
    });
}

#[test]
fn every_clip_ends_once_and_both_engines_make_the_same_manifest() {
    let harness = Harness::with_clips(24);
    harness.add_clip(24, "bad");
    harness.add_clip(25, "still");
    std::fs::write(harness.path("clips/nobody-knows-it.mp4"), "good").unwrap();
    std::fs::write(harness.path("clips/a-nobody-knows-it.mp4"), "good").unwrap();
    std::fs::write(harness.path("clips/notes.txt"), "no media file").unwrap();

    let summary = harness.run(&sqlite(&harness));
    assert_adds_up(&summary);
    assert_eq!((summary.found, summary.unlabelled), (28, 2));
    assert_eq!((summary.curated, summary.decoded, summary.accepted), (26, 25, 24));
    assert_eq!(summary.composed["aligned"], 24);
    assert_eq!(summary.rejected["decoder"]["not_media"], 1);
    assert_eq!(summary.rejected["gate"]["static"], 1);
    assert_eq!(summary.dead_letters, 0);
    let manifest = harness.manifest();
    assert_eq!(manifest.lines().count() as u64, summary.composed.values().sum::<u64>());

    std::fs::remove_dir_all(harness.path("out")).unwrap();
    assert_eq!(harness.run(&memory()), summary);
    assert_eq!(harness.manifest(), manifest);
}

#[test]
fn a_second_run_does_nothing_twice_and_takes_up_what_is_new() {
    let harness = Harness::with_clips(8);
    let log = sqlite(&harness);
    let first = harness.run(&log);
    let (before, prepared) = (records(&log), harness.media.prepared.load(Ordering::Relaxed));

    assert_eq!(harness.run(&log), first);
    let after = records(&log);
    assert_eq!(harness.media.prepared.load(Ordering::Relaxed), prepared);
    for (topic, count) in &before {
        if !["inputs", "runs"].contains(&topic.as_str()) && !topic.starts_with("state.") {
            assert_eq!(after[topic], *count, "{topic}");
        }
    }

    harness.add_clip(8, "good");
    harness.add_clip(9, "good");
    let third = harness.run(&log);
    assert_eq!(harness.media.prepared.load(Ordering::Relaxed), prepared + 2);
    assert_eq!(third.composed["aligned"], 10);
    assert_eq!(records(&log)["pools"], before["pools"] + 2);
}

#[test]
fn changed_settings_reuse_what_did_not_change() {
    let mut harness = Harness::with_clips(8);
    let log = memory();
    harness.run(&log);
    let prepared = harness.media.prepared.load(Ordering::Relaxed);
    harness.settings.gate.motion_min = 0.5;
    let summary = harness.run(&log);
    assert_eq!(harness.media.prepared.load(Ordering::Relaxed), prepared, "nothing is decoded again");
    assert_eq!((summary.decoded, summary.accepted), (8, 0));
    assert_eq!(summary.rejected["gate"]["static"], 8);
}

#[test]
fn another_seed_seals_and_composes_anew_and_does_nothing_else_again() {
    let mut harness = Harness::with_clips(8);
    let log = sqlite(&harness);
    harness.run(&log);
    let (before, manifest) = (records(&log), harness.manifest());
    let prepared = harness.media.prepared.load(Ordering::Relaxed);
    harness.settings.seed = 7;
    harness.run(&log);
    let after = records(&log);
    assert_eq!(harness.media.prepared.load(Ordering::Relaxed), prepared, "nothing is decoded again");
    for topic in ["clips", "curated", "decoded", "accepted", "rejected"] {
        assert_eq!(after[topic], before[topic], "{topic} is reused");
    }
    for topic in ["pools", "samples"] {
        assert_eq!(after[topic], 2 * before[topic], "{topic} is made anew");
    }
    assert_ne!(harness.manifest(), manifest);
}

#[test]
fn stages_may_be_split_and_stopped_anywhere() {
    let harness = Harness::with_clips(16);
    let whole = harness.run(&memory());
    let manifest = harness.manifest();
    std::fs::remove_dir_all(harness.path("out")).unwrap();

    let log_of_parts = sqlite(&harness);
    actix::System::new().block_on(harness.offer(&log_of_parts));
    run_until(&harness, &log_of_parts, &[StageName::Source], |health| {
        health[0].1.committed.contains_key(&(Topic::Inputs, 0))
    });
    // Stopped in the middle of its work, more than once.
    for few in [1, 2, 3] {
        run_until(&harness, &log_of_parts, &[StageName::Curator, StageName::Decoder], |health| {
            health.iter().all(|(_, health)| health.records >= few || health.caught_up)
        });
    }
    assert_eq!(harness.run(&log_of_parts), whole);
    assert_eq!(harness.manifest(), manifest);
}

#[test]
fn a_second_process_on_the_same_folder_waits_and_ends_as_well() {
    let harness = Harness::with_clips(16);
    let summaries = std::thread::scope(|scope| {
        let run = || harness.run(&sqlite(&harness));
        let both = [scope.spawn(run), scope.spawn(run)];
        both.map(|run| run.join().unwrap())
    });
    assert_eq!(summaries[0], summaries[1]);
    assert_eq!(summaries[0].accepted, 16);
}

#[test]
fn a_stage_that_is_started_when_all_else_has_ended_does_its_part_and_ends() {
    let harness = Harness::with_clips(8);
    let log = memory();
    let but_the_reporter: Vec<_> =
        StageName::RUN.into_iter().filter(|stage| *stage != StageName::Reporter).collect();
    let summary = harness.run_stages(&log, &but_the_reporter).unwrap();
    assert!(!harness.path("out/manifest.jsonl").exists());
    assert_eq!(harness.run_stages(&log, &[StageName::Reporter]).unwrap(), summary);
    assert_eq!(harness.manifest().lines().count() as u64, summary.composed.values().sum::<u64>());
}

#[test]
fn a_clip_added_after_an_interrupted_run_is_not_missed() {
    let harness = Harness::with_clips(4);
    let log = memory();
    actix::System::new().block_on(harness.offer(&log));
    run_until(&harness, &log, &[StageName::Source], |health| {
        health[0].1.committed.contains_key(&(Topic::Inputs, 0))
    });
    harness.add_clip(4, "good");
    assert_eq!(harness.run(&log).accepted, 5);
}
