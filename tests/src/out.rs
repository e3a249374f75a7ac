//! The output folder of a run, as other programs read it.

#![allow(clippy::expect_used, reason = "a broken expectation is how a test fails")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{program::Program, topics::Topics};

/// An output folder.
#[derive(Debug, Clone)]
pub struct Out {
    folder: PathBuf,
    topics: Topics,
}

impl Out {
    /// The one at this path.
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), topics: Topics::default() }
    }

    /// The same folder, of a run whose topics are elsewhere.
    #[must_use]
    pub fn on(self, topics: Topics) -> Self {
        Self { topics, ..self }
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A file of it as text.
    ///
    /// # Panics
    /// If it is not there.
    pub fn text(&self, name: &str) -> String {
        let path = self.path(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// `manifest.jsonl` as it stands there.
    pub fn manifest(&self) -> String {
        self.text("manifest.jsonl")
    }

    /// The lines of `manifest.jsonl`.
    pub fn samples(&self) -> Vec<Value> {
        json_lines(&self.path("manifest.jsonl"))
    }

    /// `summary.json`.
    pub fn summary(&self) -> Value {
        serde_json::from_str(&self.text("summary.json")).expect("summary.json is JSON")
    }

    /// Records on each topic.
    pub fn records(&self) -> BTreeMap<String, u64> {
        let list = self.ask(["topics", "list"]);
        let topics = list["topics"].as_array().expect("topics are listed").iter();
        topics.map(|topic| (text(&topic["topic"]), number(&topic["records"]))).collect()
    }

    /// `status`: how far the run is, also while it is at work.
    pub fn status(&self) -> Value {
        self.ask(["status"])
    }

    /// `status`, once there is a run to speak of.
    pub fn status_if_begun(&self) -> Option<Value> {
        let ended = self.command(["status"]).run();
        (ended.code() == Some(0)).then(|| ended.json())
    }

    /// The way of the one clip of a source video, step by step.
    ///
    /// # Panics
    /// If the log knows none of it, or several.
    pub fn way_of(&self, video: &str) -> Vec<Value> {
        let told = self.ask(["status", video]);
        let clips = told["clips"].as_object().expect("clips are told by id");
        assert_eq!(clips.len(), 1, "{video} is one clip: {clips:?}");
        clips.values().flat_map(|way| way.as_array().cloned().unwrap_or_default()).collect()
    }

    /// What `status` says of the reject of a source video.
    ///
    /// # Panics
    /// If it was not rejected.
    pub fn reject_of(&self, video: &str) -> String {
        let way = self.way_of(video);
        let reject = way.iter().find(|step| step["topic"] == "rejected");
        text(&reject.unwrap_or_else(|| panic!("{video} was not rejected: {way:?}"))["what"])
    }

    /// What `status --audit` finds, which must be nothing.
    ///
    /// # Panics
    /// If something is lost, there twice, or missing.
    pub fn audit(&self) -> Value {
        self.ask(["status", "--audit"])
    }

    /// What `status --audit` finds.
    pub fn audit_of_any_outcome(&self) -> Value {
        self.command(["status", "--audit"]).run().json()
    }

    fn command<const N: usize>(&self, arguments: [&str; N]) -> Program {
        self.topics.of(Program::counterpoint(arguments).with(["--json", "--out"]).with([&self.folder]))
    }

    /// What a command that looks into the folder tells as JSON.
    pub fn ask<const N: usize>(&self, arguments: [&str; N]) -> Value {
        self.command(arguments).run().done().json()
    }
}

/// The objects of a JSON lines file.
///
/// # Panics
/// If it is not there, or a line is no JSON.
pub fn json_lines(path: &Path) -> Vec<Value> {
    let lines = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    lines.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

/// A JSON string.
///
/// # Panics
/// If the value is none.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a string was expected: {value}")).to_owned()
}

/// A JSON number without sign.
///
/// # Panics
/// If the value is none.
pub fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("a number was expected: {value}"))
}

/// Clips that a stage turned away, by `summary.json`.
pub fn rejected_by(summary: &Value, stage: &str) -> u64 {
    summary["rejected"][stage].as_object().map_or(0, |reasons| reasons.values().map(number).sum())
}

/// Checks the sums that `summary.json` promises, of a run without dead letters.
///
/// # Panics
/// If one does not hold.
pub fn assert_adds_up(summary: &Value) {
    let count = |name: &str| number(&summary[name]);
    let rejected = |stage| rejected_by(summary, stage);
    let brought = count("unlabelled") + rejected("source") + rejected("curator") + count("curated");
    assert_eq!(count("found"), brought, "{summary:#}");
    assert_eq!(count("curated"), rejected("decoder") + count("decoded"), "{summary:#}");
    assert_eq!(count("decoded"), rejected("gate") + count("accepted"), "{summary:#}");
    assert_eq!(count("dead_letters"), 0, "{summary:#}");
}
