//! Who lends a host its sound.

use counterpoint_messages::{Recipe, SkipReason};

use super::{
    donors::{Donors, Turn},
    kinship::{ClassIndex, Kinship},
};
use crate::{plan::PlanEntry, pool::PoolMember};

/// The donors of one sample (none for a recipe that needs none), or why there are not enough of them.
pub(super) type Cast = Result<Vec<usize>, SkipReason>;

/// Chooses donors host by host; what one host takes is gone for the next.
pub(super) struct Casting {
    seed: u64,
    kinship: Kinship,
    donors: Donors,
    class_order: Vec<u64>,
    /// Uses after which a clip is kept back for hosts of its own class.
    uses_by_others: u32,
}

impl Casting {
    /// The casting of a plan that lets a clip lend its sound `use_cap` times. Only hosts of its own class can
    /// do nothing but swap with it, so `swaps` of those uses (at most half of them) are kept back for them.
    pub(super) fn new(seed: u64, kinship: Kinship, use_cap: u32, swaps: u32) -> Self {
        let class_order =
            kinship.classes.iter().map(|class| order(seed, "class", class.as_bytes())).collect();
        let donors = Donors::new(kinship.classes.len(), use_cap);
        Self { seed, kinship, donors, class_order, uses_by_others: use_cap - swaps.min(use_cap / 2) }
    }

    /// Clips become donors; `joined` are their indices in `members`.
    pub(super) fn join(&mut self, members: &[PoolMember], joined: std::ops::Range<usize>) {
        for member in joined {
            let turn = order(self.seed, "donor", &members[member].clip.0);
            self.donors.join(self.kinship.class_of(member), turn, member);
        }
    }

    /// The order in which hosts choose.
    pub(super) fn host_order(&self, host: &PoolMember) -> u64 {
        order(self.seed, "host", &host.clip.0)
    }

    /// One cast for each sample that the recipe at `place` of the plan makes of a host.
    pub(super) fn cast(
        &mut self,
        members: &[PoolMember],
        host: usize,
        entry: &PlanEntry,
        place: usize,
    ) -> Vec<Cast> {
        let wanted = entry.donors as usize;
        match entry.recipe {
            Recipe::Misaligned => {
                let found = self.other_classes(members, host, wanted, place);
                let casts = self.lend(&found).map(|donor| Ok(vec![donor]));
                let mut casts: Vec<Cast> = casts.collect();
                if casts.len() < wanted {
                    let legal = self.legal_classes(members, host);
                    casts.extend((casts.len()..wanted).map(|sample| Err(lacking_classes(sample, legal))));
                }
                casts
            }
            Recipe::Mixup { .. } => {
                let found = self.other_classes(members, host, wanted, place);
                if found.len() < wanted {
                    return vec![Err(lacking_classes(wanted - 1, self.legal_classes(members, host)))];
                }
                vec![Ok(self.lend(&found).collect())]
            }
            Recipe::Swapped => {
                let found = self.same_class(members, host, wanted);
                let casts = self.lend(&found).map(|donor| Ok(vec![donor]));
                let mut casts: Vec<Cast> = casts.collect();
                if casts.len() < wanted {
                    let legal = self.legal_in_class(members, host, wanted);
                    casts.extend((casts.len()..wanted).map(|sample| Err(lacking_in_class(sample, legal))));
                }
                casts
            }
            Recipe::Shift { offset_ms } if offset_ms.unsigned_abs() >= members[host].duration_ms => {
                vec![Err(SkipReason::ClipTooShort)]
            }
            Recipe::Aligned | Recipe::Shift { .. } | Recipe::AudioRemoved | Recipe::FramesZeroed => {
                vec![Ok(Vec::new())]
            }
        }
    }

