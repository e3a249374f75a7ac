//! The paper's experiments on models that are files of answers, whose results are known beforehand.

use std::{collections::BTreeSet, ffi::OsStr, fs, path::Path};

use counterpoint_tests::{check_report, out::text, program::Program, workplace::CLASSES};
use serde_json::{Value, json};

use crate::desk::{Desk, truth};

const NONE: &str = "None of the above";

fn experiment(desk: &Desk, name: &str, base: &str, tuned: &str) -> Program {
    Program::counterpoint(["experiment", name, "--base", base, "--tuned", tuned, "--samples"])
        .with([desk.path("out")])
}

/// The line of a condition and question, and of a group where there are some.
fn line<'a>(found: &'a Value, group: Option<&str>, condition: &str, question: &str) -> &'a Value {
    let lines = found["lines"].as_array().unwrap();
    let is_it = |line: &&Value| {
        line["condition"] == condition
            && line["question"] == question
            && group.is_none_or(|group| line["group"] == group)
    };
    lines.iter().find(is_it).unwrap_or_else(|| panic!("{group:?} {condition} {question} in {found:#}"))
}

fn right(line: &Value) -> (f64, f64) {
    let of = |name: &str| line[name]["accuracy"].as_f64().unwrap_or_else(|| panic!("{name} in {line}"));
    (of("before"), of("after"))
}

fn first_finding(found: &Value) -> String {
    text(&found["findings"][0])
}

/// What is right where none of the classes may be: what is there, and that nothing is.
fn honest(sample: &Value, stream: &str, way_out: bool) -> Value {
    let gone = if stream == "visual" { "frames_zeroed" } else { "audio_removed" };
    if way_out && sample["recipe"] == gone { json!(NONE) } else { truth(sample, stream) }
}

