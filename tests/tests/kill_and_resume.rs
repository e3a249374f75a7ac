//! Runs that are killed, interrupted, poisoned or doubled come to what an undisturbed one comes to.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

use std::{
    env,
    path::Path,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use counterpoint_tests::{
    out::{Out, assert_adds_up, number, text},
    program::{Program, until},
    real_run,
    workplace::{Workplace, video},
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

const SIGKILL: i32 = 9;
const SIGABRT: i32 = 6;
const INTERRUPTED: i32 = 130;

/// Set it to see the same moments again.
const SEED: &str = "KILL_SEED";

fn moments() -> ChaCha8Rng {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let seed = env::var(SEED).ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(now);
    eprintln!("{SEED}={seed}");
    ChaCha8Rng::seed_from_u64(seed)
}

/// Runs to the end and says how long that took.
fn undisturbed(run: Program) -> Duration {
    let start = Instant::now();
    run.run().done();
    start.elapsed()
}

/// Starts the program again and again, and kills it at a random moment within `longest` each time, until
/// it was killed so often or comes to its end; how often it was killed.
fn kill_repeatedly(
    program: impl Fn() -> Program,
    longest: Duration,
    times: u32,
    rng: &mut ChaCha8Rng,
) -> u32 {
    for killed in 0..times {
        let delay = longest.mul_f64(rng.random());
        let running = program().start();
        thread::sleep(delay);
        running.kill();
        let ended = running.wait();
        eprintln!("killed after {delay:?}: {}", ended.status);
        ended.leaves_nobody();
        if ended.signal() != Some(SIGKILL) {
            ended.done();
            return killed;
        }
    }
    times
}

fn assert_same(disturbed: &Out, undisturbed: &Out) {
    assert_eq!(disturbed.manifest(), undisturbed.manifest());
    assert_eq!(disturbed.summary(), undisturbed.summary());
    disturbed.audit();
}

#[test]
fn a_run_killed_at_any_moments_ends_with_the_manifest_of_an_undisturbed_one() {
    let workplace = Workplace::with_clips(12);
    let length = undisturbed(workplace.run());
    assert_adds_up(&workplace.out().summary());
    let mut rng = moments();
    let mut kills = 0;
    for round in 0.. {
        let out = workplace.path(&format!("killed-{round}"));
        let run = || workplace.run_into(&out);
        kills += kill_repeatedly(run, length, 3, &mut rng);
        run().run().done();
        assert_same(&Out::at(&out), &workplace.out());
        if kills >= 8 {
            break;
        }
    }
}

#[test]
fn the_real_clips_survive_kills_as_well() {
    let folder = TempDir::new().unwrap();
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    let run = |out: &Path| real_run(out).env("COUNTERPOINT_DECODER__SIZE", "56");
    let length = undisturbed(run(&whole));
    kill_repeatedly(|| run(&killed), length / 2, 4, &mut moments());
    run(&killed).run().done();
    assert_same(&Out::at(&killed), &Out::at(&whole));
}

#[test]
fn workers_end_with_a_program_that_is_killed_over_their_heads() {
    let workplace = Workplace::with_clips(4);
    let mut running = workplace.run().failing("gate::plan=return(stall:)").start();
    running.until("its workers are there", |running| running.processes() >= 2);
    running.kill();
    let ended = running.wait();
    assert_eq!(ended.signal(), Some(SIGKILL));
    ended.leaves_nobody();
}

#[test]
fn an_interrupted_run_drains_and_the_next_one_continues_without_doing_anything_twice() {
    let workplace = Workplace::with_clips(12);
    workplace.run().run().done();
    let interrupted = Out::at(&workplace.path("interrupted"));
    let running = workplace.run_into(&interrupted.path("")).start();
    let decoded = || {
        let status = interrupted.status_if_begun();
        status.map_or(0, |status| number(&status["summary"]["decoded"]))
    };
    until("a clip is decoded", || decoded() > 0);
    running.interrupt();
    running.wait().ended_with(INTERRUPTED, &["run the same command again"]).leaves_nobody();
    assert!((1..12).contains(&decoded()), "it was interrupted in its midst");
    for stage in interrupted.status()["stages"].as_array().unwrap() {
        assert!(stage["holder"].is_null(), "nothing is held any more: {stage}");
    }

    workplace.run_into(&interrupted.path("")).run().done();
    assert_same(&interrupted, &workplace.out());
    let (again, once) = (interrupted.records(), workplace.out().records());
    for topic in ["clips", "curated", "decoded", "accepted", "samples", "skipped", "rejected"] {
        assert_eq!(again[topic], once[topic], "{topic}");
    }
}

/// Runs until the program does not die any more; how often it did.
fn deaths(workplace: &Workplace, points: &str, signal: i32) -> u32 {
    for deaths in 0..10 {
        let ended = workplace.run().failing(points).run();
        if ended.signal().is_none() {
            ended.done();
            return deaths;
        }
        assert_eq!(ended.signal(), Some(signal), "{}", ended.stderr);
        ended.leaves_nobody();
    }
    panic!("it dies for ever of {points}");
}

fn requeue(workplace: &Workplace) {
    let told = workplace.out().ask(["topics", "dead-letters", "--requeue"]);
    assert_eq!(number(&told["put_back"]), 1, "{told:#}");
    workplace.run().run().done();
    assert_adds_up(&workplace.out().summary());
}

#[test]
fn a_record_that_kills_the_process_ends_in_dead_letters_and_is_composed_once_put_back() {
    let poison = video(2);
    for (stage, action, signal) in
        [("curator", "abort", SIGABRT), ("decoder", "kill", SIGKILL), ("gate", "kill", SIGKILL)]
    {
        let workplace = Workplace::with_clips(8);
        let out = workplace.out();
        let points = format!("{stage}::plan=return({action}:{poison})");
        assert_eq!(deaths(&workplace, &points, signal), 3, "{stage}");
        let summary = out.summary();
        assert_eq!((number(&summary["dead_letters"]), number(&summary["accepted"])), (1, 7), "{stage}");
        assert!(!out.manifest().contains(&poison), "{stage}");
        let letters = out.ask(["topics", "dead-letters"]);
        let letter = &letters["dead_letters"][0];
        assert_eq!((text(&letter["stage"]).as_str(), number(&letter["attempts"])), (stage, 3));
        assert!(text(&letter["reason"]).contains("died"), "{letter}");
        assert!(number(&letter["raw_bytes"]) > 0, "the record itself is kept: {letter}");
        workplace.run().with(["--strict"]).run().ended_with(1, &[]);

        requeue(&workplace);
        let has_sample =
            |sample: &serde_json::Value| sample["host"] == poison && sample["recipe"] == "aligned";
        assert!(out.samples().iter().any(has_sample), "{stage}");
        workplace.run().with(["--strict"]).run().done();
    }
}

#[test]
fn a_pool_that_kills_its_composer_costs_its_own_samples_only_until_it_is_put_back() {
    let workplace = Workplace::with_clips(8);
    let whole = Out::at(&workplace.path("whole"));
    workplace.run_into(&whole.path("")).run().done();

    assert_eq!(deaths(&workplace, "composer::plan=return(abort:Eval)", SIGABRT), 3);
    let out = workplace.out();
    let splits: Vec<_> = out.samples().iter().map(|sample| text(&sample["split"])).collect();
    assert!(!splits.is_empty() && splits.iter().all(|split| split == "train"), "{splits:?}");
    let letters = out.ask(["topics", "dead-letters"]);
    assert_eq!(number(&out.summary()["dead_letters"]), 1, "{letters:#}");

    requeue(&workplace);
    assert_same(&out, &whole);
}

#[test]
fn a_second_process_waits_for_the_first_names_it_and_goes_on_when_it_is_gone() {
    let workplace = Workplace::with_clips(4);
    let mut first = workplace.run().failing("gate::plan=return(stall:)").start();
    let out = workplace.out();
    first.until("the first process is at work", |_| {
        out.status_if_begun().is_some_and(|status| number(&status["summary"]["decoded"]) > 0)
    });
    let holder = format!("process {}", first.id());
    let stages = out.status()["stages"].clone();
    let decoder = stages.as_array().unwrap().iter().find(|stage| stage["stage"] == "decoder").unwrap();
    assert!(text(&decoder["holder"]).contains(&holder), "{stages}");

    let mut second = workplace.run().start();
    second.until("the second names the first", |second| second.stderr().contains(&holder));
    first.kill();
    first.wait();
    second.wait().done();
    let whole = Out::at(&workplace.path("whole"));
    workplace.run_into(&whole.path("")).run().done();
    assert_same(&out, &whole);
}

#[test]
fn two_processes_on_one_folder_come_to_one_result() {
    let workplace = Workplace::with_clips(8);
    let [first, second] = [(), ()].map(|()| workplace.run().start());
    first.wait().done();
    second.wait().done();
    let out = workplace.out();
    assert_adds_up(&out.summary());
    let records = out.records();
    assert_eq!((records["clips"], records["decoded"]), (8, 8), "each clip was decoded once");
    let whole = Out::at(&workplace.path("whole"));
    workplace.run_into(&whole.path("")).run().done();
    assert_eq!(out.manifest(), whole.manifest());
}
