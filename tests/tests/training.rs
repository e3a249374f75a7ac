//! Models trained on the samples of a run, by the program with models in it: killed, refused, out of space.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use counterpoint_servers::Collector;
use counterpoint_telemetry::span;
use counterpoint_tests::{
    disk::SmallDisk,
    out::{Out, json_lines, number, text},
    program::Program,
    workplace::Workplace,
};
use serde_json::Value;

/// A model of some ten thousand parameters.
const TINY: &str = "tiny = { width = 48, layers = 2, tower_width = 32, tower_layers = 1 }";

/// Samples with both streams and with one, a few at a time.
fn recipe(parts: &[u32], keep_every: u32) -> String {
    let parts = parts.iter().map(|steps| {
        format!(
            "[[parts]]\nkind = \"full\"\nrecipes = [\"aligned\", \"audio_removed\", \"frames_zeroed\"]\n\
             rate = 4e-3\nbatch = 4\naccumulation = 1\nlength = {{ steps = {steps} }}\nkeep_every = {keep_every}\n"
        )
    });
    format!("{TINY}\n{}", parts.collect::<String>())
}

/// A run that has ended, and folders for what is trained on it.
struct School {
    workplace: Workplace,
}

impl School {
    fn new(clips: u32) -> Self {
        let workplace = Workplace::with_clips(clips);
        workplace.run().run().done();
        Self { workplace }
    }

    fn out(&self) -> Out {
        self.workplace.out()
    }

    fn train(&self, model: &str, recipe: &str, to: &Path) -> Program {
        let file = self.workplace.path("recipe.toml");
        fs::write(&file, recipe).unwrap();
        Program::counterpoint(["train", "--model", model, "--seed", "3", "--json", "--samples"])
            .with([self.workplace.path("out")])
            .with(["--recipe".into(), file])
            .with(["--out".as_ref(), to])
    }

    fn path(&self, name: &str) -> PathBuf {
        self.workplace.path(name)
    }

    /// What the log tells of trainings that have ended.
    fn ended(&self) -> Vec<Value> {
        let told = self.out().ask(["topics", "tail", "checkpoints"]);
        told["records"].as_array().unwrap().iter().map(|record| record["message"].clone()).collect()
    }
}

/// Loss of each step of a result.
fn losses(folder: &Path) -> Vec<(u64, u64, f64)> {
    let line = |line: Value| (number(&line["part"]), number(&line["step"]), line["loss"].as_f64().unwrap());
    json_lines(&folder.join("losses.jsonl")).into_iter().map(line).collect()
}

/// Part, step and name of the questions that a model was asked while it learned.
fn exams(folder: &Path) -> Vec<(u64, u64, String)> {
    let line = |line: Value| {
        assert!(number(&line["of"]) > 0 && number(&line["right"]) <= number(&line["of"]), "{line}");
        (number(&line["part"]), number(&line["step"]), text(&line["asked"]))
    };
    json_lines(&folder.join("exams.jsonl")).into_iter().map(line).collect()
}

/// Steps whose lines are there, of a training that has not ended.
fn steps_taken(out: &Path, part: u32) -> usize {
    let working = out.with_file_name(format!("{}.training", out.file_name().unwrap().to_str().unwrap()));
    let journal = working.join(format!("part-{part}/losses.jsonl"));
    fs::read_to_string(journal).map_or(0, |text| text.lines().count())
}

