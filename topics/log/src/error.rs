use crate::Group;

/// Why the log could not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Another member owns the group.
    #[error("group {group} now belongs to {holder}")]
    Fenced {
        /// Group.
        group: Group,
        /// Who.
        holder: String,
    },
    /// No space.
    #[error("no space left for the topic log at {place}: free some and run again, nothing is lost")]
    Full {
        /// File or broker.
        place: String,
    },
    /// The stored log cannot be read.
    #[error(
        "the topic log at {place} is damaged ({detail}): restore it from a copy, or move it away to begin anew"
    )]
    Corrupt {
        /// File.
        place: String,
        /// What the engine said.
        detail: String,
    },
    /// A passing fault: try again.
    #[error("the topic log at {place} did not answer: {detail}")]
    Unavailable {
        /// File or broker.
        place: String,
        /// What the engine said.
        detail: String,
    },
    /// A request that can never succeed.
    #[error("the topic log refuses: {detail}")]
    Invalid {
        /// What is wrong with it.
        detail: String,
    },
}

impl LogError {
    /// Whether the same request may succeed later without anybody changing it.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Unavailable { .. })
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::Invalid { detail: detail.into() }
    }
}
