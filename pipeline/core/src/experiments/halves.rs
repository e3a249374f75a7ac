use std::collections::BTreeSet;

use counterpoint_messages::AnswerGiven;
use serde::{Deserialize, Serialize};

/// Least classes of a half: fewer make no sample whose picture and sound disagree.
const LEAST: usize = 2;

/// Classes parted by whether a tuning learns from them (appendix H: 29 of 58).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halves {
    /// Those that it learns from.
    pub seen: BTreeSet<String>,
    /// The others.
    pub unseen: BTreeSet<String>,
}

/// Whether the classes of a sample were learned from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// All of them.
    Seen,
    /// None of them: no class of the sample was in any lesson.
    Unseen,
    /// Some: the picture is of a class that was, the sound of one that was not, or the other way round.
    Mixed,
}

/// Classes that cannot be parted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HalvesError {
    /// Too few for two halves.
    #[error(
        "{count} classes cannot be halved: each half needs at least {LEAST}, so that sounds can be swapped within it"
    )]
    TooFew {
        /// Classes there are.
        count: usize,
    },
    /// A part is too small.
    #[error(
        "{seen} of {count} classes are to be learned from: name at least {LEAST}, and leave out at least {LEAST}"
    )]
    Uneven {
        /// Classes to be learned from.
        seen: usize,
        /// Classes there are.
        count: usize,
    },
    /// A class that there is not.
    #[error("the run has no samples of class {class}: it has {there}")]
    Unknown {
        /// As it was named.
        class: String,
        /// Those there are.
        there: String,
    },
}

impl Halves {
    /// Draws half of the classes, the smaller half if they are odd; the same for the same classes and seed.
    ///
    /// # Errors
    /// There are too few.
    pub fn draw(classes: &[String], seed: u64) -> Result<Self, HalvesError> {
        let all: BTreeSet<&String> = classes.iter().collect();
        if all.len() < 2 * LEAST {
            return Err(HalvesError::TooFew { count: all.len() });
        }
        let mut drawn: Vec<&String> = all.into_iter().collect();
        drawn.sort_by_cached_key(|class| {
            let mut hasher = blake3::Hasher::new_derive_key("counterpoint halves of classes v1");
            hasher.update(&seed.to_le_bytes());
            hasher.update(class.as_bytes());
            *hasher.finalize().as_bytes()
        });
        let (seen, unseen) = drawn.split_at(drawn.len() / 2);
        let owned = |classes: &[&String]| classes.iter().map(|class| (*class).clone()).collect();
        Ok(Self { seen: owned(seen), unseen: owned(unseen) })
    }

    /// Parts the classes into these and the others.
    ///
    /// # Errors
    /// One of them is no class, or a part is too small.
    pub fn of(classes: &[String], seen: &BTreeSet<String>) -> Result<Self, HalvesError> {
        if let Some(class) = seen.iter().find(|class| !classes.contains(class)) {
            return Err(HalvesError::Unknown { class: class.clone(), there: classes.join(", ") });
        }
        let unseen: BTreeSet<String> =
            classes.iter().filter(|class| !seen.contains(*class)).cloned().collect();
        if seen.len() < LEAST || unseen.len() < LEAST {
            return Err(HalvesError::Uneven { seen: seen.len(), count: seen.len() + unseen.len() });
        }
        Ok(Self { seen: seen.clone(), unseen })
    }

    /// The group of the sample that was answered about. What is in neither half was not learned from.
    pub fn group(&self, answer: &AnswerGiven) -> Group {
        let mut classes = answer.class_seen.iter().chain(&answer.classes_heard);
        let is_seen = |class: &String| self.seen.contains(class);
        if classes.clone().all(is_seen) {
            Group::Seen
        } else if classes.any(is_seen) {
            Group::Mixed
        } else {
            Group::Unseen
        }
    }
}
