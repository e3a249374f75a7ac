//! `bench`: each benchmark at a size that takes seconds, without the peers that not every machine has.

use std::path::Path;

use counterpoint_tests::program::{Program, built};
use serde_json::Value;
use tempfile::TempDir;

/// Runs a benchmark and checks what all of them promise.
fn bench(arguments: &str) -> Value {
    let scratch = TempDir::new().unwrap();
    let command = Program::counterpoint(["bench", "--json", "--rounds", "1", "--scratch"]);
    let told = command.with([scratch.path()]).with(arguments.split(' ')).run().done().json();
    assert_eq!(told["bench"], arguments.split(' ').next().unwrap());
    assert!(told["checks"].as_array().unwrap().iter().all(|check| check["holds"] == true), "{told}");
    for side in told["sides"].as_array().unwrap() {
        assert_eq!(side["seconds"].as_array().unwrap().len(), 1, "{side}");
        assert!(side["units_per_second"].as_f64().unwrap() > 0.0, "{side}");
    }
    assert_eq!(scratch.path().read_dir().unwrap().count(), 0, "nothing is left behind");
    told
}

fn sides(told: &Value) -> Vec<&str> {
    told["sides"].as_array().unwrap().iter().map(|side| side["side"].as_str().unwrap()).collect()
}

#[test]
fn media_benchmarks_measure_films_of_their_own() {
    let films = "--alone --films 2 --film-size 64";
    assert_eq!(sides(&bench(&format!("prepare {films}"))), ["prepare"]);
    let sample = bench(&format!("sample {films}"));
    assert_eq!(sides(&sample), ["sample, from the clip", "sample, from the normal form"]);
    assert_eq!(sample["checks"][0]["found"], "equal bit by bit");
    let variants = bench(&format!("variants {films}"));
    assert_eq!(sides(&variants), ["swap, workers at hand", "swap, workers started for it", "mixup"]);
}

#[test]
fn topics_go_through_source_and_curator_once_each() {
    let told = bench("topics --records 3000 --batch 100");
    assert_eq!(sides(&told), ["source and curator", "commits of 1 record", "commits of many records"]);
    assert_eq!(told["checks"][0]["found"], "3000 of 3000, then 3000 by the curator");
}

#[test]
fn curate_writes_what_a_plain_python_script_writes() {
    let told = bench("curate --rows 2000 --python python3");
    assert_eq!(sides(&told), ["curate", "Python, csv and dictionaries"]);
    assert_eq!(told["ratios"].as_array().unwrap().len(), 1);
}

#[test]
fn memory_of_runs_is_told_for_each_number_of_clips() {
    let told = bench("memory --clips 2,4");
    let figures: Vec<_> = told["figures"].as_array().unwrap().iter().map(|figure| &figure["what"]).collect();
    assert_eq!(figures.len(), 5, "{figures:?}");
    assert!(told["figures"].as_array().unwrap().iter().all(|figure| figure["value"].is_number()), "{told}");
}

/// A model and a clip that take a second.
const SMALL: &str = "--layers 2 --width 128 --pixels 112 --seconds 2";

#[test]
fn benchmarks_on_models_measure_this_program_alone_where_that_is_asked() {
    for (name, expected) in [
        ("questions", &["ask, all questions together"][..]),
        ("lora", &["train", "train, layers computed again"]),
        ("load", &["open"]),
        ("forward", &["pass", "step of an adapter", "step of all parameters"]),
    ] {
        let told = bench(&format!("{name} --alone {SMALL}"));
        assert_eq!(sides(&told), expected);
        let figures = told["figures"].as_array().unwrap();
        let held = |figure: &&Value| figure["value"].as_f64().unwrap() > 1.0;
        assert_eq!(figures.iter().filter(held).count(), 2 * expected.len(), "memory of each: {figures:?}");
    }
}

/// Where `ops/setup.sh parity` was not run, this says so; `make parity` runs it.
#[test]
fn benchmarks_on_models_hold_against_transformers_where_it_is_installed() {
    let target = built("counterpoint").parent().and_then(Path::parent).map(Path::to_owned).unwrap();
    if !target.join("tools/parity/bin/python").exists() {
        eprintln!("nothing was compared: `ops/setup.sh parity` installs transformers and PEFT");
        return;
    }
    for (name, pairs) in [("questions", 2), ("lora", 4), ("load", 2), ("forward", 3)] {
        let told = bench(&format!("{name} {SMALL}"));
        assert_eq!(told["checks"].as_array().unwrap().len(), 2 * pairs, "{told}");
        assert_eq!(told["ratios"].as_array().unwrap().len(), pairs, "{told}");
    }
}

#[test]
fn a_peer_that_is_missing_is_named_with_its_remedy() {
    for (arguments, remedy) in
        [("curate --rows 10", "ops/setup.sh bench"), ("questions", "ops/setup.sh parity")]
    {
        let scratch = TempDir::new().unwrap();
        let command = Program::counterpoint(["bench", "--python", "no-such-python", "--scratch"]);
        let ended = command.with([scratch.path()]).with(arguments.split(' ')).run();
        assert_eq!(ended.status.code(), Some(1));
        assert!(ended.stderr.contains("no-such-python cannot be started"), "{}", ended.stderr);
        assert!(ended.stderr.contains(remedy), "{}", ended.stderr);
    }
}

#[test]
fn sizes_that_make_no_model_are_refused() {
    for (sizes, named) in [("--width 200", "--width 200"), ("--pixels 100", "--pixels 100")] {
        let ended = Program::counterpoint(["bench", "load", "--alone"]).with(sizes.split(' ')).run();
        ended.ended_with(2, &[named]);
    }
}
