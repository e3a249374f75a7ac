//! Which clips are too close in meaning to lend each other their sound (design section 8, donor rules).
//!
//! A clip stands for its terms: the topmost of the labels that name its class, and the most specific of the
//! labels it carries itself (a clip labelled `Animal` and `Cat` shows a cat, and is no kin of every animal).
//! Two clips are kin if any term of the one and any term of the other
//!
//! - are the same (co-label: both carry `Speech`, or the one is labelled with the other's class),
//! - are ancestor and descendant, or
//! - share a direct parent (siblings), be it an abstract or a blacklisted one.
//!
//! The sibling rule is taken word for word because every exception would need a judgement: it keeps an
//! accordion from sounding over a trombone, at the price of keeping a blender from sounding over a door.

use std::collections::{BTreeSet, HashMap};

use crate::{curation::Curator, pool::PoolMember};

/// What the ontology and its curation say of labels and classes.
pub trait Relations {
    /// Direct parents of a label; none for a root and for a label the ontology does not know.
    fn parents<'a>(&'a self, mid: &str) -> Vec<&'a str>;

    /// Labels that name a class; none for a class the curation does not know.
    fn class_mids<'a>(&'a self, class: &str) -> Vec<&'a str>;
}

impl Relations for Curator {
    fn parents<'a>(&'a self, mid: &str) -> Vec<&'a str> {
        let ontology = self.ontology();
        let parents = ontology.find(mid).map(|node| ontology.parents(node)).unwrap_or_default();
        parents.iter().map(|parent| ontology.node(*parent).mid.as_str()).collect()
    }

    fn class_mids<'a>(&'a self, class: &str) -> Vec<&'a str> {
        let class = self.classes().iter().find(|candidate| candidate.name == class);
        class.map(|class| class.mids.iter().map(String::as_str).collect()).unwrap_or_default()
    }
}

/// Index of a class among the classes of a pool.
pub(super) type ClassIndex = usize;

/// The kinship of every member of a pool, worked out once.
pub(super) struct Kinship {
    /// Classes in ascending order of their names.
    pub(super) classes: Vec<String>,
    class_terms: Vec<Terms>,
    /// Distinct terms of members; many members share theirs.
    member_terms: Vec<Terms>,
    /// By member: its class and its place in `member_terms`.
    members: Vec<(ClassIndex, usize)>,
}

impl Kinship {
    pub(super) fn of(members: &[PoolMember], relations: &dyn Relations) -> Self {
        let classes: BTreeSet<&str> = members.iter().map(|member| member.class.as_str()).collect();
        let mut numbers = Numbers::default();
        let mids: Vec<Vec<&str>> = classes.iter().map(|class| relations.class_mids(class)).collect();
        let class_terms = mids.iter().map(|mids| terms(relations, mids, &[], &mut numbers)).collect();
        let class_index: HashMap<&str, usize> = classes.iter().copied().zip(0..).collect();
        let mut known: HashMap<(&str, &[String]), usize> = HashMap::new();
        let mut member_terms = Vec::new();
        let mut indices = Vec::with_capacity(members.len());
        for member in members {
            let class = class_index.get(member.class.as_str()).copied().unwrap_or_default();
            let place = *known.entry((&member.class, &member.labels)).or_insert_with(|| {
                let labels: Vec<&str> = member.labels.iter().map(String::as_str).collect();
                member_terms.push(terms(relations, &mids[class], &labels, &mut numbers));
                member_terms.len() - 1
            });
            indices.push((class, place));
        }
        let classes = classes.into_iter().map(str::to_owned).collect();
        Self { classes, class_terms, member_terms, members: indices }
    }

    pub(super) fn class_of(&self, member: usize) -> ClassIndex {
        self.members[member].0
    }

    /// Whether no member of the one class may lend its sound to the other's.
    pub(super) fn classes_are_kin(&self, one: ClassIndex, other: ClassIndex) -> bool {
        one == other || self.class_terms[one].are_kin_to(&self.class_terms[other])
    }

    pub(super) fn members_are_kin(&self, one: usize, other: usize) -> bool {
        self.member_terms[self.members[one].1].are_kin_to(&self.member_terms[self.members[other].1])
    }
}

/// What a clip or a class stands for, as sorted numbers of labels.
#[derive(Default)]
struct Terms {
    own: Vec<u32>,
    parents: Vec<u32>,
    /// The terms and all their ancestors.
    lineage: Vec<u32>,
}

impl Terms {
    fn are_kin_to(&self, other: &Self) -> bool {
        intersect(&self.own, &other.lineage)
            || intersect(&self.lineage, &other.own)
            || intersect(&self.parents, &other.parents)
    }
}

/// Whether two sorted lists have an element in common.
fn intersect(one: &[u32], other: &[u32]) -> bool {
    let (mut i, mut j) = (0, 0);
    while let (Some(a), Some(b)) = (one.get(i), other.get(j)) {
        match a.cmp(b) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => return true,
        }
    }
    false
}

/// Numbers for labels, given in the order in which they are first met.
#[derive(Default)]
struct Numbers(HashMap<String, u32>);

impl Numbers {
    fn sorted(&mut self, mids: BTreeSet<&str>) -> Vec<u32> {
        let mut numbers = Vec::with_capacity(mids.len());
        for mid in mids {
            let next = self.0.len() as u32;
            numbers.push(*self.0.entry(mid.to_owned()).or_insert(next));
        }
        numbers.sort_unstable();
        numbers
    }
}

/// A class stands for its topmost labels, which hold the others; a clip for its most specific ones.
fn terms(relations: &dyn Relations, class_mids: &[&str], labels: &[&str], numbers: &mut Numbers) -> Terms {
    let is_top = |mid: &&&str| !ancestors(relations, mid).iter().any(|above| class_mids.contains(above));
    let mut own: BTreeSet<&str> = class_mids.iter().filter(is_top).copied().collect();
    let above_others: BTreeSet<&str> = labels.iter().flat_map(|mid| ancestors(relations, mid)).collect();
    own.extend(labels.iter().filter(|mid| !above_others.contains(*mid)));
    let parents = own.iter().flat_map(|mid| relations.parents(mid)).collect();
    let lineage = own.iter().flat_map(|mid| ancestors(relations, mid)).chain(own.iter().copied()).collect();
    Terms { parents: numbers.sorted(parents), lineage: numbers.sorted(lineage), own: numbers.sorted(own) }
}

/// Every label above `mid`; ends even where the ontology is no hierarchy.
fn ancestors<'a>(relations: &'a dyn Relations, mid: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open = relations.parents(mid);
    while let Some(parent) = open.pop() {
        if found.insert(parent) {
            open.extend(relations.parents(parent));
        }
    }
    found
}
