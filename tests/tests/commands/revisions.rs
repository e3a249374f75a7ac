//! `run` under changed settings, and stages that start again.

use std::{collections::BTreeSet, path::PathBuf};

use counterpoint_tests::{
    out::{Out, number},
    workplace::Workplace,
};
use walkdir::WalkDir;

/// Media in the store, as files.
fn objects(out: &Out) -> BTreeSet<PathBuf> {
    let files = WalkDir::new(out.path("objects")).into_iter().filter_map(Result::ok);
    let large = files
        .filter(|file| file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() > 8192));
    large.map(|file| file.into_path()).collect()
}

#[test]
fn changed_settings_are_refused_by_name_until_a_new_revision_is_asked_for() {
    const GATE: &str = "COUNTERPOINT_GATE__MOTION_MIN";
    let workplace = Workplace::with_clips(4);
    let out = workplace.out();
    workplace.run().run().done();
    let (before, media) = (out.records(), objects(&out));

    let changed = || workplace.run().env(GATE, "0.001");
    changed().run().ended_with(2, &["gate.motion_min was 0.0005, is 0.001", "--new-revision"]);
    workplace
        .run()
        .with(["--seed", "5"])
        .run()
        .ended_with(2, &["composer.seed was 0, is 5", "--new-revision"]);
    assert_eq!(out.records(), before, "nothing was begun");

    changed().with(["--new-revision"]).run().done();
    let after = out.records();
    assert_eq!(number(&out.summary()["revision"]), 2);
    assert_eq!(number(&out.summary()["accepted"]), 4, "the report shows one revision");
    for topic in ["clips", "curated", "decoded"] {
        assert_eq!(after[topic], before[topic], "{topic} is reused");
    }
    assert_eq!(after["accepted"], 2 * before["accepted"]);
    assert_eq!(objects(&out), media, "no media was made");

    changed().run().done();
    workplace.run().run().ended_with(2, &["gate.motion_min was 0.001, is 0.0005"]);
}

#[test]
fn a_stage_told_to_start_again_repeats_itself_and_those_below_it_only() {
    let workplace = Workplace::with_clips(4);
    let out = workplace.out();
    workplace.run().run().done();
    let (before, manifest) = (out.records(), out.samples());
    workplace.run().with(["--from", "gate"]).run().done();
    let after = out.records();
    assert_eq!((after["decoded"], after["accepted"]), (before["decoded"], 2 * before["accepted"]));
    assert_eq!(after["samples"], 2 * before["samples"]);
    assert_eq!(out.samples().len(), manifest.len(), "the manifest shows one revision");
    workplace.run().run().done();
    assert_eq!(out.records()["samples"], after["samples"], "it does not start again by itself");
}

#[test]
fn another_seed_and_a_replayed_composer_compose_anew_from_the_clips_that_are_there() {
    let workplace = Workplace::with_clips(4);
    let out = workplace.out();
    workplace.run().run().done();
    let (before, media, manifest) = (out.records(), objects(&out), out.manifest());
    workplace.run().with(["--seed", "5", "--new-revision"]).run().done();
    let reseeded = out.records();
    assert_ne!(out.manifest(), manifest, "the seed decides what is made");
    workplace.run().with(["--seed", "5", "--from", "composer"]).run().done();
    let replayed = out.records();
    for topic in ["clips", "curated", "decoded", "accepted", "rejected"] {
        assert_eq!([reseeded[topic], replayed[topic]], [before[topic]; 2], "{topic} is reused");
    }
    for topic in ["pools", "samples"] {
        let times = [reseeded[topic], replayed[topic]].map(|records| records / before[topic]);
        assert_eq!(times, [2, 3], "{topic} is made anew each time");
    }
    assert!(objects(&out).is_superset(&media));
    assert_eq!(number(&out.summary()["revision"]), 3);
}
