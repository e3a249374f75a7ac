use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{
    format::spaced,
    report::{Fate, Ontology, OntologyNode},
};

/// Deepest level drawn below a root; what lies deeper is drawn as a root of its own.
const MAX_DEPTH: usize = 32;

/// Colours the style sheet has for the rules that exclude nodes; further rules share the last one.
const RULE_COLOURS: usize = 6;

/// The ontology as pruned.
#[derive(Debug, Serialize)]
pub(super) struct OntologyView {
    nodes: u64,
    classes: u64,
    legend: Vec<LegendEntry>,
    roots: Vec<TreeNode>,
}

/// A fate, its colour and how many nodes share it.
#[derive(Debug, Serialize)]
struct LegendEntry {
    key: String,
    label: String,
    nodes: u64,
}

#[derive(Debug, Serialize)]
struct TreeNode {
    mid: String,
    name: String,
    key: String,
    /// Label of its entry in the legend.
    rule: String,
    badge: String,
    reason: String,
    /// The node stands elsewhere as well; its children are drawn where it stands first.
    repeated: bool,
    /// Nodes below it and itself by key, in the order of the legend; only nodes drawn here for the first time.
    tally: Vec<TallyEntry>,
    below: u64,
    children: Vec<TreeNode>,
}

#[derive(Debug, Clone, Serialize)]
struct TallyEntry {
    key: String,
    nodes: u64,
}

impl OntologyView {
    pub(super) fn of(ontology: &Ontology) -> Self {
        let by_mid: BTreeMap<&str, &OntologyNode> =
            ontology.nodes.iter().map(|node| (node.mid.as_str(), node)).collect();
        let legend = Legend::of(by_mid.values().copied());
        let children: BTreeSet<&str> =
            ontology.nodes.iter().flat_map(|node| &node.children).map(String::as_str).collect();
        let mut drawing = Drawing { by_mid: &by_mid, legend: &legend, drawn: BTreeSet::new() };
        let mut roots = Vec::new();
        let named_roots = ontology.nodes.iter().filter(|node| !children.contains(node.mid.as_str()));
        // The second pass draws what no root leads to: cycles, and levels beyond the deepest.
        for node in named_roots.chain(&ontology.nodes) {
            if !drawing.drawn.contains(node.mid.as_str()) {
                roots.push(drawing.node(node, 0));
            }
        }
        Self { nodes: by_mid.len() as u64, classes: classes(ontology), legend: legend.entries, roots }
    }
}

/// Distinct classes that the ontology's nodes name.
pub(super) fn classes(ontology: &Ontology) -> u64 {
    let named: BTreeSet<&str> = ontology
        .nodes
        .iter()
        .filter_map(|node| match &node.fate {
            Fate::Class { class } | Fate::Absorbed { class } => Some(class.as_str()),
            Fate::Excluded { .. } => None,
        })
        .collect();
    named.len() as u64
}

struct Legend {
    entries: Vec<LegendEntry>,
    by_rule: BTreeMap<String, usize>,
}

impl Legend {
    fn of<'a>(nodes: impl Iterator<Item = &'a OntologyNode>) -> Self {
        let (mut classes, mut absorbed) = (0_u64, 0_u64);
        let mut rules: BTreeMap<&str, u64> = BTreeMap::new();
        for node in nodes {
            match &node.fate {
                Fate::Class { .. } => classes += 1,
                Fate::Absorbed { .. } => absorbed += 1,
                Fate::Excluded { rule } => *rules.entry(rule).or_default() += 1,
            }
        }
        let mut rules: Vec<_> = rules.into_iter().collect();
        rules.sort_by_key(|(rule, nodes)| (std::cmp::Reverse(*nodes), *rule));
        let mut entries = vec![
            LegendEntry { key: "class".to_owned(), label: "names a class".to_owned(), nodes: classes },
            LegendEntry {
                key: "absorbed".to_owned(),
                label: "absorbed into a class".to_owned(),
                nodes: absorbed,
            },
        ];
        let mut by_rule = BTreeMap::new();
        for (place, (rule, nodes)) in rules.into_iter().enumerate() {
            let key = format!("rule{}", place.min(RULE_COLOURS - 1));
            by_rule.insert(rule.to_owned(), entries.len());
            entries.push(LegendEntry { key, label: format!("out: {}", spaced(rule)), nodes });
        }
        Self { entries, by_rule }
    }

    /// A tally in the order of the legend; rules that share a colour share an entry.
    fn ordered(&self, tally: &BTreeMap<String, u64>) -> Vec<TallyEntry> {
        let mut keys: Vec<&String> = self.entries.iter().map(|entry| &entry.key).collect();
        keys.dedup();
        keys.into_iter()
            .filter_map(|key| tally.get(key).map(|&nodes| TallyEntry { key: key.clone(), nodes }))
            .collect()
    }

    /// Key and label of the entry a fate falls under.
    fn entry(&self, fate: &Fate) -> (String, String) {
        let place = match fate {
            Fate::Class { .. } => Some(0),
            Fate::Absorbed { .. } => Some(1),
            Fate::Excluded { rule } => self.by_rule.get(rule).copied(),
        };
        place
            .and_then(|place| self.entries.get(place))
            .map(|entry| (entry.key.clone(), entry.label.clone()))
            .unwrap_or_default()
    }
}

