use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Fingerprint, RecordId, StageName, wire::Unsayable};

/// A record that a stage could not get past, raw, so that it can be read, mended and put back.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Hash of stage, topic, partition and position.
    pub id: RecordId,
    /// Clip the record was about, where its headers said so.
    pub clip: Option<RecordId>,
    /// Revision of the record, as its headers said.
    pub revision: Option<Fingerprint>,
    /// Stage that gave up.
    pub stage: StageName,
    /// Topic the record stood on.
    pub topic: String,
    /// Partition of that topic.
    pub partition: u32,
    /// Its position there.
    pub position: u64,
    /// Attempts made.
    pub attempts: u32,
    /// What happened, for people.
    pub reason: String,
    /// The record's key.
    pub key: Vec<u8>,
    /// The record's bytes as read; of a record too large to be one of ours, its beginning.
    pub raw: Vec<u8>,
}

impl fmt::Debug for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "DeadLetter {{ id: {}, {} gave up on {}/{}@{} after {} attempts: {:?}, {} raw bytes }}",
            self.id,
            self.stage,
            self.topic,
            self.partition,
            self.position,
            self.attempts,
            self.reason,
            self.raw.len()
        )
    }
}

/// Version 1, of release 0.1: the same fields, and no word of the fetcher.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct V1(DeadLetter);

impl From<V1> for DeadLetter {
    fn from(V1(same): V1) -> Self {
        same
    }
}

impl TryFrom<&DeadLetter> for V1 {
    type Error = Unsayable;

    fn try_from(message: &DeadLetter) -> Result<Self, Unsayable> {
        let V2(sayable) = V2::try_from(message)?;
        match sayable.stage == StageName::Fetcher {
            true => Err(Unsayable("the fetcher")),
            false => Ok(Self(sayable)),
        }
    }
}

/// Version 2: the same fields, and no word of the stages that ask models.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct V2(DeadLetter);

impl From<V2> for DeadLetter {
    fn from(V2(same): V2) -> Self {
        same
    }
}

impl TryFrom<&DeadLetter> for V2 {
    type Error = Unsayable;

    fn try_from(message: &DeadLetter) -> Result<Self, Unsayable> {
        match message.stage.is_of_level_2() {
            true => Ok(Self(message.clone())),
            false => Err(Unsayable("a stage that asks models")),
        }
    }
}

/// Version 3: the same fields, and no word of trainings.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct V3(DeadLetter);

impl From<V3> for DeadLetter {
    fn from(V3(same): V3) -> Self {
        same
    }
}

impl TryFrom<&DeadLetter> for V3 {
    type Error = Unsayable;

    fn try_from(message: &DeadLetter) -> Result<Self, Unsayable> {
        match message.stage.is_of_level_3() {
            true => Ok(Self(message.clone())),
            false => Err(Unsayable("a stage that trains models")),
        }
    }
}
