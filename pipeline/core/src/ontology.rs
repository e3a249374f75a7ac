//! AudioSet's ontology: a directed acyclic graph of sounds, several roots, some nodes with several parents.
//!
//! Source: `ontology.json` of audioset/ontology; appendix A of the paper describes it.

use std::collections::HashMap;

use fixedbitset::FixedBitSet;
use serde::{Deserialize, Serialize};

/// Most nodes an ontology may have. The published one has 632; the limit keeps the table of ancestors,
/// which grows with the square, under 13 MB.
pub const MAX_NODES: usize = 10_000;

/// Position of a node in its [`Ontology`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(usize);

/// Why AudioSet itself holds a node back from annotation (its field `restrictions`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Restriction {
    /// Exists only to build the tree.
    Abstract,
    /// Too obscure or too unreliable to annotate.
    Blacklist,
}

/// One sound of the ontology.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Node {
    /// Machine id, e.g. `/m/0bt9lr`.
    #[serde(rename = "id")]
    pub mid: String,
    /// Display name, e.g. `Dog`.
    pub name: String,
    /// What annotators were told it sounds like.
    #[serde(default)]
    pub description: String,
    /// Machine ids of the more specific sounds right below.
    #[serde(default)]
    pub child_ids: Vec<String>,
    /// Restrictions of AudioSet itself.
    #[serde(default)]
    pub restrictions: Vec<Restriction>,
}

/// Why a file is no usable ontology.
#[derive(Debug, thiserror::Error)]
pub enum OntologyError {
    /// Not JSON, or not a list of nodes.
    #[error(
        "{file}: not an ontology in AudioSet's format: {source}; take ontology.json from audioset/ontology"
    )]
    Json {
        /// File as named by the caller.
        file: String,
        /// Where parsing stopped.
        source: serde_json::Error,
    },
    /// A list without nodes.
    #[error("{file}: the ontology has no nodes; take ontology.json from audioset/ontology")]
    Empty {
        /// File as named by the caller.
        file: String,
    },
    /// More than [`MAX_NODES`].
    #[error(
        "{file}: the ontology has {nodes} nodes, more than the limit of {MAX_NODES}; leave out branches without classes"
    )]
    TooLarge {
        /// File as named by the caller.
        file: String,
        /// Nodes in the file.
        nodes: usize,
    },
    /// Two nodes share a machine id.
    #[error("{file}: id {mid} is given to both `{first}` and `{second}`; give each node its own id")]
    RepeatedId {
        /// File as named by the caller.
        file: String,
        /// The shared id.
        mid: String,
        /// Name of the first node.
        first: String,
        /// Name of the second node.
        second: String,
    },
    /// A node names a child that no node has.
    #[error("{file}: `{parent}` names the child {child}, which no node has; add the node or drop the child")]
    UnknownChild {
        /// File as named by the caller.
        file: String,
        /// Name of the parent.
        parent: String,
        /// Machine id that leads nowhere.
        child: String,
    },
    /// A node is its own descendant.
    #[error("{file}: the nodes form a cycle, {}; remove one of these links", path.join(" > "))]
    Cycle {
        /// File as named by the caller.
        file: String,
        /// Names from a node down to itself.
        path: Vec<String>,
    },
}

/// AudioSet's ontology, checked: ids are unique, every child exists, nothing is its own descendant.
#[derive(Debug, Clone)]
pub struct Ontology {
    nodes: Vec<Node>,
    by_mid: HashMap<String, NodeId>,
    children: Vec<Vec<NodeId>>,
    parents: Vec<Vec<NodeId>>,
    ancestors: Vec<FixedBitSet>,
    depth: Vec<usize>,
    parents_first: Vec<NodeId>,
}

impl Ontology {
    /// Reads AudioSet's `ontology.json`.
    ///
    /// # Errors
    /// [`OntologyError`] for anything but an acyclic graph of 1 to [`MAX_NODES`] nodes; it names `file`.
    pub fn from_json(text: &str, file: &str) -> Result<Self, OntologyError> {
        let nodes: Vec<Node> = serde_json::from_str(text)
            .map_err(|source| OntologyError::Json { file: file.to_owned(), source })?;
        if nodes.is_empty() {
            return Err(OntologyError::Empty { file: file.to_owned() });
        }
        if nodes.len() > MAX_NODES {
            return Err(OntologyError::TooLarge { file: file.to_owned(), nodes: nodes.len() });
        }
        let by_mid = index_by_mid(&nodes, file)?;
        let (children, parents) = link(&nodes, &by_mid, file)?;
        let parents_first = order_parents_first(&nodes, &children, &parents, file)?;
        let mut ancestors = vec![FixedBitSet::with_capacity(nodes.len()); nodes.len()];
        let mut depth = vec![0; nodes.len()];
        for &NodeId(node) in &parents_first {
            let mut above = FixedBitSet::with_capacity(nodes.len());
            for &NodeId(parent) in &parents[node] {
                above.union_with(&ancestors[parent]);
                above.insert(parent);
            }
            ancestors[node] = above;
            depth[node] = parents[node].iter().map(|parent| depth[parent.0] + 1).min().unwrap_or(0);
        }
        Ok(Self { nodes, by_mid, children, parents, ancestors, depth, parents_first })
    }

