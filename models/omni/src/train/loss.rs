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
            answers.add(row, 0, &sequence.tokens, count)?;
        }
        Ok(answers)
    }

    /// Adds the last tokens of a sequence that begins at that token of a row.
    pub(super) fn add(
        &mut self,
        row: usize,
        start: usize,
        tokens: &[i64],
        count: usize,
    ) -> Result<(), ModelError> {
        let length = tokens.len();
        if count == 0 || count >= length {
            let what = format!("an answer of {count} tokens does not fit into a sequence of {length}");
            return Err(ModelError::input(what));
        }
        for (place, &token) in tokens.iter().enumerate().skip(length - count) {
            self.before.push([row, start + place - 1]);
            self.wanted.push(token);
        }
        Ok(())
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
        let wanted = ints(&self.wanted, &states).unsqueeze_dim::<2>(1);
        let logits = self.logits_from(start, model, states).cast(DType::F32);
        activation::log_softmax(logits, 1).gather(1, wanted).sum().neg()
    }

    /// Of each answer, whether it is what a greedy model would say: every token of it is the likeliest one after those
    /// before.
    pub fn are_said(&self, model: &Model, states: Tensor<3>) -> Vec<bool> {
        let likeliest = self.logits_from(0, model, states).argmax(1).to_data().convert::<i64>();
        let likeliest = likeliest.try_into_vec::<i64>().unwrap_or_default();
        let mut are_said: Vec<bool> = Vec::new();
        let mut last: Option<[usize; 2]> = None;
        for (place, (before, wanted)) in self.before.iter().zip(&self.wanted).enumerate() {
            let goes_on = last.is_some_and(|[row, token]| *before == [row, token + 1]);
            last = Some(*before);
            let is_said = likeliest.get(place) == Some(wanted);
            match are_said.last_mut().filter(|_| goes_on) {
                Some(all) => *all &= is_said,
                None => are_said.push(is_said),
            }
        }
        are_said
    }

    /// The scores of all tokens for each place where one should come, from states that begin with token `start`.
    fn logits_from(&self, start: usize, model: &Model, states: Tensor<3>) -> Tensor<2> {
        let [count, length, width] = states.dims();
        let before: Vec<i64> =
            self.before.iter().map(|[row, token]| (row * length + token - start) as i64).collect();
        let before = ints(&before, &states);
        model.logits(states.reshape([count * length, width]).select(0, before))
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

/// Numbers where some states are.
fn ints(values: &[i64], states: &Tensor<3>) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::from(values), &states.device().inner())
}