#[test]
fn streams_taken_away_and_sounds_added_are_told_in_numbers_words_and_the_report() {
    let desk = Desk::new();
    // Before, the host's class is named whatever is asked; afterwards what is there, and of two sounds the added one.
    let base = desk.model_with_a_way_out("base", |sample, _, _| sample["lineage"]["host"]["class"].clone());
    let tuned = desk.model_with_a_way_out("tuned", |sample, stream, way_out| {
        match sample["recipe"] == "mixup" && stream == "audio" {
            true => sample["classes_heard"][1].clone(),
            false => honest(sample, stream, way_out),
        }
    });
    let n = desk.samples("eval", &["aligned"]).len();
    assert!(n >= 6, "{n}");

    let found = experiment(&desk, "none-of-the-above", &base, &tuned).with(["--json"]).run().done().json();
    let gone = line(&found, None, "frames_zeroed", "visual_abstention");
    assert_eq!((right(gone), gone["before"]["n"].as_u64()), ((0.0, 1.0), Some(n as u64)));
    assert_eq!(gone["before"]["other"], 1.0, "what is heard was named as seen");
    assert_eq!(gone["chance"], 1.0 / (CLASSES.len() + 1) as f64);
    assert_eq!(right(line(&found, None, "audio_removed", "visual_abstention")), (1.0, 1.0));
    assert_eq!(right(line(&found, None, "aligned", "audio_abstention")), (1.0, 1.0));
    let said = first_finding(&found);
    assert!(said.contains("0.0 % before and 100.0 % after tuning (a gain of 100.0 points)"), "{said}");
    let written = fs::read_to_string(desk.path("out/experiments/none-of-the-above/experiment.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), found);
    let notes = found["notes"].to_string();
    assert!(notes.contains("What the base model learned from is not told here"), "{notes}");

    let forced = experiment(&desk, "ablations", &base, &tuned).with(["--json"]).run().done().json();
    assert_eq!(right(line(&forced, None, "frames_zeroed", "visual")), (1.0, 1.0));
    assert!(first_finding(&forced).ends_with("the picture stands in for it, before and after."));

    let mixed = experiment(&desk, "mixup", &base, &tuned).run().done().stdout;
    assert!(mixed.contains("mixup          audio"), "{mixed}");
    assert!(
        mixed.contains("the sound question is answered right in 100.0 % before and 0.0 % after tuning (a loss of 100.0 points); the added sound is named in 0.0 % before and 100.0 % after"),
        "{mixed}"
    );

    // Again, nothing is asked; the report shows all three, under the settings of the run.
    let answers = desk.out().records()["answers"];
    let again = experiment(&desk, "none-of-the-above", &base, &tuned).with(["--json"]).run().done().json();
    assert_eq!((again, desk.out().records()["answers"]), (found, answers));
    let page = desk.out().text("report.html");
    for part in
        ["id=\"experiment-ablations\"", "id=\"experiment-none-of-the-above\"", "id=\"experiment-mixup\""]
    {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("id=\"experiment-cross-class\"") && page.contains("published, Table 5"));
    check_report(&desk.path("out/report.html"), "experiments").unwrap();
    desk.out().audit();
}

#[test]
fn a_repair_is_parted_by_whether_tuning_learned_from_the_classes() {
    let desk = Desk::new();
    let learned: BTreeSet<&str> = CLASSES.iter().map(|(class, _)| *class).take(2).collect();
    let is_learned =
        |sample: &Value, part: &str| sample[part].as_str().is_none_or(|class| learned.contains(class));
    let base = desk.model("base", |sample, _| truth(sample, "visual"));
    // It listens where it learned both classes, and looks elsewhere.
    let half = desk.model("half", |sample, stream| {
        let listens = is_learned(sample, "class_seen") && is_learned(sample, "class_heard");
        truth(sample, if listens { stream } else { "visual" })
    });
    let tuned = desk.model("tuned", truth);
    let list = desk.path("learned.txt");
    fs::write(&list, learned.iter().map(|class| format!("{class}\n")).collect::<String>()).unwrap();
    let cross =
        || experiment(&desk, "cross-class", &base, &tuned).with(["--classes".as_ref(), list.as_os_str()]);
    let found = cross().with(["--half", &half, "--json"]).run().done().json();
    let misaligned = desk.samples("eval", &["misaligned"]);
    for (group, classes_learned, after) in [("seen", 2, 1.0), ("mixed", 1, 0.0), ("unseen", 0, 0.0)] {
        let of_learned = |sample: &Value| {
            ["class_seen", "class_heard"].into_iter().filter(|part| is_learned(sample, part)).count()
        };
        let n = misaligned.iter().filter(|&sample| of_learned(sample) == classes_learned).count();
        if n > 0 {
            let found = line(&found, Some(group), "misaligned", "audio");
            assert_eq!(
                (right(found), found["before"]["n"].as_u64()),
                ((0.0, after), Some(n as u64)),
                "{group}"
            );
            assert_eq!(found["on_all"]["accuracy"], 1.0);
        }
    }
    let aligned = line(&found, Some("unseen"), "aligned", "visual");
    assert_eq!(right(aligned), (1.0, 1.0));
    let seen: BTreeSet<String> = found["halves"]["seen"].as_array().unwrap().iter().map(text).collect();
    assert_eq!(seen, learned.iter().map(|class| (*class).to_owned()).collect());
    assert!(desk.out().text("report.html").contains("published, Table 3"));

    // What cannot be is told with what to do.
    let records = desk.out().records()["answers"];
    fs::write(&list, "Cat\nDog\n").unwrap();
    cross().with(["--half", &half]).run().ended_with(2, &["no samples of class Dog", "Accordion, Bird, Cat"]);
    fs::write(&list, "Cat\n").unwrap();
    cross().with(["--half", &half]).run().ended_with(2, &["1 of 4 classes", "name at least 2"]);
    experiment(&desk, "cross-class", &base, &tuned)
        .with(["--half", &half])
        .run()
        .ended_with(2, &["--classes"]);
    experiment(&desk, "mixup", &base, &base).run().ended_with(2, &["one and the same model"]);
    let nowhere =
        Program::counterpoint(["experiment", "mixup", "--base", &base, "--tuned", &tuned, "--samples"]);
    nowhere.with([desk.path("nowhere")]).run().ended_with(1, &["nowhere"]);
    // One model answered about the mixup; that is kept.
    let asked = 2 * desk.samples("eval", &["aligned", "mixup"]).len() as u64;
    let known = 2 * desk.samples("eval", &["aligned"]).len() as u64;
    assert_eq!(desk.out().records()["answers"], records + asked - known);
}

/// A model of a few thousand numbers that learns next to nothing.
const BASE: &str = r#"
tiny = { width = 48, layers = 2, tower_width = 32, tower_layers = 1 }

[[parts]]
kind = "full"
recipes = ["aligned", "audio_removed"]
rate = 1e-3
batch = 4
accumulation = 1
length = { steps = 2 }
exams = 0
"#;

const TUNING: &str = r#"
rate = 4e-3
batch = 4
accumulation = 1
length = { steps = 3 }
exams = 3

[kind.lora]
targets = "all-linear"
"#;

#[test]
fn a_second_tuning_learns_from_half_of_the_classes_by_the_settings_of_the_first() {
    let desk = Desk::new();
    let (base, tuned, half) =
        (desk.path("out/models/base"), desk.path("out/models/tuned"), desk.path("out/models/cross-class"));
    let train = |model: &Path, recipe: &str, out: &Path| {
        let file = desk.path("recipe.toml");
        fs::write(&file, recipe).unwrap();
        let program = Program::counterpoint(["train", "--model"]).with([model]);
        program
            .with([
                "--recipe".into(),
                file,
                "--samples".into(),
                desk.path("out"),
                "--out".into(),
                out.to_owned(),
            ])
            .run()
            .done();
    };
    train("tiny".as_ref(), BASE, &base);
    train(&base, TUNING, &tuned);
    let facts = |folder: &Path| -> Value {
        serde_json::from_str(&fs::read_to_string(folder.join("training.json")).unwrap()).unwrap()
    };

    // Two classes of which there is a conflict to learn from.
    let conflict = &desk.samples("train", &["misaligned"])[0];
    let learned = ["class_seen", "class_heard"].map(|part| text(&conflict[part]));
    let list = desk.path("learned.txt");
    fs::write(&list, learned.join("\n")).unwrap();
    let cross = |more: [&OsStr; 2]| {
        Program::counterpoint(["experiment", "cross-class", "--json", "--samples"])
            .with([desk.path("out")])
            .with(more)
    };
    let by_list = || cross(["--classes".as_ref(), list.as_os_str()]);
    let found = by_list().run().done().json();
    assert!(text(&found["models"][1]["model"]).ends_with("models/cross-class"), "{}", found["models"]);
    assert_eq!(facts(&half)["course"], facts(&tuned)["course"]);
    let is_learned = |class: &Value| learned.iter().any(|learned| class == learned);
    let to_learn = desk.samples("train", &["aligned", "misaligned"]);
    let to_learn = to_learn
        .iter()
        .filter(|sample| is_learned(&sample["class_seen"]) && is_learned(&sample["class_heard"]));
    assert_eq!(facts(&half)["clips"].as_u64(), Some(to_learn.count() as u64));
    let notes = found["notes"].to_string();
    assert!(notes.contains("it may have known all of them before"), "{notes}");
    let marks = fs::read_to_string(half.join("exams.jsonl")).unwrap();
    let steps: Vec<u64> = marks
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|marks| marks["asked"] == "audio")
        .map(|marks| marks["step"].as_u64().unwrap())
        .collect();
    assert_eq!(steps, [0, 1, 2, 3]);
    assert!(!base.join("exams.jsonl").exists(), "its settings want none");
    assert!(desk.out().text("report.html").contains("The sound of conflicts, cross-class model"));

    // Again, nothing is learned or asked; other classes are not mistaken for these.
    let answers = desk.out().records()["answers"];
    assert_eq!((by_list().run().done().json(), desk.out().records()["answers"]), (found, answers));
    let others = CLASSES
        .iter()
        .map(|(class, _)| *class)
        .filter(|class| !learned.iter().any(|learned| learned == class));
    fs::write(&list, others.collect::<Vec<_>>().join("\n")).unwrap();
    by_list().run().ended_with(2, &["was begun with other classes", &learned[0], "--classes"]);
}
