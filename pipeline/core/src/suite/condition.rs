use std::{fmt, str::FromStr};

use counterpoint_messages::RecipeName;
use serde::{Deserialize, Serialize};

use super::SuiteError;

/// Under which a question is asked: how the sample was made, or what is done to the words around the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Condition {
    /// The sample's recipe, and the plain question.
    Recipe(RecipeName),
    /// An aligned sample, and a caption of another class before the question (appendix G).
    MisleadingCaption,
    /// An aligned sample, and 10,000 random letters beside the question (appendix I.4).
    LongContext,
}

impl Condition {
    /// Every condition, in the order in which reports list them.
    pub fn all() -> impl Iterator<Item = Self> {
        let recipes = RecipeName::ALL.into_iter().map(Self::Recipe);
        recipes.chain([Self::MisleadingCaption, Self::LongContext])
    }

    /// Name in flags, files and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recipe(recipe) => recipe.as_str(),
            Self::MisleadingCaption => "misleading_caption",
            Self::LongContext => "long_context",
        }
    }

    /// Recipe of the samples that it is about.
    pub fn recipe(self) -> RecipeName {
        match self {
            Self::Recipe(recipe) => recipe,
            Self::MisleadingCaption | Self::LongContext => RecipeName::Aligned,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Condition {
    type Err = SuiteError;

    fn from_str(text: &str) -> Result<Self, SuiteError> {
        let found = Self::all().find(|condition| condition.as_str() == text);
        found.ok_or_else(|| SuiteError::Condition { given: text.to_owned() })
    }
}

impl TryFrom<String> for Condition {
    type Error = SuiteError;

    fn try_from(text: String) -> Result<Self, SuiteError> {
        text.parse()
    }
}

impl From<Condition> for String {
    fn from(condition: Condition) -> Self {
        condition.as_str().to_owned()
    }
}
