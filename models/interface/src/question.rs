use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What a model is asked about a clip.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    text: String,
    kind: QuestionKind,
}

/// What the answer may be, and what is to be told beside its text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum QuestionKind {
    /// Any text.
    Free,
    /// One of these texts: a model that can is held to them, and tells how likely each one is
    /// ([`Answer::option_scores`](crate::Answer::option_scores)).
    Options(Vec<String>),
    /// Any text, beginning with yes or no: a model that can tells how likely yes is
    /// ([`Answer::yes_probability`](crate::Answer::yes_probability)).
    YesNo,
}

impl Question {
    /// A question that any text may answer.
    ///
    /// # Errors
    /// [`QuestionError`] if the text is blank.
    pub fn free(text: impl Into<String>) -> Result<Self, QuestionError> {
        Self::new(text.into(), QuestionKind::Free)
    }

    /// A question that one of `options` answers. The text should name them: nothing is added to it.
    ///
    /// # Errors
    /// [`QuestionError`] if the text is blank, if there are fewer than two options, or if one is blank or
    /// stands there twice.
    pub fn options(text: impl Into<String>, options: Vec<String>) -> Result<Self, QuestionError> {
        if options.len() < 2 {
            return Err(QuestionError::TooFew { count: options.len() });
        }
        let mut seen = BTreeSet::new();
        for option in &options {
            if option.trim().is_empty() || !seen.insert(option) {
                return Err(QuestionError::Option { option: option.clone() });
            }
        }
        Self::new(text.into(), QuestionKind::Options(options))
    }

    /// A question that yes or no answers.
    ///
    /// # Errors
    /// [`QuestionError`] if the text is blank.
    pub fn yes_no(text: impl Into<String>) -> Result<Self, QuestionError> {
        Self::new(text.into(), QuestionKind::YesNo)
    }

    fn new(text: String, kind: QuestionKind) -> Result<Self, QuestionError> {
        if text.trim().is_empty() { Err(QuestionError::Blank) } else { Ok(Self { text, kind }) }
    }

    /// The prompt, word for word.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the answer may be.
    pub fn kind(&self) -> &QuestionKind {
        &self.kind
    }
}

/// What is no question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// No words.
    #[error("a question without words: give its text")]
    Blank,
    /// Nothing to choose from.
    #[error("a question with {count} options: give at least 2, or ask it without options")]
    TooFew {
        /// Options given.
        count: usize,
    },
    /// Blank or repeated.
    #[error("option `{option}` is blank or stands there twice: every option is a text of its own")]
    Option {
        /// As given.
        option: String,
    },
}

/// How an answer is drawn from a model. Part of the id of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Decoding {
    /// Most tokens of an answer.
    pub max_new_tokens: u32,
    /// 0 takes the likeliest token each time; more draws.
    pub temperature: f32,
    /// Draws among the likeliest tokens that together are this likely.
    pub top_p: f32,
    /// Seed of the draws; without effect at temperature 0.
    pub seed: u64,
}

impl Default for Decoding {
    /// Greedy, with room for a sentence.
    fn default() -> Self {
        Self { max_new_tokens: 64, temperature: 0.0, top_p: 1.0, seed: 0 }
    }
}

impl Decoding {
    /// Refuses what can never work.
    ///
    /// # Errors
    /// [`ModelError::Setting`](crate::ModelError::Setting) with the first value that is out of range.
    pub fn check(&self) -> Result<(), crate::ModelError> {
        crate::ModelError::first_of([
            (
                "decoding.max_new_tokens".to_owned(),
                self.max_new_tokens.to_string(),
                (1..=65_536).contains(&self.max_new_tokens),
                "from 1 to 65536 tokens",
            ),
            (
                "decoding.temperature".to_owned(),
                self.temperature.to_string(),
                (0.0..=2.0).contains(&self.temperature),
                "from 0 (greedy) to 2",
            ),
            (
                "decoding.top_p".to_owned(),
                self.top_p.to_string(),
                self.top_p > 0.0 && self.top_p <= 1.0,
                "more than 0 and at most 1",
            ),
        ])
    }

    /// Whether the likeliest token is taken each time.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_has_words_and_distinct_options() {
        assert_eq!(Question::free(" \n"), Err(QuestionError::Blank));
        let options = |options: &[&str]| {
            Question::options("Which?", options.iter().map(|option| (*option).to_owned()).collect())
        };
        assert_eq!(options(&["Cat"]), Err(QuestionError::TooFew { count: 1 }));
        assert!(matches!(options(&["Cat", "Cat"]), Err(QuestionError::Option { .. })));
        assert!(matches!(options(&["Cat", " "]), Err(QuestionError::Option { .. })));
        assert_eq!(options(&["Cat", "Rain"]).unwrap().text(), "Which?");
    }

    #[test]
    fn decoding_is_checked_and_names_the_value() {
        assert!(Decoding::default().check().is_ok());
        assert!(Decoding::default().is_greedy());
        let wrong = [
            Decoding { max_new_tokens: 0, ..Decoding::default() },
            Decoding { temperature: -1.0, ..Decoding::default() },
            Decoding { temperature: f32::NAN, ..Decoding::default() },
            Decoding { top_p: 0.0, ..Decoding::default() },
        ];
        for decoding in wrong {
            assert!(decoding.check().is_err(), "{decoding:?}");
        }
        let error = Decoding { top_p: 3.0, ..Decoding::default() }.check().unwrap_err();
        assert_eq!(error.to_string(), "setting decoding.top_p is 3: more than 0 and at most 1");
    }
}
