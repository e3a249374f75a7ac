//! A training from its settings to the folder it ends in.
//!
//! While it goes on, what it needs to go on after an interruption lies in a folder beside its result: the folder's
//! name with `.training` after it. The result has its name only when it is whole.

mod settings;

use std::{
    any::Any,
    collections::BTreeSet,
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

use counterpoint_models::{
    Base, Exam, LearnedStep, LocalModel, LocalSettings, Material, Model as _, Prepared, Progress, Trained,
    Training, TrainingError,
};
use counterpoint_omni::{
    self as omni, Checkpoint, Model, Origin, Recipe, TrainError, Trainer,
    inputs::{template::SYSTEM, tiny, tokenizer::Tokenizer},
    write_checkpoint,
};
use serde::{Deserialize, Serialize};

use crate::{
    Lessons, OmniModel,
    exams::{self, Sheet},
    identity::identity,
    lessons::Part,
};
use settings::{Course, names, settings};

/// Most tokens of a tokenizer that is learned for a tiny model.
const TINY_VOCABULARY: usize = 1000;

/// What the message of a panic says where libtorch was given no memory, on a CPU or on a GPU.
const NO_MEMORY: [&str; 3] = ["out of memory", "can't allocate memory", "not enough memory"];

/// File of a working folder that belongs to the process at work in it.
const LOCK: &str = "lock";

/// How a training's settings are wrong.
#[derive(Debug, thiserror::Error)]
pub enum CourseError {
    /// No file and no name of built-in settings.
    #[error("cannot read the recipe {}: name a file, or one of {}", path.display(), names())]
    Read {
        /// As it was given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No recipe.
    #[error("{name} is no recipe")]
    Toml {
        /// The file.
        name: String,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A course that trains everything of a model that is there, or an adapter of none.
    #[error("{name}: {problem}")]
    Kind {
        /// The file.
        name: String,
        /// What does not fit.
        problem: &'static str,
    },
    /// The folder of the result is there, and is not this training's.
    #[error("{} is there already and is not the result of this training: choose another --out, or remove it", folder.display())]
    Taken {
        /// The folder.
        folder: PathBuf,
    },
    /// A file of the working folder.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What a result says of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Facts {
    #[serde(flatten)]
    trained: Trained,
    course: Course,
    /// The model that it began with; nothing for a model from nothing.
    base: Option<String>,
    /// Name of what it learned from.
    data_set: String,
    /// Clips and lessons that it learned from.
    clips: usize,
    lessons: usize,
    /// Of this program.
    version: String,
}

/// Looks at what a training is to begin with and at its settings. Reads every weight once.
///
/// # Errors
/// Settings that can never work, or a model to begin with that is not there or is damaged.
pub fn prepare(base: &Base, recipe: Option<&Path>) -> Result<Prepared, TrainingError> {
    let (recipe, settings) = settings(base, recipe).map_err(failed)?;
    let course = Course::parse(base, &recipe, &settings).map_err(TrainingError::Failed)?;
    course.parts.iter().try_for_each(Recipe::check).map_err(failed)?;
    let base = match base {
        Base::Nothing => None,
        Base::Model(LocalModel { checkpoint, .. }) => Some(identity_of(checkpoint)?),
    };
    Ok(Prepared { recipe, settings, base })
}

/// What the answers of a checkpoint depend on.
fn identity_of(folder: &Path) -> Result<String, TrainingError> {
    let checkpoint = Checkpoint::open(folder).map_err(|error| TrainingError::Base(Box::new(error)))?;
    let found = identity(folder, &checkpoint, None);
    let found = found.map_err(|source| {
        let path = folder.join("config.json");
        TrainingError::Base(Box::new(CourseError::File { path, source }))
    })?;
    Ok(found.name())
}

/// Trains, and tells how far it is; goes on where an interrupted training of the same folder was.
///
/// # Errors
/// Settings that cannot work, clips that cannot be read or do not fit the model, a loss that is no number, too little
/// memory, a folder that holds something else or cannot be written, or the word to stop.
pub fn train(
    training: &Training,
    material: &dyn Material,
    watch: &mut dyn FnMut(Progress),
) -> Result<Trained, TrainingError> {
    // libtorch has no other way to say that there is no memory, and none of what panicked is used again.
    match catch_unwind(AssertUnwindSafe(|| course(training, material, watch))) {
        Ok(ended) => ended,
        Err(panic) => match memory_wanted(&*panic) {
            Some(problem) => Err(TrainingError::Memory { problem }),
            None => resume_unwind(panic),
        },
    }
}

/// What a panic says of memory that was not there; nothing if it is about something else.
fn memory_wanted(panic: &(dyn Any + Send)) -> Option<String> {
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| panic.downcast_ref::<&str>().copied())?;
    // What follows is where in libtorch it happened; an error that is printed for programmers has no line breaks.
    let mut lines = said.lines().flat_map(|line| line.split("\\n"));
    let line = lines.find(|line| NO_MEMORY.iter().any(|words| line.contains(words)))?;
    Some(line.trim().to_owned())
}

fn course(
    training: &Training,
    material: &dyn Material,
    watch: &mut dyn FnMut(Progress),
) -> Result<Trained, TrainingError> {
    let course = Course::of(training).map_err(TrainingError::Failed)?;
    let working = Trained::working(&training.out);
    if let Some(trained) = finished(training, &course)? {
        // Its process may have been killed before it had tidied up.
        if working.exists() {
            let _lock = lock(&working)?;
            remove(&working)?;
        }
        return Ok(trained);
    }
    fs::create_dir_all(&working).map_err(|source| unusable(&working, source))?;
    let _lock = lock(&working)?;
    // Whoever had the folder may have come to the end of this very training.
    if let Some(trained) = finished(training, &course)? {
        remove(&working)?;
        return Ok(trained);
    }
    let mut school = School { training, course, material, working, watch };
    match &training.base {
        Base::Nothing => school.make(),
        Base::Model(base) => school.tune(base),
    }
}

/// A training at work.
struct School<'a> {
    training: &'a Training,
    course: Course,
    material: &'a dyn Material,
    working: PathBuf,
    watch: &'a mut dyn FnMut(Progress),
}

/// Lessons that were taken in: recipe and kind of question of each.
type Taken = (Arc<Lessons>, Vec<(String, String)>);

impl<'a> School<'a> {
    fn make(&mut self) -> Result<Trained, TrainingError> {
        let mut texts = self.material.texts();
        texts.extend([SYSTEM, "system user assistant"].map(str::to_owned));
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let json = tiny::learn(&texts, TINY_VOCABULARY).map_err(failed)?;
        let tokenizer = || Tokenizer::from_json(&json, Path::new("tokenizer.json")).map_err(failed);
        let device = omni::device(&self.training.device).map_err(failed)?;
        let config = self.course.tiny.thinker(&tokenizer()?).map_err(failed)?;
        let (taken, clips) = self.take(Lessons::featured(tokenizer()?, config.clone(), &device))?;
        let sheet = self.sheet(clips, || Ok(Lessons::featured(tokenizer()?, config.clone(), &device)))?;
        let seed = self.course.parts.first().map_or(0, |part| part.seed);
        let mut model = Model::from_nothing(config, seed, &device).map_err(failed)?;
        let identity = format!("{:?} {}", self.course.tiny, blake3::hash(json.as_bytes()));
        for part in 0..self.course.parts.len() {
            let mut trainer = self.trainer(part, model, "tiny", &identity, &taken)?;
            self.learn(part, &mut trainer, sheet.as_ref())?;
            model = trainer.finish().map_err(failed)?;
        }
        if !self.training.out.exists() {
            write_checkpoint(&model, &json, &self.training.out).map_err(failed)?;
        }
        self.finish(clips, taken.1.len())
    }

    fn tune(&mut self, base: &LocalModel) -> Result<Trained, TrainingError> {
        let settings = LocalSettings::default();
        let opened = OmniModel::open(base, &settings, &self.training.device, &self.training.stop);
        let opened = opened.map_err(failed)?;
        let lessons = Lessons::embedded(&opened, &self.working.join("embeddings")).map_err(failed)?;
        let (taken, clips) = self.take(lessons)?;
        let folder = self.working.join("exam");
        let sheet = self.sheet(clips, || Lessons::embedded(&opened, &folder).map_err(failed))?;
        let name = base.checkpoint.display().to_string();
        let (network, identity) = (opened.network().clone(), opened.facts().identity.clone());
        let mut trainer = self.trainer(0, network, &name, &identity, &taken)?;
        self.learn(0, &mut trainer, sheet.as_ref())?;
        if !self.training.out.exists() {
            trainer.adapter().map_err(failed)?.write(&self.training.out).map_err(failed)?;
        }
        self.finish(clips, taken.1.len())
    }

    /// Takes in all clips that any part learns from; how many there were.
    fn take(&mut self, mut lessons: Lessons) -> Result<(Taken, usize), TrainingError> {
        let wanted = self.course.recipes();
        let recipes = self.material.recipes();
        let chosen: Vec<usize> =
            (0..recipes.len()).filter(|&number| wanted.contains(recipes[number].as_str())).collect();
        if let Some(missing) = wanted.iter().find(|name| !recipes.iter().any(|recipe| recipe == *name)) {
            let there: BTreeSet<&str> = recipes.iter().map(String::as_str).collect();
            let there = there.into_iter().collect::<Vec<_>>().join(", ");
            return Err(TrainingError::NoMaterial { wanted: (*missing).to_owned(), there });
        }
        let of = chosen.len() + self.exam().map_or(0, Exam::count);
        let mut added = Vec::new();
        for ((done, clip), number) in (1..).zip(self.material.clips(&chosen)).zip(chosen.clone()) {
            if self.training.stop.is_set() {
                return Err(TrainingError::Stopped { step: 0, of: 0 });
            }
            let recipe = &recipes[number];
            let wrong = |source| TrainingError::Clip { number: done, of, source };
            let taken = lessons.take(&clip.map_err(wrong)?).map_err(|error| wrong(error.into()))?;
            for kind in self.course.questions(recipe) {
                for lesson in self.material.lessons(number, kind).map_err(failed)? {
                    lessons
                        .add(taken, lesson.id, recipe, &lesson.question, &lesson.answer)
                        .map_err(|error| wrong(error.into()))?;
                    added.push((recipe.clone(), kind.to_owned()));
                }
            }
            (self.watch)(Progress::Taken { clips: done, of });
        }
        Ok(((Arc::new(lessons), added), chosen.len()))
    }

    /// What the training is watched by, if any part wants to be.
    fn exam(&self) -> Option<&'a dyn Exam> {
        let is_wanted = self.course.parts.iter().any(|part| part.exams > 0);
        self.material.exam().filter(|_| is_wanted)
    }

    /// Takes in the clips that the training is watched by, after those that are learned from.
    fn sheet(
        &mut self,
        learned: usize,
        lessons: impl FnOnce() -> Result<Lessons, TrainingError>,
    ) -> Result<Option<Sheet>, TrainingError> {
        let Some(exam) = self.exam() else { return Ok(None) };
        let (of, mut sheet) = (learned + exam.count(), Sheet::new(lessons()?));
        for ((done, clip), number) in (learned + 1..).zip(exam.clips()).zip(0..) {
            if self.training.stop.is_set() {
                return Err(TrainingError::Stopped { step: 0, of: 0 });
            }
            let taken = clip.and_then(|clip| Ok(sheet.take(&clip, exam.questions(number))?));
            if let Err(error) = taken {
                // Nothing is learned from it or decided by it, so it is worth no training.
                tracing::warn!("a clip by which the training is watched is left out: {error}");
            }
            (self.watch)(Progress::Taken { clips: done, of });
        }
        Ok(Some(sheet))
    }

    fn trainer(
        &self,
        part: usize,
        model: Model,
        name: &str,
        identity: &str,
        (lessons, added): &Taken,
    ) -> Result<Trainer<Part>, TrainingError> {
        let recipe = self.course.parts[part].clone();
        let together = recipe.together;
        let chosen = (0..)
            .zip(added)
            .filter(|(_, (group, kind))| recipe.recipes.contains(group) && recipe.questions.contains(kind));
        let chosen: Vec<usize> = chosen.map(|(number, _)| number).collect();
        let (name, identity) = (name.to_owned(), identity.to_owned());
        let origin = Origin { name, identity, folder: self.folder(part) };
        Trainer::new(model, recipe, Part::new(lessons, &chosen, together), origin).map_err(failed)
    }

    /// Takes all steps of a part.
    fn learn(
        &mut self,
        part: usize,
        trainer: &mut Trainer<Part>,
        sheet: Option<&Sheet>,
    ) -> Result<(), TrainingError> {
        let recipe = self.course.parts[part].clone();
        let mut watched = sheet.map(|sheet| sheet.begin(part + 1, &self.folder(part), trainer.done()));
        loop {
            if self.training.stop.is_set() {
                trainer.keep().map_err(failed)?;
                return Err(TrainingError::Stopped { step: trainer.done(), of: trainer.total() });
            }
            if let Some(watched) = &mut watched
                && recipe.is_exam_due(trainer.done(), trainer.total())
            {
                match watched.hold(trainer).map_err(TrainingError::Failed) {
                    Ok(true) => (self.watch)(Progress::Examined),
                    Ok(false) => {}
                    Err(error) if error.is_full_disk() => return Err(error),
                    Err(error) => tracing::warn!("what the model knows is not told at this step: {error}"),
                }
            }
            let Some(step) = trainer.step().map_err(of_step)? else { return Ok(()) };
            let omni::Step { step, loss, lr, .. } = step;
            (self.watch)(Progress::Step(LearnedStep { part: part + 1, step, of: trainer.total(), loss, lr }));
        }
    }

    fn folder(&self, part: usize) -> PathBuf {
        Trained::part(&self.working, part + 1)
    }

    /// Adds to the result what it came from, and removes the working folder.
    fn finish(&self, clips: usize, lessons: usize) -> Result<Trained, TrainingError> {
        let Training { base, out, data_set, .. } = self.training;
        let mut losses = String::new();
        for part in 0..self.course.parts.len() {
            let path = self.folder(part).join(Trained::LOSSES);
            let text = fs::read_to_string(&path).map_err(|source| unusable(&path, source))?;
            for line in text.lines() {
                let mut step: serde_json::Map<_, _> = serde_json::from_str(line).map_err(failed)?;
                step.insert("part".to_owned(), (part + 1).into());
                losses += &serde_json::to_string(&step).map_err(failed)?;
                losses.push('\n');
            }
        }
        let opened = result(self.training)?;
        let trained = Trained {
            folder: out.clone(),
            model: opened.facts().name.clone(),
            identity: opened.facts().identity.clone(),
            steps: losses.lines().count() as u64,
            losses: out.join(Trained::LOSSES),
        };
        let facts = Facts {
            trained: trained.clone(),
            course: self.course.clone(),
            base: named(base),
            data_set: data_set.clone(),
            clips,
            lessons,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let write = |name: &str, bytes: &[u8]| {
            let path = out.join(name);
            let partial = out.join(format!(".{name}.partial"));
            let write = || {
                let mut file = File::create(&partial)?;
                file.write_all(bytes)?;
                // The state that it comes from is removed next.
                file.sync_all()?;
                fs::rename(&partial, &path)?;
                File::open(out)?.sync_all()
            };
            write().map_err(|source| unusable(&path, source))
        };
        write(Trained::LOSSES, losses.as_bytes())?;
        let marks = (0..self.course.parts.len()).map(|part| exams::kept(&self.folder(part)));
        let marks: String = marks.collect();
        if !marks.is_empty() {
            write(Trained::EXAMS, marks.as_bytes())?;
        }
        // Last: a result that has it is complete.
        write(Trained::FACTS, &serde_json::to_vec_pretty(&facts).map_err(failed)?)?;
        remove(&self.working)?;
        Ok(trained)
    }
}

/// The model that a training came to, opened.
fn result(training: &Training) -> Result<OmniModel, TrainingError> {
    let Training { base, out, device, stop, .. } = training;
    let model = match base {
        Base::Nothing => LocalModel { checkpoint: out.clone(), adapter: None },
        Base::Model(base) => LocalModel { checkpoint: base.checkpoint.clone(), adapter: Some(out.clone()) },
    };
    OmniModel::open(&model, &LocalSettings::default(), device, stop).map_err(failed)
}

/// Makes a working folder this process's own, until what is given is dropped or the process ends.
fn lock(working: &Path) -> Result<File, TrainingError> {
    let path = working.join(LOCK);
    let file = File::options().create(true).append(true).open(&path);
    let file = file.map_err(|source| unusable(&path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(TrainingError::Busy { folder: working.to_owned() }),
        Err(TryLockError::Error(source)) => Err(unusable(&path, source)),
    }
}

fn remove(working: &Path) -> Result<(), TrainingError> {
    fs::remove_dir_all(working).map_err(|source| unusable(working, source))
}

/// The result, if the folder has this one already, of the same settings, base and data set, and whole.
fn finished(training: &Training, course: &Course) -> Result<Option<Trained>, TrainingError> {
    let out = &training.out;
    let text = match fs::read(out.join(Trained::FACTS)) {
        Ok(text) => text,
        // It may have got its name just before its training was killed.
        Err(_) if !out.exists() || Trained::working(out).exists() => return Ok(None),
        Err(_) => return Err(failed(CourseError::Taken { folder: out.clone() })),
    };
    let facts: Option<Facts> = serde_json::from_slice(&text).ok();
    let same = facts.filter(|facts| {
        facts.course == *course
            && facts.base == named(&training.base)
            && facts.data_set == training.data_set
            // Another model may lie at the base's place by now, and what was learned may be damaged.
            && result(training).is_ok_and(|opened| opened.facts().identity == facts.trained.identity)
    });
    let taken = || failed(CourseError::Taken { folder: out.clone() });
    same.map(|facts| Some(facts.trained)).ok_or_else(taken)
}

/// The model that a training begins with, as results name it.
fn named(base: &Base) -> Option<String> {
    match base {
        Base::Nothing => None,
        Base::Model(base) => Some(base.checkpoint.display().to_string()),
    }
}

fn unusable(path: &Path, source: io::Error) -> TrainingError {
    failed(CourseError::File { path: path.to_owned(), source })
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> TrainingError {
    TrainingError::Failed(Box::new(error))
}

fn of_step(error: TrainError) -> TrainingError {
    match error {
        error @ TrainError::Diverged { .. } => TrainingError::Diverged(Box::new(error)),
        error => failed(error),
    }
}
