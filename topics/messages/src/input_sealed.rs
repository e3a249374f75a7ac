use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{IdSum, RecordId};

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
}
