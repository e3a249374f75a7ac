//! The eight real clips, from segment lists and mp4s to the files of their samples.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use counterpoint_messages::{ContentHash, RecipeName};
use counterpoint_tests::{
    check_report,
    out::{Out, assert_adds_up, json_lines, number, text},
    program::Program,
    real_run, shared,
};
use serde_json::Value;
use tempfile::TempDir;

/// A run of the real clips that decodes to small pictures, where only the bookkeeping matters.
fn quick_run(out: &Path) -> Program {
    real_run(out).env("COUNTERPOINT_DECODER__SIZE", "56")
}

/// Topics whose records are made once for a clip or a sample.
fn work_done(out: &Out) -> BTreeMap<String, u64> {
    const OF_CLIPS: [&str; 7] = ["clips", "curated", "decoded", "accepted", "samples", "skipped", "rejected"];
    let mut records = out.records();
    records.retain(|topic, _| OF_CLIPS.contains(&topic.as_str()));
    assert_eq!(records.len(), OF_CLIPS.len());
    records
}

fn recipes(samples: &[Value]) -> BTreeMap<String, u64> {
    let mut recipes = BTreeMap::new();
    for sample in samples {
        *recipes.entry(text(&sample["recipe"])).or_default() += 1;
    }
    recipes
}

/// Every file named by the lines is there under its hash, with its lineage card beside it.
fn assert_made(samples: &[Value], folder: &Path) {
    for sample in samples {
        let path = folder.join(text(&sample["path"]));
        assert_eq!(ContentHash::of(&fs::read(&path).unwrap()).to_string(), text(&sample["blake3"]));
        let card = fs::read_to_string(path.with_extension("json")).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&card).unwrap(), sample["lineage"]);
    }
}

fn hashes(samples: &[Value], recipes: &[&str]) -> BTreeMap<String, String> {
    let wanted = samples.iter().filter(|sample| recipes.contains(&text(&sample["recipe"]).as_str()));
    wanted.map(|sample| (text(&sample["sample"]), text(&sample["blake3"]))).collect()
}

#[test]
fn the_real_clips_become_samples_of_every_kind_and_a_second_run_does_nothing_twice() {
    let folder = TempDir::new().unwrap();
    let out = Out::at(&folder.path().join("out"));
    let told = real_run(&out.path("")).with(["--materialise", "--json"]).run().done().json();

    let summary = out.summary();
    assert_adds_up(&summary);
    assert_eq!(number(&summary["found"]), 8);
    for (name, value) in summary.as_object().unwrap() {
        assert_eq!(&told[name], value, "{name} is told as it is written");
    }
    let samples = out.samples();
    assert_made(&samples, &out.path(""));
    let made = recipes(&samples);
    for recipe in RecipeName::ALL.map(RecipeName::as_str) {
        let composed = number(&summary["composed"][recipe]);
        assert!(composed > 0, "{recipe}: {summary:#}");
        assert_eq!(made[recipe], composed, "{recipe}");
        let skipped = summary["skipped"][recipe].as_object().into_iter().flat_map(|reasons| reasons.values());
        let skipped: u64 = skipped.map(number).sum();
        assert_eq!(composed + skipped, number(&summary["accepted"]), "each clip has {recipe} or a reason");
    }

    let facts = check_report(&out.path("report.html"), "real-clips").unwrap();
    assert!(facts.players >= 7, "{facts:?}");

    let (manifest, counts) = (out.manifest(), work_done(&out));
    real_run(&out.path("")).with(["--materialise"]).run().done();
    assert_eq!((out.manifest(), out.summary()), (manifest, summary));
    assert_eq!(work_done(&out), counts);

    composed_anew_is_the_same(&out, &samples, &folder.path().join("composed"));
}

/// `compose` makes the bytes that `run --materialise` made.
fn composed_anew_is_the_same(out: &Out, samples: &[Value], to: &Path) {
    let compose = Program::counterpoint(["compose", "--recipes", "aligned,misaligned", "--from"]);
    compose.with([&out.path(""), Path::new("--out"), to]).run().done();
    let composed = json_lines(&to.join("manifest.jsonl"));
    assert_made(&composed, to);
    assert_eq!(hashes(&composed, &["aligned", "misaligned"]), hashes(samples, &["aligned", "misaligned"]));
    assert_eq!(recipes(&composed).len(), 2);
}

