//! Which samples a sealed pool becomes (design section 8; paper section 3.3, appendix C, I.2 and M.3).
//!
//! [`compose`] is a pure function of the pool, the plan and the seed:
//!
//! 1. Hosts are taken generation by generation, and in one in the order of a hash of seed and clip.
//! 2. For every recipe of the plan a host asks for donors. Sounds of other classes come from distinct classes
//!    in an order that is a hash of seed, host and recipe; inside a class the least used donor comes first,
//!    and among equals the order is a hash of seed and clip. A donor at the use cap is not asked again, and a few of its uses are kept for
//!    hosts of its own class.
//! 3. A donor never comes from the host's source video, never has the host's very sound under another name and,
//!    unless the recipe swaps within the class, is never kin of the host (see [`Relations`]).
//! 4. What cannot be made is skipped with a reason; the host's other samples are unaffected.
//!
//! A host draws only from its own and earlier generations, and earlier generations are replayed before it,
//! so what was composed for them never changes and the use cap holds over all of them.

mod casting;
mod donors;
mod kinship;
mod lineage;
mod manifest;

use counterpoint_messages::{
    Cause, ContentHash, Fingerprint, Parent, ParentRole, PoolSealed, Recipe, RecipeSkipped, RecordId,
    SampleComposed, SkipReason, StageName, TraceParent,
};
pub use kinship::Relations;
pub use lineage::{LineageCard, ParentCard};
pub use manifest::ManifestRow;

use crate::{
    plan::{Plan, PlanEntry, recipe_text},
    pool::{PoolListing, PoolMember, member_ids},
};
use casting::{Cast, Casting};
use kinship::Kinship;

/// Version of the rules above: raised when the same pool, plan and seed give other samples.
pub const TRANSFORM: u32 = 2;

/// One recipe put to one host.
#[derive(Debug, Clone, PartialEq)]
pub enum Composition {
    /// It can be made.
    Sample(SampleComposed),
    /// It cannot.
    Skipped(RecipeSkipped),
}

/// All that one host comes to, in the order of the plan.
#[derive(Debug, Clone, PartialEq)]
pub struct ComposedHost {
    /// Id of the clip.
    pub host: RecordId,
    /// Its trace, which its samples go on with.
    pub trace: Option<TraceParent>,
    /// [`Plan::compositions_per_host`] samples and skips.
    pub compositions: Vec<Composition>,
}

/// A listing, a seal and a plan that do not belong together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// The listing is not the one that was sealed.
    #[error("pool {pool} seals {sealed}, its listing holds {listed}: read the listing that the seal names")]
    OtherListing {
        /// Pool.
        pool: RecordId,
        /// What was sealed.
        sealed: String,
        /// What the listing holds.
        listed: String,
    },
    /// The plan is not the one the pool was sealed for.
    #[error("pool {pool} was sealed for plan {sealed}, not for {given}: use the plan of that run")]
    OtherPlan {
        /// Pool.
        pool: RecordId,
        /// Hash of its plan.
        sealed: ContentHash,
        /// Hash of the plan given.
        given: ContentHash,
    },
}

/// Samples and skips for every host of the newest generation of a sealed pool.
///
/// `listing` is the object that the seal names: the members of this and all earlier generations. `settings`
/// is the composer's fingerprint, part of every id.
///
/// # Errors
/// [`ComposeError`] if listing or plan are not the sealed ones.
pub fn compose(
    listing: PoolListing,
    sealed: &PoolSealed,
    plan: &Plan,
    seed: u64,
    relations: &dyn Relations,
    settings: Fingerprint,
) -> Result<Composer, ComposeError> {
    check(&listing, sealed, plan)?;
    let kinship = Kinship::of(listing.members(), relations);
    let plan_hash = plan.hash();
    let swaps = plan.entries().iter().find(|entry| entry.recipe == Recipe::Swapped);
    let swaps = swaps.map_or(0, |entry| entry.donors);
    let mut composer = Composer {
        casting: Casting::new(seed, kinship, plan.donor_use_cap(), swaps),
        recipes: plan
            .entries()
            .iter()
            .map(|entry| PlannedRecipe::new(*entry, plan, plan_hash, seed))
            .collect(),
        listing,
        seed,
        plan: plan_hash,
        pool: sealed.id,
        generation: sealed.generation,
        settings,
        hosts: Vec::new(),
        next: 0,
    };
    composer.replay_earlier_generations();
    Ok(composer)
}

fn check(listing: &PoolListing, sealed: &PoolSealed, plan: &Plan) -> Result<(), ComposeError> {
    let pool = sealed.id;
    let describe = |split: &str, generation: u32, ids: ContentHash| {
        format!("the {split} clips up to generation {generation} with ids {ids}")
    };
    let ids = member_ids(listing.joined_with(sealed.generation));
    let listed = describe(listing.split().as_str(), listing.generation(), ids);
    let sealed_as = describe(sealed.split.as_str(), sealed.generation, sealed.member_ids);
    if listed != sealed_as {
        return Err(ComposeError::OtherListing { pool, sealed: sealed_as, listed });
    }
    if plan.hash() != sealed.plan {
        return Err(ComposeError::OtherPlan { pool, sealed: sealed.plan, given: plan.hash() });
    }
    Ok(())
}

