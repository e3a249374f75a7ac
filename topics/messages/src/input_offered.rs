use serde::{Deserialize, Serialize};

use crate::{RecordId, Split};

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
}

/// One AudioSet segment list and the split its clips belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelList {
    /// Path of the CSV file.
    pub path: String,
    /// Split of every clip the list names.
    pub split: Split,
}
