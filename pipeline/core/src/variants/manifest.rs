//! A line of `manifest.jsonl`: the names of these fields are read by other programs and do not change.

use counterpoint_messages::{ContentHash, RecipeName, RecordId, SampleComposed, Split};
use serde::{Deserialize, Serialize};

use super::LineageCard;

/// One sample, made or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ManifestRow {
    /// Id of the sample.
    pub sample: RecordId,
    /// Recipe.
    pub recipe: RecipeName,
    /// Class of what the picture shows; null where it is black.
    pub class_seen: Option<String>,
    /// Class that a sound question asks for, the first of `classes_heard`; null without sound.
    pub class_heard: Option<String>,
    /// Classes of all that can be heard.
    pub classes_heard: Vec<String>,
    /// Split.
    pub split: Split,
    /// Source video of the host.
    pub host: Option<String>,
    /// Source videos of the donors.
    pub donors: Vec<String>,
    /// Seed.
    pub seed: u64,
    /// Path of the sample's file; null until it is made.
    pub path: Option<String>,
    /// BLAKE3 of that file; null until it is made.
    pub blake3: Option<ContentHash>,
    /// Length in seconds.
    pub duration: f64,
    /// Everything needed to make the file again.
    pub lineage: LineageCard,
}

impl ManifestRow {
    /// The row of a sample whose file is not made yet; `program` is the name and version of the writer.
    pub fn of(sample: &SampleComposed, program: &str) -> Self {
        Self {
            sample: sample.id,
            recipe: sample.recipe.name(),
            class_seen: sample.class_seen.clone(),
            class_heard: sample.classes_heard.first().cloned(),
            classes_heard: sample.classes_heard.clone(),
            split: sample.split,
            host: sample.host().map(|host| host.video.clone()),
            donors: sample.donors().map(|donor| donor.video.clone()).collect(),
            seed: sample.seed,
            path: None,
            blake3: None,
            duration: sample.duration_ms as f64 / 1000.0,
            lineage: LineageCard::of(sample, program),
        }
    }

    /// The row once the sample's file lies at `path`.
    #[must_use]
    pub fn made(self, path: String, blake3: ContentHash) -> Self {
        Self { path: Some(path), blake3: Some(blake3), ..self }
    }
}
