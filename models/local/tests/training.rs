//! From pixels and samples to a trained model that answers, and on to a tuned one.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

use std::{error::Error, f32::consts::TAU, fs, path::Path};

use counterpoint_local::{Lessons, OmniModel, prepare, train};
use counterpoint_models::{
    Base, Clip, Decoding, Exam, Frames, Lesson, LocalModel, LocalSettings, Marks, Material, Model as _,
    Progress, Question, Sound, Stop, Trained, Training, TrainingError, UnknownKind,
};
use counterpoint_omni::{
    TinyConfig, device,
    inputs::{template::SYSTEM, tiny, tokenizer::Tokenizer},
    set_threads,
};

const CLASSES: [&str; 2] = ["Cat", "Rain"];
const QUESTIONS: [&str; 2] = ["Which class is seen?", "Which class is heard?"];

/// A model of some ten thousand parameters, trained in seconds.
const SMALL: &str = r#"
tiny = { width = 48, layers = 2, tower_width = 32, tower_layers = 1 }

[[parts]]
kind = "full"
recipes = ["audio_removed", "frames_zeroed"]
rate = 4e-3
batch = 8
accumulation = 1
length = { steps = 60 }

[[parts]]
kind = "full"
recipes = ["aligned", "audio_removed", "frames_zeroed"]
rate = 4e-3
batch = 8
accumulation = 1
length = { steps = 60 }
"#;

const TUNING: &str = r#"
rate = 4e-3
batch = 8
accumulation = 1
length = { steps = 30 }
keep_every = 7

[kind.lora]
targets = "all-linear"
"#;

/// Two seconds of red, of blue or of black.
fn picture(class: Option<usize>) -> Frames {
    let pixel = class.map_or([0; 3], |class| [[200, 40, 40], [40, 40, 200]][class]);
    Frames::new(pixel.repeat(4 * 56 * 56), [4, 56, 56], 2.0).unwrap()
}

/// Two seconds of a low or a high tone.
fn tone(class: usize) -> Sound {
    let pitch = [300.0, 3000.0][class];
    let tone = (0..32_000).map(|sample| 0.5 * (TAU * pitch * sample as f32 / 16_000.0).sin());
    Sound::new(tone.collect(), 16_000).unwrap()
}

fn empty(content: usize) -> Clip {
    Clip::new(format!("{content:064x}").parse().unwrap())
}

/// Every pair of a picture, or none, and a sound, or none.
struct Clips {
    recipes: Vec<String>,
    streams: Vec<(Option<usize>, Option<usize>)>,
}

impl Clips {
    fn new() -> Self {
        let choices = [None, Some(0), Some(1)];
        let streams: Vec<_> = choices
            .iter()
            .flat_map(|seen| choices.map(|heard| (*seen, heard)))
            .filter(|streams| *streams != (None, None))
            .collect();
        let recipe = |streams: &(Option<usize>, Option<usize>)| match streams {
            (None, _) => "frames_zeroed",
            (_, None) => "audio_removed",
            (seen, heard) if seen == heard => "aligned",
            _ => "misaligned",
        };
        Self { recipes: streams.iter().map(|streams| recipe(streams).to_owned()).collect(), streams }
    }

    fn clip(&self, number: usize) -> Clip {
        let (seen, heard) = self.streams[number];
        let clip = empty(number).with_frames(picture(seen));
        heard.into_iter().fold(clip, |clip, heard| clip.with_sound(tone(heard)))
    }
}

impl Material for Clips {
    fn recipes(&self) -> &[String] {
        &self.recipes
    }

    fn clips(
        &self,
        numbers: &[usize],
    ) -> Box<dyn Iterator<Item = Result<Clip, Box<dyn Error + Send + Sync>>> + '_> {
        let clips: Vec<_> = numbers.iter().map(|&number| Ok(self.clip(number))).collect();
        Box::new(clips.into_iter())
    }

    fn lessons(&self, number: usize, kind: &str) -> Result<Vec<Lesson>, UnknownKind> {
        if kind != "class" {
            return Err(UnknownKind { kind: kind.to_owned(), known: "class".to_owned() });
        }
        let (seen, heard) = self.streams[number];
        let lesson = |(question, class): (&str, Option<usize>)| {
            let class = CLASSES[class?];
            Some(Lesson {
                id: format!("{number} {class}"),
                question: question.to_owned(),
                answer: class.to_owned(),
            })
        };
        Ok(QUESTIONS.into_iter().zip([seen, heard]).filter_map(lesson).collect())
    }

    fn texts(&self) -> Vec<String> {
        QUESTIONS.into_iter().chain(CLASSES).map(str::to_owned).collect()
    }

    fn exam(&self) -> Option<&dyn Exam> {
        Some(self)
    }
}