#[test]
fn a_training_that_is_killed_at_any_step_comes_to_equal_losses_and_is_told_once() {
    let school = School::new(8);
    let recipe = recipe(&[40, 30], 3);
    let (whole, killed) = (school.path("whole"), school.path("killed"));
    let collector = Collector::start();
    let program = school.train("tiny", &recipe, &whole).with(["--otlp", &collector.url()]);
    let told = program.run().done().json();
    assert_eq!((number(&told["steps"]), text(&told["model"])), (70, whole.display().to_string()));
    // The moments are of both parts, just after a state was kept and long after.
    for (part, steps) in [(1, 1), (1, 20), (2, 1), (2, 11)] {
        let mut running = school.train("tiny", &recipe, &killed).start();
        running.until("it has come so far", |_| steps_taken(&killed, part) >= steps);
        running.kill();
        running.wait();
        assert!(!killed.join("training.json").exists());
    }
    let mut interrupted = school.train("tiny", &recipe, &killed).start();
    interrupted.until("it goes on", |_| steps_taken(&killed, 2) >= 13);
    interrupted.interrupt();
    interrupted.wait().ended_with(130, &["what was learned is kept"]);
    school.train("tiny", &recipe, &killed).run().done();
    assert_eq!(losses(&killed), losses(&whole));
    // It was watched by the same held-out clips at the same steps.
    assert_eq!(exams(&killed), exams(&whole));
    assert_eq!(exams(&whole).last(), Some(&(2, 30, "visual".to_owned())));
    let weights = |folder: &Path| fs::read(folder.join("model.safetensors")).unwrap();
    assert!(weights(&killed) == weights(&whole), "the weights differ");

    // Asked for again it is done already, and the log has a word of each training.
    let again = school.train("tiny", &recipe, &killed).run().done().json();
    assert_eq!(again["identity"], told["identity"]);
    let ended = school.ended();
    let [first, second] = &ended[..] else { panic!("{ended:#?}") };
    assert_eq!(first["content"], second["content"]);
    assert_eq!(
        (&first["identity"], text(&second["folder"])),
        (&told["identity"], killed.display().to_string())
    );
    for name in ["steps", "first", "last", "lowest"] {
        assert_eq!(first["losses"][name], second["losses"][name], "{name}");
    }
    assert_eq!(first["losses"]["last"].as_f64().unwrap(), losses(&whole).last().unwrap().2);
    assert_eq!(
        (number(&first["losses"]["steps"]), text(&first["version"])),
        (70, env!("CARGO_PKG_VERSION").to_owned())
    );

    // A result that has vanished is made again.
    fs::remove_dir_all(&killed).unwrap();
    school.train("tiny", &recipe, &killed).run().done();
    assert!(weights(&killed) == weights(&whole), "the weights differ");
    assert_eq!(school.ended().len(), 3);
    school.out().audit();
    told_to(&collector, &whole);
}

/// What a collector was told of a training: a trace of its own that is linked to the samples', and metrics.
fn told_to(collector: &Collector, folder: &Path) {
    let spans = collector.spans();
    let named = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let (plan, training) = (named(span::TRAINING_PLAN), named(span::TRAINING));
    assert_eq!((plan.len(), training.len(), named(span::TRAINING_STEP).len()), (1, 1, losses(folder).len()));
    let learned_from: BTreeSet<_> = training[0].links.iter().map(|link| link.trace_id.clone()).collect();
    assert!(learned_from.len() >= 2 && !learned_from.contains(&training[0].trace_id), "{training:#?}");
    assert_eq!(training[0].trace_id, plan[0].trace_id);
    assert!(spans.iter().all(|span| span::ALL.contains(&span.name.as_str())), "{spans:#?}");
    for metric in [
        "counterpoint_training_steps_total",
        "counterpoint_training_loss",
        "counterpoint_training_rate",
        "counterpoint_training_step_duration_seconds",
        "counterpoint_trainings_ended_total",
    ] {
        assert!(collector.metrics().iter().any(|name| name == metric), "{metric}");
    }
}

#[test]
fn what_a_model_does_for_a_training_or_an_answer_is_told_in_the_trace_it_is_part_of() {
    let school = School::new(8);
    let (base, tuned) = (school.path("base"), school.path("tuned"));
    school.train("tiny", &recipe(&[2], 3), &base).run().done();
    let collector = Collector::start();
    let base = base.display().to_string();
    let tuning =
        "recipes = [\"misaligned\"]\nbatch = 2\naccumulation = 1\nlength = { steps = 2 }\n[kind.lora]\n";
    let told = school.train(&base, tuning, &tuned).with(["--otlp", &collector.url()]).run().done().json();
    told_to(&collector, &tuned);
    Program::counterpoint(["evaluate", "--conditions", "misaligned", "--model", &text(&told["model"])])
        .with(["--otlp", &collector.url(), "--samples"])
        .with([school.path("out")])
        .with(["--out".into(), school.path("scores")])
        .run()
        .done();
    let spans = collector.spans();
    for (within, name) in [
        (span::TRAINING, span::MODEL_TOWER),
        (span::MODEL_ASK, span::MODEL_TOWER),
        (span::MODEL_ASK, span::MODEL_CHOOSE),
    ] {
        let parents = spans.iter().filter(|span| span.name == within).collect::<Vec<_>>();
        let mut found = spans.iter().filter(|span| span.name == name);
        let is_part = found.any(|span| parents.iter().any(|parent| parent.span_id == span.parent_span_id));
        assert!(is_part, "{name} within {within}: {spans:#?}");
    }
}

