use serde::{Deserialize, Serialize};

use crate::{RecordId, Split, wire::Unsayable};

/// A person or a schedule hands the source something to read: label lists and a folder of clips.
///
/// The id is the hash of the paths and of `nonce`, so the same command given twice after it finished is
/// a new input, while a restart of an interrupted one is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputOffered {
    /// Hash of the paths and the nonce.
    pub id: RecordId,
    /// Folder that holds the media files, searched with its subfolders; as given by the user.
    pub clips: String,
    /// Segment lists that carry the labels, in the order given.
    pub labels: Vec<LabelList>,
    /// Path of the ontology file, used to tell a known MID from an unknown one.
    pub ontology: String,
    /// Counts the inputs offered on this log so far.
    pub nonce: u64,
    /// When it was offered, in milliseconds since 1970; 0 where nobody noted it (version 1).
    pub offered_at_ms: i64,
    /// Whether the source goes on looking for new files until it is told to stop (false in version 1).
    pub follow: bool,
    /// Whether the input is sealed when everything there was has been read (true in version 1).
    pub seal: bool,
}

/// One AudioSet segment list and the split its clips belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelList {
    /// Path of the CSV file.
    pub path: String,
    /// Split of every clip the list names.
    pub split: Split,
}

/// Version 1, of release 0.1: every input is read once and sealed.
#[derive(Serialize, Deserialize)]
pub(crate) struct V1 {
    id: RecordId,
    clips: String,
    labels: Vec<LabelList>,
    ontology: String,
    nonce: u64,
}

impl From<V1> for InputOffered {
    fn from(V1 { id, clips, labels, ontology, nonce }: V1) -> Self {
        Self { id, clips, labels, ontology, nonce, offered_at_ms: 0, follow: false, seal: true }
    }
}

impl TryFrom<&InputOffered> for V1 {
    type Error = Unsayable;

    fn try_from(input: &InputOffered) -> Result<Self, Unsayable> {
        // Its time is for people alone; what it asks of the source must not be lost.
        let InputOffered { id, clips, labels, ontology, nonce, offered_at_ms: _, follow, seal } =
            input.clone();
        match (follow, seal) {
            (false, true) => Ok(Self { id, clips, labels, ontology, nonce }),
            (true, _) => Err(Unsayable("an input that is followed")),
            (false, false) => Err(Unsayable("an input that is not sealed")),
        }
    }
}