    /// Number of nodes; never 0.
    #[allow(clippy::len_without_is_empty, reason = "an ontology is never empty")]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Every node, in the order of the file.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.nodes.len()).map(NodeId)
    }

    /// Every node, each after all of its parents.
    pub fn parents_first(&self) -> &[NodeId] {
        &self.parents_first
    }

    /// The node itself.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The node with this machine id.
    pub fn find(&self, mid: &str) -> Option<NodeId> {
        self.by_mid.get(mid).copied()
    }

    /// The nodes with this display name, upper and lower case alike. The published names are unique.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = NodeId> + 'a {
        self.ids().filter(move |&id| self.node(id).name.eq_ignore_ascii_case(name))
    }

    /// Nodes without a parent: seven in the published file (appendix A counts six).
    pub fn roots(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.ids().filter(|id| self.parents[id.0].is_empty())
    }

    /// Nodes right below.
    pub fn children(&self, id: NodeId) -> &[NodeId] {
        &self.children[id.0]
    }

    /// Nodes right above; more than one for 38 nodes of the published file.
    pub fn parents(&self, id: NodeId) -> &[NodeId] {
        &self.parents[id.0]
    }

    /// Nodes above, along every path, without the node itself, in the order of the file.
    pub fn ancestors(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.ancestors[id.0].ones().map(NodeId)
    }

    /// Nodes below, along every path, without the node itself, in the order of the file.
    pub fn descendants(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.ids().filter(move |&below| self.is_ancestor(id, below))
    }

    /// Whether `above` lies on a path from a root to `below`.
    pub fn is_ancestor(&self, above: NodeId, below: NodeId) -> bool {
        self.ancestors[below.0].contains(above.0)
    }

    /// Links on the shortest way to a root.
    pub fn depth(&self, id: NodeId) -> usize {
        self.depth[id.0]
    }
}

impl NodeId {
    /// Position in tables with one entry for each node of the ontology.
    pub(crate) fn index(self) -> usize {
        self.0
    }
}

fn index_by_mid(nodes: &[Node], file: &str) -> Result<HashMap<String, NodeId>, OntologyError> {
    let mut by_mid = HashMap::with_capacity(nodes.len());
    for (position, node) in nodes.iter().enumerate() {
        if let Some(NodeId(first)) = by_mid.insert(node.mid.clone(), NodeId(position)) {
            return Err(OntologyError::RepeatedId {
                file: file.to_owned(),
                mid: node.mid.clone(),
                first: nodes[first].name.clone(),
                second: node.name.clone(),
            });
        }
    }
    Ok(by_mid)
}

type Links = Vec<Vec<NodeId>>;

/// Children and parents of each node.
fn link(
    nodes: &[Node],
    by_mid: &HashMap<String, NodeId>,
    file: &str,
) -> Result<(Links, Links), OntologyError> {
    let mut children: Links = vec![Vec::new(); nodes.len()];
    let mut parents: Links = vec![Vec::new(); nodes.len()];
    for (position, node) in nodes.iter().enumerate() {
        for mid in &node.child_ids {
            let &child = by_mid.get(mid).ok_or_else(|| OntologyError::UnknownChild {
                file: file.to_owned(),
                parent: node.name.clone(),
                child: mid.clone(),
            })?;
            // A parent's links are made in one go, so a repeated child shows as the last parent.
            if parents[child.0].last() != Some(&NodeId(position)) {
                children[position].push(child);
                parents[child.0].push(NodeId(position));
            }
        }
    }
    Ok((children, parents))
}

/// Kahn's order; what it cannot reach holds a cycle.
fn order_parents_first(
    nodes: &[Node],
    children: &Links,
    parents: &Links,
    file: &str,
) -> Result<Vec<NodeId>, OntologyError> {
    let mut waiting: Vec<usize> = parents.iter().map(Vec::len).collect();
    let mut order: Vec<NodeId> = (0..nodes.len()).filter(|&node| waiting[node] == 0).map(NodeId).collect();
    let mut next = 0;
    while let Some(&NodeId(node)) = order.get(next) {
        next += 1;
        for &child in &children[node] {
            waiting[child.0] -= 1;
            if waiting[child.0] == 0 {
                order.push(child);
            }
        }
    }
    match waiting.iter().position(|&parents| parents > 0) {
        None => Ok(order),
        Some(stuck) => {
            let path = cycle_above(stuck, parents, &waiting);
            let path = path.into_iter().map(|node| nodes[node].name.clone()).collect();
            Err(OntologyError::Cycle { file: file.to_owned(), path })
        }
    }
}

