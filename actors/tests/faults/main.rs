//! Runs with faults: panics, crashes, poison records, faults of ours, stalls. Failpoints belong to the
//! process, so these tests have one of their own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

mod flaky;
#[path = "../common/harness.rs"]
mod harness;
#[path = "../common/prepared.rs"]
mod prepared;
#[path = "../common/tutor.rs"]
mod tutor;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use counterpoint_actors::training::Outcome;
use counterpoint_log::{TopicLog, failpoints, memory::MemoryLog};
use counterpoint_messages::{Message, MessageKind, StageName, Topic};
use fail::FailScenario;
use futures::TryStreamExt;

use crate::harness::{Harness, assert_adds_up};

fn memory() -> Arc<dyn TopicLog> {
    Arc::new(MemoryLog::new(4))
}

/// Failpoints belong to the process, so tests that set some take turns.
fn scenario() -> FailScenario<'static> {
    failpoints::arm();
    FailScenario::setup()
}

#[test]
fn a_panic_anywhere_in_any_stage_loses_nothing() {
    let _scenario = scenario();
    let harness = Harness::with_clips(12);
    let undisturbed = harness.run(&memory());
    let manifest = harness.manifest();
    for stage in StageName::RUN {
        for point in ["plan", "work", "conclude"] {
            let name = format!("{stage}::{point}");
            // Twice in a row, so that the second attempt fails as well and the third succeeds.
            fail::cfg(&name, "2*return(panic:)").unwrap();
            assert_eq!(harness.run(&memory()), undisturbed, "{name}");
            assert_eq!(harness.manifest(), manifest, "{name}");
            fail::remove(&name);
        }
    }
}

#[test]
fn a_panic_anywhere_in_rounds_of_training_changes_no_checkpoint() {
    let _scenario = scenario();
    let mut harness = Harness::with_clips(12);
    harness.train(10, &Arc::default());
    let undisturbed = harness.run_rounds(&memory());
    assert!(undisturbed.len() >= 3, "{undisturbed:?}");
    assert!(undisturbed.values().all(|outcome| matches!(outcome, Outcome::Saved(_))), "{undisturbed:?}");
    for stage in [StageName::Planner, StageName::Trainer] {
        for point in ["plan", "work", "worked", "conclude", "concluded"] {
            let name = format!("{stage}::{point}");
            fail::cfg(&name, "2*return(panic:)").unwrap();
            assert_eq!(harness.run_rounds(&memory()), undisturbed, "{name}");
            fail::remove(&name);
        }
    }
    let log: Arc<dyn TopicLog> = Arc::new(flaky::FlakyLog::new(memory(), 5));
    assert_eq!(harness.run_rounds(&log), undisturbed, "every 5th commit or abort fails");
}

#[test]
fn a_record_that_fails_three_times_ends_in_dead_letters_and_the_others_go_on() {
    let _scenario = scenario();
    let harness = Harness::with_clips(12);
    for stage in [StageName::Curator, StageName::Decoder, StageName::Gate] {
        let name = format!("{stage}::plan");
        fail::cfg(&name, &format!("return(panic:{})", Harness::video(4))).unwrap();
        let summary = harness.run(&memory());
        assert_eq!((summary.found, summary.accepted, summary.dead_letters), (12, 11, 1), "{stage}");
        fail::remove(&name);
    }
}

#[test]
fn an_input_that_the_source_cannot_read_ends_its_run_and_the_next_input_makes_up_for_it() {
    let scenario = scenario();
    let harness = Harness::with_clips(40);
    let log = memory();
    // The listing and one step of files succeed, then the input kills the source for good.
    fail::cfg("source::plan", "2*off->return(panic:)").unwrap();
    assert_eq!(harness.run(&log).dead_letters, 1);
    scenario.teardown();
    let summary = harness.run(&log);
    assert_eq!((summary.found, summary.accepted), (40, 40));
}

