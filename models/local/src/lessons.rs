//! Clips with questions and answers as examples of a training.
//!
//! A clip is taken in once. Where towers stay as they are, it goes through them then, and its embeddings lie on disk
//! for all epochs and for all variants that share a stream; where towers are trained, its pixels and its log-mel are
//! kept in memory. Streams with the same content are one.

use std::{collections::HashMap, path::Path, sync::Arc};

use blake3::{Hash, Hasher};
use burn::{
    Tensor,
    tensor::{Device, TensorData},
};
use counterpoint_models::{Clip, ContentId, Frames, Sound};
use counterpoint_omni::{
    Asked, Example, Examples, Grid, Model, ModelError, Sequence, Streams, ThinkerConfig, TrainError,
    inputs::{
        layout::{self, LayoutError, Timing},
        mel::{LogMel, Mel},
        template::SYSTEM,
        tokenizer::Tokenizer,
    },
};

use crate::{
    OmniModel, Towers, TowersError,
    identity::field,
    shapes::Shapes,
    towers::{self, Kept},
};

/// Why a clip or a question cannot be learned from.
#[derive(Debug, thiserror::Error)]
pub enum LessonError {
    /// A clip without streams.
    #[error("the clip has neither frames nor sound: there is nothing to learn from")]
    Empty,
    /// A stream does not fit the model, or its embedding cannot be kept.
    #[error(transparent)]
    Towers(#[from] TowersError),
    /// The question or the answer cannot be written.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// They do not fit the model.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// Clips with questions and answers.
pub struct Lessons {
    tokenizer: Arc<Tokenizer>,
    timing: Timing,
    config: ThinkerConfig,
    device: Device,
    source: Source,
    clips: Vec<KeptClip>,
    lessons: Vec<Lesson>,
    groups: Vec<String>,
}

/// What becomes of streams.
enum Source {
    /// They go through towers that stay as they are.
    Embedded { towers: Box<Towers>, model: Box<Model> },
    /// They are kept.
    Featured { mel: LogMel, pictures: HashMap<Hash, Arc<Frames>>, sounds: HashMap<Hash, Arc<Mel>> },
}

/// A clip that was taken in.
struct KeptClip {
    content: ContentId,
    shapes: Shapes,
    streams: KeptStreams,
}

enum KeptStreams {
    Embedded { video: Option<Kept>, sound: Option<Kept> },
    Featured { video: Option<(Arc<Frames>, Grid)>, sound: Option<Arc<Mel>> },
}

/// A clip that was taken in, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClipNumber(usize);

/// A question on a clip and what should be answered.
struct Lesson {
    id: String,
    clip: usize,
    /// The question up to where the answer begins.
    suffix: Vec<u32>,
    answer: Vec<u32>,
    /// Hash of all of it and of the clip's content.
    identity: Hash,
}

impl Lessons {
    /// For adapters: clips go through the towers of a model, and embeddings are kept in a folder, all of them.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn embedded(base: &OmniModel, folder: &Path) -> Result<Self, LessonError> {
        let towers = base.towers.kept_in(folder.to_owned())?;
        let (towers, model) = (Box::new(towers), Box::new(base.model.clone()));
        let source = Source::Embedded { towers, model };
        Ok(Self::new(base.tokenizer.clone(), base.model.config().clone(), base.model.device(), source))
    }

    /// For a training of everything: streams are kept in memory.
    pub fn featured(tokenizer: Tokenizer, config: ThinkerConfig, device: &Device) -> Self {
        let mel = LogMel::new(config.audio_config.num_mel_bins);
        let source = Source::Featured { mel, pictures: HashMap::new(), sounds: HashMap::new() };
        Self::new(Arc::new(tokenizer), config, device, source)
    }

    fn new(tokenizer: Arc<Tokenizer>, config: ThinkerConfig, device: &Device, source: Source) -> Self {
        Self {
            timing: Timing::of(&config),
            tokenizer,
            config,
            device: device.clone(),
            source,
            clips: Vec::new(),
            lessons: Vec::new(),
            groups: Vec::new(),
        }
    }

    /// Takes a clip in.
    ///
    /// # Errors
    /// It has no streams, or one that does not fit the model.
    pub fn take(&mut self, clip: &Clip) -> Result<ClipNumber, LessonError> {
        let (frames, sound) = (clip.frames(), clip.sound());
        if frames.is_none() && sound.is_none() {
            return Err(LessonError::Empty);
        }
        let content = clip.content().clone();
        let kept = match &mut self.source {
            Source::Embedded { towers, model } => {
                let seen = frames.map(|frames| towers.see(model, frames)).transpose()?;
                let heard = sound.map(|sound| towers.hear(model, sound)).transpose()?;
                let shapes = Shapes::new(
                    frames.zip(seen.as_ref().map(|seen| seen.grid)),
                    heard.as_ref().map(|heard| heard.frames),
                );
                let video = seen.and_then(|seen| seen.kept);
                let sound = heard.and_then(|heard| heard.kept);
                KeptClip { content, shapes, streams: KeptStreams::Embedded { video, sound } }
            }
            Source::Featured { mel, pictures, sounds } => {
                let seen = frames.map(|frames| keep_picture(pictures, frames, &self.config)).transpose()?;
                let heard = sound.map(|sound| keep_sound(sounds, mel, sound)).transpose()?;
                let shapes = Shapes::new(
                    frames.zip(seen.as_ref().map(|(_, grid)| *grid)),
                    heard.as_ref().map(|mel| mel.frames),
                );
                KeptClip { content, shapes, streams: KeptStreams::Featured { video: seen, sound: heard } }
            }
        };
        self.clips.push(kept);
        Ok(ClipNumber(self.clips.len() - 1))
    }

    /// Adds a question on a clip and what should be answered. Its group decides how often it is drawn.
    ///
    /// # Errors
    /// The texts cannot be written in tokens.
    pub fn add(
        &mut self,
        clip: ClipNumber,
        id: impl Into<String>,
        group: impl Into<String>,
        question: &str,
        answer: &str,
    ) -> Result<(), LessonError> {
        let (id, group) = (id.into(), group.into());
        let suffix = layout::suffix(&self.tokenizer, true, question)?;
        let tokens = layout::answer(&self.tokenizer, answer)?;
        let content = self.clips.get(clip.0).map_or("", |clip| clip.content.as_str());
        let mut identity = Hasher::new_derive_key("counterpoint lesson");
        for text in [content, &id, &group, question, answer] {
            field(&mut identity, text.as_bytes());
        }
        let identity = identity.finalize();
        self.lessons.push(Lesson { id, clip: clip.0, suffix, answer: tokens, identity });
        self.groups.push(group);
        Ok(())
    }

    /// Lessons on one clip, the first of which names them.
    fn example_of(&self, numbers: &[usize]) -> Result<Example, TrainError> {
        let lessons: Vec<&Lesson> = numbers.iter().filter_map(|&number| self.lessons.get(number)).collect();
        let first = lessons.first().ok_or(TrainError::NoExamples)?;
        self.joined(first, &lessons)
            .map_err(|error| TrainError::Example { id: first.id.clone(), source: Box::new(error) })
    }

    fn joined(&self, first: &Lesson, lessons: &[&Lesson]) -> Result<Example, LessonError> {
        let Some(clip) = self.clips.get(first.clip) else { return Err(LessonError::Empty) };
        let prefix = layout::prefix(&self.tokenizer, &self.timing, SYSTEM, &[clip.shapes.media()])?;
        let longest = lessons.iter().map(|lesson| lesson.suffix.len() + lesson.answer.len()).max();
        let (found, most) = (prefix.len() + longest.unwrap_or(0), self.timing.most_tokens);
        if found > most {
            return Err(LayoutError::TooLong { tokens: found, most }.into());
        }
        let prefix = prefix.into_iter().map(i64::from).collect();
        let prefix = Sequence::new(prefix, &clip.shapes.positions(), &self.config)?;
        let start = prefix.positions.next_of_text();
        let questions = lessons.iter().map(|lesson| {
            let tokens = lesson.suffix.iter().chain(&lesson.answer).map(|&token| i64::from(token));
            Asked { sequence: Sequence::text(tokens.collect(), start), answer: lesson.answer.len() }
        });
        let questions = questions.collect();
        let streams = match &clip.streams {
            KeptStreams::Embedded { video, sound } => {
                let read =
                    |kept: &Option<Kept>| kept.as_ref().map(|kept| kept.read(&self.device)).transpose();
                Streams::Embedded { video: read(video)?, sound: read(sound)? }
            }
            KeptStreams::Featured { video, sound } => {
                let patches = video.as_ref().map(|(frames, grid)| {
                    Ok::<_, TowersError>((towers::patches(frames, *grid, &self.device)?, *grid))
                });
                let mel = sound.as_ref().map(|mel| {
                    let data = TensorData::new(mel.values.clone(), [mel.bins, mel.frames]);
                    Tensor::from_data(data, &self.device)
                });
                Streams::Features { video: patches.transpose()?, sound: mel }
            }
        };
        Ok(Example { id: first.id.clone(), prefix, questions, streams })
    }
}

impl Examples for Lessons {
    fn groups(&self) -> &[String] {
        &self.groups
    }

