use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{InputOffered, RejectReason};

/// The fetcher has brought what it could for an input, or a part of it: the source may read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFetched {
    /// The input as it was offered.
    pub input: InputOffered,
    /// Whether the fetcher is done with this input; if not, the source reads what is there and more comes.
    pub complete: bool,
    /// Rows that were tried for and are not there, by class and reason, over all inputs.
    pub missing: BTreeMap<String, BTreeMap<RejectReason, u64>>,
    /// When there is something to fetch again, in milliseconds since 1970; `None` if nothing is left.
    pub retry_at_ms: Option<i64>,
    /// Sentences for people: what failed, when it is tried again.
    pub explanations: Vec<String>,
}
