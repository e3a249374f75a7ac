//! The lineage card: everything needed to make a sample's file again, for people and for other programs.

use counterpoint_messages::{ContentHash, Parent, Recipe, RecipeName, RecordId, SampleComposed, Split};
use serde::{Deserialize, Serialize};

use super::TRANSFORM;

/// Where a sample came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LineageCard {
    /// Id of the sample.
    pub sample: RecordId,
    /// Recipe.
    pub recipe: RecipeName,
    /// Host's sound over the sum of the donors' sounds, in dB (mixup only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snr_db: Option<f64>,
    /// Milliseconds by which the sound comes later than the picture (shift only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset_ms: Option<i64>,
    /// The clip that gives the picture.
    pub host: Option<ParentCard>,
    /// The clips that give it sound, in the order in which the recipe uses them.
    pub donors: Vec<ParentCard>,
    /// Split of the sample and of all its parents.
    pub split: Split,
    /// Hash of the plan.
    pub plan: ContentHash,
    /// Seed.
    pub seed: u64,
    /// Id of the sealed pool.
    pub pool: RecordId,
    /// Its generation.
    pub generation: u32,
    /// Version of the rules by which donors were chosen.
    pub transform: u32,
    /// Program that wrote the card, with its version.
    pub program: String,
}

/// A parent of a sample.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentCard {
    /// Id of the clip.
    pub clip: RecordId,
    /// Its source video.
    pub video: String,
    /// Its class.
    pub class: String,
    /// BLAKE3 of its normalised mp4.
    pub media: ContentHash,
    /// BLAKE3 of the FLAC of its sound.
    pub sound: ContentHash,
}

impl LineageCard {
    /// The card of a sample, written by `program` (name and version).
    pub fn of(sample: &SampleComposed, program: &str) -> Self {
        let (snr_db, offset_ms) = match sample.recipe {
            Recipe::Mixup { snr_db } => (Some(snr_db), None),
            Recipe::Shift { offset_ms } => (None, Some(offset_ms)),
            _ => (None, None),
        };
        Self {
            sample: sample.id,
            recipe: sample.recipe.name(),
            snr_db,
            offset_ms,
            host: sample.host().map(ParentCard::of),
            donors: sample.donors().map(ParentCard::of).collect(),
            split: sample.split,
            plan: sample.plan,
            seed: sample.seed,
            pool: sample.pool,
            generation: sample.generation,
            transform: TRANSFORM,
            program: program.to_owned(),
        }
    }
}

impl ParentCard {
    fn of(parent: &Parent) -> Self {
        Self {
            clip: parent.clip,
            video: parent.video.clone(),
            class: parent.class.clone(),
            media: parent.media.hash,
            sound: parent.sound.hash,
        }
    }
}
