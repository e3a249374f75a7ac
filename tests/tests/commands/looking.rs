//! `status`, `topics` and `doctor`: commands that look and change nothing.

use counterpoint_tests::{
    out::{number, text},
    program::Program,
    workplace::{CLASSES, Workplace, video},
};

#[test]
fn status_and_topics_tell_how_far_a_run_is_and_what_became_of_a_clip() {
    let workplace = Workplace::with_clips(4);
    workplace.label("listedvideo", "train", CLASSES[0].1);
    workplace.run().run().done();
    let out = workplace.out();

    let status = out.status();
    assert_eq!(status["summary"], out.summary());
    let stages = status["stages"].as_array().unwrap();
    assert_eq!(stages.len(), 8, "{status:#}");
    assert!(stages.iter().all(|stage| number(&stage["lag"]) == 0 && stage["holder"].is_null()), "{status:#}");

    let way = out.way_of(&video(0));
    let topics: Vec<_> = way.iter().map(|step| text(&step["topic"])).collect();
    assert_eq!(&topics[..4], ["clips", "curated", "decoded", "accepted"]);
    assert!(topics[4..].iter().all(|topic| topic == "samples" || topic == "skipped"), "{topics:?}");
    assert_eq!(topics.len(), 4 + 7, "each recipe is made or skipped: {topics:?}");
    let trace = |step: &serde_json::Value| text(&step["trace"]).split('-').nth(1).unwrap().to_owned();
    assert!(way[..4].iter().all(|step| trace(step) == trace(&way[0])), "one trace is the way of one clip");

    let told = Program::counterpoint(["status", &video(0), "--out"]).with([out.path("")]).run().done();
    assert!(told.stdout.contains(&trace(&way[0])) && told.stdout.contains("is Cat"), "{}", told.stdout);
    let listed = out.ask(["status", "listedvideo"])["waiting"][0].clone();
    assert!(text(&listed["listed"]).ends_with("train.csv line 3"), "{listed:#}");
    assert!(text(&listed["what"]).contains("nothing fetches it"), "{listed:#}");
    let missing = Program::counterpoint(["status", "nobody", "--out"]).with([out.path("")]);
    missing.run().ended_with(2, &["no clip is called `nobody`"]);

    let tail = out.ask(["topics", "tail", "accepted", "-n", "3"]);
    assert_eq!(tail["records"].as_array().unwrap().len(), 3);
    assert_eq!(
        (&tail["records"][0]["kind"], number(&tail["records"][0]["message"]["duration_ms"])),
        (&"ClipAccepted".into(), 4000)
    );
    let records = out.records();
    assert_eq!((records["clips"], records["accepted"], records["dead-letters"]), (4, 4, 0));
    let letters = out.ask(["topics", "dead-letters"]);
    assert_eq!((letters["dead_letters"].as_array().unwrap().len(), number(&letters["put_back"])), (0, 0));
    let state = out.ask(["topics", "tail", "state.coordinator", "-n", "100"]);
    let tally =
        state["records"].as_array().unwrap().iter().find(|state| text(&state["key"]).ends_with("/0 tally"));
    assert_eq!(number(&tally.unwrap()["message"]["accepted"]), 4, "{state:#}");
    let unknown = Program::counterpoint(["topics", "tail", "clip", "--out"]).with([out.path("")]);
    unknown.run().ended_with(2, &["`clip` is no topic", "clips, curated"]);
}

#[test]
fn an_audit_counts_every_clip_once_and_names_an_object_that_is_gone() {
    let workplace = Workplace::with_clips(4);
    workplace.run().with(["--materialise"]).run().done();
    let out = workplace.out();
    let audit = out.audit();
    assert_eq!((&audit["ok"], &audit["at_rest"], number(&audit["clips"])), (&true.into(), &true.into(), 4));
    assert_eq!((number(&audit["composed"]), number(&audit["open"])), (4, 0));
    assert!(number(&audit["objects"]) > 4 * 2 + 2, "the files that were made are read as well: {audit:#}");

    let listing = out.ask(["topics", "tail", "pools"])["records"][0]["message"]["listing"].clone();
    let hash = text(&listing);
    std::fs::remove_file(out.path("objects").join(&hash[..2]).join(&hash)).unwrap();
    let damaged = Program::counterpoint(["status", "--audit", "--out"]).with([out.path("")]).run();
    let told = damaged.ended_with(1, &[]).stdout;
    assert!(told.contains("missing media") && told.contains(&hash), "{told}");
    Program::counterpoint(["status", "a-clip", "--audit"]).run().ended_with(2, &["cannot be used with"]);
}

#[test]
fn doctor_finds_nothing_missing_where_the_tests_run() {
    let told = Program::counterpoint(["doctor", "--json"]).run().done().json();
    assert_eq!(told["ok"], true, "{told:#}");
    let checks: Vec<_> =
        told["checks"].as_array().unwrap().iter().map(|check| text(&check["name"])).collect();
    for name in ["settings", "media worker", "media worker sandbox", "gstreamer"] {
        assert!(checks.iter().any(|check| check == name), "{name}: {checks:?}");
    }
    let broken = Program::counterpoint(["doctor"]).env("COUNTERPOINT_DECODER__SIZE", "15").run();
    assert!(broken.ended_with(1, &[]).stdout.contains("mend it: correct the settings"));
    for (variable, value, words) in [
        (
            "FETCHER__COMMAND",
            "[\"no-such-downloader\", \"{path}\"]",
            "no program `no-such-downloader` can be run",
        ),
        ("COMPOSER__PLAN", "no-such-plan.toml", "cannot read the plan no-such-plan.toml"),
        ("CURATOR__RULES", "no-such-rules.toml", "cannot read the rules no-such-rules.toml"),
    ] {
        let lacking = Program::counterpoint(["doctor"]).env(&format!("COUNTERPOINT_{variable}"), value).run();
        let told = lacking.ended_with(1, &[]).stdout;
        assert!(told.contains(words) && told.contains("mend what is missing"), "{told}");
    }
}

#[test]
fn a_command_that_only_looks_says_where_nothing_was_run_and_makes_nothing() {
    let workplace = Workplace::new();
    for command in [&["status"][..], &["topics", "list"]] {
        let command = Program::counterpoint(command).with(["--out".into(), workplace.path("out")]);
        command.run().ended_with(1, &["nothing has been run"]);
    }
    assert!(!workplace.path("out").exists());
}
