//! The demo: a corpus of its own making, through the whole pipeline, to a report.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use counterpoint_core::{
    corpus::{ClipFormat, Corpus, Fault, ScriptedClip, ToyClass},
    questions::Stream,
};
use counterpoint_messages::RecipeName;
use counterpoint_tests::{
    check_report,
    demo::{WITH_MODELS, judge, losses, planned, with_models},
    out::{Out, assert_adds_up, number},
    program::{Program, Running},
};
use serde_json::{Value, json};
use tempfile::TempDir;

fn demo(out: &Path, seed: &str, clips: &str) -> Program {
    Program::counterpoint(["demo", "--pipeline-only", "--seed", seed, "--clips-per-class", clips, "--out"])
        .with([out])
}

fn clips(out: &Path) -> BTreeSet<PathBuf> {
    let files = fs::read_dir(out.join("corpus/clips")).unwrap().map(Result::unwrap);
    files.map(|file| PathBuf::from(file.file_name())).collect()
}

#[test]
fn the_demo_finds_what_was_planted_and_a_second_one_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let out = Out::at(&folder.path().join("out"));
    let ended = demo(&out.path(""), "1", "3").run().done();
    let report = out.path("report.html");
    assert!(ended.stdout.ends_with(&format!("report: {}\n", report.display())), "{}", ended.stdout);

    let summary = out.summary();
    assert_adds_up(&summary);
    assert_eq!(number(&summary["found"]), clips(&out.path("")).len() as u64);
    assert_eq!(number(&summary["unlabelled"]), 2, "{summary:#}");
    assert_eq!(number(&summary["labels_without_clip"]), 2, "{summary:#}");
    assert_eq!(number(&summary["rejected"]["curator"]["several_classes"]), 2, "{summary:#}");
    for fault in ["silent", "black", "static"] {
        assert_eq!(number(&summary["rejected"]["gate"][fault]), 3, "{fault}: {summary:#}");
    }
    assert!(number(&summary["accepted"]) >= 3 * 8, "every good clip passes: {summary:#}");
    for recipe in RecipeName::ALL.map(RecipeName::as_str) {
        assert!(number(&summary["composed"][recipe]) > 0, "{recipe}: {summary:#}");
    }
    let facts = check_report(&report, "demo").unwrap();
    assert!(facts.players >= 7, "{facts:?}");

    let (manifest, records) = (out.manifest(), out.records());
    let told = demo(&out.path(""), "1", "3").with(["--json"]).run().done().json();
    assert!(told.is_object(), "one object is all that stdout holds: {told}");
    assert_eq!((out.manifest(), out.summary()), (manifest, summary));
    for topic in ["clips", "curated", "decoded", "accepted", "samples", "skipped", "rejected"] {
        assert_eq!(out.records()[topic], records[topic], "{topic}");
    }

    let changed = demo(&out.path(""), "1", "3").env("COUNTERPOINT_GATE__SILENT_SHARE_MAX", "0.5").run();
    changed.ended_with(2, &["gate.silent_share_max", "set them as they were, or give another --out"]);
}

#[test]
fn another_seed_makes_another_corpus_and_the_same_seed_the_same() {
    let folder = TempDir::new().unwrap();
    let corpus = |name: &str, seed: &str| {
        let out = folder.path().join(name);
        // The corpus is made first, whatever becomes of the run on it.
        demo(&out, seed, "1")
            .env("COUNTERPOINT_COMPOSER__PLAN", "nowhere.toml")
            .run()
            .ended_with(2, &["nowhere.toml"]);
        let clips = clips(&out);
        let bytes: Vec<_> =
            clips.iter().map(|clip| fs::read(out.join("corpus/clips").join(clip)).unwrap()).collect();
        (clips, bytes)
    };
    let (first, again, other) = (corpus("first", "1"), corpus("again", "1"), corpus("other", "2"));
    assert!(first == again, "the same bytes under the same names");
    assert!(first.0.is_disjoint(&other.0), "{:?} {:?}", first.0, other.0);
}

