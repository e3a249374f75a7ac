use serde::{Deserialize, Serialize};

use crate::{RecipeName, RecordId, Split};

/// A recipe of the plan that cannot be made for a host; the host's other samples are unaffected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipeSkipped {
    /// Hash of the plan, the recipe, its place in the plan and the host.
    pub id: RecordId,
    /// Clip that would have been the host.
    pub host: RecordId,
    /// Its source video.
    pub video: String,
    /// Its class.
    pub class: String,
    /// Split of the host.
    pub split: Split,
    /// What was asked for.
    pub recipe: RecipeName,
    /// Why it cannot be made.
    pub reason: SkipReason,
}

/// Why a recipe cannot be made for a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// The pool has no clip of another class that the donor rules allow.
    NoDonorOfOtherClass,
    /// The pool has no other clip of the same class.
    NoDonorOfSameClass,
    /// Donors exist, but each has been used as often as the plan allows.
    DonorsUsedUp,
    /// The pool has fewer distinct classes than the plan asks donors from.
    TooFewClasses,
    /// The clip is shorter than the plan's shift needs.
    ClipTooShort,
}

impl SkipReason {
    /// Name as written in summaries.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoDonorOfOtherClass => "no_donor_of_other_class",
            Self::NoDonorOfSameClass => "no_donor_of_same_class",
            Self::DonorsUsedUp => "donors_used_up",
            Self::TooFewClasses => "too_few_classes",
            Self::ClipTooShort => "clip_too_short",
        }
    }
}
