//! Which examples a step learns from.
//!
//! Groups are drawn by weight, examples of a group in passes, each in an order of its own. Nothing is copied, and
//! everything follows from the seed and the number of the draw.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::TrainError;

/// Draws examples for ever.
#[derive(Debug, Clone)]
pub(super) struct Sampler {
    groups: Vec<Group>,
    /// Questions of each example.
    questions: Vec<usize>,
    /// Sum of the groups' weights.
    total: f64,
    chance: ChaCha8Rng,
}

/// Examples that are alike.
#[derive(Debug, Clone)]
struct Group {
    /// Weight of all its examples together.
    weight: f64,
    members: Vec<usize>,
    /// Members of this pass that were drawn.
    drawn: usize,
    chance: ChaCha8Rng,
}

impl Sampler {
    /// A sampler of examples whose groups these are.
    pub(super) fn new(
        groups: &[String],
        questions: Vec<usize>,
        weights: &BTreeMap<String, f64>,
        seed: u64,
    ) -> Result<Self, TrainError> {
        let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, group) in groups.iter().enumerate() {
            members.entry(group).or_default().push(index);
        }
        if let Some(group) = weights.keys().find(|group| !members.contains_key(group.as_str())) {
            let there = members.keys().copied().collect::<Vec<_>>().join(", ");
            return Err(TrainError::Group { group: group.clone(), there });
        }
        let groups: Vec<Group> = (1..)
            .zip(members)
            .map(|(number, (name, members))| {
                let weight = weights.get(name).copied().unwrap_or(1.0) * members.len() as f64;
                // Streams of one seed are independent of each other.
                let mut chance = ChaCha8Rng::seed_from_u64(seed);
                chance.set_stream(number);
                Group { weight, members, drawn: 0, chance }
            })
            .filter(|group| group.weight > 0.0)
            .collect();
        let total: f64 = groups.iter().map(|group| group.weight).sum();
        if groups.is_empty() || !total.is_finite() {
            return Err(TrainError::NoExamples);
        }
        Ok(Self { groups, questions, total, chance: ChaCha8Rng::seed_from_u64(seed) })
    }

    /// The next examples, until they have so many questions.
    pub(super) fn draw_questions(&mut self, wanted: usize) -> Vec<usize> {
        let (mut drawn, mut questions) = (Vec::new(), 0);
        while questions < wanted {
            let example = self.draw();
            questions += self.questions.get(example).copied().unwrap_or(1).max(1);
            drawn.push(example);
        }
        drawn
    }

    /// The next example.
    fn draw(&mut self) -> usize {
        let mut place = self.chance.random::<f64>() * self.total;
        let last = self.groups.len() - 1;
        let chosen = self.groups[..last].iter().position(|group| {
            place -= group.weight;
            place < 0.0
        });
        self.groups[chosen.unwrap_or(last)].draw()
    }
}

impl Group {
    fn draw(&mut self) -> usize {
        if self.drawn.is_multiple_of(self.members.len()) {
            self.drawn = 0;
            self.members.shuffle(&mut self.chance);
        }
        self.drawn += 1;
        self.members[self.drawn - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(sizes: &[(&str, usize)]) -> Vec<String> {
        sizes.iter().flat_map(|&(name, count)| vec![name.to_owned(); count]).collect()
    }

    fn weights(weights: &[(&str, f64)]) -> BTreeMap<String, f64> {
        weights.iter().map(|&(name, weight)| (name.to_owned(), weight)).collect()
    }

    fn drawn(sampler: &mut Sampler, count: usize) -> Vec<usize> {
        sampler.draw_questions(count)
    }

    #[test]
    fn each_pass_over_a_group_has_every_example_once_in_another_order() {
        let mut sampler = Sampler::new(&groups(&[("a", 20)]), Vec::new(), &BTreeMap::new(), 7).unwrap();
        let (first, second) = (drawn(&mut sampler, 20), drawn(&mut sampler, 20));
        assert_ne!(first, second);
        for mut pass in [first, second] {
            pass.sort_unstable();
            assert_eq!(pass, (0..20).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_example_of_weight_ten_comes_ten_times_as_often() {
        let groups = groups(&[("aligned", 10), ("misaligned", 100), ("never", 5)]);
        let weights = weights(&[("aligned", 10.0), ("never", 0.0)]);
        let mut sampler = Sampler::new(&groups, Vec::new(), &weights, 3).unwrap();
        let draws = drawn(&mut sampler, 20_000);
        let aligned = draws.iter().filter(|&&index| index < 10).count();
        // Half of them, with a spread of 71.
        assert!((9_600..10_400).contains(&aligned), "{aligned}");
        assert!(draws.iter().all(|&index| index < 110));
    }

    #[test]
    fn a_step_ends_with_the_example_that_has_its_last_question() {
        let groups = groups(&[("a", 6)]);
        let mut sampler = Sampler::new(&groups, vec![3; 6], &BTreeMap::new(), 1).unwrap();
        assert_eq!(sampler.draw_questions(7).len(), 3);
        assert_eq!(sampler.draw_questions(3).len(), 1);
    }

    #[test]
    fn draws_follow_from_the_seed() {
        let groups = groups(&[("a", 9), ("b", 4)]);
        let draw = |seed| drawn(&mut Sampler::new(&groups, Vec::new(), &BTreeMap::new(), seed).unwrap(), 50);
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn a_weight_without_examples_and_no_examples_are_refused() {
        let sampler = |weighed| Sampler::new(&groups(&[("a", 2)]), Vec::new(), &weights(weighed), 0);
        let error = sampler(&[("alligned", 2.0)]).unwrap_err();
        assert!(matches!(&error, TrainError::Group { group, .. } if group == "alligned"), "{error}");
        assert!(matches!(sampler(&[("a", 0.0)]), Err(TrainError::NoExamples)));
        assert!(matches!(Sampler::new(&[], Vec::new(), &BTreeMap::new(), 0), Err(TrainError::NoExamples)));
    }
}
