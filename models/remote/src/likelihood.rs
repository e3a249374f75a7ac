//! What the likeliest first tokens tell about an answer.

use counterpoint_models::{Question, QuestionKind};

/// Largest share that may be uncertain because a server tells only the likeliest tokens.
const MAX_UNSEEN: f64 = 0.05;

/// A token that could have stood at one place, and the natural logarithm of how likely it was.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) token: String,
    pub(crate) logprob: f64,
}

impl Candidate {
    fn probability(&self) -> f64 {
        let probability = self.logprob.exp();
        if probability.is_finite() { probability.clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// What is told beside an answer's text.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Likelihoods {
    pub(crate) option_scores: Option<Vec<f32>>,
    pub(crate) yes_probability: Option<f32>,
}

/// What a token begins.
enum Beginning {
    Alternative(usize),
    // May go on as one or another.
    Several,
    SomethingElse,
}

/// Reads the candidates for an answer's first token.
///
/// Yes and no, or the options, are told apart by it alone; a token that may begin several of them counts as
/// not seen. Where what was not seen could move a share by more than 5 %, or an option was not seen at all,
/// nothing is told.
#[expect(clippy::cast_possible_truncation, reason = "a share needs no more digits")]
pub(crate) fn read(question: &Question, first: &[Candidate]) -> Likelihoods {
    match question.kind() {
        QuestionKind::Free => Likelihoods::default(),
        QuestionKind::YesNo => {
            let shares = shares(first, 2, yes_or_no);
            let yes_probability = shares.and_then(|shares| shares.first().map(|yes| *yes as f32));
            Likelihoods { yes_probability, ..Likelihoods::default() }
        }
        QuestionKind::Options(options) => {
            let shares = shares(first, options.len(), |token| one_of(options, token));
            let shares = shares.filter(|shares| shares.iter().all(|share| *share > 0.0));
            let scores = shares.map(|shares| shares.iter().map(|share| share.ln() as f32).collect());
            Likelihoods { option_scores: scores, ..Likelihoods::default() }
        }
    }
}

fn yes_or_no(token: &str) -> Beginning {
    let token = token.to_lowercase();
    let word = token.trim_matches(|letter: char| !letter.is_alphanumeric());
    match word {
        "yes" => Beginning::Alternative(0),
        "no" => Beginning::Alternative(1),
        // `**` or `Y` say nothing yet.
        part if "yes".starts_with(part) || "no".starts_with(part) => Beginning::Several,
        _ => Beginning::SomethingElse,
    }
}

fn one_of(options: &[String], token: &str) -> Beginning {
    let part = token.trim();
    let mut begun = options.iter().enumerate().filter(|(_, option)| option.starts_with(part));
    match (begun.next(), begun.next()) {
        (Some((index, _)), None) => Beginning::Alternative(index),
        (Some(_), Some(_)) => Beginning::Several,
        (None, _) => Beginning::SomethingElse,
    }
}

/// How the probability that fell on `count` alternatives is shared among them; `None` if too much is unseen.
fn shares(first: &[Candidate], count: usize, beginning: impl Fn(&str) -> Beginning) -> Option<Vec<f64>> {
    let mut shares = vec![0.0; count];
    let mut something_else = 0.0;
    for candidate in first {
        match beginning(&candidate.token) {
            Beginning::Alternative(index) => *shares.get_mut(index)? += candidate.probability(),
            Beginning::Several => {}
            Beginning::SomethingElse => something_else += candidate.probability(),
        }
    }
    let told: f64 = shares.iter().sum();
    let unseen = (1.0 - told - something_else).max(0.0);
    if told <= 0.0 || unseen / (told + unseen) > MAX_UNSEEN {
        return None;
    }
    Some(shares.iter().map(|share| share / told).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(tokens: &[(&str, f64)]) -> Vec<Candidate> {
        let candidate =
            |(token, share): &(&str, f64)| Candidate { token: (*token).to_owned(), logprob: share.ln() };
        tokens.iter().map(candidate).collect()
    }

    fn yes(tokens: &[(&str, f64)]) -> Option<f32> {
        read(&Question::yes_no("Is it?").unwrap(), &candidates(tokens)).yes_probability
    }

    #[test]
    fn yes_is_weighed_against_no_in_all_spellings() {
        let told = yes(&[("Yes", 0.5), (" yes", 0.1), ("No", 0.2), ("The", 0.19)]).unwrap();
        assert!((told - 0.75).abs() < 1e-5, "{told}");
        assert_eq!(yes(&[("No", 0.99)]), Some(0.0));
    }

    #[test]
    fn nothing_is_told_where_too_much_was_not_seen() {
        assert_eq!(yes(&[("Yes", 0.5), ("No", 0.3)]), None);
        assert_eq!(yes(&[("Yes", 0.5), ("No", 0.2), ("**", 0.3)]), None);
        assert_eq!(yes(&[("Yes", 0.01), ("The", 0.9)]), None);
        assert_eq!(yes(&[("A", 1.0)]), None);
        assert_eq!(yes(&[]), None);
        assert_eq!(yes(&[("Yes", f64::NAN), ("No", f64::INFINITY)]), None);
    }

    #[test]
    fn options_are_scored_where_their_first_tokens_tell_them_apart() {
        let scores = |options: &[&str], tokens: &[(&str, f64)]| {
            let options = options.iter().map(|option| (*option).to_owned()).collect();
            read(&Question::options("Which?", options).unwrap(), &candidates(tokens)).option_scores
        };
        let told = scores(&["Cat", "Door"], &[(" C", 0.6), ("Door", 0.2), ("Cat", 0.0), ("x", 0.2)]).unwrap();
        assert!((told[0] - 0.75_f32.ln()).abs() < 1e-5 && (told[1] - 0.25_f32.ln()).abs() < 1e-5, "{told:?}");
        let sum: f32 = told.iter().map(|score| score.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        assert_eq!(scores(&["Singing", "Singing_bowl"], &[("Sing", 1.0)]), None);
        assert_eq!(scores(&["Cat", "Door", "Rain"], &[("Cat", 0.6), ("Door", 0.4)]), None);
    }
}
