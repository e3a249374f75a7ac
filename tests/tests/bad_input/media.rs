//! Files that are no clips.

use std::{fs, path::Path};

use counterpoint_tests::{
    film::{self, Film, Streams},
    out::number,
    program::Program,
    shared,
    workplace::{Workplace, small, video},
};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::next_good_clip_works;

#[test]
fn files_that_are_no_clips_are_rejected_by_name_and_the_good_ones_beside_them_pass() {
    let workplace = Workplace::with_clips(4);
    let real = fs::read(shared("clips/canidae_aligned.mp4")).unwrap();
    let mut noise = vec![0; 100_000];
    ChaCha8Rng::seed_from_u64(3).fill_bytes(&mut noise);
    for (video, bytes) in [
        ("empty", &b""[..]),
        ("random", &noise),
        ("text", "this is no film\n".repeat(500).as_bytes()),
        ("truncated", &real[..real.len() / 2]),
        ("header_only", &real[..100]),
    ] {
        workplace.add(video, bytes);
    }
    for (number, video, streams) in [(90, "mute", Streams::Picture), (91, "blind", Streams::Sound)] {
        film::make(&[Film { path: workplace.clip(video), number, streams }]);
        workplace.label(video, "train", "/m/01yrx");
    }
    workplace.run().run().done();

    let out = workplace.out();
    let summary = out.summary();
    let rejected = summary["rejected"]["decoder"].as_object().unwrap();
    let all: u64 = rejected.values().map(number).sum();
    assert_eq!(
        (all, number(&summary["accepted"]), number(&summary["dead_letters"])),
        (7, 4, 0),
        "{summary:#}"
    );
    for (video, reasons) in [
        ("empty", &["empty_file"][..]),
        ("random", &["not_media"]),
        ("text", &["not_media"]),
        ("truncated", &["corrupt_media"]),
        ("header_only", &["corrupt_media", "not_media"]),
        ("mute", &["no_sound"]),
        ("blind", &["no_picture"]),
    ] {
        let way = format!("{:?}", out.way_of(video));
        assert!(way.contains(workplace.clip(video).to_str().unwrap()), "the file is named: {way}");
        let told = out.reject_of(video);
        let is_told = |reason: &&str| told.starts_with(&format!("rejected by decoder as {reason}: "));
        assert!(reasons.iter().any(is_told), "{told}");
        assert!(told.contains(';'), "a remedy stands behind the value: {told}");
    }
    let report = out.text("report.html");
    for reason in rejected.keys() {
        assert!(report.contains(reason.as_str()) || report.contains(&reason.replace('_', " ")), "{reason}");
    }
    next_good_clip_works(&workplace, 4, 5);
}

#[test]
fn a_file_that_vanishes_or_changes_on_its_way_is_told_and_can_be_put_back() {
    let workplace = Workplace::with_clips(4);
    let out = workplace.out();
    let mut first = workplace.run().with(["--stages", "source,curator"]).start();
    first.until("every clip is curated", |_| {
        out.status_if_begun().is_some_and(|status| number(&status["summary"]["curated"]) == 4)
    });
    let [vanishing, changing] = [video(0), video(1)].map(|video| workplace.clip(&video));
    let kept = workplace.path("kept.mp4");
    fs::rename(&vanishing, &kept).unwrap();
    fs::write(&changing, b"something else").unwrap();
    rest(&workplace).run().done();
    first.wait().done();

    let summary = out.summary();
    assert_eq!(number(&summary["accepted"]), 2, "{summary:#}");
    let (gone, changed) = (out.reject_of(&video(0)), out.reject_of(&video(1)));
    assert!(gone.contains("media_missing") && gone.contains("--from decoder"), "{gone}");
    assert!(changed.contains("media_changed") && changed.contains("--out"), "{changed}");

    fs::rename(&kept, &vanishing).unwrap();
    workplace.run().with(["--from", "decoder"]).run().done();
    assert_eq!(number(&out.summary()["accepted"]), 3);
    next_good_clip_works(&workplace, 4, 4);
}

/// The stages below the curator, in a process of their own.
fn rest(workplace: &Workplace) -> Program {
    let stages = ["run", "--stages", "decoder,gate,coordinator,composer,reporter", "--ontology"];
    let run = Program::counterpoint(stages).with([&shared("ontology.json"), Path::new("--out")]);
    small(run.with([workplace.path("out")]))
}

#[test]
fn clips_without_labels_labels_without_clips_and_namesakes_are_counted_and_explained() {
    let workplace = Workplace::with_clips(4);
    let out = workplace.out();
    fs::copy(workplace.clip(&video(0)), workplace.clip("stranger")).unwrap();
    fs::create_dir(workplace.path("clips/again")).unwrap();
    let again = |video: &str| workplace.path(&format!("clips/again/{video}.mp4"));
    fs::copy(workplace.clip(&video(1)), again(&video(1))).unwrap();
    fs::copy(workplace.clip(&video(0)), again(&video(2))).unwrap();
    workplace.label("nowhere", "train", "/m/01yrx");
    workplace.label(&video(3), "eval", "/m/unknown");
    let told = workplace.run().run().done().stderr;
    assert!(told.contains("that repeat a segment: 1;"), "{told}");
    assert!(told.contains("labels /m/unknown, which the ontology does not have: 1;"), "{told}");

    let summary = out.summary();
    let count = |name: &str| number(&summary[name]);
    assert_eq!((count("found"), count("unlabelled"), count("labels_without_clip")), (7, 1, 1), "{summary:#}");
    let source = &summary["rejected"]["source"];
    assert_eq!(
        (number(&source["repeated_clip"]), number(&source["conflicting_media"])),
        (1, 1),
        "{summary:#}"
    );
    assert!(out.reject_of("stranger").contains("no label list names `stranger`"));
    next_good_clip_works(&workplace, 4, 5);
}
