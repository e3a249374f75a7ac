//! Held-out questions that a model is asked while it learns: a curve to look at, which decides nothing.

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use counterpoint_models::{Clip, Lesson, Marks, Trained};
use counterpoint_omni::{Examples, Trainer};

use crate::{LessonError, Lessons, lessons::Part};

type Failed = Box<dyn Error + Send + Sync>;

/// The questions, each in the group of its name.
pub(crate) struct Sheet {
    lessons: Lessons,
}

impl Sheet {
    /// One without questions.
    pub(crate) fn new(lessons: Lessons) -> Self {
        Self { lessons }
    }

    /// Takes in a clip with its questions.
    pub(crate) fn take(&mut self, clip: &Clip, questions: Vec<(String, Lesson)>) -> Result<(), LessonError> {
        let taken = self.lessons.take(clip)?;
        for (name, lesson) in questions {
            self.lessons.add(taken, lesson.id, name, &lesson.question, &lesson.answer)?;
        }
        Ok(())
    }

    /// The exams of a part of which so many steps are done already.
    pub(crate) fn begin(&self, part: usize, folder: &Path, done: u64) -> Watched<'_> {
        let path = folder.join(Trained::EXAMS);
        let marks = kept(folder);
        let marks = marks.lines().filter_map(|line| serde_json::from_str::<Marks>(line).ok());
        // What was asked after the state that the training goes on from is asked again.
        let marks = marks.filter(|marks| marks.step <= done).collect();
        Watched { sheet: self, part, path, marks }
    }
}

/// What was written of a part's exams so far; nothing where there were none.
pub(crate) fn kept(folder: &Path) -> String {
    fs::read_to_string(folder.join(Trained::EXAMS)).unwrap_or_default()
}

/// The exams of a part.
pub(crate) struct Watched<'a> {
    sheet: &'a Sheet,
    part: usize,
    path: PathBuf,
    marks: Vec<Marks>,
}

impl Watched<'_> {
    /// Asks the model as it is now, unless it was asked at this step before; whether it was asked now.
    pub(crate) fn hold(&mut self, trainer: &Trainer<Part>) -> Result<bool, Failed> {
        let step = trainer.done();
        if self.marks.iter().any(|marks| marks.step == step) {
            return Ok(false);
        }
        let said = trainer.says(&self.sheet.lessons)?;
        let mut counted: BTreeMap<&String, (u64, u64)> = BTreeMap::new();
        for (name, is_right) in self.sheet.lessons.groups().iter().zip(said) {
            let (right, of) = counted.entry(name).or_default();
            *right += u64::from(is_right);
            *of += 1;
        }
        let part = self.part;
        let marks = counted.into_iter().map(|(asked, (right, of))| Marks {
            part,
            step,
            asked: asked.clone(),
            right,
            of,
        });
        self.marks.extend(marks);
        self.write()?;
        Ok(true)
    }

    fn write(&self) -> Result<(), Failed> {
        let mut lines = Vec::new();
        for marks in &self.marks {
            serde_json::to_writer(&mut lines, marks)?;
            lines.push(b'\n');
        }
        let partial = self.path.with_extension("partial");
        fs::write(&partial, lines)?;
        Ok(fs::rename(&partial, &self.path)?)
    }
}
