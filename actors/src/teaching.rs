//! Samples as what a model is taught on.

use std::{
    collections::BTreeSet,
    error::Error,
    sync::{Arc, mpsc},
    thread,
};

use counterpoint_core::{lessons::LessonKind, media_job::SampleRequest, questions::Wording};
use counterpoint_messages::{RecordId, SampleComposed, Split};
use counterpoint_models::{Clip, Lesson, Material, ModelInput, UnknownKind};
use serde::{Deserialize, Serialize};
use tracing::Span;

use crate::{Reading, showing::show, stage::Fault};

/// Samples that a thread reads ahead of the one that is wanted.
const AHEAD: usize = 4;

/// What a training learns from: samples that are on the log, and how models are shown them. Kept as an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSet {
    /// Ids of the samples, sorted.
    pub samples: Vec<RecordId>,
    /// Classes that questions offer, also where some of them are not learned; sorted.
    pub classes: Vec<String>,
    /// How questions are put.
    pub wording: Wording,
    /// Which frames and which sound models get.
    pub request: SampleRequest,
}

impl DataSet {
    /// Of these samples, those that may be learned from: of the train split, and of nothing but classes that
    /// `may_learn` allows.
    pub fn of(samples: &[SampleComposed], may_learn: impl Fn(&str) -> bool, request: SampleRequest) -> Self {
        let is_learned =
            |sample: &&SampleComposed| sample.split == Split::Train && told_of(sample).all(&may_learn);
        let learned: BTreeSet<_> = samples.iter().filter(is_learned).map(|sample| sample.id).collect();
        let classes: BTreeSet<_> = samples.iter().flat_map(classes_of).collect();
        Self {
            samples: learned.into_iter().collect(),
            classes: classes.into_iter().map(str::to_owned).collect(),
            wording: Wording::default(),
            request,
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

/// A sample that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{sample}: {fault}")]
pub(crate) struct Unread {
    sample: RecordId,
    /// Whose fault that is.
    pub fault: Fault,
}

/// Samples in order of their ids, each a clip with lessons.
pub struct Teaching {
    samples: Arc<Vec<SampleComposed>>,
    recipes: Vec<String>,
    data_set: DataSet,
    reading: Reading,
}

impl Teaching {
    /// The samples of a data set, in its order.
    pub fn new(samples: Vec<SampleComposed>, data_set: DataSet, reading: Reading) -> Self {
        let recipes = samples.iter().map(|sample| sample.recipe.name().as_str().to_owned()).collect();
        Self { samples: Arc::new(samples), recipes, data_set, reading }
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
        let threads = self.reading.media.parallelism().max(1);
        // Each thread has every so-manieth sample and a queue of its own, so they come in their order.
        let queues: Vec<_> = (0..threads)
            .map(|first| {
                let (sender, queue) = mpsc::sync_channel(AHEAD);
                let numbers: Vec<usize> = numbers.iter().skip(first).step_by(threads).copied().collect();
                let (samples, reading) = (Arc::clone(&self.samples), self.reading.clone());
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

    fn lessons(&self, number: usize, kind: &str) -> Result<Vec<Lesson>, UnknownKind> {
        let Some(kind) = LessonKind::of_name(kind) else {
            let known = LessonKind::ALL.map(LessonKind::as_str).join(", ");
            return Err(UnknownKind { kind: kind.to_owned(), known });
        };
        let Some(sample) = self.samples.get(number) else { return Ok(Vec::new()) };
        let lessons = kind.lessons(sample, &self.data_set.classes, &self.data_set.wording);
        let named = |(order, lesson): (usize, counterpoint_core::lessons::Lesson)| {
            let id = format!("{} {} {}", sample.id, kind.as_str(), order + 1);
            Lesson { id, question: lesson.question, answer: lesson.answer }
        };
        Ok(lessons.into_iter().enumerate().map(named).collect())
    }

    fn texts(&self) -> Vec<String> {
        LessonKind::texts(&self.data_set.classes, &self.data_set.wording)
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