#[test]
fn a_dead_letter_that_is_put_back_ends_like_any_other() {
    let scenario = scenario();
    let harness = Harness::with_clips(8);
    let log = memory();
    fail::cfg("gate::plan", &format!("return(panic:{})", Harness::video(3))).unwrap();
    assert_eq!(harness.run(&log).dead_letters, 1);
    scenario.teardown();

    let put_back = actix::System::new().block_on(counterpoint_actors::dead_letters::requeue(&*log)).unwrap();
    assert_eq!(put_back, 1);
    let summary = harness.run(&log);
    assert_adds_up(&summary);
    assert_eq!((summary.accepted, summary.dead_letters), (8, 0));
    assert_eq!(summary.composed["aligned"], 8);
    let again = actix::System::new().block_on(counterpoint_actors::dead_letters::requeue(&*log)).unwrap();
    assert_eq!(again, 0, "a letter is put back once");
}

/// The fetcher and the source read the same offers, each for its own.
#[test]
fn an_offer_that_is_put_back_for_one_stage_is_nothing_to_the_other() {
    let scenario = scenario();
    let harness = Harness::with_clips(8);
    let log = memory();
    let undisturbed = harness.run(&memory());
    let runs = || -> Vec<Message> {
        let records: Vec<_> = actix::System::new().block_on(log.scan(Topic::Runs).try_collect()).unwrap();
        records.iter().map(|record| Message::decode(&record.value).unwrap()).collect()
    };
    let count = |kind| runs().iter().filter(|message| message.kind() == kind).count();
    fail::cfg("fetcher::plan", "return(panic:)").unwrap();
    assert_eq!(harness.run(&log).dead_letters, 1);
    scenario.teardown();
    assert_eq!(count(MessageKind::RunFinished), 1, "what is no business of the fetcher ends by itself");
    let put_back = actix::System::new().block_on(counterpoint_actors::dead_letters::requeue(&*log)).unwrap();
    assert_eq!(put_back, 1);
    assert_eq!(harness.run(&log), undisturbed);
    assert_eq!((count(MessageKind::InputSealed), count(MessageKind::RunFinished)), (2, 2));
}

#[test]
fn a_worker_that_crashes_on_a_clip_is_an_attempt() {
    let _scenario = scenario();
    let harness = Harness::with_clips(6);
    harness.add_clip(6, "crash");
    harness.media.crashes.store(2, Ordering::Relaxed);
    assert_eq!(harness.run(&memory()).dead_letters, 0);
    harness.media.crashes.store(3, Ordering::Relaxed);
    let summary = harness.run(&memory());
    assert_eq!((summary.accepted, summary.dead_letters), (6, 1));
}

#[test]
fn a_fault_of_ours_is_no_attempt_and_outlasting_patience_it_ends_the_run() {
    let _scenario = scenario();
    let mut harness = Harness::with_clips(6);
    harness.media.faults.store(7, Ordering::Relaxed);
    let summary = harness.run(&memory());
    assert_eq!((summary.accepted, summary.dead_letters), (6, 0));

    harness.effort.patience_seconds = 0;
    harness.media.faults.store(usize::MAX, Ordering::Relaxed);
    let log = memory();
    let error = harness.try_run(&log).unwrap_err();
    assert_eq!((error.stage, error.reason.as_str()), (StageName::Decoder, "the disk is full"));

    harness.media.faults.store(0, Ordering::Relaxed);
    assert_eq!(harness.run(&log).accepted, 6, "nothing that was accepted is lost");
}

/// What a stage forgot when a commit failed must be read again before anything behind it.
#[test]
fn a_log_that_fails_to_commit_and_then_to_go_back_loses_nothing() {
    let _scenario = scenario();
    let mut harness = Harness::with_clips(40);
    harness.effort.patience_seconds = 60;
    let undisturbed = harness.run(&memory());
    let manifest = harness.manifest();
    for every in [5, 8] {
        let log: Arc<dyn TopicLog> = Arc::new(flaky::FlakyLog::new(memory(), every));
        assert_eq!(harness.run(&log), undisturbed, "every {every}th commit or abort fails");
        assert_eq!(harness.manifest(), manifest);
    }
}

