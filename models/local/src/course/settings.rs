//! The settings of a training: built in or from a file.

use std::{collections::BTreeSet, error::Error, fs, path::Path};

use counterpoint_models::{Base, Training};
use counterpoint_omni::{Kind, Recipe, TinyConfig};
use serde::{Deserialize, Serialize};

use super::CourseError;

/// Settings that are built in, by name.
const BUILT_IN: [(&str, &str); 4] = [
    ("published", include_str!("../../recipes/published.toml")),
    ("tiny", include_str!("../../recipes/tiny.toml")),
    ("tiny-judge", include_str!("../../recipes/tiny-judge.toml")),
    ("tiny-tuning", include_str!("../../recipes/tiny-tuning.toml")),
];

/// Names of the settings that are built in.
pub(super) fn names() -> String {
    BUILT_IN.map(|(name, _)| name).join(", ")
}

/// The parts of a training, one after the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Course {
    /// Sizes of a model that is made from nothing.
    #[serde(default)]
    pub(super) tiny: TinyConfig,
    /// One at least.
    pub(super) parts: Vec<Recipe>,
}

/// The name of a training's settings and their text.
pub(super) fn settings(base: &Base, recipe: Option<&Path>) -> Result<(String, String), CourseError> {
    let fallback = Path::new(if *base == Base::Nothing { "tiny" } else { "published" });
    let path = recipe.unwrap_or(fallback);
    let built_in = BUILT_IN.iter().find(|(name, _)| path == Path::new(name));
    let text = match built_in {
        Some((_, text)) => (*text).to_owned(),
        None => {
            fs::read_to_string(path).map_err(|source| CourseError::Read { path: path.to_owned(), source })?
        }
    };
    Ok((path.display().to_string(), text))
}

impl Course {
    /// Reads the settings, and brings in what the command line says.
    pub(super) fn of(training: &Training) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let (name, text) = settings(&training.base, training.recipe.as_deref())?;
        let mut course = Self::parse(&training.base, &name, &text)?;
        for part in &mut course.parts {
            if let Some(recipes) = &training.recipes {
                part.recipes.clone_from(recipes);
            }
            if let Some(seed) = training.seed {
                part.seed = seed;
            }
            part.check()?;
        }
        Ok(course)
    }

    /// Reads settings of a training that begins with such a base.
    pub(super) fn parse(base: &Base, name: &str, text: &str) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let from_nothing = *base == Base::Nothing;
        let wrong = |source| CourseError::Toml { name: name.to_owned(), source: Box::new(source) };
        let has_parts = text.parse::<toml::Table>().map_err(wrong)?.contains_key("parts");
        let course: Self = if has_parts {
            toml::from_str(text).map_err(wrong)?
        } else {
            Self { tiny: TinyConfig::default(), parts: vec![toml::from_str(text).map_err(wrong)?] }
        };
        let kind = |problem| CourseError::Kind { name: name.to_owned(), problem };
        if course.parts.is_empty() {
            return Err(kind("it has no parts: give at least one").into());
        }
        let all_full = course.parts.iter().all(|part| part.kind == Kind::Full);
        if from_nothing && !all_full {
            return Err(kind("a model from nothing needs kind = \"full\" in every part").into());
        }
        if !from_nothing && (all_full || course.parts.len() > 1) {
            return Err(kind("a model that is there is tuned in one part, with kind.lora").into());
        }
        Ok(course)
    }

    /// Recipes of clips that any part learns from.
    pub(super) fn recipes(&self) -> BTreeSet<&str> {
        self.parts.iter().flat_map(|part| &part.recipes).map(String::as_str).collect()
    }

    /// Kinds of questions that any part learns on clips of a recipe.
    pub(super) fn questions(&self, recipe: &str) -> BTreeSet<&str> {
        let parts = self.parts.iter().filter(|part| part.recipes.iter().any(|name| name == recipe));
        parts.flat_map(|part| &part.questions).map(String::as_str).collect()
    }
}
