//! Samples as what a model is taught on.

use std::{
    collections::BTreeSet,
    error::Error,
    sync::{Arc, mpsc},
    thread,
};

use counterpoint_core::{
    lessons::LessonKind,
    media_job::SampleRequest,
    questions::{Stream, Wording},
};
use counterpoint_messages::{ContentHash, RecipeName, RecordId, SampleComposed, Split};
use counterpoint_models::{Clip, Exam, Lesson, Material, ModelInput, UnknownKind};
use serde::{Deserialize, Serialize};
use tracing::Span;

use crate::{Reading, showing::show, stage::Fault};

/// Samples that a thread reads ahead of the one that is wanted.
const AHEAD: usize = 4;

/// Held-out samples by which a training is watched.
const EXAM: usize = 64;

/// What a training learns from: samples that are on the log, and how models are shown them. Kept as an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSet {
    /// Ids of the samples, sorted.
    pub samples: Vec<RecordId>,
    /// Ids of held-out samples by which the training is watched, sorted; see [`add_to_exam`].
    pub exam: Vec<RecordId>,
    /// Classes that questions offer, also where some of them are not learned; sorted.
    pub classes: Vec<String>,
    /// How questions are put.
    pub wording: Wording,
    /// Which frames and which sound models get.
    pub request: SampleRequest,
}

impl DataSet {
    /// Of these samples, those that may be learned from: of the train split, and of nothing but classes that
    /// `may_learn` allows. Watched by samples of all classes.
    pub fn of(samples: &[SampleComposed], may_learn: impl Fn(&str) -> bool, request: SampleRequest) -> Self {
        let is_learned =
            |sample: &&SampleComposed| sample.split == Split::Train && told_of(sample).all(&may_learn);
        let learned: BTreeSet<_> = samples.iter().filter(is_learned).map(|sample| sample.id).collect();
        let mut exam = BTreeSet::new();
        samples.iter().for_each(|sample| add_to_exam(&mut exam, sample));
        Self {
            samples: learned.into_iter().collect(),
            exam: exam.into_iter().collect(),
            classes: classes_found(samples),
            wording: Wording::default(),
            request,
        }
    }

    /// Hash of what is learned from: by which samples a training is watched changes nothing about it.
    pub fn learned(&self) -> ContentHash {
        let Self { samples, exam: _, classes, wording, request } = self;
        ContentHash::of(format!("{samples:?} {classes:?} {wording:?} {request:?}").as_bytes())
    }
}

/// Adds a sample to those by which a training is watched, if it is of the eval split and its picture and sound disagree.
/// They are a few, those that come first by their ids.
pub(crate) fn add_to_exam(exam: &mut BTreeSet<RecordId>, sample: &SampleComposed) {
    if sample.split == Split::Eval && sample.recipe.name() == RecipeName::Misaligned {
        exam.insert(sample.id);
        if exam.len() > EXAM {
            exam.pop_last();
        }
    }
}

/// Classes of what is seen and heard in a sample, each as often as it is.
pub(crate) fn told_of(sample: &SampleComposed) -> impl Iterator<Item = &str> {
    sample.classes_heard.iter().chain(&sample.class_seen).map(String::as_str)
}

/// Classes that a sample has anything of, each as often as it is.
pub fn classes_of(sample: &SampleComposed) -> impl Iterator<Item = &str> {
    told_of(sample).chain(sample.parents.iter().map(|parent| parent.class.as_str()))
}

/// Classes that samples have anything of, in the order of the alphabet.
pub fn classes_found(samples: &[SampleComposed]) -> Vec<String> {
    let classes: BTreeSet<_> = samples.iter().flat_map(classes_of).collect();
    classes.into_iter().map(str::to_owned).collect()
}

/// A sample that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{sample}: {fault}")]
pub(crate) struct Unread {
    sample: RecordId,
    /// Whose fault that is.
    pub fault: Fault,
}

/// Samples in order of their ids, each a clip with lessons; and others by which the training is watched.
pub struct Teaching {
    samples: Arc<Vec<SampleComposed>>,
    exam: Arc<Vec<SampleComposed>>,
    recipes: Vec<String>,
    data_set: DataSet,
    reading: Reading,
}

impl Teaching {
    /// The samples of a data set, in its order, and those of its exam.
    pub fn new(
        samples: Vec<SampleComposed>,
        exam: Vec<SampleComposed>,
        data_set: DataSet,
        reading: Reading,
    ) -> Self {
        let recipes = samples.iter().map(|sample| sample.recipe.name().as_str().to_owned()).collect();
        Self { samples: Arc::new(samples), exam: Arc::new(exam), recipes, data_set, reading }
    }

    /// Clips of these samples, read ahead by as many threads as there are media workers.
    fn read_ahead(
        &self,
        samples: &Arc<Vec<SampleComposed>>,
        numbers: &[usize],
    ) -> Box<dyn Iterator<Item = Result<Clip, Box<dyn Error + Send + Sync>>>> {
        let threads = self.reading.media.parallelism().max(1);
        // Each thread has every so-manieth sample and a queue of its own, so they come in their order.
        let queues: Vec<_> = (0..threads)
            .map(|first| {
                let (sender, queue) = mpsc::sync_channel(AHEAD);
                let numbers: Vec<usize> = numbers.iter().skip(first).step_by(threads).copied().collect();
                let (samples, reading) = (Arc::clone(samples), self.reading.clone());
                let (request, span) = (self.data_set.request.clone(), Span::current());
                thread::spawn(move || {
                    let _entered = span.entered();
                    for number in numbers {
                        // Nobody waits for the rest any more.
                        if sender.send(read(&reading, samples.get(number), &request)).is_err() {
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
    fn count(&self) -> usize {
        self.exam.len()
    }

    fn clips(&self) -> Box<dyn Iterator<Item = Result<Clip, Box<dyn Error + Send + Sync>>> + '_> {
        let numbers: Vec<usize> = (0..self.exam.len()).collect();
        self.read_ahead(&self.exam, &numbers)
    }

    fn questions(&self, number: usize) -> Vec<(String, Lesson)> {
        let Some(sample) = self.exam.get(number) else { return Vec::new() };
        let lessons = LessonKind::Class.lessons(sample, &self.data_set.classes, &self.data_set.wording);
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
        let lessons = kind.lessons(sample, &self.data_set.classes, &self.data_set.wording);
        let lessons = lessons.into_iter().enumerate();
        Ok(lessons.map(|(order, lesson)| Self::named(sample, kind, order, lesson)).collect())
    }

    fn texts(&self) -> Vec<String> {
        LessonKind::texts(&self.data_set.classes, &self.data_set.wording)
    }

    fn exam(&self) -> Option<&dyn Exam> {
        (!self.exam.is_empty()).then_some(self as &dyn Exam)
    }
}

fn read(
    reading: &Reading,
    sample: Option<&SampleComposed>,
    request: &SampleRequest,
) -> Result<Clip, Box<dyn Error + Send + Sync>> {
    let sample = sample.ok_or("there is no such sample")?;
    let shown = show(reading, sample, ModelInput::FramesAndSound, request);
    Ok(shown.map_err(|fault| Unread { sample: sample.id, fault })?.clip)
}
