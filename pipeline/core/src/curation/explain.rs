//! `classes --explain NAME`: tells a person what became of a sound, and why.

use std::fmt;

use serde::Serialize;

use super::{Class, Curator, Exclusion, Fate, Outcome, Way, fate::listed};
use crate::ontology::NodeId;

/// What became of a node or class; displays as paragraphs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Display name of the node, or name of the class.
    pub name: String,
    /// Machine id; `None` for a class that is not named like its node.
    pub mid: Option<String>,
    /// The class it maps to.
    pub class: Option<String>,
    /// Sentences, a paragraph each.
    pub paragraphs: Vec<String>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.paragraphs.join("\n\n"))
    }
}

/// A name that neither a node nor a class has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no sound is called `{name}`{}", did_you_mean(.near))]
pub struct UnknownSound {
    /// The name as asked for.
    pub name: String,
    /// Names that look like it, best first.
    pub near: Vec<String>,
}

fn did_you_mean(near: &[String]) -> String {
    match near {
        [] => "; name a node or a class, e.g. Dog or Canidae, or a machine id".to_owned(),
        [only] => format!("; did you mean `{only}`?"),
        several => format!("; did you mean one of {}?", listed(several, several.len())),
    }
}

impl Curator {
    /// Explains a node, by machine id or display name, or a class, by name; upper and lower case alike.
    ///
    /// # Errors
    /// [`UnknownSound`] with the names that look like it.
    pub fn explain(&self, name_or_mid: &str) -> Result<Explanation, UnknownSound> {
        let asked = name_or_mid.trim();
        let class = self.classes.iter().find(|class| class.name.eq_ignore_ascii_case(asked));
        let node = self.ontology.find(asked).or_else(|| self.ontology.named(asked).next());
        match (node, class) {
            (Some(id), _) => {
                let node = self.ontology.node(id);
                let mut paragraphs = self.explain_node(id);
                let class = match self.outcomes[id.index()] {
                    Outcome::Class(class) => Some(&self.classes[class]),
                    Outcome::Excluded(_) => None,
                };
                paragraphs.extend(class.map(|class| self.explain_class(class)));
                Ok(Explanation {
                    name: node.name.clone(),
                    mid: Some(node.mid.clone()),
                    class: class.map(|class| class.name.clone()),
                    paragraphs,
                })
            }
            (None, Some(class)) => Ok(Explanation {
                name: class.name.clone(),
                mid: None,
                class: Some(class.name.clone()),
                paragraphs: vec![self.explain_class(class)],
            }),
            (None, None) => {
                let nodes = self.ontology.ids().map(|id| self.name(id));
                let classes = self.classes.iter().map(|class| class.name.as_str());
                Err(UnknownSound { name: asked.to_owned(), near: nearest(asked, nodes.chain(classes)) })
            }
        }
    }

    fn explain_node(&self, id: NodeId) -> Vec<String> {
        let node = self.ontology.node(id);
        let title = format!("{} ({})", node.name, node.mid);
        let verdict = match self.fate(id) {
            Fate::Class { class, way: Way::Itself } => format!("{title} is the class {class}."),
            Fate::Class { class, way: Way::Merged { why } } => {
                format!("{title} is part of the class {class}: {why}.")
            }
            Fate::Class { class, way: Way::Absorbed { into } } => {
                format!(
                    "{title} belongs to the class {class}: it is absorbed into `{into}`, which stands above it."
                )
            }
            Fate::Excluded { reason } => format!("{title} is left out. It is {}.", verdict_of(reason)),
        };
        let mut paragraphs = vec![verdict];
        if !node.description.is_empty() {
            paragraphs.push(format!("AudioSet describes it so: {}", node.description));
        }
        paragraphs.push(self.explain_place(id));
        if let Fate::Excluded { reason } = self.fate(id) {
            paragraphs.push(meaning(reason).to_owned());
        }
        paragraphs
    }

    fn explain_place(&self, id: NodeId) -> String {
        let parents = self.ontology.parents(id);
        let mut place = match parents {
            [] => "It is a root of the ontology.".to_owned(),
            [parent] => format!("It stands at {} > {}.", self.path(*parent), self.name(id)),
            several => {
                let paths: Vec<String> = several.iter().map(|&parent| self.path(parent)).collect();
                format!("It has {} parents: {}.", several.len(), paths.join("; "))
            }
        };
        let children: Vec<String> =
            self.ontology.children(id).iter().map(|&child| self.name(child).to_owned()).collect();
        if !children.is_empty() {
            place.push_str(&format!(" Below it: {}.", listed(&children, 12)));
        }
        place
    }

    fn explain_class(&self, class: &Class) -> String {
        let nodes: Vec<String> = class
            .mids
            .iter()
            .filter_map(|mid| self.ontology.find(mid))
            .map(|id| self.name(id).to_owned())
            .collect();
        format!(
            "{} is one of the {} classes. Labels that name it: {}. A segment is of this class when no \
             other sound is labelled beside them.",
            class.name,
            self.classes.len(),
            listed(&nodes, nodes.len())
        )
    }

    fn name(&self, id: NodeId) -> &str {
        &self.ontology.node(id).name
    }

    /// Names from a root down to the node, on the shortest way.
    fn path(&self, id: NodeId) -> String {
        let mut names = vec![self.name(id)];
        let mut node = id;
        while let Some(&parent) =
            self.ontology.parents(node).iter().min_by_key(|&&parent| self.ontology.depth(parent))
        {
            names.push(self.name(parent));
            node = parent;
        }
        names.reverse();
        names.join(" > ")
    }
}

/// A reason as it follows "It is".
fn verdict_of(reason: &Exclusion) -> String {
    match reason {
        Exclusion::Dropped { .. } => format!("dropped by a rule: {reason}"),
        other => other.to_string(),
    }
}

fn meaning(reason: &Exclusion) -> &'static str {
    match reason {
        Exclusion::TooGeneral { .. } => {
            "A segment with this label alone has no class; beside a label below it, this one is ignored."
        }
        _ => {
            "A segment with this label alone has no class; beside a label of a class it counts as another \
             sound, and the segment is left out."
        }
    }
}

/// At most three names that look like `name`, or of which a word does, best first.
pub(super) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    /// Below this, names share hardly more than a few letters.
    const ALIKE: f64 = 0.85;
    let asked = name.to_lowercase();
    let likeness = |candidate: &str| {
        // Jaro-Winkler thinks little of short words, in which one slip changes much.
        if strsim::osa_distance(&asked, candidate) <= 1 {
            1.0
        } else {
            strsim::jaro_winkler(&asked, candidate)
        }
    };
    let mut near: Vec<(f64, &str)> = names
        .map(|candidate| {
            let lower = candidate.to_lowercase();
            let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
            let word = words.map(likeness).fold(0.0, f64::max);
            (likeness(&lower).max(0.98 * word), candidate)
        })
        .filter(|&(likeness, _)| likeness >= ALIKE)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    near.dedup_by(|a, b| a.1 == b.1);
    near.into_iter().take(3).map(|(_, candidate)| candidate.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike_are_found_by_whole_and_by_word() {
        let names = ["Theremin", "Singing bowl", "Speech", "Bird flight, flapping wings"];
        assert_eq!(nearest("Thermin", names.into_iter()), ["Theremin"]);
        assert_eq!(nearest("Brid", ["Bird flight", "Bride", "Bird"].into_iter())[..2], ["Bird", "Bride"]);
        assert_eq!(nearest("flaping", names.into_iter()), ["Bird flight, flapping wings"]);
        assert!(nearest("xyzzy", names.into_iter()).is_empty());
    }
}