#[test]
fn a_training_that_can_come_to_nothing_ends_by_name_and_the_log_tells() {
    let school = School::new(8);
    let to = |name: &str| school.path(name);
    let refused = |program: Program, words: &[&str], reason: &str| {
        program.run().ended_with(1, words);
        let last = school.ended().pop().unwrap();
        assert_eq!(last["reason"], reason, "{last:#}");
        assert!(text(&last["detail"]).contains(words[0]), "{last:#}");
    };
    let diverging = recipe(&[6], 3).replace("4e-3", "1e30");
    refused(
        school.train("tiny", &diverging, &to("diverging")),
        &["has the loss", "lower the rate"],
        "loss_not_a_number",
    );
    fs::write(to("classes.txt"), "Cat\n").unwrap();
    let of_one_class = school.train("tiny", &recipe(&[6], 3), &to("cats"));
    refused(of_one_class.with(["--classes".into(), to("classes.txt")]), &["of class Cat"], "one_class");
    let of_no_sample = school.train("tiny", &recipe(&[6], 3), &to("none"));
    refused(of_no_sample.with(["--recipes", "swapped"]), &["no clip of swapped"], "no_samples");
    // Nothing is planned with a model that is not there, or by settings that make no sense.
    let planned = school.out().records()["trainings"];
    let gone = to("gone").display().to_string();
    school.train(&gone, "[kind.lora]\n", &to("x")).run().ended_with(1, &[&gone, "holds no weights"]);
    school.train("tiny", "rank = 8\n", &to("x")).run().ended_with(1, &["recipe.toml", "unknown field"]);
    assert_eq!(school.out().records()["trainings"], planned);
    // The run is none the worse for it, and what is mended is trained.
    school.train("tiny", &recipe(&[2], 3), &to("diverging-no-more")).run().done();
    school.out().audit();
    assert_eq!(school.out().records()["dead-letters"], 0);
}

#[test]
fn a_full_disk_ends_a_training_with_its_place_and_the_same_command_goes_on_once_there_is_space() {
    let school = School::new(8);
    let recipe = recipe(&[6], 2);
    let whole = school.path("whole");
    school.train("tiny", &recipe, &whole).run().done();
    let folder = school.path("disk");
    let Some(disk) = SmallDisk::mount(&folder, "300k") else {
        eprintln!("not tested: mounting a small file system needs root and CAP_SYS_ADMIN");
        return;
    };
    let to = folder.join("result");
    let train = || school.train("tiny", &recipe, &to).env("COUNTERPOINT_EFFORT__PATIENCE_SECONDS", "1");
    train().run().ended_with(1, &["what was learned is kept", "No space left"]);
    assert_eq!(school.out().records()["dead-letters"], 0, "a full disk is no attempt");
    disk.resize("64m");
    train().run().done();
    assert_eq!(losses(&to), losses(&whole));
}

#[test]
fn a_run_that_follows_trains_in_rounds_while_clips_keep_coming() {
    let workplace = Workplace::with_clips(4);
    let settings = format!(
        "[follow]\nscan_seconds = 0.2\nsettle_seconds = 0.2\nseal_clips = 4\n\
         [trainer]\nbase = \"tiny\"\nrecipe = \"{}\"\nevery = 6\n[evaluator]\ncheckpoints = false\n",
        workplace.path("recipe.toml").display()
    );
    fs::write(workplace.path("settings.toml"), settings).unwrap();
    fs::write(workplace.path("recipe.toml"), recipe(&[4], 2)).unwrap();
    let out = workplace.out();
    let follow = || workplace.run().with(["--follow", "--config"]).with([workplace.path("settings.toml")]);
    let records = |topic: &str| out.status_if_begun().map_or(0, |_| out.records()[topic]);
    let mut running = follow().start();
    running.until("a round is over", |_| records("checkpoints") >= 1);
    // In the middle of whatever it is at.
    running.kill();
    running.wait();
    for number in 4..8 {
        workplace.add_good(number);
    }
    let mut running = follow().start();
    running.until("every round is over", |_| {
        records("samples") > 40 && records("trainings") >= 3 && records("checkpoints") == records("trainings")
    });
    running.interrupt();
    running.wait().done();
    let told = out.ask(["topics", "tail", "checkpoints"]);
    for record in told["records"].as_array().unwrap() {
        let saved = &record["message"];
        let training = &saved["training"];
        assert_eq!(number(&training["samples"]), 6 * number(&training["round"]), "{saved:#}");
        let folder = out.path("checkpoints").join(text(&training["id"]));
        assert_eq!(losses(&folder).len(), 4);
        assert!(!folder.with_extension("training").exists());
    }
    // A run that does not follow waits for no training; the same settings are the same revision.
    workplace.run().with(["--config".into(), workplace.path("settings.toml")]).run().done();
    out.audit();
    assert_eq!(records("answers"), 0, "the settings want no checkpoint to be asked");
}

