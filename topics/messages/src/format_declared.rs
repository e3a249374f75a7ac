use serde::{Deserialize, Serialize};

/// From here on writers may use the message versions of this format level; see
/// [`FormatLevel`](crate::wire::FormatLevel).
///
/// Stands on the topic of the revisions, before any other record of a log that was made by a release
/// later than 0.1. Release 0.1 passes over it there. A log that has records and no such declaration is of
/// level 1. The highest level declared counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormatDeclared {
    /// Number of the level, which may be one that this program does not know.
    pub level: u16,
}