#[test]
fn a_pool_that_is_put_back_is_composed_before_the_run_ends() {
    let scenario = scenario();
    let harness = Harness::with_clips(12);
    let undisturbed = harness.run(&memory());
    let log = memory();
    fail::cfg("composer::conclude", "return(panic:)").unwrap();
    let summary = harness.run(&log);
    assert_eq!((summary.dead_letters, summary.composed["aligned"]), (2, 0));
    scenario.teardown();
    let put_back = actix::System::new().block_on(counterpoint_actors::dead_letters::requeue(&*log)).unwrap();
    assert_eq!(put_back, 2);
    assert_eq!(harness.run(&log), undisturbed);
}

/// A record that was put back under one revision must not unbalance the next one, which never met its letter.
#[test]
fn a_later_revision_is_not_unbalanced_by_what_was_put_back_before() {
    let _scenario = scenario();
    for stage in [StageName::Decoder, StageName::Gate] {
        let mut harness = Harness::with_clips(8);
        let log = memory();
        let name = format!("{stage}::plan");
        fail::cfg(&name, &format!("return(panic:{})", Harness::video(3))).unwrap();
        assert_eq!(harness.run(&log).dead_letters, 1);
        fail::remove(&name);
        actix::System::new().block_on(counterpoint_actors::dead_letters::requeue(&*log)).unwrap();
        assert_eq!(harness.run(&log).accepted, 8);
        match stage {
            StageName::Decoder => harness.settings.decoder.loudness_lufs = -20.0,
            _ => harness.settings.gate.motion_min = 0.5,
        }
        let summary = harness.run(&log);
        assert_adds_up(&summary);
        assert_eq!((summary.decoded, summary.dead_letters), (8, 0), "{stage}");
        assert_eq!(summary.accepted, if stage == StageName::Decoder { 8 } else { 0 });
    }
}

#[test]
fn an_unreadable_record_is_a_dead_letter_at_once() {
    let _scenario = scenario();
    let harness = Harness::with_clips(6);
    let log = memory();
    actix::System::new().block_on(async {
        let junk = counterpoint_log::Outgoing {
            topic: Topic::Clips,
            partition: 1,
            key: b"junk".to_vec(),
            value: b"this is no message".to_vec(),
            headers: Default::default(),
        };
        log.append(vec![junk]).await.unwrap();
    });
    let summary = harness.run(&log);
    assert_eq!((summary.accepted, summary.dead_letters), (6, 1));
}

/// The most that the decoder held while its work stalled: records, and their bytes.
fn held_by_a_stalled_decoder(max_records: usize, max_bytes: usize) -> (usize, u64) {
    let mut harness = Harness::with_clips(200);
    harness.effort.max_records = max_records;
    harness.effort.max_bytes = max_bytes;
    let log = memory();
    fail::cfg("decoder::work", "return(stall:)").unwrap();
    let mut most = (0, 0);
    actix::System::new().block_on(async {
        let running = harness.pipeline(&log, &StageName::RUN).start();
        harness.offer(&log).await;
        let of = |stage| running.health().into_iter().find(|(name, _)| *name == stage).unwrap().1;
        // The stages above the stalled one finish; it reads what its credit admits and no more.
        while of(StageName::Curator).records < 200 || of(StageName::Decoder).running < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for _ in 0..20 {
            let health = of(StageName::Decoder);
            assert_eq!(health.records, 0);
            most = (most.0.max(health.records_in_flight), most.1.max(health.bytes_in_flight));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        fail::remove("decoder::work");
    });
    most
}

/// Credit is asked for before a batch is read, and a batch is no larger than the credit.
#[test]
fn a_stage_that_stalls_holds_its_credit_and_at_most_one_batch_more() {
    let _scenario = scenario();
    let (records, _) = held_by_a_stalled_decoder(16, 1 << 20);
    assert!((16..32).contains(&records), "{records} records under a credit of 16");
    let (_, bytes) = held_by_a_stalled_decoder(1000, 4000);
    assert!((4000..8000).contains(&bytes), "{bytes} bytes under a credit of 4000");
}
