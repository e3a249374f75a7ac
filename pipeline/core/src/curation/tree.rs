//! The ontology as pruned, for drawing.

use serde::Serialize;

use super::{Curator, Fate};
use crate::ontology::{NodeId, Restriction};

/// A node and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TreeNode {
    /// Machine id.
    pub mid: String,
    /// Display name.
    pub name: String,
    /// Links from the root on the way by which the node was reached first.
    pub depth: usize,
    /// Machine ids of every node right above.
    pub parents: Vec<String>,
    /// Machine ids of every node right below, also of those drawn under another parent.
    pub children: Vec<String>,
    /// AudioSet's own restrictions.
    pub restrictions: Vec<Restriction>,
    /// What became of it.
    pub fate: Fate,
}

impl Curator {
    /// Every node once, each under the first parent that reaches it: a node is followed by what it
    /// draws below, and the roots follow each other.
    pub fn tree(&self) -> Vec<TreeNode> {
        let ontology = &self.ontology;
        let mids = |ids: &[NodeId]| ids.iter().map(|&id| ontology.node(id).mid.clone()).collect();
        let mut drawn = vec![false; ontology.len()];
        let mut tree = Vec::with_capacity(ontology.len());
        let mut waiting: Vec<(NodeId, usize)> = ontology.roots().map(|root| (root, 0)).collect();
        waiting.reverse();
        while let Some((id, depth)) = waiting.pop() {
            if std::mem::replace(&mut drawn[id.index()], true) {
                continue;
            }
            let node = ontology.node(id);
            tree.push(TreeNode {
                mid: node.mid.clone(),
                name: node.name.clone(),
                depth,
                parents: mids(ontology.parents(id)),
                children: mids(ontology.children(id)),
                restrictions: node.restrictions.clone(),
                fate: self.fate(id).clone(),
            });
            waiting.extend(ontology.children(id).iter().rev().map(|&child| (child, depth + 1)));
        }
        tree
    }
}
