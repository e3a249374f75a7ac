//! The clips that may still lend their sound, least used first.

use std::collections::BTreeSet;

use super::kinship::ClassIndex;

/// A clip in line: how often it lent its sound, its place in the order of the seed, its index in the pool.
pub(super) type Turn = (u32, u64, usize);

/// Per class a queue of donors: the least used one first, among equals in the order of the seed.
pub(super) struct Donors {
    use_cap: u32,
    waiting: Vec<BTreeSet<Turn>>,
    joined: Vec<Vec<usize>>,
}

impl Donors {
    pub(super) fn new(classes: usize, use_cap: u32) -> Self {
        Self { use_cap, waiting: vec![BTreeSet::new(); classes], joined: vec![Vec::new(); classes] }
    }

    /// A clip becomes a donor.
    pub(super) fn join(&mut self, class: ClassIndex, order: u64, member: usize) {
        self.waiting[class].insert((0, order, member));
        self.joined[class].push(member);
    }

    /// Donors of a class that are not used up, in the order in which they are to be asked.
    pub(super) fn waiting(&self, class: ClassIndex) -> impl Iterator<Item = Turn> {
        self.waiting[class].iter().copied()
    }

    /// Every donor of a class, used up or not.
    pub(super) fn joined(&self, class: ClassIndex) -> impl Iterator<Item = usize> {
        self.joined[class].iter().copied()
    }

    /// A donor lends its sound once more.
    pub(super) fn lend(&mut self, class: ClassIndex, turn: Turn) {
        let (uses, order, member) = turn;
        self.waiting[class].remove(&turn);
        if uses + 1 < self.use_cap {
            self.waiting[class].insert((uses + 1, order, member));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_line(donors: &Donors) -> Vec<usize> {
        donors.waiting(0).map(|(_, _, member)| member).collect()
    }

    #[test]
    fn the_least_used_donor_is_asked_first_until_it_is_used_up() {
        let mut donors = Donors::new(1, 2);
        donors.join(0, 20, 7);
        donors.join(0, 10, 8);
        assert_eq!(in_line(&donors), [8, 7]);
        donors.lend(0, (0, 10, 8));
        assert_eq!(in_line(&donors), [7, 8]);
        donors.join(0, 30, 9);
        assert_eq!(in_line(&donors), [7, 9, 8], "a newcomer comes before those already used");
        donors.lend(0, (1, 10, 8));
        assert_eq!(in_line(&donors), [7, 9]);
        assert_eq!(donors.joined(0).count(), 3);
    }
}
