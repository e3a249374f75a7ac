//! A demo with models, as tests begin it.

#![allow(clippy::expect_used, reason = "a broken expectation is how a test fails")]

use std::{fs, path::Path};

use counterpoint_core::{
    corpus::{ClipFormat, Corpus, ScriptedClip},
    questions::{Probe, Wording},
};
use serde_json::json;

use crate::program::Program;

/// Seed and clips of a class of a demo with models, so few that they are drawn in a moment.
pub const WITH_MODELS: (u64, u32) = (1, 2);

/// Such a demo.
pub fn with_models(out: &Path) -> Program {
    let (seed, clips) = WITH_MODELS;
    Program::counterpoint(["demo", "--seed", &seed.to_string(), "--clips-per-class", &clips.to_string()])
        .with(["--out".as_ref(), out])
}

/// Clips that such a demo is about.
pub fn planned() -> Vec<ScriptedClip> {
    let (seed, clips) = WITH_MODELS;
    Corpus::plan(seed, clips, ClipFormat::default()).clips
}

/// Writes down what a judge says of every clip; its name as a model.
pub fn judge(folder: &Path, say: impl Fn(&ScriptedClip, Probe) -> &'static str) -> String {
    let mut lines = String::new();
    for clip in planned() {
        for probe in Probe::ALL {
            let line = json!({
                "sample": format!("{}_{}/{}", clip.file_stem, clip.segment.start_ms, probe.recipe().as_str()),
                "question": probe.query(clip.script.picture.name()).text(&[], &Wording::default()),
                "answer": say(&clip, probe),
            });
            lines += &format!("{line}\n");
        }
    }
    let path = folder.join("judge.jsonl");
    fs::write(&path, lines).expect("what the judge says");
    format!("file:{}", path.display())
}

/// Lines of the losses of a model that is being taught.
pub fn losses(out: &Path, model: &str) -> Vec<String> {
    let journal = out.join(format!("models/{model}.training/part-1/losses.jsonl"));
    fs::read_to_string(journal).unwrap_or_default().lines().map(str::to_owned).collect()
}
