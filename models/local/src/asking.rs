//! Questions on a clip, and how they become answers.

use std::time::{Duration, Instant};

use burn::Tensor;
use counterpoint_models::{
    Answer, AskError, Clip, Decoding, Model, ModelFacts, Question, QuestionKind, TokenCounts,
};
use counterpoint_omni::{
    self as omni, Embeddings, Generation, Prefix, Sequence,
    inputs::{
        layout::{self, LayoutError},
        template::SYSTEM,
    },
};

use crate::{OmniModel, TowersError, shapes::Shapes};

/// Tokens of a question that are read in about the time of a pass that says one: such a pass waits for weights.
const PASS: usize = 16;

/// A clip as far as all questions share it.
struct Begun {
    prefix: Prefix,
    video: u32,
    audio: u32,
    text: u32,
}

/// One question after the clip.
struct Asked {
    sequence: Sequence,
    tokens: u32,
}

/// What the model said to it.
struct Said {
    text: String,
    tokens: usize,
    latency: Duration,
    option_scores: Option<Vec<f32>>,
    yes_probability: Option<f32>,
}

impl Model for OmniModel {
    fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    fn ask(
        &mut self,
        clip: &Clip,
        questions: &[Question],
        decoding: &Decoding,
    ) -> Vec<Result<Answer, AskError>> {
        let started = Instant::now();
        let begun = match self.begin(clip) {
            Ok(begun) => begun,
            Err(error) => return questions.iter().map(|_| Err(error.clone())).collect(),
        };
        let shared = started.elapsed();
        let mut answers: Vec<Option<Result<Answer, AskError>>> = questions.iter().map(|_| None).collect();
        let mut said = Vec::new();
        for (index, question) in questions.iter().enumerate() {
            if let QuestionKind::Options(options) = question.kind() {
                answers[index] = Some(self.choose(&begun, question, options));
                continue;
            }
            match self.asked(&begun, question) {
                Ok(asked) => said.push((index, asked)),
                Err(error) => answers[index] = Some(Err(error)),
            }
        }
        said.sort_by_key(|(_, asked)| asked.tokens);
        let lengths: Vec<usize> = said.iter().map(|(_, asked)| asked.sequence.tokens.len()).collect();
        for count in batches(&lengths, self.batch, decoding.max_new_tokens as usize) {
            let (indices, batch): (Vec<usize>, Vec<Asked>) = said.drain(..count).unzip();
            let batch: Vec<_> = indices.iter().map(|&index| &questions[index]).zip(batch).collect();
            for (index, answer) in indices.into_iter().zip(self.say(&begun, &batch, decoding)) {
                answers[index] = Some(answer);
            }
        }
        let mut answers: Vec<_> =
            answers.into_iter().map(|answer| answer.unwrap_or(Err(AskError::Stopped))).collect();
        if let Some(Ok(first)) = answers.first_mut() {
            first.latency += shared;
        }
        answers
    }
}

impl OmniModel {
    /// Computes what all questions on a clip share.
    fn begin(&self, clip: &Clip) -> Result<Begun, AskError> {
        if self.stop.is_set() {
            return Err(AskError::Stopped);
        }
        if clip.frames().is_none() && clip.sound().is_none() {
            return Err(self.refused("the clip has neither frames nor sound"));
        }
        let towers = |error: TowersError| match error {
            TowersError::Folder { .. } | TowersError::Kept(_) => AskError::Unavailable {
                model: self.facts.name.clone(),
                problem: error.to_string(),
                retry_after: None,
            },
            error => self.refused(error),
        };
        let seen =
            clip.frames().map(|frames| self.towers.see(&self.model, frames)).transpose().map_err(towers)?;
        let heard =
            clip.sound().map(|sound| self.towers.hear(&self.model, sound)).transpose().map_err(towers)?;
        let shapes = Shapes::new(
            clip.frames().zip(seen.as_ref().map(|seen| seen.grid)),
            heard.as_ref().map(|heard| heard.frames),
        );
        let ids = layout::prefix(&self.tokenizer, &self.timing, SYSTEM, &[shapes.media()])
            .map_err(|error| self.layout(error))?;
        let count = |tokens: usize| u32::try_from(tokens).unwrap_or(u32::MAX);
        let video = count(seen.as_ref().map_or(0, |seen| seen.embeddings.dims()[0]));
        let audio = count(heard.as_ref().map_or(0, |heard| heard.embeddings.dims()[0]));
        let text = count(ids.len()) - video - audio;
        let embeddings = Embeddings {
            images: None,
            videos: seen.map(|seen| seen.embeddings),
            sounds: heard.map(|heard| heard.embeddings),
        };
        let sequence = Sequence::new(wide(&ids), &shapes.positions(), self.model.config())
            .map_err(|error| self.refused(error))?;
        let prefix = self.model.prefix(&sequence, &embeddings).map_err(|error| self.refused(error))?;
        Ok(Begun { prefix, video, audio, text })
    }