    /// Up to `wanted` donors that are not used up, each of another class and none of the host's.
    fn other_classes(
        &self,
        members: &[PoolMember],
        host: usize,
        wanted: usize,
        place: usize,
    ) -> Vec<(ClassIndex, Turn)> {
        let own_order = order(self.seed, &format!("classes for recipe {place}"), &members[host].clip.0);
        let mut classes: Vec<(u64, ClassIndex)> = self
            .class_order
            .iter()
            .zip(0..)
            .map(|(class, index)| (scramble(own_order ^ class), index))
            .collect();
        classes.sort_unstable();
        let first_legal = |(_, class)| {
            let mut turns = self.donors.waiting(class).take_while(|turn| turn.0 < self.uses_by_others);
            turns.find(|turn| self.may_disagree(members, host, turn.2)).map(|turn| (class, turn))
        };
        let host_class = self.kinship.class_of(host);
        let legal =
            classes.into_iter().filter(|(_, class)| !self.kinship.classes_are_kin(host_class, *class));
        legal.filter_map(first_legal).take(wanted).collect()
    }

    fn same_class(&self, members: &[PoolMember], host: usize, wanted: usize) -> Vec<(ClassIndex, Turn)> {
        let class = self.kinship.class_of(host);
        let turns = self.donors.waiting(class).filter(|turn| is_other_sound(members, host, turn.2));
        turns.map(|turn| (class, turn)).take(wanted).collect()
    }

    fn lend(&mut self, turns: &[(ClassIndex, Turn)]) -> impl Iterator<Item = usize> {
        for (class, turn) in turns {
            self.donors.lend(*class, *turn);
        }
        turns.iter().map(|(_, turn)| turn.2)
    }

    /// Whether the donor's sound over the host's picture is a disagreement.
    fn may_disagree(&self, members: &[PoolMember], host: usize, donor: usize) -> bool {
        is_other_sound(members, host, donor) && !self.kinship.members_are_kin(host, donor)
    }

    /// Classes with a donor for the host, used up or not.
    fn legal_classes(&self, members: &[PoolMember], host: usize) -> usize {
        let host_class = self.kinship.class_of(host);
        let has_donor = |class: &ClassIndex| {
            !self.kinship.classes_are_kin(host_class, *class)
                && self.donors.joined(*class).any(|donor| self.may_disagree(members, host, donor))
        };
        (0..self.class_order.len()).filter(has_donor).count()
    }

    /// Donors of the host's own class, used up or not; counted up to `wanted`.
    fn legal_in_class(&self, members: &[PoolMember], host: usize, wanted: usize) -> usize {
        let joined = self.donors.joined(self.kinship.class_of(host));
        joined.filter(|donor| is_other_sound(members, host, *donor)).take(wanted).count()
    }
}

/// Whether a donor has another sound than the host. One of the host's source video has not, nor has a video
/// that was uploaded again: its name is another, its sound the same to the byte.
fn is_other_sound(members: &[PoolMember], host: usize, donor: usize) -> bool {
    let (host, donor) = (&members[host], &members[donor]);
    host.video != donor.video && host.sound.hash != donor.sound.hash
}

fn lacking_classes(sample: usize, legal: usize) -> SkipReason {
    match legal {
        0 => SkipReason::NoDonorOfOtherClass,
        legal if legal <= sample => SkipReason::TooFewClasses,
        _ => SkipReason::DonorsUsedUp,
    }
}

fn lacking_in_class(sample: usize, legal: usize) -> SkipReason {
    if legal <= sample { SkipReason::NoDonorOfSameClass } else { SkipReason::DonorsUsedUp }
}

/// Place of something in the order that a seed gives for a purpose.
fn order(seed: u64, purpose: &str, of: &[u8]) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key("counterpoint order v1");
    hasher.update(&seed.to_le_bytes());
    hasher.update(purpose.as_bytes());
    hasher.update(b"\0");
    hasher.update(of);
    let mut place = [0; 8];
    hasher.finalize_xof().fill(&mut place);
    u64::from_le_bytes(place)
}

/// Spreads the bits of a sum of two hashes (the finaliser of SplitMix64), so that each host meets the classes
/// in an order of its own without a hash for every pair.
fn scramble(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