/// Composes the hosts of one generation one after the other.
pub struct Composer {
    listing: PoolListing,
    casting: Casting,
    recipes: Vec<PlannedRecipe>,
    seed: u64,
    plan: ContentHash,
    pool: RecordId,
    generation: u32,
    settings: Fingerprint,
    /// Members of the newest generation in the order in which they choose donors.
    hosts: Vec<usize>,
    next: usize,
}

/// A recipe of the plan with what its ids need.
struct PlannedRecipe {
    entry: PlanEntry,
    made: bool,
    /// Plan, seed and recipe as text.
    cause: String,
}

impl PlannedRecipe {
    fn new(entry: PlanEntry, plan: &Plan, hash: ContentHash, seed: u64) -> Self {
        let cause = format!("{hash} {seed} {}", recipe_text(&entry.recipe));
        Self { entry, made: plan.makes(entry.recipe.name()), cause }
    }
}

impl Composer {
    /// Hosts of the newest generation.
    pub fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// Goes on at host `index` (counted from 0), as if those before it had been composed already.
    #[must_use]
    pub fn from_host(mut self, index: usize) -> Self {
        while self.next < index.min(self.hosts.len()) {
            self.cast_next();
        }
        self
    }

    fn replay_earlier_generations(&mut self) {
        for generation in 1..=self.generation {
            while self.cast_next().is_some() {}
            let members = self.listing.members();
            let start = members.partition_point(|member| member.generation < generation);
            let joined = start..start + self.listing.joined_with(generation).len();
            self.casting.join(members, joined.clone());
            self.hosts = joined.collect();
            self.hosts.sort_by_cached_key(|host| (self.casting.host_order(&members[*host]), *host));
            self.next = 0;
        }
    }

    /// Chooses the donors of the next host: for each recipe, and in it for each sample, a cast or a reason.
    fn cast_next(&mut self) -> Option<(usize, Vec<Vec<Cast>>)> {
        let host = *self.hosts.get(self.next)?;
        self.next += 1;
        let members = self.listing.members();
        let recipes = self.recipes.iter().enumerate();
        let casts = recipes.map(|(place, recipe)| self.casting.cast(members, host, &recipe.entry, place));
        Some((host, casts.collect()))
    }

    fn sample(&self, recipe: &PlannedRecipe, host: &PoolMember, donors: &[usize]) -> SampleComposed {
        let donors: Vec<&PoolMember> = donors.iter().map(|donor| &self.listing.members()[*donor]).collect();
        let inputs: Vec<RecordId> = std::iter::once(host.clip).chain(donors.iter().map(|d| d.clip)).collect();
        let mut parents = vec![parent(ParentRole::Host, host)];
        parents.extend(donors.iter().map(|donor| parent(ParentRole::Donor, donor)));
        let heard = |members: &[&PoolMember]| members.iter().map(|member| member.class.clone()).collect();
        SampleComposed {
            id: self.id("sample", &recipe.cause, &inputs),
            recipe: recipe.entry.recipe,
            class_seen: (recipe.entry.recipe != Recipe::FramesZeroed).then(|| host.class.clone()),
            classes_heard: match recipe.entry.recipe {
                Recipe::AudioRemoved => Vec::new(),
                Recipe::Misaligned | Recipe::Swapped => heard(&donors),
                Recipe::Mixup { .. } => heard(&[&[host], donors.as_slice()].concat()),
                Recipe::Aligned | Recipe::Shift { .. } | Recipe::FramesZeroed => heard(&[host]),
            },
            split: host.split,
            parents,
            seed: self.seed,
            plan: self.plan,
            pool: self.pool,
            generation: self.generation,
            duration_ms: host.duration_ms,
        }
    }

    fn skipped(
        &self,
        recipe: &PlannedRecipe,
        host: &PoolMember,
        reason: SkipReason,
        number: usize,
    ) -> RecipeSkipped {
        let cause = format!("{} donors {} sample {number}", recipe.cause, recipe.entry.donors);
        RecipeSkipped {
            id: self.id("skip", &cause, &[host.clip]),
            host: host.clip,
            video: host.video.clone(),
            class: host.class.clone(),
            split: host.split,
            recipe: recipe.entry.recipe.name(),
            reason,
        }
    }

    fn id(&self, what: &str, cause: &str, inputs: &[RecordId]) -> RecordId {
        let (settings, detail) = (self.settings, format!("{what} {cause}"));
        Cause { stage: StageName::Composer, transform: TRANSFORM, settings, inputs, detail: &detail }.id()
    }
}

impl Iterator for Composer {
    type Item = ComposedHost;

    fn next(&mut self) -> Option<ComposedHost> {
        let (host, casts) = self.cast_next()?;
        let host = &self.listing.members()[host];
        let made = self.recipes.iter().zip(casts).filter(|(recipe, _)| recipe.made);
        let compositions = made.flat_map(|(recipe, casts)| {
            casts.into_iter().enumerate().map(|(number, cast)| match cast {
                Ok(donors) => Composition::Sample(self.sample(recipe, host, &donors)),
                Err(reason) => Composition::Skipped(self.skipped(recipe, host, reason, number)),
            })
        });
        Some(ComposedHost { host: host.clip, trace: host.trace, compositions: compositions.collect() })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.hosts.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Composer {}

fn parent(role: ParentRole, member: &PoolMember) -> Parent {
    Parent {
        role,
        clip: member.clip,
        video: member.video.clone(),
        class: member.class.clone(),
        media: member.media,
        sound: member.sound,
    }
}
