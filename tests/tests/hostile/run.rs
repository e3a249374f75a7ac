//! The corpus through the whole pipeline, and through `prepare` and `sample`, with good clips among it.

use std::{collections::BTreeMap, fs, time::Duration};

use counterpoint_tests::{
    film, hostile,
    out::{json_lines, number, rejected_by, text},
    program::Program,
    workplace::{Workplace, small, video},
};

use crate::{alone, outcomes::pool};

/// Good clips among the hostile ones.
const GOOD: u32 = 4;

/// A run whose clips are as short as the hostile films.
fn short(run: Program) -> Program {
    run.env("COUNTERPOINT_DECODER__SECONDS", hostile::SECONDS.to_string())
}

#[test]
fn each_hostile_clip_of_a_run_ends_once_and_the_report_is_made() {
    let _turn = alone();
    let workplace = Workplace::with_clips(GOOD);
    short(workplace.run_into(&workplace.path("alone"))).run().done();
    let files =
        hostile::corpus(&pool(Duration::from_secs(60)), &workplace.path("clips"), hostile::usual_seed());
    for file in &files {
        workplace.label(&file.path.file_stem().unwrap().to_string_lossy(), "train", "/m/01yrx");
    }
    short(workplace.run()).run().done().leaves_nobody();

    let out = workplace.out();
    let summary = out.summary();
    let count = |name: &str| number(&summary[name]);
    let clips = files.len() as u64 + u64::from(GOOD);
    // Files that are links to nothing or to no film are counted like any other.
    assert_eq!((count("found"), count("unlabelled"), count("dead_letters")), (clips, 0, 0), "{summary:#}");
    assert_eq!(clips, rejected_by(&summary, "source") + count("curated"), "{summary:#}");
    assert_eq!(count("curated"), rejected_by(&summary, "decoder") + count("decoded"), "{summary:#}");
    assert_eq!(count("decoded"), rejected_by(&summary, "gate") + count("accepted"), "{summary:#}");
    // Each clip ends once: in one reject, or as the host of its samples.
    let samples = out.samples();
    let hosts: std::collections::BTreeSet<_> = samples.iter().map(|sample| text(&sample["host"])).collect();
    assert_eq!(hosts.len() as u64, count("accepted"), "{summary:#}");
    assert_eq!(out.records()["rejected"], clips - count("accepted"), "{summary:#}");
    assert!(out.text("report.html").contains("corrupt"), "the report tells why clips were turned away");

    // Clips in between are stored as they are in a run without the others.
    let way = |folder: &str| {
        let out = counterpoint_tests::out::Out::at(&workplace.path(folder));
        (0..GOOD)
            .map(|number| {
                let way = out.way_of(&video(number));
                let decoded = way.iter().find(|step| step["topic"] == "decoded").unwrap().clone();
                text(&decoded["what"])
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(way("out"), way("alone"));
}

#[test]
fn prepare_and_sample_have_a_line_for_each_hostile_file() {
    let _turn = alone();
    let folder = tempfile::tempdir().unwrap();
    let clips = folder.path().join("clips");
    fs::create_dir(&clips).unwrap();
    let files = hostile::corpus(&pool(Duration::from_secs(60)), &clips, hostile::usual_seed());
    // A few of each family: the workers were shown them all.
    let mut shown: BTreeMap<&str, u32> = BTreeMap::new();
    for file in &files {
        let shown = shown.entry(file.family).or_default();
        *shown += 1;
        if !shown.is_multiple_of(12) {
            fs::remove_file(&file.path).unwrap();
        }
    }
    let kept = files.iter().filter(|file| file.path.exists()).count();
    let prepared = folder.path().join("prepared");
    small(Program::counterpoint(["prepare", "--out"]))
        .with([&prepared, &clips])
        .with(["--seconds", &hostile::SECONDS.to_string(), "--size", &film::SIZE.to_string()])
        .run()
        .done()
        .leaves_nobody();
    let lines = json_lines(&prepared.join("manifest.jsonl"));
    assert_eq!(lines.len(), kept);
    let accepted = lines.iter().filter(|line| line["outcome"] == "ok").count();
    let stored = fs::read_dir(&prepared).unwrap().count() - 1;
    assert_eq!(accepted, stored, "nothing lies in the folder but what the manifest names");
    assert!(lines.iter().all(|line| line["outcome"] == "ok" || line["reason"].is_string()));

    let sampled = folder.path().join("sampled");
    let told = Program::counterpoint(["sample", "--json", "--size", "32", "--out"])
        .with([&sampled, &clips])
        .run()
        .done();
    assert_eq!(told.json()["samples"].as_array().unwrap().len(), kept);
    told.leaves_nobody();
}
