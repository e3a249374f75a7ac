//! Samples as what a model is taught on.

use std::{
    error::Error,
    sync::{Arc, mpsc},
    thread,
};

use counterpoint_core::{
    lessons::LessonKind,
    media_job::SampleRequest,
    questions::{Stream, Wording},
};
use counterpoint_messages::{RecipeName, SampleComposed, Split};
use counterpoint_models::{Clip, Exam, Lesson, Material, ModelInput, UnknownKind};

use crate::{Tools, showing::show};

/// Samples that a thread reads ahead of the one that is wanted.
const AHEAD: usize = 4;

/// Held-out samples by which a training is watched.
const EXAM: usize = 64;

/// Samples of the train split, in order of their ids, each a clip with lessons; and a few of the eval split whose picture
/// and sound disagree, by which the training is watched.
pub struct Teaching {
    samples: Arc<Vec<SampleComposed>>,
    exam: Arc<Vec<SampleComposed>>,
    recipes: Vec<String>,
    classes: Vec<String>,
    wording: Wording,
    request: SampleRequest,
    tools: Arc<Tools>,
}

impl Teaching {
    /// Of all samples, those that may be learned from: of the train split, and of nothing but classes that
    /// `may_learn` allows. `classes` are the options of questions, also where some of them are not learned.
    pub fn new(
        samples: Vec<SampleComposed>,
        classes: Vec<String>,
        may_learn: impl Fn(&str) -> bool,
        wording: Wording,
        request: SampleRequest,
        tools: Arc<Tools>,
    ) -> Self {
        let is_learned = |sample: &SampleComposed| {
            let mut heard_and_seen = sample.classes_heard.iter().chain(&sample.class_seen);
            sample.split == Split::Train && heard_and_seen.all(|class| may_learn(class))
        };
        let is_conflict = |sample: &&SampleComposed| {
            sample.split == Split::Eval && sample.recipe.name() == RecipeName::Misaligned
        };
        let mut exam: Vec<_> = samples.iter().filter(is_conflict).cloned().collect();
        exam.sort_by_key(|sample| sample.id);
        exam.truncate(EXAM);
        let mut samples: Vec<_> = samples.into_iter().filter(is_learned).collect();
        samples.sort_by_key(|sample| sample.id);
        let recipes = samples.iter().map(|sample| sample.recipe.name().as_str().to_owned()).collect();
        Self { samples: Arc::new(samples), exam: Arc::new(exam), recipes, classes, wording, request, tools }
    }

    /// The samples.
    pub fn samples(&self) -> &[SampleComposed] {
        &self.samples
    }

    /// Clips of these samples, read ahead by as many threads as there are media workers.
    fn read_ahead(
        &self,
        samples: &Arc<Vec<SampleComposed>>,
        numbers: &[usize],
    ) -> Box<dyn Iterator<Item = Result<Clip, Box<dyn Error + Send + Sync>>>> {
        let threads = self.tools.media.parallelism().max(1);
        // Each thread has every so-manieth sample and a queue of its own, so they come in their order.
        let queues: Vec<_> = (0..threads)
            .map(|first| {
                let (sender, queue) = mpsc::sync_channel(AHEAD);
                let numbers: Vec<usize> = numbers.iter().skip(first).step_by(threads).copied().collect();
                let (samples, tools) = (Arc::clone(samples), Arc::clone(&self.tools));
                let request = self.request.clone();
                thread::spawn(move || {
                    for number in numbers {
                        // Nobody waits for the rest any more.
                        if sender.send(read(&tools, samples.get(number), &request)).is_err() {
                            return;
                        }
                    }
                });
                queue
            })
            .collect();
        let turns = (0..numbers.len()).map(move |turn| match queues[turn % threads].recv() {
            Ok(clip) => clip,
            Err(_) => Err("what reads samples has failed: this is a fault of the program".into()),
        });
        Box::new(turns)
    }

    fn named(
        sample: &SampleComposed,
        kind: LessonKind,
        order: usize,
        lesson: counterpoint_core::lessons::Lesson,
    ) -> Lesson {
        let id = format!("{} {} {}", sample.id, kind.as_str(), order + 1);
        Lesson { id, question: lesson.question, answer: lesson.answer }
    }
}

impl Exam for Teaching {
    fn clips(&self) -> Box<dyn Iterator<Item = Result<Clip, Box<dyn Error + Send + Sync>>> + '_> {
        let numbers: Vec<usize> = (0..self.exam.len()).collect();
        self.read_ahead(&self.exam, &numbers)
    }

    fn questions(&self, number: usize) -> Vec<(String, Lesson)> {
        let Some(sample) = self.exam.get(number) else { return Vec::new() };
        let lessons = LessonKind::Class.lessons(sample, &self.classes, &self.wording);
        // Both streams are there: the picture comes first.
        let named = (0..).zip(Stream::ALL).zip(lessons).map(|((order, stream), lesson)| {
            (stream.as_str().to_owned(), Self::named(sample, LessonKind::Class, order, lesson))
        });
        named.collect()
    }
}

impl Material for Teaching {
    fn recipes(&self) -> &[String] {
        &self.recipes
    }

    fn clips(
        &self,
        numbers: &[usize],
    ) -> Box<dyn Iterator<Item = Result<Clip, Box<dyn Error + Send + Sync>>> + '_> {
        self.read_ahead(&self.samples, numbers)
    }

    fn lessons(&self, number: usize, kind: &str) -> Result<Vec<Lesson>, UnknownKind> {
        let Some(kind) = LessonKind::of_name(kind) else {
            let known = LessonKind::ALL.map(LessonKind::as_str).join(", ");
            return Err(UnknownKind { kind: kind.to_owned(), known });
        };
        let Some(sample) = self.samples.get(number) else { return Ok(Vec::new()) };
        let lessons = kind.lessons(sample, &self.classes, &self.wording).into_iter().enumerate();
        Ok(lessons.map(|(order, lesson)| Self::named(sample, kind, order, lesson)).collect())
    }

    fn texts(&self) -> Vec<String> {
        LessonKind::texts(&self.classes, &self.wording)
    }

    fn exam(&self) -> Option<&dyn Exam> {
        (!self.exam.is_empty()).then_some(self as &dyn Exam)
    }
}

fn read(
    tools: &Tools,
    sample: Option<&SampleComposed>,
    request: &SampleRequest,
) -> Result<Clip, Box<dyn Error + Send + Sync>> {
    let sample = sample.ok_or("there is no such sample")?;
    let shown = show(tools, sample, ModelInput::FramesAndSound, request);
    Ok(shown.map_err(|fault| format!("{}: {fault}", sample.id))?.clip)
}
