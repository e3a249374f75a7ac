//! Answers: the next token again and again, with keys and values kept, for many questions at once.

use burn::{
    Tensor,
    tensor::{Int, TensorData, activation::log_softmax},
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    error::ModelError,
    positions::Positions,
    text::Cache,
    thinker::{Embeddings, Model, Sequence},
};

/// How the next token is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decoding {
    /// The one with the highest score, the first of equals.
    Greedy,
    /// One drawn from the probabilities.
    Sampled {
        /// Scores are divided by it; above 0.
        temperature: f64,
        /// Only the most probable tokens that together reach this are drawn; 1 for all.
        top_p: f64,
        /// Only so many most probable tokens are drawn; 0 for all.
        top_k: usize,
        /// The same seed draws the same tokens, whatever else is asked in the batch.
        seed: u64,
    },
}

/// How long answers are and what ends them.
#[derive(Debug, Clone, PartialEq)]
pub struct Generation {
    /// Most tokens of an answer.
    pub max_tokens: usize,
    /// Tokens that end an answer; they belong to it.
    pub stop: Vec<i64>,
    /// How tokens are chosen.
    pub decoding: Decoding,
}

/// What several questions begin with, computed once.
#[derive(Debug, Clone)]
pub struct Prefix {
    cache: Cache,
    /// The position at which text goes on.
    next: i64,
    /// The position beyond all of it.
    beyond: i64,
}

impl Prefix {
    /// The position at which a question goes on.
    pub fn next(&self) -> i64 {
        self.next
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.cache.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.cache.is_empty()
    }
}

impl Model {
    /// Computes what several questions begin with: a clip, and the text before it.
    ///
    /// # Errors
    /// The tokens do not fit to the media.
    pub fn prefix(&self, sequence: &Sequence, media: &Embeddings) -> Result<Prefix, ModelError> {
        let mut cache = self.cache();
        let embeddings = self.embed(&[&sequence.tokens], media)?;
        let turns = self.turns(&[&sequence.positions]).in_numbers_of(&embeddings);
        self.thinker().text.keep(embeddings, &turns, &mut cache);
        cache.advance(sequence.tokens.len(), &[sequence.tokens.len()]);
        let Sequence { positions, .. } = sequence;
        Ok(Prefix { cache: cache.share(), next: positions.next_of_text(), beyond: positions.next() })
    }

    /// Scores of the token after each sequence.
    ///
    /// # Shapes
    /// - output: `[sequences, vocabulary]`
    ///
    /// # Errors
    /// The tokens do not fit to the media, or a sequence is empty.
    pub fn next_scores(
        &self,
        prefix: Option<&Prefix>,
        sequences: &[Sequence],
        media: &Embeddings,
    ) -> Result<Tensor<2>, ModelError> {
        Ok(self.begin(prefix, sequences, media)?.1)
    }

    /// Answers to questions that share a beginning, or nothing.
    ///
    /// Questions after a prefix hold text only, at the positions from [`Prefix::next`] on.
    ///
    /// # Errors
    /// The tokens do not fit to the media, or a sequence is empty.
    pub fn generate(
        &self,
        prefix: Option<&Prefix>,
        sequences: &[Sequence],
        media: &Embeddings,
        how: &Generation,
    ) -> Result<Vec<Vec<i64>>, ModelError> {
        Ok(self.generate_scored(prefix, sequences, media, how)?.0)
    }

    /// Answers like [`Model::generate`], and the scores that their first tokens were chosen by.
    ///
    /// # Shapes
    /// - scores: `[sequences, vocabulary]`
    ///
    /// # Errors
    /// Those of [`Model::generate`].
    pub fn generate_scored(
        &self,
        prefix: Option<&Prefix>,
        sequences: &[Sequence],
        media: &Embeddings,
        how: &Generation,
    ) -> Result<(Vec<Vec<i64>>, Tensor<2>), ModelError> {
        let (mut cache, mut scores) = self.begin(prefix, sequences, media)?;
        let first = scores.clone();
        let mut choosers: Vec<Chooser> = sequences.iter().map(|_| Chooser::new(how.decoding)).collect();
        let mut answers = vec![Vec::new(); sequences.len()];
        let beyond = prefix.map_or(0, |prefix| prefix.beyond);
        let mut next: Vec<i64> =
            sequences.iter().map(|sequence| sequence.positions.next().max(beyond)).collect();
        for step in 0..how.max_tokens {
            let chosen = choose(&scores, &mut choosers)?;
            let mut going = false;
            for (answer, &token) in answers.iter_mut().zip(&chosen) {
                let ended = answer.last().is_some_and(|last| how.stop.contains(last));
                if !ended {
                    answer.push(token);
                    going |= !how.stop.contains(&token);
                }
            }
            if !going || step + 1 == how.max_tokens {
                break;
            }
            let tokens: Vec<[i64; 1]> = chosen.iter().map(|&token| [token]).collect();
            let tokens: Vec<&[i64]> = tokens.iter().map(<[i64; 1]>::as_slice).collect();
            let positions: Vec<Positions> = next.iter().map(|&start| Positions::text(start, 1)).collect();
            let positions: Vec<&Positions> = positions.iter().collect();
            let embeddings = self.embed(&tokens, &Embeddings::default())?;
            let states = self.states(embeddings, &positions, Some(&mut cache), None);
            cache.advance(1, &[]);
            scores = self.logits(states.squeeze_dim(1));
            for position in &mut next {
                *position += 1;
            }
        }
        Ok((answers, first))
    }

