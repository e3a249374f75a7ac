use serde::{Deserialize, Serialize};

use crate::{RecordId, Split, wire::Unsayable};

/// A person or a schedule hands the source something to read: label lists and a folder of clips.
///
/// The id is the hash of the paths, the time, `nonce` and the process that offers it, so the same command given
/// twice after it finished, or in two processes at once, is a new input; a restart of an interrupted one takes up
/// the record that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputOffered {
    /// Hash of what offered it, see above.
    pub id: RecordId,
    /// Folder that holds the media files, searched with its subfolders; as given by the user.
    pub clips: String,
    /// Segment lists that carry the labels, in the order given.
    pub labels: Vec<LabelList>,
    /// Path of the ontology file, used to tell a known MID from an unknown one.
    pub ontology: String,
    /// Counts the inputs offered on this log so far.
    pub nonce: u64,
    /// When it was offered, in milliseconds since 1970: stages have no other clock. 0 where an earlier
    /// version wrote the record.
    pub offered_at_ms: i64,
    /// How it is read and when its pools are sealed if it never ends; `None` for an input that is read as
    /// it lies there.
    pub follow: Option<Follow>,
    /// Whether the fetcher is to bring what the lists want and the folder lacks before the source reads.
    pub fetch: bool,
}

/// What a never-ending input asks of those who read it. It travels as data because stages have no clock,
/// and because it decides when pools are sealed and not what a clip becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follow {
    /// How long a file must have kept its length and time before it counts as there, in milliseconds.
    pub settle_ms: u64,
    /// Accepted clips that make a pool; 0 for no such limit.
    pub seal_clips: u64,
    /// Whether what is accepted by now is to be sealed, however little it is.
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

/// Version 1, of release 0.1: no input was followed and nothing was fetched.
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
        Self { id, clips, labels, ontology, nonce, offered_at_ms: 0, follow: None, fetch: false }
    }
}

impl TryFrom<&InputOffered> for V1 {
    type Error = Unsayable;

    fn try_from(input: &InputOffered) -> Result<Self, Unsayable> {
        // Its time is for the fetcher and for people; what it asks of the source must not be lost.
        let InputOffered { id, clips, labels, ontology, nonce, offered_at_ms: _, follow, fetch } =
            input.clone();
        match (follow, fetch) {
            (None, false) => Ok(Self { id, clips, labels, ontology, nonce }),
            (Some(_), _) => Err(Unsayable("an input that is followed")),
            (None, true) => Err(Unsayable("an input that is to be fetched")),
        }
    }
}