    fn asked(&self, begun: &Begun, question: &Question) -> Result<Asked, AskError> {
        let ids =
            layout::suffix(&self.tokenizer, true, question.text()).map_err(|error| self.layout(error))?;
        let tokens = begun.prefix.len() + ids.len();
        let most = self.timing.most_tokens;
        if tokens > most {
            return Err(self.layout(LayoutError::TooLong { tokens, most }));
        }
        let tokens = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        Ok(Asked { sequence: Sequence::text(wide(&ids), begun.prefix.next()), tokens })
    }

    /// Answers in words, all in one pass.
    fn say(
        &self,
        begun: &Begun,
        batch: &[(&Question, Asked)],
        decoding: &Decoding,
    ) -> Vec<Result<Answer, AskError>> {
        let started = Instant::now();
        let _span = tracing::info_span!("model.generate", questions = batch.len()).entered();
        if self.stop.is_set() {
            return batch.iter().map(|_| Err(AskError::Stopped)).collect();
        }
        let sequences: Vec<Sequence> = batch.iter().map(|(_, asked)| asked.sequence.clone()).collect();
        let how = Generation {
            max_tokens: decoding.max_new_tokens as usize,
            stop: vec![self.end()],
            decoding: if decoding.temperature > 0.0 {
                omni::Decoding::Sampled {
                    temperature: f64::from(decoding.temperature),
                    top_p: f64::from(decoding.top_p),
                    top_k: 0,
                    seed: decoding.seed,
                }
            } else {
                omni::Decoding::Greedy
            },
        };
        let generated =
            self.model.generate_scored(Some(&begun.prefix), &sequences, &Embeddings::default(), &how);
        let (mut texts, scores) = match generated {
            Ok((tokens, scores)) => (tokens.into_iter(), rows(&scores)),
            Err(error) => return batch.iter().map(|_| Err(self.refused(&error))).collect(),
        };
        let latency = started.elapsed() / u32::try_from(sequences.len()).unwrap_or(1).max(1);
        let mut scores = scores.into_iter();
        let answers = batch.iter().map(|(question, asked)| {
            let (Some(tokens), Some(scores)) = (texts.next(), scores.next()) else {
                return Err(self.refused("it gave fewer answers than questions"));
            };
            let ids: Vec<u32> = tokens.iter().filter_map(|&token| u32::try_from(token).ok()).collect();
            let text = self.tokenizer.decode(&ids).map_err(|error| self.refused(error))?;
            let yes_probability = matches!(question.kind(), QuestionKind::YesNo)
                .then(|| share(&scores, &self.yes, &self.no))
                .flatten();
            let said = Said { text, tokens: ids.len(), latency, option_scores: None, yes_probability };
            Ok(self.answer(begun, asked, said))
        });
        answers.collect()
    }

    /// Answers by the likeliest of some options.
    fn choose(&self, begun: &Begun, question: &Question, options: &[String]) -> Result<Answer, AskError> {
        let started = Instant::now();
        let _span = tracing::info_span!("model.choose", options = options.len()).entered();
        if self.stop.is_set() {
            return Err(AskError::Stopped);
        }
        let asked = self.asked(begun, question)?;
        let ids = options.iter().map(|option| layout::answer(&self.tokenizer, option));
        let ids = ids.collect::<Result<Vec<_>, _>>().map_err(|error| self.layout(error))?;
        let continuations: Vec<Vec<i64>> = ids.iter().map(|ids| wide(ids)).collect();
        let likely = self.model.likelihoods(Some(&begun.prefix), &asked.sequence, &continuations);
        let scores = log_normalised(&likely.map_err(|error| self.refused(error))?);
        let best =
            scores.iter().enumerate().max_by(|one, other| one.1.total_cmp(other.1).then(other.0.cmp(&one.0)));
        let best = best.map_or(0, |(index, _)| index);
        let text = options.get(best).cloned().unwrap_or_default();
        let tokens = ids.get(best).map_or(0, Vec::len);
        let latency = started.elapsed();
        let said = Said { text, tokens, latency, option_scores: Some(scores), yes_probability: None };
        Ok(self.answer(begun, &asked, said))
    }

