//! A training from its settings to the folder it ends in.
//!
//! While it goes on, what it needs to go on after an interruption lies in a folder beside its result: the folder's
//! name with `.training` after it. The result has its name only when it is whole.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use counterpoint_models::{
    Base, LearnedStep, LocalModel, LocalSettings, Material, Model as _, Progress, Trained, Training,
    TrainingError,
};
use counterpoint_omni::{
    self as omni, Kind, Model, Origin, Recipe, TinyConfig, Trainer,
    inputs::{template::SYSTEM, tiny, tokenizer::Tokenizer},
    write_checkpoint,
};
use serde::{Deserialize, Serialize};

use crate::{
    Lessons, OmniModel,
    exams::{self, Sheet},
    lessons::Part,
};

/// Settings that are built in, by name.
const BUILT_IN: [(&str, &str); 3] = [
    ("published", include_str!("../recipes/published.toml")),
    ("tiny", include_str!("../recipes/tiny.toml")),
    ("tiny-tuning", include_str!("../recipes/tiny-tuning.toml")),
];

/// Most tokens of a tokenizer that is learned for a tiny model.
const TINY_VOCABULARY: usize = 1000;

/// File of a result that says what it came from.
const FACTS: &str = "training.json";
/// File of a result with the losses of all steps.
const LOSSES: &str = "losses.jsonl";
/// What a working folder's name has after that of the result.
const WORKING: &str = ".training";

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

fn names() -> String {
    BUILT_IN.map(|(name, _)| name).join(", ")
}

/// The parts of a training, one after the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Course {
    /// Sizes of a model that is made from nothing.
    #[serde(default)]
    tiny: TinyConfig,
    parts: Vec<Recipe>,
}

impl Course {
    /// Reads the settings, and brings in what the command line says.
    fn of(training: &Training) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let from_nothing = training.base == Base::Nothing;
        let fallback = Path::new(if from_nothing { "tiny" } else { "published" });
        let path = training.recipe.as_deref().unwrap_or(fallback);
        let built_in = BUILT_IN.iter().find(|(name, _)| path == Path::new(name));
        let text = match built_in {
            Some((_, text)) => (*text).to_owned(),
            None => fs::read_to_string(path)
                .map_err(|source| CourseError::Read { path: path.to_owned(), source })?,
        };
        let name = path.display().to_string();
        let wrong = |source| CourseError::Toml { name: name.clone(), source: Box::new(source) };
        let has_parts = text.parse::<toml::Table>().map_err(wrong)?.contains_key("parts");
        let mut course: Self = if has_parts {
            toml::from_str(&text).map_err(wrong)?
        } else {
            Self { tiny: TinyConfig::default(), parts: vec![toml::from_str(&text).map_err(wrong)?] }
        };
        let kind = |problem| CourseError::Kind { name: name.clone(), problem };
        if course.parts.is_empty() {
            return Err(kind("it has no parts: give at least one").into());
        }
        let all_full = course.parts.iter().all(|part| part.kind == Kind::Full);
        if from_nothing && !all_full {
            return Err(kind("a model from nothing needs kind = \"full\" in every part").into());
        }
        if !from_nothing && (all_full || course.parts.len() > 1) {
            return Err(kind("a model that is there is tuned in one part, with kind.lora").into());
        }
        for part in &mut course.parts {
            if let Some(recipes) = &training.recipes {
                part.recipes.clone_from(recipes);
            }
            if let Some(seed) = training.seed {
                part.seed = seed;
            }
            part.check()?;
        }
        Ok(course)
    }

    /// Recipes of clips that any part learns from.
    fn recipes(&self) -> BTreeSet<&str> {
        self.parts.iter().flat_map(|part| &part.recipes).map(String::as_str).collect()
    }

    /// Kinds of questions that any part learns on clips of a recipe.
    fn questions(&self, recipe: &str) -> BTreeSet<&str> {
        let parts = self.parts.iter().filter(|part| part.recipes.iter().any(|name| name == recipe));
        parts.flat_map(|part| &part.questions).map(String::as_str).collect()
    }
}

/// What a result says of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Facts {
    #[serde(flatten)]
    trained: Trained,
    course: Course,
    /// The model that it began with; nothing for a model from nothing.
    base: Option<String>,
    /// Clips and lessons that it learned from.
    clips: usize,
    lessons: usize,
    /// Of this program.
    version: String,
}

