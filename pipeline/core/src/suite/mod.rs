//! Suites: which questions are asked under which conditions, what is right, and what answers name.
//!
//! Kinds of questions and conditions of samples multiply (appendix: Table 5 asks with `None of the above` on
//! black frames, Table 6 thinks first on misaligned clips). A suite file says which pairs are wanted:
//!
//! ```toml
//! options = "found"            # classes of the run's samples; or "all" that curation knows, or a list
//! [[ask]]
//! conditions = ["aligned", "misaligned"]
//! questions = ["visual", "audio", "match"]
//! ```

mod condition;
mod question;

use counterpoint_messages::{Chosen, RecipeName, SampleComposed};
use serde::{Deserialize, Serialize};

pub use self::{condition::Condition, question::QuestionName};
use crate::questions::{
    Expected, Matching, NONE_OF_THE_ABOVE, OptionReader, Query, Reading, Stream, Wording, yes_no,
};

/// Questions and the conditions that they are asked under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// Which classes questions offer.
    #[serde(default)]
    pub options: Options,
    /// What the sources leave open about the words.
    #[serde(default)]
    pub wording: Wording,
    /// What is asked.
    pub ask: Vec<Asks>,
}

/// Every question of a group under every condition of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asks {
    /// Conditions.
    pub conditions: Vec<Condition>,
    /// Questions.
    pub questions: Vec<QuestionName>,
}

/// Which classes questions offer. The sources differ: 61 are offered, 49 have clips (design section 11).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Options {
    /// Those of the run's samples.
    #[default]
    Found,
    /// All that the run's curation knows.
    All,
    /// These.
    #[serde(untagged)]
    Listed(Vec<String>),
}

/// A suite that cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SuiteError {
    /// Not TOML, or not of this form.
    #[error("{name}: {detail}")]
    Syntax {
        /// File.
        name: String,
        /// What is wrong and where.
        detail: String,
    },
    /// No such condition.
    #[error("`{given}` is no condition: choose from {}", Condition::all().map(Condition::as_str).collect::<Vec<_>>().join(", "))]
    Condition {
        /// As given.
        given: String,
    },
    /// No such question.
    #[error("`{given}` is no question: choose from {}", QuestionName::all().map(QuestionName::as_str).collect::<Vec<_>>().join(", "))]
    Question {
        /// As given.
        given: String,
    },
    /// A question that has no right answer under a condition.
    #[error("question `{question}` has no right answer under condition `{condition}`: {remedy}")]
    Pair {
        /// Question.
        question: QuestionName,
        /// Condition.
        condition: Condition,
        /// Where it has one.
        remedy: &'static str,
    },
    /// Nothing is asked.
    #[error("the suite asks nothing{under}: name conditions and questions")]
    Empty {
        /// Under which conditions, if only those are wanted.
        under: String,
    },
    /// No choice.
    #[error("{count} classes to choose from: a question needs at least 2; run more classes, or list options")]
    TooFewClasses {
        /// Classes there are.
        count: usize,
    },
}

/// A question on one sample, and the right answer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// Condition.
    pub condition: Condition,
    /// Question.
    pub question: QuestionName,
    /// The same as an experiment knows it.
    pub query: Query,
    /// The right answer.
    pub expected: String,
}

impl Suite {
    /// Both class questions under these conditions.
    pub fn of_classes(conditions: &[Condition]) -> Self {
        let questions = Stream::ALL.map(QuestionName::Class).to_vec();
        let ask = vec![Asks { conditions: conditions.to_vec(), questions }];
        Self { options: Options::Found, wording: Wording::default(), ask }
    }

    /// Reads a suite file; `name` is for messages.
    ///
    /// # Errors
    /// [`SuiteError`] with the line, or the pair that makes no sense.
    pub fn from_toml(text: &str, name: &str) -> Result<Self, SuiteError> {
        let syntax = |detail: String| SuiteError::Syntax { name: name.to_owned(), detail };
        let suite: Self = toml::from_str(text).map_err(|error| syntax(error.to_string()))?;
        suite.check()?;
        Ok(suite)
    }

    /// Under these conditions alone.
    ///
    /// # Errors
    /// [`SuiteError::Empty`] if nothing is left.
    pub fn under(mut self, conditions: &[Condition]) -> Result<Self, SuiteError> {
        for asks in &mut self.ask {
            asks.conditions.retain(|condition| conditions.contains(condition));
        }
        if self.pairs().is_empty() {
            let names: Vec<_> = conditions.iter().map(|condition| condition.as_str()).collect();
            return Err(SuiteError::Empty { under: format!(" under {}", names.join(", ")) });
        }
        Ok(self)
    }

    /// Refuses what has no right answer.
    ///
    /// # Errors
    /// The first pair without one; [`SuiteError::Empty`] if nothing is asked.
    pub fn check(&self) -> Result<(), SuiteError> {
        for (condition, question) in self.pairs() {
            if let Err(remedy) = is_answerable(condition, question) {
                return Err(SuiteError::Pair { question, condition, remedy });
            }
        }
        match self.pairs().is_empty() {
            true => Err(SuiteError::Empty { under: String::new() }),
            false => Ok(()),
        }
    }

    /// Every condition and question once, in the order of reports.
    pub fn pairs(&self) -> Vec<(Condition, QuestionName)> {
        let both = self.ask.iter().flat_map(|asks| {
            asks.conditions
                .iter()
                .flat_map(|condition| asks.questions.iter().map(|asked| (*condition, *asked)))
        });
        let mut pairs: Vec<_> = both.collect();
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    }

