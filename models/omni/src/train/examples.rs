//! What is learned from.

use burn::Tensor;

use super::{Answers, TrainError};
use crate::{
    error::ModelError,
    thinker::{Embeddings, Model, Sequence},
    vision::Grid,
};

/// A prompt and the answer that should follow it.
#[derive(Debug, Clone)]
pub struct Example {
    /// Its name in errors.
    pub id: String,
    /// Prompt and answer.
    pub sequence: Sequence,
    /// Tokens at the end that are the answer.
    pub answer: usize,
    /// What its media tokens stand for.
    pub streams: Streams,
}

/// A clip's streams, each of which may be missing.
#[derive(Debug, Clone)]
pub enum Streams {
    /// As towers that stay as they are made them.
    Embedded {
        /// `[tokens, width]`.
        video: Option<Tensor<2>>,
        /// `[tokens, width]`.
        sound: Option<Tensor<2>>,
    },
    /// For towers that are trained as well.
    Features {
        /// `[patches, values of a patch]`, and how the patches lie.
        video: Option<(Tensor<2>, Grid)>,
        /// `[mel bands, frames]`.
        sound: Option<Tensor<2>>,
    },
}

/// Examples by number, made when they are drawn.
pub trait Examples {
    /// The group of each example, by which it is weighed.
    fn groups(&self) -> &[String];

    /// What all of them come from: a training goes on only with the same. A hash of ids and contents, say.
    fn identity(&self) -> String;

    /// An example.
    ///
    /// # Errors
    /// It cannot be read.
    fn example(&self, index: usize) -> Result<Example, TrainError>;
}

/// Examples that go through the model together.
pub(super) struct Batch {
    pub(super) sequences: Vec<Sequence>,
    pub(super) answers: Answers,
    streams: Vec<Streams>,
}

impl Batch {
    pub(super) fn new(examples: Vec<Example>) -> Result<Self, ModelError> {
        let counts: Vec<usize> = examples.iter().map(|example| example.answer).collect();
        let (sequences, streams): (Vec<_>, Vec<_>) =
            examples.into_iter().map(|example| (example.sequence, example.streams)).unzip();
        let answers = Answers::at_end(&sequences, &counts)?;
        Ok(Self { sequences, answers, streams })
    }

    /// Embeddings of all tokens: `[sequences, longest, width]`.
    pub(super) fn embed(&self, model: &Model) -> Result<Tensor<3>, ModelError> {
        let tokens: Vec<&[i64]> = self.sequences.iter().map(|sequence| sequence.tokens.as_slice()).collect();
        model.embed(&tokens, &self.media(model)?)
    }

    fn media(&self, model: &Model) -> Result<Embeddings, ModelError> {
        let (mut videos, mut sounds) = (Vec::new(), Vec::new());
        let (mut patches, mut grids) = (Vec::new(), Vec::new());
        let (mut mels, mut frames) = (Vec::new(), Vec::new());
        for streams in &self.streams {
            match streams.clone() {
                Streams::Embedded { video, sound } => {
                    videos.extend(video);
                    sounds.extend(sound);
                }
                Streams::Features { video, sound } => {
                    if let Some((video, grid)) = video {
                        patches.push(video);
                        grids.push(grid);
                    }
                    if let Some(sound) = sound {
                        frames.push(sound.dims()[1]);
                        mels.push(sound);
                    }
                }
            }
        }
        let mixed = |kept: &[Tensor<2>], made: &[Tensor<2>]| !kept.is_empty() && !made.is_empty();
        if mixed(&videos, &patches) || mixed(&sounds, &mels) {
            return Err(ModelError::input("examples of one batch have embeddings and features"));
        }
        if !patches.is_empty() {
            videos.push(model.see(Tensor::cat(patches, 0), &grids)?);
        }
        if !mels.is_empty() {
            sounds.push(model.hear(Tensor::cat(mels, 1), &frames)?);
        }
        let joined = |rows: Vec<Tensor<2>>| {
            let numbers = model.thinker().text.norm.weight.val().dtype();
            (!rows.is_empty()).then(|| Tensor::cat(rows, 0).cast(numbers))
        };
        Ok(Embeddings { images: None, videos: joined(videos), sounds: joined(sounds) })
    }
}