    fn answer(&self, begun: &Begun, asked: &Asked, said: Said) -> Answer {
        let text_tokens = begun.text + asked.tokens;
        Answer {
            text: said.text,
            option_scores: said.option_scores,
            yes_probability: said.yes_probability,
            tokens: TokenCounts {
                prompt: Some(text_tokens + begun.video + begun.audio),
                text: Some(text_tokens),
                video: Some(begun.video),
                audio: Some(begun.audio),
                answer: u32::try_from(said.tokens).ok(),
            },
            latency: said.latency,
            requests: 0,
            cost_usd: None,
        }
    }

    fn refused(&self, problem: impl ToString) -> AskError {
        AskError::Refused { model: self.facts.name.clone(), problem: problem.to_string() }
    }

    fn layout(&self, error: LayoutError) -> AskError {
        self.refused(error)
    }
}

/// Sizes of batches of questions with so many tokens, which never get fewer: at most `most` in a batch, and a new one
/// where to fill up the shorter ones would take more than passes of their own for each token of the answers.
fn batches(lengths: &[usize], most: usize, answer: usize) -> Vec<usize> {
    let bearable = answer.saturating_mul(PASS);
    let mut sizes = Vec::new();
    let (mut count, mut tokens) = (0, 0);
    for &length in lengths {
        if count == most || (length * count).saturating_sub(tokens) > bearable {
            sizes.push(count);
            (count, tokens) = (0, 0);
        }
        (count, tokens) = (count + 1, tokens + length);
    }
    if count > 0 {
        sizes.push(count);
    }
    sizes
}

fn wide(ids: &[u32]) -> Vec<i64> {
    ids.iter().map(|&id| i64::from(id)).collect()
}

/// Scores by row; those that cannot be read are none.
fn rows(scores: &Tensor<2>) -> Vec<Vec<f32>> {
    let [_, vocabulary] = scores.dims();
    let values = scores.to_data().convert::<f32>().try_into_vec::<f32>().unwrap_or_default();
    values.chunks(vocabulary.max(1)).map(<[f32]>::to_vec).collect()
}

/// How likely one of `these` tokens is among them and `those`; `None` if a token is in both, which no tokenizer of
/// words has, or in neither.
fn share(scores: &[f32], these: &[usize], those: &[usize]) -> Option<f32> {
    if these.is_empty() || those.is_empty() || these.iter().any(|token| those.contains(token)) {
        return None;
    }
    let both = these.iter().chain(those).filter_map(|&token| scores.get(token));
    let highest = both.copied().fold(f32::NEG_INFINITY, f32::max);
    let mass = |tokens: &[usize]| {
        tokens.iter().filter_map(|&token| scores.get(token)).map(|score| (score - highest).exp()).sum::<f32>()
    };
    Some(mass(these) / (mass(these) + mass(those)))
}

/// Logarithms of shares of 1 in proportion to the exponentials of these.
fn log_normalised(likelihoods: &[f32]) -> Vec<f32> {
    let highest = likelihoods.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = likelihoods.iter().map(|value| (value - highest).exp()).sum();
    likelihoods.iter().map(|value| value - highest - sum.ln()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yes_is_weighed_against_no_alone() {
        let scores = [5.0, 1.0, 1.0, 1.0 + 3.0_f32.ln()];
        let share = share(&scores, &[3], &[1]).unwrap_or_default();
        assert!((share - 0.75).abs() < 1e-6, "{share}");
        assert_eq!(super::share(&scores, &[1], &[1]), None);
        assert_eq!(super::share(&scores, &[], &[1]), None);
    }

    #[test]
    fn questions_are_batched_by_length_unless_filling_up_is_cheap() {
        let lengths = [10, 11, 12, 200, 201];
        assert_eq!(batches(&lengths, 32, 8), [3, 2], "three times 190 tokens are more than 8 passes");
        assert_eq!(batches(&lengths, 32, 64), [5], "but fewer than 64");
        assert_eq!(batches(&lengths, 2, 64), [2, 2, 1]);
        assert_eq!(batches(&[], 2, 64), [0_usize; 0]);
    }

    #[test]
    fn shares_of_options_sum_to_one() {
        let shares: f32 = log_normalised(&[-700.0, -701.0, -900.0]).iter().map(|value| value.exp()).sum();
        assert!((shares - 1.0).abs() < 1e-6, "{shares}");
    }
}
