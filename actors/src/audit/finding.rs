use std::fmt;

use counterpoint_messages::{ContentHash, RecordId, StageName, Topic};
use serde::{Serialize, Serializer};

fn name<S: Serializer>(topic: &Topic, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(topic)
}

/// How far a clip has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reached {
    /// The source brought it.
    Found,
    /// It has a class.
    Curated,
    /// It is in its normal form.
    Decoded,
    /// It may become samples.
    Accepted,
}

/// How a clip has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// It has samples.
    Composed,
    /// A stage turned it away.
    Rejected(StageName),
    /// A stage gave up on it.
    DeadLettered(StageName),
}

/// Something that was committed, or has to be there by now, and is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Lost {
    /// A clip that has not ended although the run has.
    Clip {
        /// Clip.
        clip: RecordId,
        /// Its source video.
        video: String,
        /// Last that is known of it.
        reached: Reached,
    },
    /// A step of a clip without the one before it.
    Step {
        /// Clip.
        clip: RecordId,
        /// The step that is there.
        reached: Reached,
        /// The step that is not.
        missing: Reached,
    },
    /// Clips that the source counted and that are not on the log.
    Clips {
        /// What the source said.
        sealed: u64,
        /// What is there.
        found: u64,
    },
    /// An accepted clip that is in no pool although the run has ended.
    Member {
        /// Clip.
        clip: RecordId,
    },
    /// A sample or a skipped recipe that a composed pool comes to.
    Composition {
        /// Its id.
        id: RecordId,
        /// Pool.
        pool: RecordId,
    },
    /// A pool that was sealed and never composed although the run has ended.
    Pool {
        /// Pool.
        pool: RecordId,
    },
    /// A record that cannot be read, and that no dead letter accounts for.
    Record {
        /// Topic.
        #[serde(serialize_with = "name")]
        topic: Topic,
        /// Partition.
        partition: u32,
        /// Position.
        position: u64,
    },
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clip { clip, video, reached } => {
                write!(f, "clip {clip} ({video}) was {reached:?} and has not ended")
            }
            Self::Step { clip, reached, missing } => {
                write!(f, "clip {clip} is {reached:?} without having been {missing:?}")
            }
            Self::Clips { sealed, found } => {
                write!(f, "the source counted {sealed} clips, {found} are there")
            }
            Self::Member { clip } => write!(f, "clip {clip} was accepted and is in no pool"),
            Self::Composition { id, pool } => write!(f, "sample {id} of the composed pool {pool}"),
            Self::Pool { pool } => write!(f, "pool {pool} was sealed and not composed"),
            Self::Record { topic, partition, position } => {
                write!(f, "{topic}/{partition}@{position} cannot be read and is in no dead letter")
            }
        }
    }
}

/// Something that is visible more than once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Duplicated {
    /// A record.
    Record {
        /// Topic.
        #[serde(serialize_with = "name")]
        topic: Topic,
        /// Its key in hexadecimal digits.
        key: String,
        /// How often it is there.
        times: u64,
        /// How often it may be: once, and once more for each time it was put back.
        allowed: u64,
    },
    /// The ending of a clip.
    Ending {
        /// Clip.
        clip: RecordId,
        /// How it ended.
        endings: Vec<Ended>,
    },
    /// A clip in two pools.
    Member {
        /// Clip.
        clip: RecordId,
    },
}

impl fmt::Display for Duplicated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record { topic, key, times, allowed } => {
                write!(f, "record {key} of {topic} is there {times} times, {allowed} would be right")
            }
            Self::Ending { clip, endings } => write!(f, "clip {clip} ended as {endings:?}"),
            Self::Member { clip } => write!(f, "clip {clip} joined two pools"),
        }
    }
}

/// An object or a file that a record names and that is not there as the record says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MissingMedia {
    /// Its hash.
    pub hash: ContentHash,
    /// What needs it.
    pub needed_by: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for MissingMedia {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "object {} of {}: {}", self.hash, self.needed_by, self.problem)
    }
}

/// Something that is there and should not be, or is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Unexplained {
    /// A record about a clip that was never found.
    Stray {
        /// Clip.
        clip: RecordId,
        /// What is there.
        what_is_there: String,
    },
    /// A sample or a skipped recipe that no pool comes to.
    Composition {
        /// Its id.
        id: RecordId,
    },
    /// A sample or a skipped recipe that differs from what its pool comes to.
    OtherComposition {
        /// Its id.
        id: RecordId,
    },
    /// A seal that does not follow from its listing and the plan, or a listing that cannot be read.
    Seal {
        /// Pool.
        pool: RecordId,
        /// What is wrong.
        problem: String,
    },
    /// A count that a record states.
    Count {
        /// Which.
        name: String,
        /// What was said.
        said: u64,
        /// What is there.
        counted: u64,
    },
}

impl fmt::Display for Unexplained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stray { clip, what_is_there } => {
                write!(f, "{what_is_there} of clip {clip}, which was never found")
            }
            Self::Composition { id } => write!(f, "sample {id}, to which no pool comes"),
            Self::OtherComposition { id } => write!(f, "sample {id} is not what its pool comes to"),
            Self::Seal { pool, problem } => write!(f, "pool {pool}: {problem}"),
            Self::Count { name, said, counted } => {
                write!(f, "{name} is said to be {said}, {counted} are there")
            }
        }
    }
}
