//! A run whose samples are asked about, and models that are files of answers.

use std::{fs, path::PathBuf};

use counterpoint_tests::{out::Out, program::Program, workplace::Workplace};
use serde_json::Value;

/// A run that has ended, and models of its samples.
pub struct Desk {
    workplace: Workplace,
}

impl Desk {
    pub fn new() -> Self {
        let workplace = Workplace::with_clips(16);
        workplace.run().run().done();
        Self { workplace }
    }

    /// The output folder of the run.
    pub fn out(&self) -> Out {
        self.workplace.out()
    }

    /// Samples of a split and of these recipes.
    pub fn samples(&self, split: &str, recipes: &[&str]) -> Vec<Value> {
        let all = self.out().samples().into_iter();
        all.filter(|sample| {
            sample["split"] == split && recipes.iter().any(|recipe| sample["recipe"] == *recipe)
        })
        .collect()
    }

    /// See [`Workplace::model`].
    pub fn model(&self, name: &str, answer: impl Fn(&Value, &str) -> Value) -> String {
        self.workplace.model(name, answer)
    }

    /// See [`Workplace::model_with_a_way_out`].
    pub fn model_with_a_way_out(&self, name: &str, answer: impl Fn(&Value, &str, bool) -> Value) -> String {
        self.workplace.model_with_a_way_out(name, answer)
    }

    pub fn evaluate(&self, model: &str, out: &str) -> Program {
        Program::counterpoint(["evaluate", "--model", model, "--samples"])
            .with([self.workplace.path("out")])
            .with(["--out".into(), self.workplace.path(out)])
    }

    pub fn replay(&self, model: &str) -> Program {
        Program::counterpoint(["replay", "--checkpoint", model, "--out"]).with([self.workplace.path("out")])
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.workplace.path(name)
    }

    pub fn answers(&self, out: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path(out).join("answers.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The class of a stream, or of the host where it was taken away: what a forced choice is to name.
pub fn truth(sample: &Value, stream: &str) -> Value {
    let host = sample["lineage"]["host"]["class"].clone();
    let class = if stream == "visual" { &sample["class_seen"] } else { &sample["class_heard"] };
    if class.is_null() { host } else { class.clone() }
}
