//! The graph program: rules and ontology in, one fate a node out.
//!
//! Steps, the first that applies decides; the comments of `rules.toml` give the reasons:
//! 1. AudioSet's own restrictions;
//! 2. nodes that a rule names as a class or as part of one;
//! 3. nodes that a rule drops;
//! 4. nodes whose parents belong to different families are ambiguous;
//! 5. the rest belongs to the family of its parents: absorbed, dropped, or below an ambiguous node;
//! 6. what belongs to no family is too general if classes lie below it, else an error.

use std::collections::{BTreeMap, BTreeSet};

use super::fate::{Exclusion, Fate, Way};
use crate::{
    ontology::{NodeId, Ontology, Restriction},
    rules::{DropRule, Rules, class_name},
};

/// Why rules and ontology do not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PruneError {
    /// A rule names a node that the ontology lacks.
    #[error("{file}: the rules name `{node}`, which the ontology does not have; {remedy}")]
    UnknownNode {
        /// File of the rules.
        file: String,
        /// Name or machine id as the rule gives it.
        node: String,
        /// The nearest name, or where to look.
        remedy: String,
    },
    /// A rule names a node by a display name that several nodes have.
    #[error("{file}: `{node}` is the name of several nodes; name it by its machine id")]
    UnclearNode {
        /// File of the rules.
        file: String,
        /// The shared name.
        node: String,
    },
    /// Two rules name one node.
    #[error("{file}: two rules name `{node}`; keep one of them")]
    NodeTwice {
        /// File of the rules.
        file: String,
        /// Name of the node.
        node: String,
    },
    /// Two rules make a class of one name.
    #[error("{file}: two rules make the class `{class}`; merge them into one")]
    ClassTwice {
        /// File of the rules.
        file: String,
        /// Name of the class.
        class: String,
    },
    /// The name of a class has no letters, or other characters than letters, digits and underscores.
    #[error("{file}: `{class}` is no name for a class; use words joined by underscores")]
    ClassName {
        /// File of the rules.
        file: String,
        /// Name as given.
        class: String,
    },
    /// No node maps to a class.
    #[error(
        "{file}: no node is left for the class `{class}`, as AudioSet restricts its nodes; drop the class"
    )]
    ClassEmpty {
        /// File of the rules.
        file: String,
        /// Name of the class.
        class: String,
    },
    /// No rule reaches a node.
    #[error(
        "{file}: no rule says what becomes of `{node}` and {more} more; name it, or a node above it, in a [[drop]]"
    )]
    Uncovered {
        /// File of the rules.
        file: String,
        /// Name of the first such node.
        node: String,
        /// How many more there are.
        more: usize,
    },
}

/// What a rule says of the node that it names.
enum Ruling<'a> {
    Class { class: &'a str, why: Option<&'a str> },
    Drop(&'a DropRule),
}

/// What a node belongs to, by the graph.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    /// The nearest node above, or the node itself, that a rule names.
    Ruled(NodeId),
    /// The nearest node above, or the node itself, whose parents belong to different families.
    Ambiguous(NodeId),
    /// No rule above; the node is a family of its own.
    Own(NodeId),
}

/// The fate of each node, by position in the ontology.
pub(super) fn prune(ontology: &Ontology, rules: &Rules) -> Result<Vec<Fate>, PruneError> {
    let classes = class_table(ontology, rules)?;
    let rulings = resolve(ontology, rules, &classes)?;
    let (families, between) = families(ontology, &rulings);
    let mut fates: Vec<Option<Fate>> = ontology
        .ids()
        .map(|id| {
            let excluded = |reason| Some(Fate::Excluded { reason });
            let restrictions = &ontology.node(id).restrictions;
            if restrictions.contains(&Restriction::Blacklist) {
                excluded(Exclusion::Blacklisted)
            } else if restrictions.contains(&Restriction::Abstract) {
                excluded(Exclusion::Abstract)
            } else {
                match families[id.index()] {
                    Family::Ruled(head) => rulings.get(&head).map(|ruling| ruled(ontology, id, head, ruling)),
                    Family::Ambiguous(head) if head == id => excluded(Exclusion::Ambiguous {
                        between: between.get(&id).cloned().unwrap_or_default(),
                    }),
                    Family::Ambiguous(head) => {
                        excluded(Exclusion::BelowAmbiguous { node: ontology.node(head).name.clone() })
                    }
                    Family::Own(_) => None,
                }
            }
        })
        .collect();
    let mut uncovered = Vec::new();
    for id in ontology.ids().filter(|id| fates[id.index()].is_none()).collect::<Vec<_>>() {
        let below: BTreeSet<String> = ontology
            .descendants(id)
            .filter_map(|below| match &fates[below.index()] {
                Some(Fate::Class { class, .. }) => Some(class.clone()),
                _ => None,
            })
            .collect();
        if below.is_empty() {
            uncovered.push(id);
        } else {
            let reason = Exclusion::TooGeneral { classes: below.into_iter().collect() };
            fates[id.index()] = Some(Fate::Excluded { reason });
        }
    }
    if let Some(&first) = uncovered.first() {
        return Err(PruneError::Uncovered {
            file: rules.file.clone(),
            node: ontology.node(first).name.clone(),
            more: uncovered.len() - 1,
        });
    }
    let fates: Vec<Fate> = fates.into_iter().flatten().collect();
    for (class, _, _) in &classes {
        if !fates.iter().any(|fate| matches!(fate, Fate::Class { class: of, .. } if of == class)) {
            return Err(PruneError::ClassEmpty { file: rules.file.clone(), class: class.clone() });
        }
    }
    Ok(fates)
}

