use serde::{Deserialize, Serialize};

use crate::{ContentHash, RecipeName, RecordId};

/// A model is to be trained on samples that are on the log: by a run that follows, as a round, or as somebody asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingPlanned {
    /// Hash of what follows, and of a round's revision: the same training asked for twice is one.
    pub id: RecordId,
    /// Which round of its run it is, the first is 1; `None` for one that somebody asked for.
    pub round: Option<u32>,
    /// The model that it begins with, as it was named; `None` for one that is made from nothing.
    pub base: Option<String>,
    /// What that model's answers depend on, e.g. the hash of its weights.
    pub base_identity: Option<String>,
    /// The name that its settings were given by.
    pub recipe: String,
    /// Object that holds its settings, in TOML.
    pub settings: ContentHash,
    /// Recipes of the samples that are learned from, where the settings shall not say.
    pub recipes: Option<Vec<RecipeName>>,
    /// Seed of all that is random, where the settings shall not say.
    pub seed: Option<u64>,
    /// Object that holds the ids of the samples, sorted, and how models are shown them.
    pub data_set: ContentHash,
    /// Samples in it.
    pub samples: u64,
    /// Folder that the result is to get, as an absolute path; `None` for a round, whose trainer has a place for all.
    pub folder: Option<String>,
}
