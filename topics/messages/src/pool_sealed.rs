use serde::{Deserialize, Serialize};

use crate::{ContentHash, RecordId, Split};

/// A closed set of accepted clips of one split: from now on its samples are a pure function of this
/// record, the plan and the seed, whatever order the clips arrived in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolSealed {
    /// Hash of split, generation, members and plan.
    pub id: RecordId,
    /// Counts the pools of this split, from 1.
    pub generation: u32,
    /// Split of every member.
    pub split: Split,
    /// Clips that joined with this generation.
    pub members: u64,
    /// BLAKE3 over the sorted ids of the clips that joined with this generation.
    pub member_ids: ContentHash,
    /// Object that lists the members of this and all earlier generations.
    pub listing: ContentHash,
    /// Hash of the plan.
    pub plan: ContentHash,
}
