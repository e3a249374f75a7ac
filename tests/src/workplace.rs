//! A folder of small films with their label lists, and the runs on them.

#![allow(clippy::expect_used, reason = "a broken expectation is how a test fails")]

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    film::{self, Film},
    out::Out,
    program::Program,
    shared,
};

/// Classes that may lend each other sound, and a MID of each.
pub const CLASSES: [(&str, &str); 4] =
    [("Cat", "/m/01yrx"), ("Bird", "/m/015p6"), ("Accordion", "/m/0mkg"), ("Typing", "/m/0316dw")];

/// A temporary folder with `clips/`, `train.csv`, `eval.csv`, and `out/` once something ran.
#[derive(Debug)]
pub struct Workplace {
    folder: TempDir,
}

impl Workplace {
    /// An empty one.
    ///
    /// # Panics
    /// If no folder can be made.
    pub fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        fs::create_dir(folder.path().join("clips")).expect("a folder of clips");
        Self { folder }
    }

    /// One with so many good clips, in turn of each class and half of them in each split.
    pub fn with_clips(clips: u32) -> Self {
        let workplace = Self::new();
        let films: Vec<_> =
            (0..clips).map(|number| Film::new(&workplace.clip(&video(number)), number)).collect();
        film::make(&films);
        for number in 0..clips {
            workplace.label(&video(number), split(number), mid(number));
        }
        workplace
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The path of a clip of this source video, whether or not it is there.
    pub fn clip(&self, video: &str) -> PathBuf {
        self.path("clips").join(format!("{video}.mp4"))
    }

    /// Adds a file as a clip, with a label.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn add(&self, video: &str, bytes: &[u8]) {
        fs::write(self.clip(video), bytes).expect("a clip is written");
        self.label(video, "train", CLASSES[0].1);
    }

    /// Adds the good clip of this number, with its label.
    pub fn add_good(&self, number: u32) {
        film::make(&[Film::new(&self.clip(&video(number)), number)]);
        self.label(&video(number), split(number), mid(number));
    }

    /// Adds a row to a label list.
    pub fn label(&self, video: &str, split: &str, mid: &str) {
        let end = 30 + film::SECONDS;
        self.row(split, &format!("{video},30.000,{end}.000,\"{mid}\""));
    }

    /// Adds any line to a label list.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn row(&self, split: &str, line: &str) {
        let list = OpenOptions::new().create(true).append(true).open(self.path(&format!("{split}.csv")));
        writeln!(list.expect("a label list"), "{line}").expect("a row is written");
    }

    /// The output folder of [`Self::run`].
    pub fn out(&self) -> Out {
        Out::at(&self.path("out"))
    }

    /// Writes what a model answers to the picture and the sound question on every sample of the run, where clips are
    /// of all [`CLASSES`]; its name.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn model(&self, name: &str, answer: impl Fn(&Value, &str) -> Value) -> String {
        self.model_with_a_way_out(name, |sample, stream, _| answer(sample, stream))
    }

    /// The same of a model that is told whether the question offers `None of the above`.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn model_with_a_way_out(&self, name: &str, answer: impl Fn(&Value, &str, bool) -> Value) -> String {
        let mut options = CLASSES.map(|(class, _)| class);
        options.sort_unstable();
        let classes = options.join(", ");
        // A file of answers is the model that its content makes it: without this, two of one content are one.
        let mut lines =
            format!("{}\n", json!({"sample": name, "question": "nobody asks this", "answer": "Cat"}));
        for sample in self.out().samples() {
            for (stream, way_out) in [("visual", false), ("audio", false), ("visual", true), ("audio", true)]
            {
                let none = if way_out { ", None of the above" } else { "" };
                let question = format!(
                    "Which class best describes the {stream} content of this video? Options: {classes}{none}. \
                     Answer using a single class name."
                );
                let answer = answer(&sample, stream, way_out);
                let line = json!({"sample": sample["sample"], "question": question, "answer": answer});
                lines.push_str(&format!("{line}\n"));
            }
        }
        let path = self.path(&format!("{name}.jsonl"));
        fs::write(&path, lines).expect("answers are written");
        format!("file:{}", path.display())
    }

    /// The run on all clips into `out`.
    pub fn run(&self) -> Program {
        self.run_into(&self.path("out"))
    }

    /// The run on all clips into another folder.
    pub fn run_into(&self, out: &Path) -> Program {
        let lists =
            ["train.csv", "eval.csv"].map(|name| self.path(name)).into_iter().filter(|list| list.exists());
        small(Program::counterpoint(["run", "--clips"]))
            .with([self.path("clips")])
            .with(lists.flat_map(|list| ["--labels".into(), list]))
            .with(["--ontology".into(), shared("ontology.json")])
            .with(["--out".as_ref(), out])
    }
}

impl Default for Workplace {
    fn default() -> Self {
        Self::new()
    }
}

/// A program under settings that fit small films.
pub fn small(program: Program) -> Program {
    program
        .env("COUNTERPOINT_DECODER__SIZE", film::SIZE.to_string())
        .env("COUNTERPOINT_DECODER__SECONDS", film::SECONDS.to_string())
}

/// Source video of a good clip.
pub fn video(number: u32) -> String {
    format!("video{number:06}")
}

fn split(number: u32) -> &'static str {
    if number.is_multiple_of(2) { "train" } else { "eval" }
}

fn mid(number: u32) -> &'static str {
    CLASSES[(number / 2) as usize % CLASSES.len()].1
}
