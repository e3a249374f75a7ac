//! What it is to train a model: lessons in, a folder that can be asked out.

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{Clip, LocalModel, Stop};

/// A question on a clip and what should be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lesson {
    /// Its name in errors.
    pub id: String,
    /// The prompt.
    pub question: String,
    /// What should be answered, word for word.
    pub answer: String,
}

/// What is learned from: clips by number, each of a recipe. They are read when they are needed, once a stage.
pub trait Material: Sync {
    /// The recipe of each clip; recipes are weighed against each other.
    fn recipes(&self) -> &[String];

    /// The clips of these numbers, in their order, or why one cannot be read. Some may be read ahead.
    fn clips(
        &self,
        numbers: &[usize],
    ) -> Box<dyn Iterator<Item = Result<Clip, Box<dyn Error + Send + Sync>>> + '_>;

    /// The lessons on a clip, of one kind of question.
    ///
    /// # Errors
    /// There is no such kind.
    fn lessons(&self, number: usize, kind: &str) -> Result<Vec<Lesson>, UnknownKind>;

    /// Every text that a model trained from nothing should have words for.
    fn texts(&self) -> Vec<String>;

    /// What the training is watched by, if by anything.
    fn exam(&self) -> Option<&dyn Exam> {
        None
    }
}

/// Held-out clips by which a training is watched: nothing is learned from them, and nothing is decided by them.
pub trait Exam: Sync {
    /// How many clips there are.
    fn count(&self) -> usize;

    /// The clips, in their order, or why one cannot be read.
    fn clips(&self) -> Box<dyn Iterator<Item = Result<Clip, Box<dyn Error + Send + Sync>>> + '_>;

    /// Questions on a clip by its number, the first is 0, each with the name under which answers to such are counted.
    fn questions(&self, number: usize) -> Vec<(String, Lesson)>;
}

/// A kind of question that nothing is known of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there are no lessons of the kind `{kind}`: there are {known}")]
pub struct UnknownKind {
    /// As it was given.
    pub kind: String,
    /// The kinds there are.
    pub known: String,
}

/// What a training begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// Nothing: a tiny model is made.
    Nothing,
    /// A model that gets an adapter.
    Model(LocalModel),
}

/// A training.
#[derive(Debug, Clone)]
pub struct Training {
    /// What it begins with.
    pub base: Base,
    /// Its settings, a file in TOML; without one those built in for such a base.
    pub recipe: Option<PathBuf>,
    /// Recipes of clips that are learned from, where the settings shall not say.
    pub recipes: Option<Vec<String>>,
    /// Seed of all that is random, where the settings shall not say.
    pub seed: Option<u64>,
    /// Name of what is learned from: a result of other clips or lessons is not this training's.
    pub data_set: String,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Where the result is put, and what it needs to go on after an interruption.
    pub out: PathBuf,
    /// When it is to stop, after the step it is at.
    pub stop: Stop,
}

/// What trains models.
pub trait Tutor: Send + Sync {
    /// Looks at what a training is to begin with and at its settings, without training: `recipe` is a file in TOML or
    /// the name of settings that are built in, `None` those built in for such a base. Reads every weight once.
    ///
    /// # Errors
    /// [`TrainingError::Base`] if the model to begin with is not there or is damaged, [`TrainingError::Failed`] for
    /// settings that can never work.
    fn prepare(&self, base: &Base, recipe: Option<&Path>) -> Result<Prepared, TrainingError>;

    /// Trains, and tells how far it is; goes on where an interrupted training of the same folder was, and does nothing
    /// again where it had ended.
    ///
    /// # Errors
    /// Settings, clips or a folder that it cannot do with, another process at work in the folder, or the word to stop.
    fn train(
        &self,
        training: &Training,
        material: &dyn Material,
        watch: &mut dyn FnMut(Progress),
    ) -> Result<Trained, TrainingError>;
}

impl<T: Tutor + ?Sized> Tutor for &T {
    fn prepare(&self, base: &Base, recipe: Option<&Path>) -> Result<Prepared, TrainingError> {
        (**self).prepare(base, recipe)
    }

    fn train(
        &self,
        training: &Training,
        material: &dyn Material,
        watch: &mut dyn FnMut(Progress),
    ) -> Result<Trained, TrainingError> {
        (**self).train(training, material, watch)
    }
}

/// What a training will begin with and go by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// Name of the settings, as it was given or built in.
    pub recipe: String,
    /// The settings, in TOML.
    pub settings: String,
    /// What the base's answers depend on; `None` for nothing.
    pub base: Option<String>,
}

/// How far a training is.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// Clips were taken in.
    Taken {
        /// So many.
        clips: usize,
        /// Of so many.
        of: usize,
    },
    /// A step was taken.
    Step(LearnedStep),
    /// The clips that the training is watched by were asked about.
    Examined,
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LearnedStep {
    /// Part of the training, the first is 1.
    pub part: usize,
    /// Its number in the part, the first is 1.
    pub step: u64,
    /// Steps of the part.
    pub of: u64,
    /// Mean surprise of a token of its answers, in nats, before the step.
    pub loss: f64,
    /// Rate.
    pub lr: f64,
}

