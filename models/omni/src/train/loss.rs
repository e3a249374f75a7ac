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
    /// Row of the batch's states, flattened, after which each token should come.
    before: Vec<i64>,
    /// The token.
    wanted: Vec<i64>,
}

impl Answers {
    /// The last tokens of each sequence: `counts[i]` of sequence i.
    ///
    /// # Errors
    /// A sequence has no token before its answer, or no answer.
    pub fn at_end(sequences: &[Sequence], counts: &[usize]) -> Result<Self, ModelError> {
        let longest = sequences.iter().map(|sequence| sequence.tokens.len()).max().unwrap_or(0);
        let mut answers = Self::default();
        for (row, (sequence, &count)) in sequences.iter().zip(counts).enumerate() {
            let tokens = sequence.tokens.len();
            if count == 0 || count >= tokens {
                let what = format!("an answer of {count} tokens does not fit into a sequence of {tokens}");
                return Err(ModelError::input(what));
            }
            for place in tokens - count..tokens {
                answers.before.push((row * longest + place - 1) as i64);
                answers.wanted.push(sequence.tokens[place]);
            }
        }
        Ok(answers)
    }

    /// Number of tokens.
    pub fn count(&self) -> usize {
        self.wanted.len()
    }

    /// Sum of what each token's surprise is, in nats. Scores are computed for these tokens only, and compared in f32.
    pub fn surprise(&self, model: &Model, states: Tensor<3>) -> Tensor<1> {
        let [count, longest, width] = states.dims();
        let device = states.device().inner();
        let ints = |values: &[i64]| Tensor::<1, Int>::from_data(TensorData::from(values), &device);
        let states = states.reshape([count * longest, width]).select(0, ints(&self.before));
        let logits = model.logits(states).cast(DType::F32);
        let wanted = ints(&self.wanted).unsqueeze_dim::<2>(1);
        activation::log_softmax(logits, 1).gather(1, wanted).sum().neg()
    }
}

impl Answers {
    /// Of each sequence, whether its answer is what a greedy model would say: every token of it is the likeliest one
    /// after those before.
    pub fn are_said(&self, model: &Model, states: Tensor<3>) -> Vec<bool> {
        let [count, longest, width] = states.dims();
        let rows = Tensor::<1, Int>::from_data(TensorData::from(self.before.as_slice()), &states.device());
        let states = states.reshape([count * longest, width]).select(0, rows);
        let likeliest = model.logits(states).argmax(1).to_data().convert::<i64>();
        let likeliest = likeliest.try_into_vec::<i64>().unwrap_or_default();
        let mut are_said = vec![true; count];
        for (place, (before, wanted)) in self.before.iter().zip(&self.wanted).enumerate() {
            let row = usize::try_from(*before).unwrap_or_default() / longest.max(1);
            if let Some(is_said) = are_said.get_mut(row) {
                *is_said &= likeliest.get(place) == Some(wanted);
            }
        }
        are_said
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
