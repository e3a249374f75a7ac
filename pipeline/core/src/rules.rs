//! The rules that prune AudioSet's ontology to classes: a readable TOML, with built-in defaults.
//!
//! The built-in rules (`rules.toml` beside this file) give the 61 classes of the paper; its comments say
//! how a rule acts on the graph. [`crate::curation::Curator`] puts rules and ontology together.

use serde::{Deserialize, Serialize};

/// Rules for pruning an ontology.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// File the rules came from, for messages.
    #[serde(skip)]
    pub(crate) file: String,
    /// Nodes that each become a class under their own name.
    pub classes: Vec<String>,
    /// Classes of several nodes, or under another name than their node's.
    #[serde(default, rename = "merge")]
    pub merges: Vec<Merge>,
    /// Families that are left out.
    #[serde(default, rename = "drop")]
    pub drops: Vec<DropRule>,
}

/// A class made of several nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Merge {
    /// Name of the class.
    pub class: String,
    /// Names or machine ids of its nodes.
    pub nodes: Vec<String>,
    /// Why these belong together.
    pub why: String,
}

/// Families that are left out for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropRule {
    /// Names or machine ids of the topmost nodes of the families.
    pub nodes: Vec<String>,
    /// Kind of reason.
    pub reason: DropReason,
    /// The reason in words.
    pub why: String,
    /// Whether the family is a part of other things, so that a member with another parent belongs to
    /// that parent alone instead of being ambiguous.
    #[serde(default)]
    pub part_of_a_source: bool,
}

/// Kind of reason for leaving a family out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// The sound has no action that a picture shows.
    NoVisibleAction,
    /// The sound does not tell which thing makes it.
    Ambiguous,
    /// Most of its segments carry another sound too.
    SeldomAlone,
    /// Could be seen and heard, but the published list has no class for it.
    Unlisted,
}

impl DropReason {
    /// The kind in words, e.g. `no visible action`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoVisibleAction => "no visible action",
            Self::Ambiguous => "ambiguous",
            Self::SeldomAlone => "seldom alone",
            Self::Unlisted => "not in the published list",
        }
    }
}

/// Why a file holds no rules.
#[derive(Debug, thiserror::Error)]
#[error("{file}: line {line}: {message}; pipeline/core/src/rules.toml shows the format")]
pub struct RulesError {
    /// File as named by the caller.
    pub file: String,
    /// Line on which reading stopped, from 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

impl Rules {
    /// The built-in rules as text: the 61 classes of MMA-Bench.
    pub const BUILT_IN: &'static str = include_str!("rules.toml");

    /// The rules that give the 61 classes of the paper.
    ///
    /// # Errors
    /// None in practice: a test reads the text that is compiled in.
    pub fn built_in() -> Result<Self, RulesError> {
        Self::from_toml(Self::BUILT_IN, "built-in rules")
    }

    /// Reads rules from TOML. Keys that no rule has are errors.
    ///
    /// # Errors
    /// [`RulesError`], which names `file` and the line.
    pub fn from_toml(text: &str, file: &str) -> Result<Self, RulesError> {
        let rules: Self = toml::from_str(text).map_err(|error| RulesError {
            file: file.to_owned(),
            line: error.span().map_or(1, |span| line_at(text, span.start)),
            message: error.message().trim().replace('\n', ", "),
        })?;
        Ok(Self { file: file.to_owned(), ..rules })
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
}

/// Name of a class after its node: words joined by underscores, as in the paper's options.
pub fn class_name(node_name: &str) -> String {
    let words: Vec<&str> =
        node_name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words.join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_rules_can_be_read() {
        let rules = Rules::built_in().unwrap();
        assert_eq!(rules.classes.len() + rules.merges.len(), 61);
        assert!(rules.drops.iter().all(|drop| !drop.nodes.is_empty() && !drop.why.is_empty()));
    }

    #[test]
    fn an_unknown_key_is_rejected_with_its_line() {
        let error = Rules::from_toml("classes = []\n\n[[drop]]\nnode = \"Wood\"\n", "my.toml").unwrap_err();
        assert_eq!((error.file.as_str(), error.line), ("my.toml", 4));
        assert!(error.to_string().contains("unknown field `node`"), "{error}");
    }

    #[test]
    fn an_unknown_reason_is_rejected_and_the_known_ones_are_named() {
        let text = "classes = []\n[[drop]]\nnodes = [\"Wood\"]\nreason = \"dull\"\nwhy = \"dull\"\n";
        let error = Rules::from_toml(text, "my.toml").unwrap_err();
        assert_eq!(error.line, 4);
        assert!(error.message.contains("dull") && error.message.contains("seldom_alone"), "{error}");
    }

    #[test]
    fn text_that_is_no_toml_is_rejected() {
        assert!(Rules::from_toml("classes = [", "my.toml").is_err());
        assert!(Rules::from_toml("", "my.toml").is_err(), "rules without classes would keep nothing");
    }

    #[test]
    fn rules_written_out_are_read_back_the_same() {
        let rules = Rules::built_in().unwrap();
        let text = toml::to_string(&rules).unwrap();
        assert_eq!(Rules::from_toml(&text, "built-in rules").unwrap(), rules);
    }

    #[test]
    fn a_class_is_named_in_the_words_of_its_node() {
        assert_eq!(class_name("Zipper (clothing)"), "Zipper_clothing");
        assert_eq!(class_name("Cupboard open or close"), "Cupboard_open_or_close");
        assert_eq!(class_name("Canidae, dogs, wolves"), "Canidae_dogs_wolves");
    }
}
