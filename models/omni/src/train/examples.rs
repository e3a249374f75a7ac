//! What is learned from.

use burn::Tensor;

use super::{Answers, TrainError};
use crate::{
    error::ModelError,
    kernels::Forks,
    positions::Positions,
    text::Turns,
    thinker::{Embeddings, Model, Sequence},
    vision::Grid,
};

/// A clip with questions and the answers that should follow them.
#[derive(Debug, Clone)]
pub struct Example {
    /// Its name in errors.
    pub id: String,
    /// What all questions begin with, the clip among it.
    pub prefix: Sequence,
    /// The questions, each as if it alone followed the prefix; one at least.
    pub questions: Vec<Asked>,
    /// What the prefix's media tokens stand for.
    pub streams: Streams,
}

/// A question and its answer.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The question from where the prefix ends, and the answer.
    pub sequence: Sequence,
    /// Tokens at the end that are the answer.
    pub answer: usize,
}

impl Example {
    /// A sequence with media in it that ends with an answer of so many tokens.
    pub fn whole(id: String, sequence: Sequence, answer: usize, streams: Streams) -> Self {
        let prefix = Sequence { tokens: Vec::new(), positions: Positions::default() };
        Self { id, prefix, questions: vec![Asked { sequence, answer }], streams }
    }

    /// Tokens of the longest question with what it begins with.
    pub(super) fn longest(&self) -> usize {
        let questions = self.questions.iter().map(|asked| asked.sequence.tokens.len());
        self.prefix.tokens.len() + questions.max().unwrap_or(0)
    }

    /// Examples of which this is equal go through the model together: what they share is then computed once.
    pub(super) fn shape(&self) -> (usize, usize) {
        match self.questions.len() {
            0 | 1 => (1, 0),
            questions => (questions, self.prefix.tokens.len()),
        }
    }
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

    /// Questions of an example.
    fn questions(&self, _index: usize) -> usize {
        1
    }

    /// What all of them come from: a training goes on only with the same. A hash of ids and contents, say.
    fn identity(&self) -> String;

    /// An example.
    ///
    /// # Errors
    /// It cannot be read.
    fn example(&self, index: usize) -> Result<Example, TrainError>;
}

/// Examples that go through the model together. Where they have several questions, a row is an example: its prefix, and
/// then its questions, filled up to the longest. Otherwise it is a question with all before it.
pub(super) struct Batch {
    rows: Vec<Sequence>,
    pub(super) forks: Option<Forks>,
    pub(super) answers: Answers,
    streams: Vec<Streams>,
}

impl Batch {
    /// A batch of examples of one [`Example::shape`].
    pub(super) fn new(examples: Vec<Example>) -> Result<Self, ModelError> {
        let (branches, prefix) = examples.first().map_or((1, 0), Example::shape);
        if examples.iter().any(|example| example.questions.is_empty()) {
            return Err(ModelError::input("an example without questions"));
        }
        let forks = (branches > 1).then_some(Forks { prefix, branches });
        let questions = examples.iter().flat_map(|example| &example.questions);
        let longest = questions.map(|asked| asked.sequence.tokens.len()).max().unwrap_or(0);
        let mut batch = Self { rows: Vec::new(), forks, answers: Answers::default(), streams: Vec::new() };
        for Example { prefix: Sequence { mut tokens, mut positions }, questions, streams, .. } in examples {
            for Asked { sequence, answer } in questions {
                let (row, start) = (batch.rows.len(), tokens.len());
                if forks.is_some() {
                    batch.answers.add(row, start, &sequence.tokens, answer)?;
                }
                tokens.extend(&sequence.tokens);
                positions = positions.then(&sequence.positions);
                match forks {
                    // Nothing sees what a question is filled up with.
                    Some(_) => {
                        let missing = longest - sequence.tokens.len();
                        tokens.resize(tokens.len() + missing, 0);
                        positions = positions.then(&Positions::text(0, missing));
                    }
                    None => batch.answers.add(row, 0, &tokens, answer)?,
                }
            }
            batch.rows.push(Sequence { tokens, positions });
            batch.streams.push(streams);
        }
        Ok(batch)
    }

    /// Embeddings of all tokens: `[rows, longest, width]`.
    pub(super) fn embed(&self, model: &Model) -> Result<Tensor<3>, ModelError> {
        let tokens: Vec<&[i64]> = self.rows.iter().map(|row| row.tokens.as_slice()).collect();
        model.embed(&tokens, &self.media(model)?)
    }

    /// Angles of all tokens.
    pub(super) fn turns(&self, model: &Model) -> Turns {
        model.turns(&self.rows.iter().map(|row| &row.positions).collect::<Vec<_>>())
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