    fn identity(&self) -> String {
        identity(self.lessons.iter())
    }

    fn example(&self, index: usize) -> Result<Example, TrainError> {
        self.example_of(&[index])
    }
}

/// Some of the lessons, for one part of a training.
pub struct Part {
    lessons: Arc<Lessons>,
    /// Numbers of those that are drawn at once, all of one clip.
    drawn: Vec<Vec<usize>>,
    groups: Vec<String>,
}

impl Part {
    /// The lessons of these numbers, in the order in which they were added; those on a clip are drawn together or one by
    /// one.
    pub fn new(lessons: &Arc<Lessons>, chosen: &[usize], together: bool) -> Self {
        let mut drawn: Vec<Vec<usize>> = Vec::new();
        let mut places: HashMap<usize, usize> = HashMap::new();
        for &number in chosen {
            let clip = lessons.lessons.get(number).map(|lesson| lesson.clip).filter(|_| together);
            match clip.and_then(|clip| places.get(&clip)).and_then(|&place| drawn.get_mut(place)) {
                Some(numbers) => numbers.push(number),
                None => {
                    places.extend(clip.map(|clip| (clip, drawn.len())));
                    drawn.push(vec![number]);
                }
            }
        }
        let first = drawn.iter().filter_map(|numbers| lessons.groups.get(*numbers.first()?));
        let groups = first.cloned().collect();
        Self { lessons: Arc::clone(lessons), drawn, groups }
    }
}

impl Examples for Part {
    fn groups(&self) -> &[String] {
        &self.groups
    }

