use std::fmt;

/// Which version of each kind of message a log is written in.
///
/// Every program reads all versions it knows, so the level matters to writers only: while it stays low,
/// programs of an older release can read what newer ones write beside them. A log is raised to the newest
/// level by `counterpoint topics upgrade`, once no older program reads it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FormatLevel(u16);

impl FormatLevel {
    /// What release 0.1 wrote: version 1 of every kind that it had.
    pub const FIRST: Self = Self(1);
    /// The first that has words for models: judge, answers, and the stages that ask.
    pub const MODELS: Self = Self(3);
    /// The first that has words for trainings.
    pub const TRAININGS: Self = Self(4);
    /// The newest versions that this program knows.
    pub const NEWEST: Self = Self::TRAININGS;

    /// Number of levels there are.
    pub(super) const COUNT: usize = Self::NEWEST.0 as usize;

    /// The newest known level up to this number. On a log that a later release raised beyond it, this
    /// program writes the newest versions it knows, which later ones read.
    pub fn up_to(number: u16) -> Self {
        Self(number.clamp(Self::FIRST.0, Self::NEWEST.0))
    }

    /// Its number, as declared on the log.
    pub fn number(self) -> u16 {
        self.0
    }

    /// Its place among all levels.
    pub(super) fn index(self) -> usize {
        usize::from(self.0 - Self::FIRST.0)
    }
}

impl fmt::Display for FormatLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
