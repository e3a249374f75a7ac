//! Lists, ontologies, plans and settings with mistakes in them.

use std::{fs, path::PathBuf};

use counterpoint_tests::{
    out::number,
    program::{Ended, Program},
    shared,
    workplace::Workplace,
};
use serde_json::{Value, json};

use crate::next_good_clip_works;

#[test]
fn a_broken_row_is_told_with_file_line_value_and_remedy_and_costs_nothing_else() {
    let workplace = Workplace::with_clips(3);
    workplace.row("train", "only one field");
    workplace.row("train", "video000009,soon,later,\"/m/01yrx\"");
    workplace.row("train", "video000008,40.000,30.000,\"/m/01yrx\"");
    workplace.run().run().done();
    let summary = workplace.out().summary();
    assert_eq!((number(&summary["broken_rows"]), number(&summary["accepted"])), (3, 3), "{summary:#}");

    let curate = Program::counterpoint(["curate", "--labels"])
        .with([workplace.path("train.csv"), "--ontology".into(), shared("ontology.json")])
        .with(["--out".into(), workplace.path("classes.csv")])
        .run()
        .done();
    for (line, value) in [(3, "only one field"), (4, "soon"), (5, "30.000")] {
        let place = format!("train.csv, line {line}: ");
        let told = curate.stdout.lines().find(|told| told.contains(&place));
        let told = told.unwrap_or_else(|| panic!("{place} is not told in\n{}", curate.stdout));
        assert!(told.contains(value) && told.contains("; "), "{told}");
    }
    next_good_clip_works(&workplace, 3, 4);
}

/// Runs with another ontology than AudioSet's.
fn run_with_ontology(workplace: &Workplace, nodes: &Value) -> (PathBuf, Ended) {
    let path = workplace.path("ontology.json");
    fs::write(&path, nodes.to_string()).unwrap();
    let ended = Program::counterpoint(["run", "--clips"])
        .with([workplace.path("clips"), "--labels".into(), workplace.path("train.csv")])
        .with(["--ontology".into(), path.clone(), "--out".into(), workplace.path("out")])
        .run();
    (path, ended)
}

#[test]
fn an_ontology_with_a_cycle_or_an_unknown_child_is_refused_by_name() {
    let workplace = Workplace::with_clips(2);
    let text = fs::read_to_string(shared("ontology.json")).unwrap();
    let nodes: Value = serde_json::from_str(&text).unwrap();
    let cat = nodes.as_array().unwrap().iter().position(|node| node["name"] == "Cat").unwrap();
    let purr = nodes.as_array().unwrap().iter().position(|node| node["name"] == "Purr").unwrap();

    let mut cycle = nodes.clone();
    cycle[purr]["child_ids"] = json!([nodes[cat]["id"]]);
    let (path, ended) = run_with_ontology(&workplace, &cycle);
    ended.ended_with(1, &[path.to_str().unwrap(), "Cat", "Purr", "cycle", "remove one of these links"]);

    let mut orphan = nodes.clone();
    orphan[purr]["child_ids"] = json!(["/m/nobody"]);
    let (path, ended) = run_with_ontology(&workplace, &orphan);
    ended.ended_with(1, &[path.to_str().unwrap(), "Purr", "/m/nobody", "add the node or drop the child"]);

    let (path, ended) = run_with_ontology(&workplace, &json!({"no": "ontology"}));
    ended.ended_with(1, &[path.to_str().unwrap(), "take ontology.json from"]);
    next_good_clip_works(&workplace, 2, 3);
}

#[test]
fn a_plan_that_asks_for_the_impossible_is_refused_with_its_value_and_remedy() {
    const ALIGNED: &str = "[[recipe]]\nname = \"aligned\"\n";
    let workplace = Workplace::with_clips(2);
    let plan = workplace.path("plan.toml");
    let name = plan.to_str().unwrap();
    for (text, words) in [
        ("[[recipe]]\nname = \"misaligned\"\ndonors = 1\n".to_owned(), ["aligned", "add a [[recipe]]"]),
        (format!("donor_use_cap = 0\n{ALIGNED}"), ["donor_use_cap = 0", "set it between"]),
        (
            format!("{ALIGNED}[[recipe]]\nname = \"misaligned\"\ndonors = -3\n"),
            ["donors = -3", "set donors between"],
        ),
        (
            format!("{ALIGNED}[[recipe]]\nname = \"shift\"\noffset_seconds = 99.0\n"),
            ["99", "less than 10 seconds"],
        ),
        (format!("{ALIGNED}[[recipe]]\nname = \"mixup\"\n"), ["lacks snr_db", "add `snr_db"]),
        (format!("{ALIGNED}{ALIGNED}"), ["aligned", "twice"]),
        (format!("{ALIGNED}[[recipe]]\nname = \"karaoke\"\n"), ["karaoke", "misaligned"]),
        (format!("{ALIGNED}colour = 1\n"), ["colour", "line"]),
    ] {
        fs::write(&plan, text).unwrap();
        workplace.run().with(["--plan", name]).run().ended_with(1, &[name]).ended_with(1, &words);
    }
    workplace
        .run()
        .with(["--plan", "nowhere.toml"])
        .run()
        .ended_with(2, &["cannot read the plan nowhere.toml"]);
    next_good_clip_works(&workplace, 2, 3);
}

#[test]
fn a_setting_that_does_not_exist_or_cannot_work_is_refused_wherever_it_stands() {
    let workplace = Workplace::with_clips(2);
    let file = workplace.path("settings.toml");
    for (text, words) in [
        ("[gate]\nmotion = 0.25\n", ["motion", "motion_min"]),
        ("[gates]\nmotion_min = 0.25\n", ["gates", "gate"]),
        ("[gate]\nblack_share_max = 7\n", ["gate.black_share_max is 7", "from 0 to 1"]),
        ("seed = \"much\"\n", ["seed", "much"]),
        ("seed = \n", [file.to_str().unwrap(), "line 1"]),
    ] {
        fs::write(&file, text).unwrap();
        workplace.run().with(["--config", file.to_str().unwrap()]).run().ended_with(2, &words);
    }
    workplace.run().with(["--config", "nowhere.toml"]).run().ended_with(2, &["nowhere.toml"]);
    let environment = |name: &str, value: &str| workplace.run().env(name, value).run();
    environment("COUNTERPOINT_GATE__MOTION", "0.1").ended_with(2, &["motion_min"]);
    environment("COUNTERPOINT_GATE__MOTION_MIN", "fast").ended_with(2, &["fast"]);
    environment("COUNTERPOINT_GATE__MOTION_MIN", "7").ended_with(2, &["gate.motion_min is 7"]);
    assert!(!workplace.path("out").exists(), "nothing was begun");
    next_good_clip_works(&workplace, 2, 3);
}