/// Name, nodes and, for merges, reason of each class.
type ClassTable<'a> = Vec<(String, &'a [String], Option<&'a str>)>;

fn class_table<'a>(ontology: &Ontology, rules: &'a Rules) -> Result<ClassTable<'a>, PruneError> {
    let mut classes: ClassTable<'_> = Vec::with_capacity(rules.classes.len() + rules.merges.len());
    for node in &rules.classes {
        let id = find(ontology, node, &rules.file)?;
        classes.push((class_name(&ontology.node(id).name), std::slice::from_ref(node), None));
    }
    for merge in &rules.merges {
        classes.push((merge.class.clone(), &merge.nodes, Some(&merge.why)));
    }
    let mut names = BTreeSet::new();
    for (class, _, _) in &classes {
        let file = || rules.file.clone();
        if class.is_empty() || class_name(class) != *class {
            return Err(PruneError::ClassName { file: file(), class: class.clone() });
        }
        if !names.insert(class) {
            return Err(PruneError::ClassTwice { file: file(), class: class.clone() });
        }
    }
    Ok(classes)
}

/// The ruling on each node that a rule names.
fn resolve<'a>(
    ontology: &Ontology,
    rules: &'a Rules,
    classes: &'a ClassTable<'a>,
) -> Result<BTreeMap<NodeId, Ruling<'a>>, PruneError> {
    let kept = classes.iter().flat_map(|(class, nodes, why)| {
        nodes.iter().map(move |node| (node, Ruling::Class { class, why: *why }))
    });
    let dropped =
        rules.drops.iter().flat_map(|drop| drop.nodes.iter().map(move |node| (node, Ruling::Drop(drop))));
    let mut rulings = BTreeMap::new();
    for (node, ruling) in kept.chain(dropped) {
        let id = find(ontology, node, &rules.file)?;
        if rulings.insert(id, ruling).is_some() {
            return Err(PruneError::NodeTwice {
                file: rules.file.clone(),
                node: ontology.node(id).name.clone(),
            });
        }
    }
    Ok(rulings)
}

fn find(ontology: &Ontology, node: &str, file: &str) -> Result<NodeId, PruneError> {
    if let Some(id) = ontology.find(node) {
        return Ok(id);
    }
    let mut named = ontology.named(node);
    match (named.next(), named.next()) {
        (Some(id), None) => Ok(id),
        (Some(_), Some(_)) => Err(PruneError::UnclearNode { file: file.to_owned(), node: node.to_owned() }),
        (None, _) => {
            let near =
                super::explain::nearest(node, ontology.ids().map(|id| ontology.node(id).name.as_str()));
            let remedy = match near.first() {
                Some(name) => format!("did you mean `{name}`?"),
                None => "name a node as the ontology does, or by its machine id".to_owned(),
            };
            Err(PruneError::UnknownNode { file: file.to_owned(), node: node.to_owned(), remedy })
        }
    }
}

/// The family of each node, and the names between which the ambiguous ones stand.
fn families(
    ontology: &Ontology,
    rulings: &BTreeMap<NodeId, Ruling<'_>>,
) -> (Vec<Family>, BTreeMap<NodeId, Vec<String>>) {
    let mut families: Vec<Family> = ontology.ids().map(Family::Own).collect();
    let mut between = BTreeMap::new();
    let is_part = |family: &Family| {
        matches!(family, Family::Ruled(head)
            if matches!(rulings.get(head), Some(Ruling::Drop(drop)) if drop.part_of_a_source))
    };
    for &id in ontology.parents_first() {
        if rulings.contains_key(&id) {
            families[id.index()] = Family::Ruled(id);
            continue;
        }
        let mut above: BTreeSet<Family> =
            ontology.parents(id).iter().map(|parent| families[parent.index()]).collect();
        if !above.iter().all(is_part) {
            above.retain(|family| !is_part(family));
        }
        let mut all = above.iter();
        families[id.index()] = match (all.next(), all.next()) {
            (None, _) | (Some(Family::Own(_)), None) => Family::Own(id),
            (Some(&family), None) => family,
            (Some(_), Some(_)) => {
                let mut names: Vec<String> =
                    above.iter().map(|&family| ontology.node(head(family)).name.clone()).collect();
                names.sort_unstable();
                between.insert(id, names);
                Family::Ambiguous(id)
            }
        };
    }
    (families, between)
}

fn head(family: Family) -> NodeId {
    match family {
        Family::Ruled(head) | Family::Ambiguous(head) | Family::Own(head) => head,
    }
}

/// The fate of `id`, whose family is that of `head`, on which a rule gives `ruling`.
fn ruled(ontology: &Ontology, id: NodeId, head: NodeId, ruling: &Ruling<'_>) -> Fate {
    let head_name = ontology.node(head).name.clone();
    match ruling {
        Ruling::Class { class, why } => Fate::Class {
            class: (*class).to_owned(),
            way: match why {
                _ if head != id => Way::Absorbed { into: head_name },
                Some(why) => Way::Merged { why: (*why).to_owned() },
                None => Way::Itself,
            },
        },
        Ruling::Drop(drop) => Fate::Excluded {
            reason: Exclusion::Dropped {
                family: head_name,
                itself: head == id,
                reason: drop.reason,
                why: drop.why.clone(),
            },
        },
    }
}