    fn identity(&self) -> String {
        identity(self.drawn.iter().flatten().filter_map(|&number| self.lessons.lessons.get(number)))
    }

    fn questions(&self, index: usize) -> usize {
        self.drawn.get(index).map_or(0, Vec::len)
    }

    fn example(&self, index: usize) -> Result<Example, TrainError> {
        self.lessons.example_of(self.drawn.get(index).map_or(&[], Vec::as_slice))
    }
}

fn identity<'a>(lessons: impl Iterator<Item = &'a Lesson>) -> String {
    let mut hasher = Hasher::new_derive_key("counterpoint lessons");
    for lesson in lessons {
        hasher.update(lesson.identity.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

fn keep_picture(
    pictures: &mut HashMap<Hash, Arc<Frames>>,
    frames: &Frames,
    config: &ThinkerConfig,
) -> Result<(Arc<Frames>, Grid), TowersError> {
    let grid = towers::grid(frames, &config.vision_config)?;
    let mut key = Hasher::new();
    towers::name_picture(&mut key, frames);
    let kept = pictures.entry(key.finalize()).or_insert_with(|| Arc::new(frames.clone()));
    Ok((kept.clone(), grid))
}

fn keep_sound(
    sounds: &mut HashMap<Hash, Arc<Mel>>,
    mel: &LogMel,
    sound: &Sound,
) -> Result<Arc<Mel>, TowersError> {
    towers::check_rate(sound)?;
    let mut key = Hasher::new();
    towers::name_sound(&mut key, sound);
    let key = key.finalize();
    if let Some(kept) = sounds.get(&key) {
        return Ok(kept.clone());
    }
    let made = Arc::new(mel.features(sound.pcm())?);
    sounds.insert(key, made.clone());
    Ok(made)
}
