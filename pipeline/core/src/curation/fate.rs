use std::fmt;

use serde::Serialize;

use crate::rules::DropReason;

/// What became of a node of the ontology.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "fate", rename_all = "snake_case")]
pub enum Fate {
    /// It maps to a class.
    Class {
        /// Name of the class.
        class: String,
        /// How it came there.
        way: Way,
    },
    /// It maps to none.
    Excluded {
        /// Why.
        reason: Exclusion,
    },
}

/// How a node came to its class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "way", rename_all = "snake_case")]
pub enum Way {
    /// It is the class.
    Itself,
    /// A merge names it.
    Merged {
        /// Why the nodes of the class belong together.
        why: String,
    },
    /// It lies below a node of the class.
    Absorbed {
        /// Name of the nearest node above that a rule names.
        into: String,
    },
}

/// Why a node maps to no class, by the step that decided; displays as a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Exclusion {
    /// AudioSet marks it as built for the tree only.
    Abstract,
    /// AudioSet marks it as obscure.
    Blacklisted,
    /// A rule drops it or the family above it.
    Dropped {
        /// Name of the node that the rule names: the node itself, or the nearest one above.
        family: String,
        /// Whether the rule names this very node.
        itself: bool,
        /// Kind of reason.
        reason: DropReason,
        /// The reason in words.
        why: String,
    },
    /// Its parents belong to different families.
    Ambiguous {
        /// Names of the families, sorted.
        between: Vec<String>,
    },
    /// It lies below a node whose parents belong to different families.
    BelowAmbiguous {
        /// Name of that node.
        node: String,
    },
    /// It stands above classes and names none of them.
    TooGeneral {
        /// Names of the classes below, sorted.
        classes: Vec<String>,
    },
}

impl Exclusion {
    /// Name of the step that decided, for grouping.
    pub fn step(&self) -> &'static str {
        match self {
            Self::Abstract => "abstract",
            Self::Blacklisted => "blacklisted",
            Self::Dropped { reason, .. } => reason.as_str(),
            Self::Ambiguous { .. } | Self::BelowAmbiguous { .. } => "ambiguous",
            Self::TooGeneral { .. } => "too general",
        }
    }
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Abstract => write!(f, "abstract: AudioSet has it only to build the tree"),
            Self::Blacklisted => write!(f, "blacklisted: AudioSet marks it as obscure"),
            Self::Dropped { itself: true, reason, why, .. } => write!(f, "{}: {why}", reason.as_str()),
            Self::Dropped { family, reason, why, .. } => {
                write!(f, "{}, as all of `{family}`: {why}", reason.as_str())
            }
            Self::Ambiguous { between } => {
                write!(f, "ambiguous: it belongs to {}", listed(between, 8))
            }
            Self::BelowAmbiguous { node } => {
                write!(f, "ambiguous: it lies below `{node}`, which is ambiguous")
            }
            Self::TooGeneral { classes } => {
                write!(f, "too general: it stands above {} and names none of them", listed(classes, 4))
            }
        }
    }
}

/// `a`, `b` and `c`, or at most `most` names and how many more there are.
pub(super) fn listed(names: &[String], most: usize) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        many if many.len() > most => format!("{} and {} more", many[..most].join(", "), many.len() - most),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn lists_read_as_english() {
        assert_eq!(listed(&names(&[]), 4), "nothing");
        assert_eq!(listed(&names(&["a"]), 4), "`a`");
        assert_eq!(listed(&names(&["a", "b", "c"]), 4), "`a`, `b` and `c`");
        assert_eq!(listed(&names(&["a", "b", "c", "d", "e"]), 2), "`a`, `b` and 3 more");
    }

    #[test]
    fn every_reason_begins_with_its_step() {
        let dropped = |itself| Exclusion::Dropped {
            family: "Music genre".to_owned(),
            itself,
            reason: DropReason::NoVisibleAction,
            why: "a style".to_owned(),
        };
        let reasons = [
            Exclusion::Abstract,
            Exclusion::Blacklisted,
            dropped(true),
            dropped(false),
            Exclusion::Ambiguous { between: names(&["Cat", "Snake"]) },
            Exclusion::BelowAmbiguous { node: "Chant".to_owned() },
            Exclusion::TooGeneral { classes: names(&["Cat"]) },
        ];
        for reason in reasons {
            assert!(reason.to_string().starts_with(reason.step()), "{reason}");
        }
    }
}
