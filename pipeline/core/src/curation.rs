//! Which one class a segment shows: the ontology pruned by rules, and the labels of a segment mapped through it.
//!
//! Source: appendix A (pruning) and B (filtering), and their published counts in appendix Table 1.
//!
//! ```text
//!  Ontology + Rules ──prune──▶ one Fate a node ──▶ Curator ──curate(labels)──▶ one class | why not
//!                                                     └──▶ explain, tree      └──▶ Funnel
//! ```
//!
//! A segment is kept when, after dropping every label that is an ancestor of another, **all** labels left
//! belong to one class. A label outside the classes is another sound: `Typing` beside `Speech` is not a
//! segment of typing. The published counts decide this: over the 20,371 and 22,160 segments of eval and
//! balanced train this rule keeps what the paper kept to within 0.2 %, and letting labels outside the classes
//! pass would keep more than twice as many.

mod explain;
mod fate;
mod funnel;
mod prune;
mod tree;

use std::collections::BTreeMap;

use counterpoint_messages::RejectReason;
use serde::Serialize;

pub use explain::{Explanation, UnknownSound};
pub use fate::{Exclusion, Fate, Way};
pub use funnel::Funnel;
pub use prune::PruneError;
pub use tree::TreeNode;

use crate::{
    ontology::{NodeId, Ontology},
    rules::Rules,
};

/// A class and the nodes that map to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Class {
    /// Name as offered to models, e.g. `Bowed_string_instrument`.
    pub name: String,
    /// Machine ids of its nodes, in the order of the ontology.
    pub mids: Vec<String>,
}

/// A node that maps to no class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Excluded {
    /// Machine id.
    pub mid: String,
    /// Display name.
    pub name: String,
    /// Why it is left out; displays as a sentence.
    #[serde(serialize_with = "serialize_as_sentence")]
    pub reason: Exclusion,
}

fn serialize_as_sentence<S: serde::Serializer>(reason: &Exclusion, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(reason)
}

/// A segment with one class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Curated<'a> {
    /// Name of the class.
    pub class: &'a str,
    /// Machine ids of the labels that name it, without their ancestors.
    pub mids: Vec<&'a str>,
    /// Labels that the ontology does not have. They name no sound, so they decide nothing.
    pub unknown: Vec<String>,
}

/// Why a segment has no single class; displays as a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CurationReject<'a> {
    /// No label belongs to a class.
    #[error("{}", describe_no_class(.excluded, .unknown))]
    NoClass {
        /// Labels left out by the rules, without their ancestors.
        excluded: Vec<&'a Excluded>,
        /// Labels that the ontology does not have.
        unknown: Vec<String>,
    },
    /// The labels belong to several classes.
    #[error("the labels name {} classes: {}", .classes.len(), .classes.join(", "))]
    SeveralClasses {
        /// Names of the classes, sorted.
        classes: Vec<&'a str>,
        /// Labels that the ontology does not have.
        unknown: Vec<String>,
    },
    /// The labels name one class and further sounds beside it.
    #[error("another sound is heard beside {class}: {}", .others.iter().map(|other| other.name.as_str()).collect::<Vec<_>>().join(", "))]
    OtherSound {
        /// Name of the class.
        class: &'a str,
        /// The labels outside the classes.
        others: Vec<&'a Excluded>,
        /// Labels that the ontology does not have.
        unknown: Vec<String>,
    },
}

fn describe_no_class(excluded: &[&Excluded], unknown: &[String]) -> String {
    let mut parts: Vec<String> =
        excluded.iter().map(|node| format!("{} ({})", node.name, node.reason)).collect();
    parts.extend(unknown.iter().map(|label| format!("{label} (not in the ontology)")));
    match parts.as_slice() {
        [] => "the segment carries no labels".to_owned(),
        parts => format!("no label names a class: {}", parts.join("; ")),
    }
}

impl CurationReject<'_> {
    /// The reason as recorded on the log.
    pub fn reason(&self) -> RejectReason {
        match self {
            Self::NoClass { .. } => RejectReason::NoClass,
            Self::SeveralClasses { .. } => RejectReason::SeveralClasses,
            Self::OtherSound { .. } => RejectReason::OtherSound,
        }
    }

    /// Labels that the ontology does not have.
    pub fn unknown(&self) -> &[String] {
        match self {
            Self::NoClass { unknown, .. }
            | Self::SeveralClasses { unknown, .. }
            | Self::OtherSound { unknown, .. } => unknown,
        }
    }
}

