//! `classes` and `curate`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{BufWriter, Write},
};

use counterpoint_tests::{
    out::{number, text},
    program::{Ended, Program},
    shared,
};
use serde_json::Value;
use tempfile::TempDir;

fn classes(arguments: &[&str]) -> Program {
    Program::counterpoint(["classes", "--ontology"]).with([shared("ontology.json")]).with(arguments)
}

#[test]
fn every_node_of_the_ontology_belongs_to_one_of_61_classes_or_is_left_out_for_a_reason() {
    let told = classes(&["--json"]).run().done().json();
    let listed = told["classes"].as_array().unwrap();
    let names: BTreeSet<_> = listed.iter().map(|class| text(&class["name"])).collect();
    assert_eq!((listed.len(), names.len()), (61, 61));
    assert!(names.contains("Utility_Liquid_Sounds") && names.contains("Whale_vocalization"));
    let mids = listed.iter().flat_map(|class| class["mids"].as_array().unwrap()).map(text);
    let excluded = told["excluded"].as_array().unwrap();
    for node in excluded {
        assert!(!text(&node["reason"]).is_empty() && !text(&node["name"]).is_empty(), "{node}");
    }
    let mut seen: Vec<_> = mids.chain(excluded.iter().map(|node| text(&node["mid"]))).collect();
    seen.sort();
    let nodes: Value = serde_json::from_str(&fs::read_to_string(shared("ontology.json")).unwrap()).unwrap();
    let mut all: Vec<_> = nodes.as_array().unwrap().iter().map(|node| text(&node["id"])).collect();
    all.sort();
    assert_eq!(all.len(), 632);
    assert_eq!(seen, all);
}

#[test]
fn one_node_is_explained_and_an_unknown_one_brings_those_that_look_like_it() {
    let hiss = classes(&["--explain", "Hiss"]).run().done();
    for parent in ["Steam", "Snake", "Cat"] {
        assert!(hiss.stdout.contains(parent), "{parent} is a parent of it: {}", hiss.stdout);
    }
    let told = classes(&["--explain", "Hiss", "--json"]).run().done().json();
    assert_eq!((&told["name"], &told["class"]), (&"Hiss".into(), &Value::Null));
    let cat = classes(&["--explain", "/m/07qrkrw", "--json"]).run().done().json();
    assert_eq!(text(&cat["class"]), "Cat");
    classes(&["--explain", "Acordion"]).run().ended_with(2, &["Acordion", "Accordion"]);
    classes(&["--explain", "Qqqqqqqq"]).run().ended_with(2, &["Qqqqqqqq", "name a node or a class"]);
}

fn curate(labels: &str, out: &str) -> Ended {
    let command = Program::counterpoint(["curate", "--labels", labels, "--out", out, "--json", "--ontology"]);
    command.with([shared("ontology.json")]).run().done()
}

#[test]
fn the_eval_segments_come_out_under_the_classes_that_people_gave_their_clips() {
    let folder = TempDir::new().unwrap();
    let table = folder.path().join("new/folder/classes.csv");
    let told = curate(shared("eval_segments.csv").to_str().unwrap(), table.to_str().unwrap()).json();
    assert_eq!(number(&told["rows"]), 20_371);

    let mut rows = csv::Reader::from_path(&table).unwrap();
    assert_eq!(rows.headers().unwrap(), vec!["youtube_id", "class", "start_seconds"]);
    let rows: Vec<_> = rows.records().map(Result::unwrap).collect();
    let kept: BTreeMap<(&str, &str), &str> = rows.iter().map(|row| ((&row[0], &row[2]), &row[1])).collect();
    assert_eq!(kept.len(), rows.len(), "no segment twice");
    assert!((2_800..4_300).contains(&kept.len()), "the paper keeps 3,518: {}", kept.len());

    let mut dev = csv::Reader::from_path(shared("mma_bench_clips_dev.csv")).unwrap();
    let dev: Vec<_> = dev.records().map(Result::unwrap).collect();
    let is_right = |row: &&csv::StringRecord| kept.get(&(&row[0], &row[2])) == Some(&&row[1]);
    let right = dev.iter().filter(is_right).count();
    assert!(right * 100 >= dev.len() * 97, "{right} of {} clips", dev.len());
}

#[test]
fn two_million_rows_are_curated_in_memory_that_does_not_grow_with_them() {
    const ROWS: u64 = 2_000_000;
    const BOUND: u64 = 200 << 20;
    let folder = TempDir::new().unwrap();
    let (list, table) = (folder.path().join("unbalanced.csv"), folder.path().join("classes.csv"));
    let segments = fs::read_to_string(shared("eval_segments.csv")).unwrap();
    let tails: Vec<_> = segments.lines().skip(1).filter_map(|row| row.get(11..)).collect();
    let mut file = BufWriter::new(File::create(&list).unwrap());
    writeln!(file, "# YTID, start_seconds, end_seconds, positive_labels").unwrap();
    for (number, tail) in (0..ROWS).zip(tails.iter().cycle()) {
        writeln!(file, "{number:011}{tail}").unwrap();
    }
    file.flush().unwrap();

    let ended = curate(list.to_str().unwrap(), table.to_str().unwrap());
    let told = ended.json();
    assert_eq!((number(&told["rows"]), number(&told["broken_rows"])), (ROWS, 0));
    assert!(fs::read_to_string(&table).unwrap().lines().count() > ROWS as usize / 10);
    let length = fs::metadata(&list).unwrap().len();
    assert!(ended.peak_memory > 0 && ended.peak_memory < BOUND, "{} bytes for {length}", ended.peak_memory);
}
