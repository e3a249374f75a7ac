//! One who teaches no model, but keeps what was learned as one who does would.

use std::{
    collections::VecDeque,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use counterpoint_actors::{
    training::Course,
    tuition::{Results, Tuition},
};
use counterpoint_log::TopicLog;
use counterpoint_models::{
    Base, Exam, LearnedStep, Material, Prepared, Progress, Trained, Training, TrainingError, Tutor,
};
use parking_lot::Mutex;

/// Steps of every training.
pub const STEPS: u64 = 6;

/// The settings of every training.
pub const SETTINGS: &str = "rate = 1e-4\n";

/// Learns from all clips, and has taken a step for good when its line is written.
#[derive(Default)]
pub struct FakeTutor {
    /// Trainings begun or gone on with.
    pub lessons: AtomicUsize,
    /// Clips that trainings were watched by.
    pub examined: AtomicUsize,
    /// What the model to begin with is found to be.
    pub base: Mutex<Option<String>>,
    /// Errors that the next trainings end with, after their first step.
    pub errors: Mutex<VecDeque<TrainingError>>,
    /// Panics still to come.
    pub panics: AtomicUsize,
    /// The step before which it waits for the word to stop; 0 for none.
    pub waits_at: AtomicU64,
    /// Whether it waits.
    pub is_waiting: AtomicBool,
    /// Where it has the model that it teaches.
    pub memory: Arc<Memory>,
}

/// The memory of a process.
#[derive(Default)]
pub struct Memory {
    /// Models in it.
    pub models: AtomicUsize,
    /// The most that there ever were.
    pub most: AtomicUsize,
}

/// A model that is in memory until this is dropped.
pub struct InMemory(Arc<Memory>);

impl Memory {
    pub fn take(self: &Arc<Self>) -> InMemory {
        let now = self.models.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        InMemory(Arc::clone(self))
    }
}

impl Drop for InMemory {
    fn drop(&mut self) {
        self.0.models.fetch_sub(1, Ordering::Relaxed);
    }
}

impl FakeTutor {
    /// What trainings begin with.
    pub fn course(&self) -> Course {
        Course { base: Base::Nothing, prepared: self.prepare(&Base::Nothing, None).unwrap() }
    }

    /// What a pipeline needs to be taught by this one.
    pub fn tuition(self: &Arc<Self>, log: &Arc<dyn TopicLog>, results: Results) -> Tuition {
        let tutor: Arc<Self> = Arc::clone(self);
        Tuition {
            tutor,
            base: Base::Nothing,
            results,
            device: "cpu".to_owned(),
            log: Arc::clone(log),
            watch: Box::new(|_| ()),
        }
    }
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

impl Tutor for FakeTutor {
    fn prepare(&self, _: &Base, recipe: Option<&Path>) -> Result<Prepared, TrainingError> {
        let settings = recipe.map_or_else(|| SETTINGS.to_owned(), |path| fs::read_to_string(path).unwrap());
        Ok(Prepared { recipe: "fake".to_owned(), settings, base: self.base.lock().clone() })
    }

    fn train(
        &self,
        training: &Training,
        material: &dyn Material,
        watch: &mut dyn FnMut(Progress),
    ) -> Result<Trained, TrainingError> {
        self.lessons.fetch_add(1, Ordering::Relaxed);
        let _model = self.memory.take();
        let recipe = fs::read_to_string(training.recipe.as_ref().unwrap()).unwrap();
        assert_eq!(recipe, SETTINGS);
        let all: Vec<usize> = (0..material.recipes().len()).collect();
        let exam = material.exam();
        let of = all.len() + exam.map_or(0, Exam::count);
        for (number, clip) in (1..).zip(material.clips(&all)) {
            clip.map_err(|source| TrainingError::Clip { number, of, source })?;
            watch(Progress::Taken { clips: number, of });
        }
        for (number, clip) in exam.iter().flat_map(|exam| (0..).zip(exam.clips())) {
            let clips = all.len() + 1 + number;
            clip.map_err(|source| TrainingError::Clip { number: clips, of, source })?;
            let asked = exam.iter().flat_map(|exam| exam.questions(number)).map(|(asked, _)| asked);
            assert_eq!(asked.collect::<Vec<_>>(), ["visual", "audio"]);
            self.examined.fetch_add(1, Ordering::Relaxed);
            watch(Progress::Taken { clips, of });
        }
        let kept = training.out.with_extension("kept");
        fs::create_dir_all(training.out.parent().unwrap()).unwrap();
        let mut losses = lines(&kept);
        while (losses.len() as u64) < STEPS {
            let step = losses.len() as u64 + 1;
            while self.waits_at.load(Ordering::Relaxed) == step && !training.stop.is_set() {
                self.is_waiting.store(true, Ordering::Relaxed);
                watch(Progress::Examined);
                std::thread::sleep(Duration::from_millis(1));
            }
            if training.stop.is_set() {
                return Err(TrainingError::Stopped { step: step - 1, of: STEPS });
            }
            let loss = all.len() as f64 / step as f64;
            losses.push(format!("{{\"step\":{step},\"loss\":{loss}}}"));
            fs::write(&kept, losses.join("\n")).unwrap();
            watch(Progress::Step(LearnedStep { part: 1, step, of: STEPS, loss, lr: 1e-4 }));
            let stock = |stock: &AtomicUsize| {
                stock.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
            };
            assert!(!stock(&self.panics), "the tutor fell ill");
            if let Some(error) = self.errors.lock().pop_front() {
                return Err(error);
            }
        }
        let weights = format!("{:?} {losses:?}", training.seed);
        fs::create_dir_all(&training.out).unwrap();
        fs::write(training.out.join("model.safetensors"), &weights).unwrap();
        fs::write(training.out.join(Trained::LOSSES), losses.join("\n")).unwrap();
        fs::write(training.out.join(Trained::FACTS), "{}").unwrap();
        Ok(Trained {
            folder: training.out.clone(),
            model: training.out.display().to_string(),
            identity: format!("fake {weights}"),
            steps: STEPS,
            losses: training.out.join(Trained::LOSSES),
        })
    }
}