/// How a model did at a step in the questions of one name: a line of [`Trained::EXAMS`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// Part of the training, the first is 1.
    pub part: usize,
    /// Steps of the part that were taken before.
    pub step: u64,
    /// Name of the questions.
    pub asked: String,
    /// Questions answered word for word.
    pub right: u64,
    /// All of them.
    pub of: u64,
}

/// What a training came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trained {
    /// The folder of the checkpoint or the adapter.
    pub folder: PathBuf,
    /// What `--model` takes to ask it.
    pub model: String,
    /// Its identity, as answers name it.
    pub identity: String,
    /// Steps of all parts.
    pub steps: u64,
    /// Losses of all steps, a line of JSON each.
    pub losses: PathBuf,
}

impl Trained {
    /// File of the folder with the losses of all steps.
    pub const LOSSES: &str = "losses.jsonl";
    /// File of the folder with what the model knew of held-out clips while it learned: [`Marks`], line by line. Not there
    /// where it was not asked.
    pub const EXAMS: &str = "exams.jsonl";
    /// File of the folder that says what the result came from; it is written last.
    pub const FACTS: &str = "training.json";
    /// What the name of a result's working folder has after that of the result.
    pub const WORKING: &str = ".training";

    /// The folder beside a result that holds what its training needs to go on. It is there until the result is whole.
    pub fn working(result: &Path) -> PathBuf {
        let mut name = result.file_name().unwrap_or_default().to_owned();
        name.push(Self::WORKING);
        result.with_file_name(name)
    }

    /// The folder of a part in a working folder, the first part is 1. It has the part's [`Self::LOSSES`] and
    /// [`Self::EXAMS`].
    pub fn part(working: &Path, part: usize) -> PathBuf {
        working.join(format!("part-{part}"))
    }
}

/// Why a training ended without a result.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    /// It was told to stop. The same again goes on from the last kept state.
    #[error("the training was interrupted at step {step} of {of}; the same command goes on from there")]
    Stopped {
        /// Steps done.
        step: u64,
        /// Steps there are.
        of: u64,
    },
    /// Another process trains in the same folder.
    #[error(
        "another process is at work in {}: wait for its end, stop it, or choose another --out", folder.display()
    )]
    Busy {
        /// Where it keeps what it needs to go on.
        folder: PathBuf,
    },
    /// No clip is of a recipe that is learned from.
    #[error("there is nothing to learn from: no clip of {wanted}; there are {there}")]
    NoMaterial {
        /// Recipes that were wanted.
        wanted: String,
        /// Recipes that there are.
        there: String,
    },
    /// A clip that cannot be read or does not fit the model.
    #[error("clip {number} of {of} cannot be learned from")]
    Clip {
        /// Its number, the first is 1.
        number: usize,
        /// Clips there are.
        of: usize,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The model to begin with is not there or is damaged.
    #[error(transparent)]
    Base(Box<dyn Error + Send + Sync>),
    /// The loss or its gradient is no number any more. What was learned before is kept.
    #[error(transparent)]
    Diverged(Box<dyn Error + Send + Sync>),
    /// It takes more memory than there is.
    #[error(
        "the training takes more memory than there is ({problem}): give its recipe a smaller `batch` and more \
         `accumulation`, or `recompute = true`"
    )]
    Memory {
        /// What the system said.
        problem: String,
    },
    /// Anything else, with the file or the setting that is wrong.
    #[error(transparent)]
    Failed(Box<dyn Error + Send + Sync>),
}

impl TrainingError {
    /// Whether a full disk is what kept the training from going on. What was learned up to the last kept state is
    /// kept, so it goes on from there when there is space again.
    pub fn is_full_disk(&self) -> bool {
        let mut cause: Option<&(dyn Error + 'static)> = match self {
            Self::Base(error) | Self::Diverged(error) | Self::Failed(error) => Some(&**error),
            error => Some(error),
        };
        while let Some(error) = cause {
            let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
            if matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)) {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot write the state")]
    struct Unwritten(#[source] io::Error);

    #[test]
    fn the_working_folder_lies_beside_the_result_and_the_parts_in_it() {
        let working = Trained::working(Path::new("out/models/base.v1"));
        assert_eq!(working, Path::new("out/models/base.v1.training"));
        assert_eq!(Trained::part(&working, 2), Path::new("out/models/base.v1.training/part-2"));
    }

    #[test]
    fn a_full_disk_is_told_from_other_failures_however_deep_it_lies() {
        let failed = |kind: io::ErrorKind| TrainingError::Failed(Box::new(Unwritten(kind.into())));
        assert!(failed(io::ErrorKind::StorageFull).is_full_disk());
        assert!(failed(io::ErrorKind::QuotaExceeded).is_full_disk());
        let source = Box::new(Unwritten(io::ErrorKind::StorageFull.into()));
        assert!(TrainingError::Clip { number: 1, of: 2, source }.is_full_disk());
        let other = failed(io::ErrorKind::PermissionDenied);
        assert!(!other.is_full_disk());
        assert_eq!(other.to_string(), "cannot write the state");
    }
}