#[test]
fn what_rounds_leave_is_asked_unbidden_and_each_question_once_though_the_program_is_killed_meanwhile() {
    let workplace = Workplace::with_clips(8);
    let settings = format!(
        "[follow]\nscan_seconds = 0.2\nsettle_seconds = 0.2\nseal_clips = 8\n\
         [trainer]\nbase = \"tiny\"\nrecipe = \"{}\"\nevery = 10\n",
        workplace.path("recipe.toml").display()
    );
    fs::write(workplace.path("settings.toml"), settings).unwrap();
    fs::write(workplace.path("recipe.toml"), recipe(&[3], 2)).unwrap();
    let out = workplace.out();
    let follow = || workplace.run().with(["--follow", "--config"]).with([workplace.path("settings.toml")]);
    let records = |topic: &str| out.status_if_begun().map_or(0, |_| out.records()[topic]);
    let mut running = follow().start();
    running.until("a checkpoint is being asked", |_| records("answers") >= 1);
    running.kill();
    running.wait();
    let mut running = follow().start();
    let told =
        |training: &Value| out.path("evaluations").join(text(&training["id"])).join("scores.html").exists();
    let checkpoints = || -> Vec<Value> {
        let told = out.ask(["topics", "tail", "checkpoints"]);
        told["records"].as_array().unwrap().iter().map(|record| record["message"].clone()).collect()
    };
    running.until("every checkpoint was asked", |_| {
        let saved = checkpoints();
        saved.len() >= 2
            && saved.len() as u64 == records("trainings")
            && saved.iter().all(|saved| told(&saved["training"]))
    });
    running.interrupt();
    running.wait().done();

    let (saved, mut ids, mut lines) = (checkpoints(), BTreeSet::new(), 0);
    for saved in &saved {
        let folder = out.path("evaluations").join(text(&saved["training"]["id"]));
        for answer in json_lines(&folder.join("answers.jsonl")) {
            assert_eq!((&answer["identity"], &answer["split"]), (&saved["identity"], &Value::from("eval")));
            ids.insert(text(&answer["id"]));
            lines += 1;
        }
        let scores: Value = serde_json::from_slice(&fs::read(folder.join("scores.json")).unwrap()).unwrap();
        assert_eq!(
            (number(&scores["misaligned"]["audio"]["n"]), number(&scores["evaluation"]["unanswered"])),
            (4, 0)
        );
    }
    assert_eq!((ids.len() as u64, lines), (records("answers"), ids.len()), "none was asked twice");
    // Whoever evaluates one of them finds all of it answered, by the same ids.
    let last = saved.last().unwrap();
    Program::counterpoint(["evaluate", "--model", &text(&last["folder"]), "--samples"])
        .with([workplace.path("out")])
        .with(["--out".into(), workplace.path("scores")])
        .run()
        .done();
    assert_eq!(records("answers"), ids.len() as u64, "it asked again");
    let found = json_lines(&workplace.path("scores/answers.jsonl"));
    assert!(!found.is_empty() && found.iter().all(|answer| ids.contains(&text(&answer["id"]))));

    let report = out.text("report.html");
    let (_, section) = report.split_once("id=\"rounds\"").unwrap();
    let training = text(&last["training"]["id"]);
    assert!(section.contains(&training[..16]) && section.contains(", of 4<"), "the report lacks its scores");
    let status = out.status();
    let evaluator = status["stages"].as_array().unwrap().iter().find(|stage| stage["stage"] == "evaluator");
    assert_eq!(evaluator.unwrap()["lag"], 0, "{status:#}");
    out.audit();
}
