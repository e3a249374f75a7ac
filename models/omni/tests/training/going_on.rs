//! A training that was interrupted goes on as if it had not been.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use counterpoint_omni::{Recipe, TrainError, Trainer};
use serde_json::Value;

use super::{full, lora, losses, origin};
use crate::data::{Clips, model};

fn trainer(recipe: &Recipe, embedded: bool, folder: &Path) -> Result<Trainer<Clips>, TrainError> {
    Trainer::new(model(1), recipe.clone(), Clips::new(8, 8, embedded), origin(folder))
}

/// The lines of a training, without the time that they took.
fn journal(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("losses.jsonl")).unwrap();
    let lines = text.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        line.as_object_mut().unwrap().remove("seconds");
        line
    });
    lines.collect()
}

fn states(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_training_that_is_dropped_anywhere_goes_on_to_equal_losses() {
    for (recipe, embedded) in [(lora(9), true), (full(9, 4), false)] {
        let recipe = Recipe { keep_every: 3, ..recipe };
        let (whole, cut) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut at_once = trainer(&recipe, embedded, whole.path()).unwrap();
        let expected = losses(&mut at_once);
        assert_eq!(expected.len(), 9);
        at_once
            .keep()
            .expect("the state of a step that was kept is kept again by whoever is told to stop there");
        for stop in [2, 5, 8] {
            let mut trainer = trainer(&recipe, embedded, cut.path()).unwrap();
            while trainer.done() < stop {
                trainer.step().unwrap();
            }
        }
        let mut last = trainer(&recipe, embedded, cut.path()).unwrap();
        assert_eq!(last.done(), 6);
        assert_eq!(losses(&mut last), expected[6..]);
        assert_eq!(journal(cut.path()), journal(whole.path()));
        assert_eq!(states(cut.path()), ["losses.jsonl", "step-00000006", "step-00000009"]);
        let tensors = |folder: &Path| fs::read(folder.join("step-00000009/tensors.safetensors")).unwrap();
        assert!(tensors(cut.path()) == tensors(whole.path()), "the last states differ");
    }
}

/// Set in the process that is killed: where it trains.
const CHILD: &str = "TRAINING_TO_BE_KILLED";

/// Set as well: the step after which it waits for its end.
const LAST: &str = "TRAINING_WAITS_AFTER";

#[test]
fn a_training_whose_process_is_killed_goes_on_to_equal_losses() {
    let recipe = Recipe { keep_every: 2, ..lora(12) };
    if let Some(folder) = env::var_os(CHILD) {
        let mut trainer = trainer(&recipe, true, Path::new(&folder)).unwrap();
        while let Some(step) = trainer.step().unwrap() {
            // A line of its own: the harness may have begun one.
            eprintln!("\nstep {}", step.step);
            while env::var(LAST).is_ok_and(|last| last == step.step.to_string()) {
                std::thread::park();
            }
        }
        return;
    }
    let (whole, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    losses(&mut trainer(&recipe, true, whole.path()).unwrap());
    // The first one is killed between two states, the second wherever it is by then.
    for (step, waits_after) in [(3, 3), (8, 0)] {
        let mut child = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "going_on::a_training_whose_process_is_killed_goes_on_to_equal_losses",
                "--nocapture",
            ])
            .env(CHILD, killed.path())
            .env(LAST, waits_after.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let reached = said.into_iter().any(|line| line == format!("step {step}"));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(reached, "the child never came to step {step}");
    }
    let mut last = trainer(&recipe, true, killed.path()).unwrap();
    assert!((8..=12).contains(&last.done()), "{}", last.done());
    losses(&mut last);
    assert_eq!(journal(killed.path()), journal(whole.path()));
}

#[test]
fn a_folder_of_another_training_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = Recipe { keep_every: 1, ..lora(2) };
    losses(&mut trainer(&recipe, true, folder.path()).unwrap());
    let (before, lines) = (states(folder.path()), journal(folder.path()));
    let refused = |recipe: &Recipe, what: &str| {
        let error = trainer(recipe, true, folder.path()).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    };
    refused(&Recipe { seed: 1, ..recipe.clone() }, "another recipe");
    let other = Trainer::new(model(1), recipe.clone(), Clips::new(8, 4, true), origin(folder.path()));
    assert!(matches!(other, Err(TrainError::Other { what: "set of examples", .. })));
    assert_eq!((states(folder.path()), journal(folder.path())), (before, lines));
}

#[test]
fn a_torn_line_and_a_state_that_is_not_whole_do_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = Recipe { keep_every: 2, ..lora(4) };
    let mut first = trainer(&recipe, true, folder.path()).unwrap();
    for _ in 0..2 {
        first.step().unwrap();
    }
    drop(first);
    let path = folder.path().join("losses.jsonl");
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{whole}{{\"step\":3,\"lo")).unwrap();
    fs::create_dir(folder.path().join(".step-00000004.partial-x")).unwrap();
    let again = trainer(&recipe, true, folder.path()).unwrap();
    assert_eq!(again.done(), 2);
    assert_eq!(fs::read_to_string(&path).unwrap(), whole);
    drop(again);
    fs::write(&path, &whole[..whole.len() - 9]).unwrap();
    assert!(matches!(trainer(&recipe, true, folder.path()), Err(TrainError::Damaged { .. })));
}
