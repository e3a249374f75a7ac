use std::fmt;

use super::StageName;

/// A topic of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// [`crate::InputOffered`].
    Inputs,
    /// [`crate::InputFetched`].
    Fetched,
    /// [`crate::ClipFound`].
    Clips,
    /// [`crate::ClipCurated`].
    Curated,
    /// [`crate::ClipDecoded`].
    Decoded,
    /// [`crate::ClipProbed`].
    Probed,
    /// [`crate::ClipAccepted`].
    Accepted,
    /// [`crate::PoolSealed`].
    Pools,
    /// [`crate::SampleComposed`].
    Samples,
    /// [`crate::TrainingPlanned`].
    Trainings,
    /// [`crate::CheckpointSaved`], [`crate::TrainingFailed`].
    Checkpoints,
    /// [`crate::AnswerGiven`].
    Answers,
    /// [`crate::RecipeSkipped`].
    Skipped,
    /// [`crate::Rejected`].
    Rejected,
    /// [`crate::DeadLetter`].
    DeadLetters,
    /// [`crate::InputSealed`], [`crate::PoolComposed`], [`crate::RecordRequeued`], [`crate::RunFinished`].
    Runs,
    /// [`crate::RevisionDeclared`], [`crate::FormatDeclared`].
    Revisions,
    /// State of a stage, keyed by revision and by the stage's own keys.
    State(StageName),
}

impl Topic {
    /// Every topic that carries messages, in the order in which a clip meets them.
    pub const MESSAGES: [Self; 17] = [
        Self::Inputs,
        Self::Fetched,
        Self::Clips,
        Self::Curated,
        Self::Decoded,
        Self::Probed,
        Self::Accepted,
        Self::Pools,
        Self::Samples,
        Self::Trainings,
        Self::Checkpoints,
        Self::Answers,
        Self::Skipped,
        Self::Rejected,
        Self::DeadLetters,
        Self::Runs,
        Self::Revisions,
    ];

    /// Every topic, the states of the stages last.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::MESSAGES.into_iter().chain(StageName::ALL.into_iter().map(Self::State))
    }

    /// Name without the prefix of the settings.
    pub fn name(self) -> String {
        self.to_string()
    }

    /// The topic of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::all().find(|topic| topic.to_string() == name)
    }

    /// Whether clips flow on it, so that it is split by source video; all others have one partition.
    pub fn is_partitioned(self) -> bool {
        matches!(
            self,
            Self::Clips | Self::Curated | Self::Decoded | Self::Probed | Self::Accepted | Self::Rejected
        )
    }

    /// Whether only the newest record of a key is kept.
    pub fn is_compacted(self) -> bool {
        matches!(self, Self::Curated | Self::State(_))
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inputs => f.write_str("inputs"),
            Self::Fetched => f.write_str("fetched"),
            Self::Clips => f.write_str("clips"),
            Self::Curated => f.write_str("curated"),
            Self::Decoded => f.write_str("decoded"),
            Self::Probed => f.write_str("probed"),
            Self::Accepted => f.write_str("accepted"),
            Self::Pools => f.write_str("pools"),
            Self::Samples => f.write_str("samples"),
            Self::Trainings => f.write_str("trainings"),
            Self::Checkpoints => f.write_str("checkpoints"),
            Self::Answers => f.write_str("answers"),
            Self::Skipped => f.write_str("skipped"),
            Self::Rejected => f.write_str("rejected"),
            Self::DeadLetters => f.write_str("dead-letters"),
            Self::Runs => f.write_str("runs"),
            Self::Revisions => f.write_str("revisions"),
            Self::State(stage) => write!(f, "state.{stage}"),
        }
    }
}