    /// Whether anything is asked of samples of this recipe.
    pub fn asks_of(&self, recipe: RecipeName) -> bool {
        self.ask.iter().any(|asks| {
            !asks.questions.is_empty() && asks.conditions.iter().any(|condition| condition.recipe() == recipe)
        })
    }

    /// The questions on a sample; `classes` are the options.
    pub fn put(&self, sample: &SampleComposed, classes: &[String]) -> Vec<Put> {
        let pairs = self.pairs().into_iter();
        let pairs = pairs.filter(|(condition, _)| condition.recipe() == sample.recipe.name());
        pairs.filter_map(|(condition, question)| put(condition, question, sample, classes)).collect()
    }
}

fn is_answerable(condition: Condition, question: QuestionName) -> Result<(), &'static str> {
    let is_plain = matches!(condition, Condition::Recipe(_));
    match question {
        QuestionName::Class(_) => Ok(()),
        _ if !is_plain => {
            Err("the words around a question are those of the class questions, visual and audio")
        }
        QuestionName::Match => match condition.recipe() {
            RecipeName::Aligned | RecipeName::Misaligned | RecipeName::Swapped | RecipeName::Shift => Ok(()),
            _ => Err("aligned matches; misaligned, swapped and shift do not"),
        },
        QuestionName::ExistsOther(_) if condition.recipe() != RecipeName::Misaligned => {
            Err("only misaligned samples have two classes")
        }
        QuestionName::Exists(Stream::Visual) if condition.recipe() == RecipeName::FramesZeroed => {
            Err("nothing is to be seen there")
        }
        QuestionName::Exists(Stream::Audio) if condition.recipe() == RecipeName::AudioRemoved => {
            Err("nothing is to be heard there")
        }
        _ => Ok(()),
    }
}

/// `None` if the sample has no host, or if no class is left for a misleading caption.
fn put(
    condition: Condition,
    question: QuestionName,
    sample: &SampleComposed,
    classes: &[String],
) -> Option<Put> {
    let own = sample.host()?.class.clone();
    let (seen, heard) = (sample.class_seen.clone(), sample.classes_heard.first().cloned());
    let of = |stream| match stream {
        Stream::Visual => seen.clone(),
        Stream::Audio => heard.clone(),
    };
    // A forced choice about a stream that was taken away counts as right when the host's class is named: that
    // measures how far the other stream stands in for it (appendix I.2).
    let forced = |stream| of(stream).unwrap_or_else(|| own.clone());
    let yes_if = |is_so: bool| if is_so { "yes" } else { "no" }.to_owned();
    let (query, expected) = match (question, condition) {
        (QuestionName::Class(stream), Condition::Recipe(_)) => (Query::Class { stream }, forced(stream)),
        (QuestionName::Class(stream), Condition::MisleadingCaption) => {
            let others = classes
                .iter()
                .filter(|class| Some(*class) != seen.as_ref() && Some(*class) != heard.as_ref());
            let others: Vec<_> = others.collect();
            let wrong =
                others.get(usize::try_from(draw(sample, "caption")).ok()?.checked_rem(others.len())?)?;
            (Query::MisleadingCaption { stream, wrong: (*wrong).clone() }, forced(stream))
        }
        (QuestionName::Class(stream), Condition::LongContext) => {
            (Query::LongContext { stream, seed: draw(sample, "context") }, forced(stream))
        }
        (QuestionName::Abstention(stream), _) => {
            (Query::Abstention { stream }, of(stream).unwrap_or_else(|| NONE_OF_THE_ABOVE.to_owned()))
        }
        (QuestionName::ChainOfThought(stream), _) => (Query::ChainOfThought { stream }, forced(stream)),
        (QuestionName::OpenForm(stream), _) => (Query::OpenForm { stream }, forced(stream)),
        (QuestionName::Exists(stream), _) => (Query::Exists { stream, class: of(stream)? }, yes_if(true)),
        (QuestionName::ExistsOther(stream), _) => {
            let other = match stream {
                Stream::Visual => heard.clone()?,
                Stream::Audio => seen.clone()?,
            };
            (Query::Exists { stream, class: other }, yes_if(false))
        }
        (QuestionName::Match, _) => (Query::Match, yes_if(condition.recipe() == RecipeName::Aligned)),
    };
    Some(Put { condition, question, query, expected })
}

/// A number that a sample always draws for this purpose; below 2^32, so that it fits everywhere.
fn draw(sample: &SampleComposed, purpose: &str) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key("counterpoint suite draw v1");
    hasher.update(&sample.id.0);
    hasher.update(purpose.as_bytes());
    let mut number = [0; 4];
    hasher.finalize_xof().fill(&mut number);
    u64::from(u32::from_le_bytes(number))
}

/// What an answer names, by all three measures.
pub fn read(query: &Query, reader: &OptionReader, answer: &str) -> Chosen {
    let of = |matching| match query.expected() {
        Expected::YesNo => {
            let said = yes_no(answer).filter(|_| matching != Matching::Strict || is_one_word(answer));
            said.map(|is_yes| if is_yes { "yes" } else { "no" }.to_owned())
        }
        Expected::Option | Expected::OptionAfterThoughts | Expected::Text => {
            match query.read(reader, answer, matching) {
                Reading::Option(option) => Some(option.to_owned()),
                Reading::NoneOfTheAbove => Some(NONE_OF_THE_ABOVE.to_owned()),
                Reading::Missing | Reading::Other => None,
            }
        }
    };
    Chosen {
        strict: of(Matching::Strict),
        first_mentioned: of(Matching::FirstMentioned),
        lenient: of(Matching::Lenient),
    }
}

fn is_one_word(text: &str) -> bool {
    text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).count() == 1
}

#[cfg(test)]
mod tests;