/// What a label turns a segment into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Position in `classes`.
    Class(usize),
    /// Position in `excluded`.
    Excluded(usize),
}

/// The pruned ontology, ready to name the class of a segment.
#[derive(Debug, Clone)]
pub struct Curator {
    ontology: Ontology,
    fates: Vec<Fate>,
    outcomes: Vec<Outcome>,
    classes: Vec<Class>,
    excluded: Vec<Excluded>,
}

impl Curator {
    /// Prunes the ontology by the rules.
    ///
    /// # Errors
    /// [`PruneError`] where rules and ontology do not fit; it names the rule's file and the node.
    pub fn new(ontology: &Ontology, rules: &Rules) -> Result<Self, PruneError> {
        let fates = prune::prune(ontology, rules)?;
        let mut by_class: BTreeMap<&str, Vec<NodeId>> = BTreeMap::new();
        let mut excluded = Vec::new();
        let mut outcomes = vec![Outcome::Excluded(0); ontology.len()];
        for id in ontology.ids() {
            match &fates[id.index()] {
                Fate::Class { class, .. } => by_class.entry(class).or_default().push(id),
                Fate::Excluded { reason } => {
                    outcomes[id.index()] = Outcome::Excluded(excluded.len());
                    let node = ontology.node(id);
                    excluded.push(Excluded {
                        mid: node.mid.clone(),
                        name: node.name.clone(),
                        reason: reason.clone(),
                    });
                }
            }
        }
        let mut classes = Vec::with_capacity(by_class.len());
        for (name, nodes) in by_class {
            let mids = nodes.iter().map(|&id| ontology.node(id).mid.clone()).collect();
            for id in nodes {
                outcomes[id.index()] = Outcome::Class(classes.len());
            }
            classes.push(Class { name: name.to_owned(), mids });
        }
        Ok(Self { ontology: ontology.clone(), fates, outcomes, classes, excluded })
    }

    /// The classes, sorted by name.
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// The nodes outside the classes, in the order of the ontology.
    pub fn excluded(&self) -> &[Excluded] {
        &self.excluded
    }

    /// The ontology that was pruned.
    pub fn ontology(&self) -> &Ontology {
        &self.ontology
    }

    /// What became of a node.
    pub fn fate(&self, id: NodeId) -> &Fate {
        &self.fates[id.index()]
    }

    /// Names the one class of a segment, given the machine ids of its labels in any order.
    ///
    /// # Errors
    /// [`CurationReject`] when the labels name no class, several, or a further sound beside one.
    pub fn curate<L: AsRef<str>>(&self, labels: &[L]) -> Result<Curated<'_>, CurationReject<'_>> {
        let mut known: Vec<NodeId> = Vec::with_capacity(labels.len());
        let mut unknown: Vec<String> = Vec::new();
        for label in labels {
            match self.ontology.find(label.as_ref()) {
                Some(id) if known.contains(&id) => {}
                Some(id) => known.push(id),
                None => unknown.push(label.as_ref().to_owned()),
            }
        }
        let mut classes: Vec<usize> = Vec::new();
        let mut mids: Vec<&str> = Vec::new();
        let mut others: Vec<&Excluded> = Vec::new();
        for &id in &known {
            if known.iter().any(|&below| self.ontology.is_ancestor(id, below)) {
                continue;
            }
            match self.outcomes[id.index()] {
                Outcome::Class(class) => {
                    mids.push(&self.ontology.node(id).mid);
                    if !classes.contains(&class) {
                        classes.push(class);
                    }
                }
                Outcome::Excluded(node) => others.push(&self.excluded[node]),
            }
        }
        match classes.as_slice() {
            [] => Err(CurationReject::NoClass { excluded: others, unknown }),
            &[class] if others.is_empty() => Ok(Curated { class: &self.classes[class].name, mids, unknown }),
            &[class] => Err(CurationReject::OtherSound { class: &self.classes[class].name, others, unknown }),
            several => {
                let mut classes: Vec<&str> =
                    several.iter().map(|&class| self.classes[class].name.as_str()).collect();
                classes.sort_unstable();
                Err(CurationReject::SeveralClasses { classes, unknown })
            }
        }
    }
}

#[cfg(test)]
mod tests;
