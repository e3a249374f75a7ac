//! Sealed pools: the closed sets of accepted clips from which samples are composed (design section 8).
//!
//! A [`PoolListing`] is an object of the media store: JSON lines, one member a line, sorted by generation and
//! clip. Whoever lists the same members writes the same bytes, so the listing's name is a function of them,
//! whatever order they arrived in.

use std::collections::BTreeSet;

use counterpoint_messages::{
    Cause, ClipAccepted, ContentHash, Fingerprint, MediaObject, PoolSealed, RecordId, Split, StageName,
    TraceParent,
};
use serde::{Deserialize, Serialize};

use crate::plan::Plan;

/// Version of what a seal says; part of every pool's id.
const TRANSFORM: u32 = 1;

/// A clip that may be a host of its own generation and a donor from then on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolMember {
    /// Generation of the pool it joined, from 1.
    pub generation: u32,
    /// Id of the clip.
    pub clip: RecordId,
    /// Its source video.
    pub video: String,
    /// Its class.
    pub class: String,
    /// AudioSet MIDs it is labelled with, as listed.
    pub labels: Vec<String>,
    /// Its split.
    pub split: Split,
    /// Its normalised mp4.
    pub media: MediaObject,
    /// FLAC of its sound.
    pub sound: MediaObject,
    /// Length in milliseconds.
    pub duration_ms: u64,
    /// The clip's trace and the span that accepted it: its samples go on from there. No part of any id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceParent>,
}

impl PoolMember {
    /// The member that an accepted clip becomes when it joins with `generation`.
    pub fn new(accepted: &ClipAccepted, generation: u32, trace: Option<TraceParent>) -> Self {
        Self {
            generation,
            clip: accepted.clip.id,
            video: accepted.clip.video.clone(),
            class: accepted.class.clone(),
            labels: accepted.clip.labels.clone(),
            split: accepted.clip.split,
            media: accepted.media,
            sound: accepted.sound,
            duration_ms: accepted.duration_ms,
            trace,
        }
    }
}

/// The members of one split's pools, from the first generation to the newest; sorted, without repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolListing {
    split: Split,
    members: Vec<PoolMember>,
}

impl PoolListing {
    /// Lists clips of `split` in any order.
    ///
    /// # Errors
    /// [`ListingProblem`] if a member is of another split, of generation 0, or listed twice.
    pub fn new(split: Split, mut members: Vec<PoolMember>) -> Result<Self, ListingProblem> {
        members.sort_unstable_by_key(|member| (member.generation, member.clip));
        let mut seen = BTreeSet::new();
        for member in &members {
            let clip = member.clip;
            if member.split != split {
                return Err(ListingProblem::ForeignSplit { clip, found: member.split, expected: split });
            }
            if member.generation == 0 {
                return Err(ListingProblem::GenerationZero { clip });
            }
            if !seen.insert(clip) {
                return Err(ListingProblem::Repeated { clip });
            }
        }
        Ok(Self { split, members })
    }

    /// Split of every member.
    pub fn split(&self) -> Split {
        self.split
    }

    /// Members, sorted by generation and clip.
    pub fn members(&self) -> &[PoolMember] {
        &self.members
    }

    /// The newest generation; 0 for an empty listing.
    pub fn generation(&self) -> u32 {
        self.members.last().map_or(0, |member| member.generation)
    }

    /// Members that joined with `generation`, sorted by clip.
    pub fn joined_with(&self, generation: u32) -> &[PoolMember] {
        let start = self.members.partition_point(|member| member.generation < generation);
        let end = self.members.partition_point(|member| member.generation <= generation);
        &self.members[start..end]
    }