/// Trains, and tells how far it is; goes on where an interrupted training of the same folder was.
///
/// # Errors
/// Settings that cannot work, clips that cannot be read or do not fit the model, a loss that is no number, a folder
/// that holds something else or cannot be written, or the word to stop.
pub fn train(
    training: &Training,
    material: &dyn Material,
    watch: &mut dyn FnMut(Progress),
) -> Result<Trained, TrainingError> {
    let course = Course::of(training).map_err(TrainingError::Failed)?;
    if let Some(trained) = finished(training, &course)? {
        return Ok(trained);
    }
    let working = working(&training.out);
    fs::create_dir_all(&working).map_err(|source| unusable(&working, source))?;
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

impl School<'_> {
    fn make(&mut self) -> Result<Trained, TrainingError> {
        let mut texts = self.material.texts();
        texts.extend([SYSTEM, "system user assistant"].map(str::to_owned));
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let json = tiny::learn(&texts, TINY_VOCABULARY).map_err(failed)?;
        let tokenizer = || Tokenizer::from_json(&json, Path::new("tokenizer.json")).map_err(failed);
        let device = omni::device(&self.training.device).map_err(failed)?;
        let config = self.course.tiny.thinker(&tokenizer()?).map_err(failed)?;
        let (taken, clips) = self.take(Lessons::featured(tokenizer()?, config.clone(), &device))?;
        let sheet = self.sheet(|| Ok(Lessons::featured(tokenizer()?, config.clone(), &device)))?;
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
        let sheet = self.sheet(|| Lessons::embedded(&opened, &folder).map_err(failed))?;
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
        let (of, mut added) = (chosen.len(), Vec::new());
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
        Ok(((Arc::new(lessons), added), of))
    }

    /// The questions that the training is watched by, if any part wants to be.
    fn sheet(
        &self,
        lessons: impl FnOnce() -> Result<Lessons, TrainingError>,
    ) -> Result<Option<Sheet>, TrainingError> {
        let is_wanted = self.course.parts.iter().any(|part| part.exams > 0);
        let Some(exam) = self.material.exam().filter(|_| is_wanted) else { return Ok(None) };
        Sheet::take(lessons()?, exam).map(Some).map_err(TrainingError::Failed)
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
        let chosen = (0..)
            .zip(added)
            .filter(|(_, (group, kind))| recipe.recipes.contains(group) && recipe.questions.contains(kind));
        let chosen = chosen.map(|(number, _)| number).collect();
        let (name, identity) = (name.to_owned(), identity.to_owned());
        let origin = Origin { name, identity, folder: self.folder(part) };
        Trainer::new(model, recipe, Part::new(lessons, chosen), origin).map_err(failed)
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
                watched.hold(trainer).map_err(TrainingError::Failed)?;
            }
            let Some(step) = trainer.step().map_err(failed)? else { return Ok(()) };
            let omni::Step { step, loss, lr, .. } = step;
            (self.watch)(Progress::Step(LearnedStep { part: part + 1, step, of: trainer.total(), loss, lr }));
        }
    }

    fn folder(&self, part: usize) -> PathBuf {
        self.working.join(format!("part-{}", part + 1))
    }

    /// Adds to the result what it came from, and removes the working folder.
    fn finish(&self, clips: usize, lessons: usize) -> Result<Trained, TrainingError> {
        let Training { base, out, device, stop, .. } = self.training;
        let mut losses = String::new();
        for part in 0..self.course.parts.len() {
            let path = self.folder(part).join(LOSSES);
            let text = fs::read_to_string(&path).map_err(|source| unusable(&path, source))?;
            for line in text.lines() {
                let mut step: serde_json::Map<_, _> = serde_json::from_str(line).map_err(failed)?;
                step.insert("part".to_owned(), (part + 1).into());
                losses += &serde_json::to_string(&step).map_err(failed)?;
                losses.push('\n');
            }
        }
        let model = match base {
            Base::Nothing => LocalModel { checkpoint: out.clone(), adapter: None },
            Base::Model(base) => {
                LocalModel { checkpoint: base.checkpoint.clone(), adapter: Some(out.clone()) }
            }
        };
        let opened = OmniModel::open(&model, &LocalSettings::default(), device, stop).map_err(failed)?;
        let trained = Trained {
            folder: out.clone(),
            model: opened.facts().name.clone(),
            identity: opened.facts().identity.clone(),
            steps: losses.lines().count() as u64,
            losses: out.join(LOSSES),
        };
        let facts = Facts {
            trained: trained.clone(),
            course: self.course.clone(),
            base: named(base),
            clips,
            lessons,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let write = |name: &str, bytes: &[u8]| {
            let path = out.join(name);
            let partial = out.join(format!(".{name}.partial"));
            let written = fs::write(&partial, bytes).and_then(|()| fs::rename(&partial, &path));
            written.map_err(|source| unusable(&path, source))
        };
        write(LOSSES, losses.as_bytes())?;
        let marks = (0..self.course.parts.len()).map(|part| exams::kept(&self.folder(part)));
        let marks: String = marks.collect();
        if !marks.is_empty() {
            write(exams::FILE, marks.as_bytes())?;
        }
        // Last: a result that has it is complete.
        write(FACTS, &serde_json::to_vec_pretty(&facts).map_err(failed)?)?;
        fs::remove_dir_all(&self.working).map_err(|source| unusable(&self.working, source))?;
        Ok(trained)
    }
}

/// The result, if the folder has this one already.
fn finished(training: &Training, course: &Course) -> Result<Option<Trained>, TrainingError> {
    let out = &training.out;
    let text = match fs::read(out.join(FACTS)) {
        Ok(text) => text,
        // It may have got its name just before its training was killed.
        Err(_) if !out.exists() || working(out).exists() => return Ok(None),
        Err(_) => return Err(failed(CourseError::Taken { folder: out.clone() })),
    };
    let facts: Option<Facts> = serde_json::from_slice(&text).ok();
    let same = facts.filter(|facts| facts.course == *course && facts.base == named(&training.base));
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

/// The folder of a training that has not ended.
fn working(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(WORKING);
    out.with_file_name(name)
}

fn unusable(path: &Path, source: io::Error) -> TrainingError {
    failed(CourseError::File { path: path.to_owned(), source })
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> TrainingError {
    TrainingError::Failed(Box::new(error))
}
