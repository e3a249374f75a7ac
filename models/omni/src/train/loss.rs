//! The loss of answers: cross-entropy of the tokens that should be said, nowhere else.

use burn::{
    Tensor,
    tensor::{DType, Int, TensorData, activation},
};

use crate::{
    error::ModelError,
    text::Observer,
    thinker::{Model, Sequence},
};

/// The tokens of a batch that should be said.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// Sequence and token after which each token should come.
    before: Vec<[usize; 2]>,
    /// The token.
    wanted: Vec<i64>,
}

impl Answers {
    /// The last tokens of each sequence: `counts[i]` of sequence i.
    ///
    /// # Errors
    /// A sequence has no token before its answer, or no answer.
    pub fn at_end(sequences: &[Sequence], counts: &[usize]) -> Result<Self, ModelError> {
        let mut answers = Self::default();
        for (row, (sequence, &count)) in sequences.iter().zip(counts).enumerate() {
            let tokens = sequence.tokens.len();
            if count == 0 || count >= tokens {
                let what = format!("an answer of {count} tokens does not fit into a sequence of {tokens}");
                return Err(ModelError::input(what));
            }
            for place in tokens - count..tokens {
                answers.before.push([row, place - 1]);
                answers.wanted.push(sequence.tokens[place]);
            }
        }
        Ok(answers)
    }

    /// Number of tokens.
    pub fn count(&self) -> usize {
        self.wanted.len()
    }

    /// The first token of any sequence whose state is needed.
    pub(super) fn first(&self) -> usize {
        self.before.iter().map(|[_, token]| *token).min().unwrap_or(0)
    }

    /// Sum of what each token's surprise is, in nats. Scores are computed for these tokens only, and compared in f32.
    pub fn surprise(&self, model: &Model, states: Tensor<3>) -> Tensor<1> {
        self.surprise_from(0, model, states)
    }

    /// The same from states that begin with that token of each sequence.
    pub(super) fn surprise_from(&self, start: usize, model: &Model, states: Tensor<3>) -> Tensor<1> {
        let [count, length, width] = states.dims();
        let device = states.device().inner();
        let ints = |values: &[i64]| Tensor::<1, Int>::from_data(TensorData::from(values), &device);
        let before: Vec<i64> =
            self.before.iter().map(|[row, token]| (row * length + token - start) as i64).collect();
        let states = states.reshape([count * length, width]).select(0, ints(&before));
        let logits = model.logits(states).cast(DType::F32);
        let wanted = ints(&self.wanted).unsqueeze_dim::<2>(1);
        activation::log_softmax(logits, 1).gather(1, wanted).sum().neg()
    }
}

impl Model {
    /// The loss of a batch whose embeddings are there: the mean surprise of a token.
    pub fn loss(
        &self,
        embeddings: Tensor<3>,
        sequences: &[Sequence],
        answers: &Answers,
        observer: Option<Observer<'_>>,
    ) -> Tensor<1> {
        let positions: Vec<_> = sequences.iter().map(|sequence| &sequence.positions).collect();
        let states = self.states(embeddings, &positions, None, observer);
        answers.surprise(self, states).div_scalar(answers.count() as f64)
    }
}