    /// How likely each continuation of a question is: the natural logarithm of the probability of all its tokens,
    /// one after another.
    ///
    /// # Errors
    /// A continuation or the question is empty, or holds tokens outside the vocabulary.
    pub fn likelihoods(
        &self,
        prefix: Option<&Prefix>,
        question: &Sequence,
        continuations: &[Vec<i64>],
    ) -> Result<Vec<f32>, ModelError> {
        let (cache, scores) = self.begin(prefix, std::slice::from_ref(question), &Embeddings::default())?;
        let next = question.positions.next();
        let longest = continuations.iter().map(Vec::len).max().unwrap_or(0);
        if continuations.iter().any(Vec::is_empty) {
            return Err(ModelError::input("a continuation without tokens has no likelihood"));
        }
        let first = log_softmax(scores, 1);
        let mut sums = vec![0.0; continuations.len()];
        let mut add = |row: usize, values: &[f32], token: i64| -> Result<(), ModelError> {
            let value = usize::try_from(token).ok().and_then(|token| values.get(token));
            sums[row] +=
                value.ok_or_else(|| ModelError::input(format!("token {token} is outside the vocabulary")))?;
            Ok(())
        };
        let values = floats(&first)?;
        for (row, continuation) in continuations.iter().enumerate() {
            add(row, &values, continuation[0])?;
        }
        if longest > 1 {
            let mut cache = cache.share();
            // The last token of the longest is predicted, and never read.
            let read: Vec<&[i64]> = continuations.iter().map(|tokens| &tokens[..tokens.len() - 1]).collect();
            let positions = Positions::text(next, longest - 1);
            let positions: Vec<&Positions> = read.iter().map(|_| &positions).collect();
            let embeddings = self.embed(&read, &Embeddings::default())?;
            let states = self.states(embeddings, &positions, Some(&mut cache), None);
            for step in 1..longest {
                let states = states.clone().narrow(1, step - 1, 1).squeeze_dim::<2>(1);
                let values = floats(&log_softmax(self.logits(states), 1))?;
                let vocabulary = values.len() / continuations.len();
                for (row, continuation) in continuations.iter().enumerate() {
                    if let Some(&token) = continuation.get(step) {
                        add(row, &values[row * vocabulary..(row + 1) * vocabulary], token)?;
                    }
                }
            }
        }
        Ok(sums)
    }

    fn begin(
        &self,
        prefix: Option<&Prefix>,
        sequences: &[Sequence],
        media: &Embeddings,
    ) -> Result<(Cache, Tensor<2>), ModelError> {
        if sequences.is_empty() || sequences.iter().any(|sequence| sequence.tokens.is_empty()) {
            return Err(ModelError::input("a question without tokens cannot be answered"));
        }
        let mut cache = prefix.map_or_else(|| self.cache(), |prefix| prefix.cache.clone());
        let tokens: Vec<&[i64]> = sequences.iter().map(|sequence| sequence.tokens.as_slice()).collect();
        let positions: Vec<&Positions> = sequences.iter().map(|sequence| &sequence.positions).collect();
        let embeddings = self.embed(&tokens, media)?;
        let states = self.states(embeddings, &positions, Some(&mut cache), None);
        let [count, longest, width] = states.dims();
        let lengths: Vec<usize> = tokens.iter().map(|tokens| tokens.len()).collect();
        cache.advance(longest, &lengths);
        let last: Vec<i64> =
            lengths.iter().enumerate().map(|(row, length)| (row * longest + length - 1) as i64).collect();
        let last = Tensor::<1, Int>::from_data(TensorData::from(last.as_slice()), &states.device());
        let states = states.reshape([count * longest, width]).select(0, last);
        Ok((cache, self.logits(states)))
    }
}

/// Chooses the tokens of one answer.
struct Chooser {
    decoding: Decoding,
    random: ChaCha8Rng,
}

impl Chooser {
    fn new(decoding: Decoding) -> Self {
        let seed = match decoding {
            Decoding::Greedy => 0,
            Decoding::Sampled { seed, .. } => seed,
        };
        Self { decoding, random: ChaCha8Rng::seed_from_u64(seed) }
    }

    fn choose(&mut self, scores: &[f32]) -> usize {
        let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let Decoding::Sampled { temperature, top_p, top_k, .. } = self.decoding else {
            return scores.iter().position(|&score| score == highest).unwrap_or(0);
        };
        let temperature = temperature.max(1e-6);
        let weight = |score: f32| (f64::from(score - highest) / temperature).exp();
        let mut likely: Vec<(usize, f64)> = scores.iter().map(|&score| weight(score)).enumerate().collect();
        likely.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
        if top_k > 0 {
            likely.truncate(top_k);
        }
        let total: f64 = likely.iter().map(|(_, weight)| weight).sum();
        let mut sum = 0.0;
        let within = likely.iter().take_while(|(_, weight)| {
            let before = sum;
            sum += weight / total;
            before < top_p
        });
        let within = within.count().max(1);
        likely.truncate(within);
        let total: f64 = likely.iter().map(|(_, weight)| weight).sum();
        let mut left = self.random.random::<f64>() * total;
        for (token, weight) in &likely {
            left -= weight;
            if left < 0.0 {
                return *token;
            }
        }
        likely.first().map_or(0, |(token, _)| *token)
    }
}

/// The values of scores, row by row.
fn floats(scores: &Tensor<2>) -> Result<Vec<f32>, ModelError> {
    let values = scores.to_data().convert::<f32>().try_into_vec::<f32>();
    values.map_err(|error| ModelError::input(format!("scores cannot be read: {error:?}")))
}

/// One token a row of scores.
fn choose(scores: &Tensor<2>, choosers: &mut [Chooser]) -> Result<Vec<i64>, ModelError> {
    let [_, vocabulary] = scores.dims();
    let values = floats(scores)?;
    let rows = values.chunks(vocabulary).zip(choosers);
    Ok(rows.map(|(row, chooser)| chooser.choose(row) as i64).collect())
}