    /// The listing as it is stored.
    ///
    /// # Errors
    /// None that a member can cause; what the JSON writer reports is passed on.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = Vec::with_capacity(self.members.len() * 512);
        for member in &self.members {
            serde_json::to_writer(&mut bytes, member)?;
            bytes.push(b'\n');
        }
        Ok(bytes)
    }

    /// Reads a stored listing of `split`, written by [`Self::to_bytes`]; `object` is its name in the store.
    ///
    /// # Errors
    /// [`ListingError`] for a line that is no member, and for members that [`Self::new`] refuses.
    pub fn from_bytes(split: Split, bytes: &[u8], object: ContentHash) -> Result<Self, ListingError> {
        let members: Result<Vec<PoolMember>, ListingProblem> = bytes
            .split_inclusive(|byte| *byte == b'\n')
            .enumerate()
            .map(|(index, line)| {
                serde_json::from_slice(line)
                    .map_err(|error| ListingProblem::Line { line: index + 1, reason: error.to_string() })
            })
            .collect();
        members
            .and_then(|members| Self::new(split, members))
            .map_err(|problem| ListingError { object, problem })
    }

    /// Closes the newest generation of a listing whose stored bytes are named `listing`.
    ///
    /// The id is a hash of the split, the generation, its members, the plan and the settings.
    pub fn seal(&self, plan: &Plan, listing: ContentHash, settings: Fingerprint) -> PoolSealed {
        let generation = self.generation();
        let joined = self.joined_with(generation);
        let member_ids = member_ids(joined);
        let plan = plan.hash();
        let detail = format!("pool {} {generation} {member_ids} {plan}", self.split.as_str());
        let cause = Cause {
            stage: StageName::Coordinator,
            transform: TRANSFORM,
            settings,
            inputs: &[],
            detail: &detail,
        };
        PoolSealed {
            id: cause.id(),
            generation,
            split: self.split,
            members: joined.len() as u64,
            member_ids,
            listing,
            plan,
        }
    }
}

/// BLAKE3 over the ids of these clips in ascending order, whatever order they are given in.
pub fn member_ids<'a>(members: impl IntoIterator<Item = &'a PoolMember>) -> ContentHash {
    let mut ids: Vec<RecordId> = members.into_iter().map(|member| member.clip).collect();
    ids.sort_unstable();
    let bytes: Vec<u8> = ids.iter().flat_map(|id| id.0).collect();
    ContentHash::of(&bytes)
}

/// A stored listing that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pool listing {object}: {problem}")]
pub struct ListingError {
    /// Name of the object in the media store.
    pub object: ContentHash,
    /// What is wrong with it and what would mend it.
    pub problem: ListingProblem,
}