/// Clips of both kinds that the parts learn from or not.
const EXAM: [&str; 2] = ["aligned", "misaligned"];

impl Clips {
    fn of_exam(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.recipes.len()).filter(|&number| EXAM.contains(&self.recipes[number].as_str()))
    }
}

impl Exam for Clips {
    fn count(&self) -> usize {
        self.of_exam().count()
    }

    fn clips(&self) -> Box<dyn Iterator<Item = Result<Clip, Box<dyn Error + Send + Sync>>> + '_> {
        Box::new(self.of_exam().map(|number| Ok(self.clip(number))))
    }

    fn questions(&self, number: usize) -> Vec<(String, Lesson)> {
        let number = self.of_exam().nth(number).unwrap();
        let lessons = self.lessons(number, "class").unwrap();
        lessons.into_iter().map(|lesson| (self.recipes[number].clone(), lesson)).collect()
    }
}

/// What a training wrote of its exams.
fn marks(trained: &Trained) -> Vec<Marks> {
    let text = fs::read_to_string(trained.folder.join(Trained::EXAMS)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn training(base: Base, recipe: &str, out: &Path) -> Training {
    set_threads(1);
    let path = out.with_extension("toml");
    fs::write(&path, recipe).unwrap();
    Training {
        base,
        recipe: Some(path),
        recipes: None,
        seed: Some(3),
        data_set: "pictures and tones".to_owned(),
        device: "cpu".to_owned(),
        out: out.to_owned(),
        stop: Stop::new(),
    }
}

/// Trains to the end; the losses.
fn learn(training: &Training) -> (Trained, Vec<f64>) {
    let mut losses = Vec::new();
    let mut watch = |progress| {
        if let Progress::Step(step) = progress {
            losses.push(step.loss);
        }
    };
    let trained = train(training, &Clips::new(), &mut watch).unwrap();
    (trained, losses)
}

fn open(checkpoint: &Path, adapter: Option<&Path>) -> OmniModel {
    let name = LocalModel { checkpoint: checkpoint.to_owned(), adapter: adapter.map(Path::to_owned) };
    OmniModel::open(&name, &LocalSettings::default(), "cpu", &Stop::new()).unwrap()
}

/// How many questions on clips of a recipe are answered well, of how many.
fn right(model: &mut OmniModel, recipe: &str) -> (usize, usize) {
    let (clips, options) = (Clips::new(), CLASSES.map(str::to_owned).to_vec());
    let (mut right, mut asked) = (0, 0);
    for number in (0..clips.recipes.len()).filter(|&number| clips.recipes[number] == recipe) {
        let lessons = clips.lessons(number, "class").unwrap();
        let questions: Vec<_> = lessons
            .iter()
            .map(|lesson| Question::options(&lesson.question, options.clone()).unwrap())
            .collect();
        let answers = model.ask(&clips.clip(number), &questions, &Decoding::default());
        asked += answers.len();
        right += answers
            .into_iter()
            .zip(lessons)
            .filter(|(answer, lesson)| answer.as_ref().unwrap().text == lesson.answer)
            .count();
    }
    (right, asked)
}

#[test]
fn a_model_is_trained_from_nothing_and_tuned_and_both_answer() {
    let folder = tempfile::tempdir().unwrap();
    let (base, adapter) = (folder.path().join("base"), folder.path().join("adapter"));
    let first = training(Base::Nothing, SMALL, &base);
    let (trained, losses) = learn(&first);
    assert_eq!((trained.steps, losses.len()), (120, 120));
    assert_eq!(fs::read_to_string(&trained.losses).unwrap().lines().count(), 120);
    let mut model = open(&base, None);
    assert_eq!(model.facts().identity, trained.identity);
    for recipe in ["aligned", "audio_removed", "frames_zeroed"] {
        let (right, asked) = right(&mut model, recipe);
        assert_eq!(right, asked, "{recipe} {losses:?}");
    }

    let held = marks(&trained);
    let steps: Vec<_> =
        held.iter().filter(|marks| marks.asked == "aligned").map(|marks| (marks.part, marks.step)).collect();
    let of_part = |part| (0..=10).map(move |time| (part, 6 * time));
    assert_eq!(steps, of_part(1).chain(of_part(2)).collect::<Vec<_>>());
    assert_eq!((held[0].right, held[0].of), (0, 4), "a model from nothing knows no word");
    let last = held.iter().rfind(|marks| marks.asked == "aligned").unwrap();
    assert_eq!((last.right, last.of), (4, 4), "{held:?}");

    // A finished training is not done again, and its folder is no place for another.
    let (again, losses) = learn(&first);
    assert_eq!((again, losses.len()), (trained, 0));
    let refused = |other: &Training| {
        let error = train(other, &Clips::new(), &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("another --out"), "{error}");
    };
    refused(&Training { seed: Some(4), ..first.clone() });
    refused(&Training { data_set: "other clips".to_owned(), ..first.clone() });

    // A kill after the last file of the result and before the end leaves the working folder behind.
    let left = folder.path().join("base.training");
    fs::create_dir_all(left.join("part-1")).unwrap();
    assert_eq!(learn(&first).1.len(), 0);
    assert!(!left.exists());

    // Weights that were damaged since are no result, nor are those of an adapter whose base is another by now.
    let weights = base.join("model.safetensors");
    let whole = fs::read(&weights).unwrap();
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&weights, damaged).unwrap();
    refused(&first);
    fs::write(&weights, whole).unwrap();

    let name = LocalModel { checkpoint: base.clone(), adapter: None };
    let (tuned, _) = learn(&training(Base::Model(name), TUNING, &adapter));
    assert_eq!(tuned.model, format!("{}+{}", base.display(), adapter.display()));
    let mut model = open(&base, Some(&adapter));
    assert_eq!(model.facts().identity, tuned.identity);
    assert_eq!(right(&mut model, "aligned"), (4, 4));
    assert!(!folder.path().join("adapter.training").exists());
}

#[test]
fn a_training_that_is_stopped_goes_on_to_the_same_result() {
    let folder = tempfile::tempdir().unwrap();
    let small = SMALL.replace("steps = 60", "steps = 8");
    let (whole, _) = learn(&training(Base::Nothing, &small, &folder.path().join("whole")));
    let halting = training(Base::Nothing, &small, &folder.path().join("halting"));
    let mut halts = 0;
    let halted = loop {
        let stop = Stop::new();
        let attempt = Training { stop: stop.clone(), ..halting.clone() };
        let mut steps = 0;
        let mut watch = |progress| {
            steps += usize::from(matches!(progress, Progress::Step(_)));
            if steps == 3 {
                stop.set();
            }
        };
        match train(&attempt, &Clips::new(), &mut watch) {
            Ok(trained) => break trained,
            Err(TrainingError::Stopped { .. }) => halts += 1,
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(halts, 5);
    let weights = |trained: &Trained| fs::read(trained.folder.join("model.safetensors")).unwrap();
    assert!(weights(&whole) == weights(&halted), "the weights differ");
    assert_eq!(whole.identity, halted.identity);
    assert_eq!(marks(&whole), marks(&halted));
}

#[test]
fn a_folder_in_which_another_process_trains_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let small = SMALL.replace("steps = 60", "steps = 4");
    let first = training(Base::Nothing, &small, &folder.path().join("both"));
    let mut told = None;
    let mut watch = |progress| {
        if told.is_none() && matches!(progress, Progress::Step(_)) {
            told = Some(train(&first, &Clips::new(), &mut |_| {}).unwrap_err());
        }
    };
    train(&first, &Clips::new(), &mut watch).unwrap();
    assert!(matches!(told, Some(TrainingError::Busy { .. })), "{told:?}");
}

#[test]
fn a_loss_that_is_no_number_ends_a_training_with_what_to_do_about_it() {
    let folder = tempfile::tempdir().unwrap();
    let wild = SMALL.replace("rate = 4e-3", "rate = 1e30").replace("steps = 60", "steps = 4");
    let training = training(Base::Nothing, &wild, &folder.path().join("wild"));
    let error = train(&training, &Clips::new(), &mut |_| {}).unwrap_err();
    assert!(matches!(error, TrainingError::Diverged(_)), "{error:?}");
    assert!(error.to_string().contains("lower the rate"), "{error}");
    assert!(!training.out.exists());
}

/// Clips whose reading takes more memory than any machine has.
struct Greedy(Clips);

impl Material for Greedy {
    fn recipes(&self) -> &[String] {
        self.0.recipes()
    }

    fn clips(
        &self,
        _: &[usize],
    ) -> Box<dyn Iterator<Item = Result<Clip, Box<dyn Error + Send + Sync>>> + '_> {
        // More than a processor can address.
        let device = device("cpu").unwrap();
        Box::new(std::iter::once_with(move || -> Result<Clip, Box<dyn Error + Send + Sync>> {
            let all = burn::Tensor::<1>::zeros([1_usize << 50], &device);
            Err(format!("there is room for {all}").into())
        }))
    }

    fn lessons(&self, number: usize, kind: &str) -> Result<Vec<Lesson>, UnknownKind> {
        self.0.lessons(number, kind)
    }

    fn texts(&self) -> Vec<String> {
        self.0.texts()
    }
}

#[test]
fn a_training_that_libtorch_gives_no_memory_ends_with_what_to_do_about_it() {
    let folder = tempfile::tempdir().unwrap();
    let training = training(Base::Nothing, SMALL, &folder.path().join("greedy"));
    let error = train(&training, &Greedy(Clips::new()), &mut |_| {}).unwrap_err();
    let TrainingError::Memory { problem } = &error else { panic!("{error:?}") };
    assert!(problem.contains("4503599627370496 bytes"), "{problem}");
    assert!(error.to_string().contains("smaller `batch`"), "{error}");
}

#[test]
fn what_a_training_begins_with_is_looked_at_without_training() {
    let folder = tempfile::tempdir().unwrap();
    let small = SMALL.replace("steps = 60", "steps = 2");
    let base = folder.path().join("base");
    let (trained, _) = learn(&training(Base::Nothing, &small, &base));
    let model =
        |checkpoint: &Path| Base::Model(LocalModel { checkpoint: checkpoint.to_owned(), adapter: None });
    let found = prepare(&model(&base), Some(Path::new("tiny-tuning"))).unwrap();
    assert_eq!((found.recipe.as_str(), found.base), ("tiny-tuning", Some(trained.identity)));
    assert!(found.settings.contains("all-linear"), "{}", found.settings);
    let nothing = prepare(&Base::Nothing, None).unwrap();
    assert_eq!((nothing.recipe.as_str(), nothing.base), ("tiny", None));
    let judge = prepare(&Base::Nothing, Some(Path::new("tiny-judge"))).unwrap();
    assert_eq!((judge.recipe.as_str(), judge.base), ("tiny-judge", None));
    assert!(judge.settings.contains("exists"), "{}", judge.settings);

    let gone = prepare(&model(&folder.path().join("gone")), None).unwrap_err();
    assert!(matches!(gone, TrainingError::Base(_)) && gone.to_string().contains("gone"), "{gone}");
    fs::write(base.join("model.safetensors"), "damaged").unwrap();
    let damaged = prepare(&model(&base), None).unwrap_err();
    assert!(matches!(damaged, TrainingError::Base(_)), "{damaged}");
    let wrong = prepare(&Base::Nothing, Some(Path::new("tiny-tuning"))).unwrap_err();
    assert!(wrong.to_string().contains("from nothing"), "{wrong}");
}

#[test]
fn settings_that_cannot_work_are_told_by_their_name() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |base: Base, recipe: &str| {
        let training = training(base, recipe, &folder.path().join("out"));
        let error = train(&training, &Clips::new(), &mut |_| {}).unwrap_err();
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        text
    };
    let tuned = || Base::Model(LocalModel { checkpoint: folder.path().to_owned(), adapter: None });
    for (base, recipe, wanted) in [
        (Base::Nothing, TUNING.to_owned(), "from nothing"),
        (tuned(), SMALL.to_owned(), "kind.lora"),
        (tuned(), "rank = 8".to_owned(), "unknown field `rank`"),
        (Base::Nothing, SMALL.replace("aligned", "alined"), "alined"),
        (Base::Nothing, SMALL.replace("[[parts]]", "[[parts]]\nquestions = [\"shape\"]"), "shape"),
        (Base::Nothing, SMALL.replace("rate = 4e-3", "rate = -1.0"), "rate is -1"),
        (Base::Nothing, SMALL.replace("width = 48", "width = 50"), "num_attention_heads"),
    ] {
        let error = refused(base, &recipe);
        assert!(error.contains(wanted), "{wanted}: {error}");
    }
    let missing = Training {
        recipe: Some("nowhere.toml".into()),
        ..training(Base::Nothing, SMALL, &folder.path().join("x"))
    };
    let error = train(&missing, &Clips::new(), &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("nowhere.toml") && error.contains("tiny-judge, tiny-tuning"), "{error}");
}

#[test]
fn what_cannot_be_learned_from_is_refused() {
    let texts = [QUESTIONS[0], SYSTEM];
    let tokenizer = Tokenizer::from_json(&tiny::learn(&texts, 600).unwrap(), Path::new("tiny")).unwrap();
    let config = TinyConfig::default().thinker(&tokenizer).unwrap();
    let mut lessons = Lessons::featured(tokenizer, config, &device("cpu").unwrap());
    assert!(lessons.take(&empty(0)).is_err());
    let slow = Sound::new(vec![0.0; 8_000], 8_000).unwrap();
    let error = lessons.take(&empty(0).with_sound(slow)).unwrap_err().to_string();
    assert!(error.contains("8000"), "{error}");
    let narrow = Frames::new(vec![0; 2 * 20 * 20 * 3], [2, 20, 20], 2.0).unwrap();
    assert!(lessons.take(&empty(0).with_frames(narrow)).is_err());
}
