//! Where the topics of a run are.

use std::{path::Path, sync::Arc};

use counterpoint_log::TopicLog;

use crate::program::Program;

/// The topics of one run, and how a program is told of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Topics {
    /// In the output folder.
    #[default]
    Embedded,
}

impl Topics {
    /// Name of the engine.
    pub fn engine(&self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
        }
    }

    /// The program with the flags and settings that lead it here.
    #[must_use]
    pub fn of(&self, program: Program) -> Program {
        match self {
            Self::Embedded => program,
        }
    }

    /// The same under the name of an instance, where the engine knows any.
    #[must_use]
    pub fn of_instance(&self, program: Program, _: &str) -> Program {
        self.of(program)
    }

    /// The log of a run into `out`, once there is one.
    pub fn open(&self, out: &Path) -> Option<Arc<dyn TopicLog>> {
        match self {
            Self::Embedded => counterpoint_log::open_existing(None, out).ok(),
        }
    }
}
