use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Follow, IdSum, RecordId, RejectReason, wire::Unsayable};

/// The source has read an input to its end: so many clips of it are on their way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputSealed {
    /// Id of the [`crate::InputOffered`] record.
    pub input: RecordId,
    /// [`crate::ClipFound`] records written for this input.
    pub count: u64,
    /// [`crate::ClipFound`] records written for this and all earlier inputs of the revision.
    pub total: u64,
    /// Sum of the ids of all those records, modulo 2^128: together with the total it tells, in whatever
    /// order their endings arrive, whether exactly these clips have ended.
    pub total_ids: IdSum,
    /// Media files seen in the folder.
    pub found: u64,
    /// Clips an earlier input had already brought.
    pub already_known: u64,
    /// Rows of the label lists that name no file in the folder.
    pub labels_without_clip: u64,
    /// Rows that could not be read; the first few stand in `explanations`.
    pub broken_rows: u64,
    /// Rows that name a MID the ontology does not know, by MID (the 100 most frequent).
    pub unknown_mids: BTreeMap<String, u64>,
    /// Rows that repeat a segment of an earlier row.
    pub repeated_rows: u64,
    /// Sentences for people: file, value, remedy (at most 50).
    pub explanations: Vec<String>,
    /// As the input was offered.
    pub follow: Option<Follow>,
    /// Rows of the label lists that curation would keep, by class, whether or not their clips are there.
    pub wanted: BTreeMap<String, u64>,
    /// Of those, rows that the fetcher tried for and did not get, by class and reason.
    pub missing: BTreeMap<String, BTreeMap<RejectReason, u64>>,
    /// When the fetcher has the next thing to do, in milliseconds since 1970; `None` if nothing.
    pub retry_at_ms: Option<i64>,
}

/// Version 1, of release 0.1: nothing was followed, fetched or counted by class.
#[derive(Serialize, Deserialize)]
pub(crate) struct V1 {
    input: RecordId,
    count: u64,
    total: u64,
    total_ids: IdSum,
    found: u64,
    already_known: u64,
    labels_without_clip: u64,
    broken_rows: u64,
    unknown_mids: BTreeMap<String, u64>,
    repeated_rows: u64,
    explanations: Vec<String>,
}

impl From<V1> for InputSealed {
    fn from(old: V1) -> Self {
        Self {
            input: old.input,
            count: old.count,
            total: old.total,
            total_ids: old.total_ids,
            found: old.found,
            already_known: old.already_known,
            labels_without_clip: old.labels_without_clip,
            broken_rows: old.broken_rows,
            unknown_mids: old.unknown_mids,
            repeated_rows: old.repeated_rows,
            explanations: old.explanations,
            follow: None,
            wanted: BTreeMap::new(),
            missing: BTreeMap::new(),
            retry_at_ms: None,
        }
    }
}

impl TryFrom<&InputSealed> for V1 {
    type Error = Unsayable;

    fn try_from(sealed: &InputSealed) -> Result<Self, Unsayable> {
        if sealed.follow.is_some() {
            return Err(Unsayable("an input that is followed"));
        }
        // What is wanted, missing and to be tried again is for people and for those who follow.
        Ok(Self {
            input: sealed.input,
            count: sealed.count,
            total: sealed.total,
            total_ids: sealed.total_ids,
            found: sealed.found,
            already_known: sealed.already_known,
            labels_without_clip: sealed.labels_without_clip,
            broken_rows: sealed.broken_rows,
            unknown_mids: sealed.unknown_mids.clone(),
            repeated_rows: sealed.repeated_rows,
            explanations: sealed.explanations.clone(),
        })
    }
}