/// A cycle among the nodes that still wait for a parent, from a node down to itself. Every waiting node
/// has a waiting parent, so climbing from one meets a node twice.
fn cycle_above(start: usize, parents: &Links, waiting: &[usize]) -> Vec<usize> {
    let mut climbed = vec![start];
    let mut node = start;
    while let Some(parent) = parents[node].iter().map(|parent| parent.0).find(|&parent| waiting[parent] > 0) {
        if let Some(met) = climbed.iter().position(|&below| below == parent) {
            let mut path = climbed.split_off(met);
            path.push(parent);
            path.reverse();
            return path;
        }
        climbed.push(parent);
        node = parent;
    }
    climbed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nodes named like their ids, from `parent: child child` lines.
    fn graph(lines: &[&str]) -> String {
        let nodes: Vec<serde_json::Value> = lines
            .iter()
            .map(|line| {
                let (id, children) = line.split_once(':').unwrap();
                let children: Vec<&str> = children.split_whitespace().collect();
                serde_json::json!({ "id": id, "name": id, "child_ids": children })
            })
            .collect();
        serde_json::to_string(&nodes).unwrap()
    }

    fn names(ontology: &Ontology, ids: impl Iterator<Item = NodeId>) -> Vec<String> {
        ids.map(|id| ontology.node(id).name.clone()).collect()
    }

    #[test]
    fn ancestors_are_found_along_every_path() {
        let ontology = Ontology::from_json(&graph(&["a: b c", "b: d", "c: d", "d:", "e: d"]), "g").unwrap();
        let d = ontology.find("d").unwrap();
        assert_eq!(names(&ontology, ontology.ancestors(d)), ["a", "b", "c", "e"]);
        assert_eq!(names(&ontology, ontology.parents(d).iter().copied()), ["b", "c", "e"]);
        assert_eq!(names(&ontology, ontology.roots()), ["a", "e"]);
        assert_eq!(names(&ontology, ontology.descendants(ontology.find("a").unwrap())), ["b", "c", "d"]);
        assert_eq!(ontology.depth(d), 1, "the shortest way to a root counts");
    }

    #[test]
    fn every_node_follows_its_parents_in_the_order() {
        let ontology = Ontology::from_json(&graph(&["d:", "b: d", "a: b c", "c: d"]), "g").unwrap();
        let order = ontology.parents_first();
        assert_eq!(order.len(), 4);
        for (place, &id) in order.iter().enumerate() {
            assert!(ontology.parents(id).iter().all(|parent| order[..place].contains(parent)));
        }
    }

    #[test]
    fn a_cycle_is_named_node_by_node() {
        let error = Ontology::from_json(&graph(&["a: b", "b: c", "c: d", "d: b"]), "loop.json").unwrap_err();
        let OntologyError::Cycle { path, .. } = &error else { panic!("{error}") };
        assert_eq!(path.len(), 4);
        assert_eq!(path.first(), path.last());
        assert!(
            ["b > c > d > b", "c > d > b > c", "d > b > c > d"].iter().any(|p| error.to_string().contains(p))
        );
        assert!(error.to_string().starts_with("loop.json: "));
    }

    #[test]
    fn a_node_that_is_its_own_child_is_a_cycle() {
        let error = Ontology::from_json(&graph(&["a: a"]), "g").unwrap_err();
        assert!(error.to_string().contains("a > a"), "{error}");
    }

    #[test]
    fn a_long_chain_needs_no_deep_stack() {
        let lines: Vec<String> = (0..MAX_NODES)
            .map(|n| if n + 1 < MAX_NODES { format!("n{n}: n{}", n + 1) } else { format!("n{n}:") })
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let ontology = Ontology::from_json(&graph(&lines), "g").unwrap();
        assert_eq!(ontology.depth(ontology.find("n9999").unwrap()), 9_999);
    }

    #[test]
    fn an_unknown_child_names_parent_and_child() {
        let error = Ontology::from_json(&graph(&["a: ghost"]), "g.json").unwrap_err();
        assert!(
            matches!(&error, OntologyError::UnknownChild { parent, child, .. } if parent == "a" && child == "ghost")
        );
        assert!(error.to_string().contains("`a`") && error.to_string().contains("ghost"));
    }

    #[test]
    fn a_repeated_id_names_both_nodes() {
        let text = r#"[{"id": "/m/1", "name": "Cat"}, {"id": "/m/1", "name": "Dog"}]"#;
        let error = Ontology::from_json(text, "g.json").unwrap_err().to_string();
        assert!(error.contains("/m/1") && error.contains("`Cat`") && error.contains("`Dog`"), "{error}");
    }

    #[test]
    fn what_is_no_ontology_is_rejected_by_kind() {
        for text in [
            "",
            "{",
            "{\"a\": 1}",
            "[{\"id\": 3}]",
            "[{\"id\": \"a\", \"name\": \"a\", \"restrictions\": [\"odd\"]}]",
        ] {
            assert!(matches!(Ontology::from_json(text, "g"), Err(OntologyError::Json { .. })), "{text}");
        }
        assert!(matches!(Ontology::from_json("[]", "g"), Err(OntologyError::Empty { .. })));
        let many: Vec<String> = (0..=MAX_NODES).map(|n| format!("n{n}:")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(matches!(Ontology::from_json(&graph(&many), "g"), Err(OntologyError::TooLarge { .. })));
    }
}