/// Interrupts a demo once it teaches a model; what it said.
fn until_taught(mut demo: Running, out: &Path, model: &str) -> String {
    demo.until("a model learns", |_| losses(out, model).len() >= 3);
    demo.interrupt();
    demo.wait().ended_with(130, &["run the same command again to continue"]).stderr
}

fn judged(out: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(out.join("judge.json")).unwrap()).unwrap()
}

#[test]
fn what_the_judge_lets_through_is_held_against_what_was_planted() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let hears = judge(folder.path(), |clip, probe| match (clip.script.fault, probe.stream()) {
        (Some(Fault::WrongSound), Stream::Audio) => "No",
        _ => "Yes",
    });
    let demo = with_models(&out).env("COUNTERPOINT_PROBER__JUDGE", &hears).start();
    let said = until_taught(demo, &out, "base");
    assert!(said.contains("the judge is file:") && !said.contains("fewer than half"), "{said}");
    let planted = ["silent", "black", "static", "wrong_sound"]
        .map(|fault| json!({"fault": fault, "accepted": 0, "of": 3}));
    assert_eq!(judged(&out), json!({"good": {"accepted": 16, "of": 16}, "planted": planted}));
    assert!(!out.join("judge").exists(), "a judge that the settings name is taught nothing");
    Out::at(&out).audit();
}

#[test]
fn a_judge_that_answers_nonsense_is_told_and_what_is_left_is_used() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let knows_three =
        judge(folder.path(), |clip, _| match ToyClass::ALL[..3].contains(&clip.script.picture) {
            true => "Yes",
            false => "purple monkey dishwasher",
        });
    let demo = with_models(&out).env("COUNTERPOINT_PROBER__JUDGE", &knows_three).start();
    let said = until_taught(demo, &out, "base");
    assert!(said.contains("6 of 16 good clips (37.5 %)") && said.contains("fewer than half"), "{said}");
    assert_eq!(judged(&out)["good"], json!({"accepted": 6, "of": 16}));

    let out = folder.path().join("nothing");
    let knows_nothing = judge(folder.path(), |_, _| "purple monkey dishwasher");
    let ended = with_models(&out).env("COUNTERPOINT_PROBER__JUDGE", &knows_nothing).run();
    ended.ended_with(
        1,
        &["0 of 16 good clips (0.0 %)", "fewer than half", "nothing to learn from", "prober.judge"],
    );
    let out = Out::at(&out);
    let summary = out.summary();
    assert_adds_up(&summary);
    assert_eq!(number(&summary["accepted"]), 0, "{summary:#}");
    check_report(&out.path("report.html"), "demo-of-nothing").unwrap();
}

#[test]
fn a_judge_learns_from_clips_of_its_own_and_goes_on_where_it_was() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let said = until_taught(with_models(&out).start(), &out, "judge");
    assert!(said.contains("1 of 5: a judge learns") && !said.contains("2 of 5"), "{said}");
    let own = clips(&out.join("judge"));
    let stems = |clips: &[ScriptedClip]| {
        clips.iter().map(|clip| PathBuf::from(format!("{}.mp4", clip.file_stem))).collect::<BTreeSet<_>>()
    };
    let (seed, count) = WITH_MODELS;
    assert_eq!(own, stems(&Corpus::plan_for_judge(seed, count, ClipFormat::default()).clips));
    assert!(own.is_disjoint(&stems(&planned())), "{own:?}");
    assert!(!out.join("corpus").exists(), "nothing is judged before there is a judge");
    let run = Out::at(&out.join("judge"));
    let summary = run.summary();
    assert_adds_up(&summary);
    assert_eq!((number(&summary["found"]), number(&summary["accepted"])), (16, 16), "{summary:#}");
    let records = run.records();

    let before = losses(&out, "judge");
    let mut again = with_models(&out).start();
    again.until("it goes on", |_| {
        let now = losses(&out, "judge");
        assert!(now.is_empty() || now.len() >= before.len(), "it begins anew: {now:?}");
        now.len() > before.len()
    });
    until_taught(again, &out, "judge");
    assert_eq!(losses(&out, "judge")[..before.len()], before);
    assert_eq!(run.records()["samples"], records["samples"], "its clips are not made into samples again");
    run.audit();
}
