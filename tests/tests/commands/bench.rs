//! `bench`: each benchmark at a size that takes seconds, without the peers that not every machine has.

use counterpoint_tests::program::Program;
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

#[test]
fn a_peer_that_is_missing_is_named_with_its_remedy() {
    let scratch = TempDir::new().unwrap();
    let command =
        Program::counterpoint(["bench", "curate", "--rows", "10", "--python", "no-such-python", "--scratch"]);
    let ended = command.with([scratch.path()]).run();
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("no-such-python cannot be started"), "{}", ended.stderr);
    assert!(ended.stderr.contains("ops/setup.sh bench"), "{}", ended.stderr);
}
