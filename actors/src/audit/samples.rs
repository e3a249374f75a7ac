use std::collections::{BTreeMap, BTreeSet};

use counterpoint_core::{
    pool::PoolListing,
    variants::{self, Composition},
};
use counterpoint_messages::{PoolSealed, RecordId, StageName};

use super::{
    Audit, Evidence, Grounds,
    finding::{Duplicated, Lost, Unexplained},
};
use crate::store::StoreError;

/// Clips that joined with each pool.
#[derive(Debug, Default)]
pub(super) struct Pools {
    pub(super) members: BTreeMap<RecordId, Vec<RecordId>>,
}

/// Composes every sealed pool again and compares.
///
/// # Errors
/// If the store cannot be read; a listing that is missing is found with the other media.
pub(super) fn check(
    evidence: &Evidence,
    grounds: &Grounds<'_>,
    audit: &mut Audit,
) -> Result<Pools, StoreError> {
    let mut pools = Pools::default();
    let mut expected = BTreeSet::new();
    let mut joined = BTreeSet::new();
    let mut is_complete = true;
    for sealed in evidence.pools.values() {
        let bytes = match grounds.store.get(sealed.listing) {
            Ok(bytes) => bytes,
            Err(StoreError::Missing { .. }) => {
                is_complete = false;
                continue;
            }
            Err(error) => return Err(error),
        };
        match compositions(evidence, grounds, sealed, &bytes) {
            Ok((members, compositions)) => {
                for clip in &members {
                    if !joined.insert(*clip) {
                        audit.duplicated.push(Duplicated::Member { clip: *clip });
                    }
                }
                pools.members.insert(sealed.id, members);
                compare(evidence, sealed, compositions, &mut expected, audit);
            }
            Err(problem) => {
                is_complete = false;
                audit.unexplained.push(Unexplained::Seal { pool: sealed.id, problem });
            }
        }
    }
    if is_complete {
        let visible = evidence.samples.keys().chain(evidence.skipped.keys());
        for id in visible.filter(|id| !expected.contains(*id)) {
            audit.unexplained.push(Unexplained::Composition { id: *id });
        }
        check_members(evidence, &joined, audit);
    }
    Ok(pools)
}

/// Clips that joined with a pool, and what it comes to.
fn compositions(
    evidence: &Evidence,
    grounds: &Grounds<'_>,
    sealed: &PoolSealed,
    bytes: &[u8],
) -> Result<(Vec<RecordId>, Vec<Composition>), String> {
    let listing =
        PoolListing::from_bytes(sealed.split, bytes, sealed.listing).map_err(|error| error.to_string())?;
    let fingerprint = |stage| evidence.revision.fingerprint(stage);
    let resealed = listing.seal(grounds.plan, sealed.listing, fingerprint(StageName::Coordinator));
    if resealed != *sealed {
        return Err(format!("its listing and the plan come to seal {}", resealed.id));
    }
    let members = listing.joined_with(sealed.generation);
    for member in members {
        let accepted = evidence.accepted.get(&member.clip);
        if accepted.is_none_or(|clip| (clip.media, clip.sound) != (member.media, member.sound)) {
            return Err(format!("clip {} of its listing was not accepted like this", member.clip));
        }
    }
    let members = members.iter().map(|member| member.clip).collect();
    let settings = fingerprint(StageName::Composer);
    let composer =
        variants::compose(listing, sealed, grounds.plan, grounds.seed, grounds.relations, settings)
            .map_err(|error| error.to_string())?;
    Ok((members, composer.flat_map(|host| host.compositions).collect()))
}

fn compare(
    evidence: &Evidence,
    sealed: &PoolSealed,
    compositions: Vec<Composition>,
    expected: &mut BTreeSet<RecordId>,
    audit: &mut Audit,
) {
    let pool = sealed.id;
    let composed = evidence.composed.get(&pool);
    let is_given_up = evidence
        .letters
        .iter()
        .any(|letter| letter.stage == StageName::Composer && letter.key == pool.0.as_slice());
    if composed.is_none() && audit.at_rest && !is_given_up {
        audit.lost.push(Lost::Pool { pool });
    }
    let (mut samples, mut skipped) = (0, 0);
    for composition in compositions {
        let (id, is_there, is_same) = match &composition {
            Composition::Sample(sample) => {
                samples += 1;
                let there = evidence.samples.get(&sample.id);
                (sample.id, there.is_some(), there == Some(sample))
            }
            Composition::Skipped(skip) => {
                skipped += 1;
                let there = evidence.skipped.get(&skip.id);
                (skip.id, there.is_some(), there == Some(skip))
            }
        };
        expected.insert(id);
        match (is_there, is_same) {
            // Of a pool on its way, or given up on, some may be missing.
            (false, _) if composed.is_some() => audit.lost.push(Lost::Composition { id, pool }),
            (true, false) => audit.unexplained.push(Unexplained::OtherComposition { id }),
            _ => {}
        }
    }
    if let Some(composed) = composed {
        for (name, said, counted) in
            [("samples", composed.samples, samples), ("skipped", composed.skipped, skipped)]
        {
            if said != counted {
                let name = format!("{name} of pool {pool}");
                audit.unexplained.push(Unexplained::Count { name, said, counted });
            }
        }
    }
}

/// At rest every accepted clip has joined a pool, unless the coordinator gave up on it.
fn check_members(evidence: &Evidence, joined: &BTreeSet<RecordId>, audit: &mut Audit) {
    if !audit.at_rest {
        return;
    }
    let given_up: BTreeSet<_> = evidence
        .letters
        .iter()
        .filter(|letter| letter.stage == StageName::Coordinator)
        .filter_map(|letter| letter.clip)
        .collect();
    for clip in evidence.accepted.keys() {
        if !joined.contains(clip) && !given_up.contains(clip) {
            audit.lost.push(Lost::Member { clip: *clip });
        }
    }
}
