use serde::{Deserialize, Serialize};

use crate::RecordId;

/// Every host of a pool has its samples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolComposed {
    /// Id of the [`crate::PoolSealed`] record.
    pub pool: RecordId,
    /// Samples written.
    pub samples: u64,
    /// Recipes skipped, each with its reason in a record of its own.
    pub skipped: u64,
}