/// Members that make no pool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListingProblem {
    /// A line that is no member.
    #[error("line {line} is no member ({reason}): run again with --from coordinator to write it anew")]
    Line {
        /// Line, from 1.
        line: usize,
        /// What the JSON reader said.
        reason: String,
    },
    /// A clip of the other split: samples never mix the two.
    #[error(
        "clip {clip} is of the {found} split in a pool of the {expected} split: list it with its own split",
        found = found.as_str(), expected = expected.as_str()
    )]
    ForeignSplit {
        /// Clip.
        clip: RecordId,
        /// Its split.
        found: Split,
        /// The pool's split.
        expected: Split,
    },
    /// A clip without generation.
    #[error("clip {clip} is of generation 0: generations count from 1")]
    GenerationZero {
        /// Clip.
        clip: RecordId,
    },
    /// A clip that joins twice.
    #[error("clip {clip} is listed twice: a clip joins one generation only")]
    Repeated {
        /// Clip.
        clip: RecordId,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn member(number: u8, generation: u32) -> PoolMember {
        PoolMember {
            generation,
            clip: RecordId([number; 16]),
            video: format!("video {number} \"é\""),
            class: "Bird".into(),
            labels: vec!["/m/015p6".into()],
            split: Split::Eval,
            media: MediaObject { hash: ContentHash([number; 32]), bytes: 7 },
            sound: MediaObject { hash: ContentHash([number.wrapping_add(1); 32]), bytes: 8 },
            duration_ms: 10_000,
            trace: None,
        }
    }

    fn listing() -> PoolListing {
        PoolListing::new(Split::Eval, vec![member(3, 2), member(9, 1), member(1, 2)]).unwrap()
    }

    #[test]
    fn a_listing_reads_back_what_it_wrote() {
        let bytes = listing().to_bytes().unwrap();
        assert_eq!(PoolListing::from_bytes(Split::Eval, &bytes, ContentHash::of(&bytes)), Ok(listing()));
        let empty = PoolListing::new(Split::Train, vec![]).unwrap();
        assert_eq!(PoolListing::from_bytes(Split::Train, &[], ContentHash::of(&[])), Ok(empty));
    }

    #[test]
    fn members_are_found_by_the_generation_they_joined_with() {
        assert_eq!(listing().generation(), 2);
        assert_eq!(listing().joined_with(1), [member(9, 1)]);
        assert_eq!(listing().joined_with(2), [member(1, 2), member(3, 2)]);
        assert_eq!(listing().joined_with(3), []);
    }

    #[test]
    fn a_seal_names_split_generation_members_and_plan() {
        let seal = |listing: &PoolListing, plan: &Plan, settings| {
            listing.seal(plan, ContentHash([5; 32]), Fingerprint([settings; 8]))
        };
        let sealed = seal(&listing(), &Plan::default(), 1);
        assert_eq!((sealed.generation, sealed.split, sealed.members), (2, Split::Eval, 2));
        assert_eq!(sealed.member_ids, member_ids(&[member(3, 2), member(1, 2)]));
        assert_eq!(sealed.plan, Plan::default().hash());
        assert_eq!(sealed.id, seal(&listing(), &Plan::default(), 1).id);
        assert_ne!(sealed.id, seal(&listing(), &Plan::published(), 1).id);
        assert_ne!(sealed.id, seal(&listing(), &Plan::default(), 2).id);
        let more = PoolListing::new(Split::Eval, vec![member(9, 1), member(1, 2)]).unwrap();
        assert_ne!(sealed.id, seal(&more, &Plan::default(), 1).id);
    }

    #[test]
    fn members_that_make_no_pool_are_refused_with_the_clip_and_a_remedy() {
        let problem = |members| PoolListing::new(Split::Eval, members).unwrap_err().to_string();
        let train = PoolMember { split: Split::Train, ..member(1, 1) };
        assert!(problem(vec![train]).contains("of the train split in a pool of the eval split"));
        assert!(problem(vec![member(1, 0)]).contains("count from 1"));
        let twice = problem(vec![member(1, 1), member(1, 2)]);
        assert!(twice.contains(&RecordId([1; 16]).to_string()) && twice.contains("listed twice"), "{twice}");
    }

    #[test]
    fn a_damaged_listing_is_refused_with_object_line_and_remedy() {
        let mut bytes = listing().to_bytes().unwrap();
        bytes.truncate(bytes.len() - 9);
        let error =
            PoolListing::from_bytes(Split::Eval, &bytes, ContentHash([5; 32])).unwrap_err().to_string();
        assert!(error.starts_with("pool listing 0505") && error.contains("line 3"), "{error}");
        assert!(error.contains("--from coordinator"), "{error}");
    }

    proptest! {
        #[test]
        fn any_order_of_arrival_writes_the_same_bytes(order in Just((0..40).collect::<Vec<u8>>()).prop_shuffle()) {
            let listing = |numbers: &[u8]| {
                let members = numbers.iter().map(|n| member(*n, u32::from(n % 3) + 1)).collect();
                PoolListing::new(Split::Eval, members).unwrap().to_bytes().unwrap()
            };
            let sorted: Vec<u8> = (0..40).collect();
            prop_assert_eq!(listing(&order), listing(&sorted));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let read = PoolListing::from_bytes(Split::Eval, &bytes, ContentHash([0; 32]));
            prop_assert_eq!(read.is_ok(), bytes.is_empty());
        }
    }
}