struct Drawing<'a> {
    by_mid: &'a BTreeMap<&'a str, &'a OntologyNode>,
    legend: &'a Legend,
    drawn: BTreeSet<&'a str>,
}

impl<'a> Drawing<'a> {
    fn node(&mut self, node: &'a OntologyNode, depth: usize) -> TreeNode {
        let (key, rule) = self.legend.entry(&node.fate);
        let repeated = !self.drawn.insert(&node.mid);
        let mut children = Vec::new();
        if !repeated && depth < MAX_DEPTH {
            for child in node.children.iter().filter_map(|mid| self.by_mid.get(mid.as_str()).copied()) {
                children.push(self.node(child, depth + 1));
            }
        }
        let mut tally: BTreeMap<String, u64> = BTreeMap::new();
        if !repeated {
            tally.insert(key.clone(), 1);
        }
        for entry in children.iter().flat_map(|child| &child.tally) {
            *tally.entry(entry.key.clone()).or_default() += entry.nodes;
        }
        let below = tally.values().sum::<u64>().saturating_sub(1);
        TreeNode {
            mid: node.mid.clone(),
            name: node.name.clone(),
            badge: match &node.fate {
                Fate::Class { class } => format!("class {}", spaced(class)),
                Fate::Absorbed { class } => format!("in {}", spaced(class)),
                Fate::Excluded { rule } => spaced(rule),
            },
            reason: node.reason.clone(),
            rule,
            repeated,
            tally: self.legend.ordered(&tally),
            below,
            children,
            key,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(mid: &str, children: &[&str], fate: Fate) -> OntologyNode {
        OntologyNode {
            mid: mid.to_owned(),
            name: mid.to_uppercase(),
            children: children.iter().map(|&child| child.to_owned()).collect(),
            fate,
            reason: "because".to_owned(),
        }
    }

    fn excluded(rule: &str) -> Fate {
        Fate::Excluded { rule: rule.to_owned() }
    }

    #[test]
    fn a_node_with_two_parents_is_drawn_under_both_and_counted_once() {
        let ontology = Ontology {
            nodes: vec![
                node("snake", &["hiss"], excluded("no_action")),
                node("steam", &["hiss"], excluded("no_action")),
                node("hiss", &["leaf"], excluded("ambiguous")),
                node("leaf", &[], Fate::Class { class: "Leaf".to_owned() }),
            ],
        };
        let view = OntologyView::of(&ontology);
        assert_eq!(view.nodes, 4);
        assert_eq!(view.roots.len(), 2);
        assert!(!view.roots[0].children[0].repeated && view.roots[0].children[0].children.len() == 1);
        assert!(view.roots[1].children[0].repeated && view.roots[1].children[0].children.is_empty());
        let drawn: u64 = view.roots.iter().map(|root| root.below + 1).sum();
        assert_eq!(drawn, 4);
    }

    #[test]
    fn cycles_and_unknown_children_are_drawn_without_end() {
        let ontology = Ontology {
            nodes: vec![
                node("a", &["b", "nowhere"], excluded("abstract")),
                node("b", &["a"], excluded("abstract")),
            ],
        };
        let view = OntologyView::of(&ontology);
        assert_eq!(view.roots.len(), 1);
        assert_eq!(view.roots[0].below, 1);
    }

    #[test]
    fn a_very_deep_chain_is_cut_into_roots_and_nothing_is_lost() {
        let names: Vec<String> = (0..5_000).map(|place| format!("n{place:04}")).collect();
        let nodes = names
            .iter()
            .enumerate()
            .map(|(place, name)| {
                let child = names.get(place + 1).map(String::as_str);
                node(name, child.as_slice(), excluded("abstract"))
            })
            .collect();
        let view = OntologyView::of(&Ontology { nodes });
        assert_eq!(view.roots.iter().map(|root| root.below + 1).sum::<u64>(), 5_000);
    }

    #[test]
    fn rules_beyond_the_colours_share_the_last_one() {
        let nodes =
            (0..9).map(|place| node(&place.to_string(), &[], excluded(&format!("rule_{place}")))).collect();
        let view = OntologyView::of(&Ontology { nodes });
        assert_eq!(view.legend.len(), 2 + 9);
        assert_eq!(view.legend.last().map(|entry| entry.key.as_str()), Some("rule5"));
    }
}
