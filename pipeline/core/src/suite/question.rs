use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::SuiteError;
use crate::questions::Stream;

/// What is asked of a sample, apart from the words that the condition adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum QuestionName {
    /// Which class it is (appendix N).
    Class(Stream),
    /// The same with `None of the above` offered (appendix K).
    Abstention(Stream),
    /// The same after a call to think first (appendix L).
    ChainOfThought(Stream),
    /// The same without options; read by the names of the classes (appendix M.4 has a model read it).
    OpenForm(Stream),
    /// Whether the class of the stream is there: yes is right.
    Exists(Stream),
    /// Whether the class of the other stream is there: no is right.
    ExistsOther(Stream),
    /// Whether picture and sound match (appendix M.3).
    Match,
}

impl QuestionName {
    /// Every question, in the order in which reports list them.
    pub fn all() -> impl Iterator<Item = Self> {
        let kinds: [fn(Stream) -> Self; 6] = [
            Self::Class,
            Self::Abstention,
            Self::ChainOfThought,
            Self::OpenForm,
            Self::Exists,
            Self::ExistsOther,
        ];
        kinds.into_iter().flat_map(|kind| Stream::ALL.map(kind)).chain([Self::Match])
    }

    /// Name in files and reports: of the class question that of its stream alone.
    pub fn as_str(self) -> &'static str {
        use Stream::{Audio, Visual};
        match self {
            Self::Class(Visual) => "visual",
            Self::Class(Audio) => "audio",
            Self::Abstention(Visual) => "visual_abstention",
            Self::Abstention(Audio) => "audio_abstention",
            Self::ChainOfThought(Visual) => "visual_chain_of_thought",
            Self::ChainOfThought(Audio) => "audio_chain_of_thought",
            Self::OpenForm(Visual) => "visual_open_form",
            Self::OpenForm(Audio) => "audio_open_form",
            Self::Exists(Visual) => "visual_exists",
            Self::Exists(Audio) => "audio_exists",
            Self::ExistsOther(Visual) => "visual_exists_other",
            Self::ExistsOther(Audio) => "audio_exists_other",
            Self::Match => "match",
        }
    }

    /// The stream that it is about; `None` if about both together.
    pub fn stream(self) -> Option<Stream> {
        match self {
            Self::Class(stream)
            | Self::Abstention(stream)
            | Self::ChainOfThought(stream)
            | Self::OpenForm(stream)
            | Self::Exists(stream)
            | Self::ExistsOther(stream) => Some(stream),
            Self::Match => None,
        }
    }

    /// Options that it offers where there are so many classes; 0 for an answer in free words.
    pub fn options(self, classes: usize) -> usize {
        match self {
            Self::Class(_) | Self::ChainOfThought(_) => classes,
            Self::Abstention(_) => classes.saturating_add(1),
            Self::Exists(_) | Self::ExistsOther(_) | Self::Match => 2,
            Self::OpenForm(_) => 0,
        }
    }
}

impl fmt::Display for QuestionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for QuestionName {
    type Err = SuiteError;

    fn from_str(text: &str) -> Result<Self, SuiteError> {
        let found = Self::all().find(|question| question.as_str() == text);
        found.ok_or_else(|| SuiteError::Question { given: text.to_owned() })
    }
}

impl TryFrom<String> for QuestionName {
    type Error = SuiteError;

    fn try_from(text: String) -> Result<Self, SuiteError> {
        text.parse()
    }
}

impl From<QuestionName> for String {
    fn from(question: QuestionName) -> Self {
        question.as_str().to_owned()
    }
}