#[test]
fn a_manifest_holds_what_others_read_and_keeps_train_and_eval_apart() {
    let folder = TempDir::new().unwrap();
    let out = Out::at(folder.path());
    quick_run(folder.path()).run().done();
    let samples = out.samples();

    let mut dev = csv::Reader::from_path(shared("mma_bench_clips_dev.csv")).unwrap();
    let dev: BTreeMap<String, String> =
        dev.records().map(Result::unwrap).map(|row| (row[0].to_owned(), row[1].to_owned())).collect();
    let mut listed = BTreeSet::new();
    let mut videos: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for sample in &samples {
        for field in ["class_seen", "class_heard", "path", "blake3"] {
            assert!(
                sample.get(field).is_some_and(|value| value.is_string() || value.is_null()),
                "{field}: {sample}"
            );
        }
        assert!(sample["path"].is_null() && sample["blake3"].is_null(), "nothing was made: {sample}");
        assert_eq!(sample["duration"], 10.0);
        assert_eq!(number(&sample["seed"]), 0);
        assert_eq!(sample["classes_heard"].get(0).unwrap_or(&Value::Null), &sample["class_heard"]);

        let lineage = &sample["lineage"];
        let host = text(&sample["host"]);
        assert_eq!(
            (&lineage["sample"], &lineage["recipe"], &lineage["host"]["video"]),
            (&sample["sample"], &sample["recipe"], &sample["host"])
        );
        if let Some(class) = dev.get(&host) {
            assert_eq!(&text(&lineage["host"]["class"]), class, "{host}");
            assert!(sample["class_seen"].is_null() || sample["class_seen"] == class.as_str(), "{sample}");
            listed.insert(host.clone());
        }
        let donors = sample["donors"].as_array().unwrap().iter().map(text);
        let expected =
            usize::from(["misaligned", "swapped", "mixup"].contains(&text(&sample["recipe"]).as_str()));
        assert_eq!(donors.len(), expected, "{sample}");
        videos.entry(text(&sample["split"])).or_default().extend(donors.chain([host]));
    }
    assert!(listed.len() >= 3, "clips with a known class: {listed:?}");
    assert_eq!(videos.keys().collect::<Vec<_>>(), ["eval", "train"]);
    assert!(videos["train"].is_disjoint(&videos["eval"]), "{videos:?}");
}

#[test]
fn a_run_split_over_two_processes_comes_to_the_same_as_one() {
    let folder = TempDir::new().unwrap();
    let (whole, split) = (Out::at(&folder.path().join("whole")), Out::at(&folder.path().join("split")));
    quick_run(&whole.path("")).run().done();

    let first = quick_run(&split.path("")).with(["--stages", "source,curator"]).start();
    let ontology = shared("ontology.json");
    let rest = Program::counterpoint([
        "run",
        "--stages",
        "decoder,gate,coordinator,composer,reporter",
        "--ontology",
    ])
    .with([&ontology, Path::new("--out"), &split.path("")])
    .env("COUNTERPOINT_DECODER__SIZE", "56")
    .start();
    first.wait().done();
    rest.wait().done();
    assert_eq!(split.manifest(), whole.manifest());
    assert_eq!(split.summary(), whole.summary());
    assert_eq!(work_done(&split), work_done(&whole));
}

#[test]
fn another_seed_casts_other_donors_from_the_same_clips() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    quick_run(&out).run().done();
    let compose = |seed: &str| {
        let to = folder.path().join(seed);
        let command =
            Program::counterpoint(["compose", "--recipes", "aligned,misaligned", "--seed", seed, "--from"]);
        command.with([&out, Path::new("--out"), &to]).run().done();
        json_lines(&to.join("manifest.jsonl"))
    };
    let cast = |samples: &[Value]| -> BTreeSet<(String, String)> {
        let pairs = samples.iter().filter(|sample| sample["recipe"] == "misaligned");
        pairs.map(|sample| (text(&sample["host"]), text(&sample["donors"][0]))).collect()
    };
    let aligned =
        |samples: &[Value]| -> BTreeSet<String> { hashes(samples, &["aligned"]).into_values().collect() };
    let (zero, other) = (compose("0"), compose("1"));
    assert_ne!(cast(&zero), cast(&other));
    assert_eq!(aligned(&zero), aligned(&other), "the clips themselves stay what they are");
    assert!(other.iter().all(|sample| sample["seed"] == 1));
}
