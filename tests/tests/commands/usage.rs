//! Help, mistakes on the command line, and how soon a light command answers.

use std::{path::Path, time::Duration, time::Instant};

use counterpoint_tests::{program::Program, shared};

/// Commands, and the flags that other programs give them.
const FLAGS: [(&str, &[&str]); 15] = [
    ("demo", &["--out", "--seed", "--clips-per-class", "--pipeline-only", "--metrics"]),
    (
        "run",
        &[
            "--clips",
            "--labels",
            "--ontology",
            "--out",
            "--plan",
            "--seed",
            "--stages",
            "--materialise",
            "--new-revision",
            "--from",
            "--strict",
            "--metrics",
        ],
    ),
    ("classes", &["--ontology", "--rules", "--explain"]),
    ("curate", &["--labels", "--ontology", "--out"]),
    ("prepare", &["--out", "--size", "--seconds", "--short"]),
    ("sample", &["--out", "--fps", "--size", "--rate"]),
    ("compose", &["--from", "--out", "--plan", "--seed", "--recipes"]),
    ("topics", &["list", "tail", "dead-letters", "--out"]),
    ("status", &["--out", "--audit", "--serve", "--bind"]),
    ("sweep", &["--out", "--older-than", "--dry-run"]),
    ("evaluate", &["--model", "--samples", "--out", "--conditions", "--suite", "--split"]),
    ("replay", &["--checkpoint", "--out"]),
    ("experiment", &["ablations", "none-of-the-above", "cross-class", "mixup"]),
    ("score", &["--qa", "--predictions", "--match"]),
    ("doctor", &[]),
];

#[test]
fn the_help_of_every_command_names_its_flags_and_says_what_it_does() {
    let overview = Program::counterpoint(["--help"]).run().done().stdout;
    for (command, flags) in FLAGS {
        assert!(overview.contains(&format!("\n  {command} ")), "{command} in\n{overview}");
        let help = Program::counterpoint([command, "--help"]).run().done().stdout;
        for flag in flags.iter().chain(&["--config", "--broker", "--device", "--otlp", "--json"]) {
            assert!(help.contains(flag), "{flag} in\n{help}");
        }
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }
}

#[test]
fn what_cannot_be_asked_ends_with_2_and_a_word_on_what_can() {
    for (arguments, words) in [
        (&["sing"][..], &["sing", "--help"][..]),
        (&["run"], &["--out", "--ontology"]),
        (&["run", "--out", "x", "--ontology", "y"], &["--clips", "--labels", "--stages"]),
        (&["run", "--out", "x", "--ontology", "y", "--stages", "singer"], &["singer"]),
        (&["run", "--out", "x", "--ontology", "y", "--from", "nowhere"], &["nowhere"]),
        (&["curate", "--ontology", "x", "--out", "y"], &["--labels"]),
        (&["prepare", "--out", "x"], &["PATH"]),
        (&["prepare", "x", "--out", "y", "--short", "stretch"], &["stretch", "reject", "pad"]),
        (&["prepare", "x", "--out", "y", "--size", "15"], &["--size is 15", "even number"]),
        (&["sample", "x", "--out", "y", "--fps", "0"], &["--fps from 0.01"]),
        (&["compose", "--from", "x", "--out", "y", "--recipes", "karaoke"], &["karaoke", "misaligned"]),
        (&["demo", "--out", "x", "--clips-per-class", "0"], &["--clips-per-class from 1"]),
        (&["doctor", "--device", "gpu"], &["gpu", "cuda:N"]),
        (&["topics", "burn"], &["burn"]),
    ] {
        Program::counterpoint(arguments).run().ended_with(2, words);
    }
    assert!(!Path::new("x").exists() && !Path::new("y").exists(), "nothing was begun");
}

#[test]
fn a_broker_that_this_build_does_not_have_is_refused_with_the_one_it_has() {
    let status = Program::counterpoint(["status", "--broker", "kafka:localhost"]);
    status.run().ended_with(2, &["kafka:localhost", "embedded:DIR", "kafka://HOST:PORT"]);
}

/// The quickest of a few starts.
fn quickest(program: impl Fn() -> Program) -> Duration {
    let time = |_| {
        let start = Instant::now();
        program().run().done();
        start.elapsed()
    };
    (0..7).map(time).min().unwrap_or_default()
}

#[test]
fn light_commands_answer_about_as_soon_as_any_program_starts() {
    let nothing = quickest(|| Program::at(Path::new("true")));
    let explain = || {
        Program::counterpoint(["classes", "--explain", "Hiss", "--ontology"]).with([shared("ontology.json")])
    };
    for (name, time) in
        [("classes", quickest(explain)), ("help", quickest(|| Program::counterpoint(["--help"])))]
    {
        // Media and models would have to be loaded for hundreds of times as long.
        assert!(time < nothing * 60, "{name}: {time:?}, and `true` {nothing:?}");
    }
}
