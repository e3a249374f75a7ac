//! Where the topics of a run are.

use std::{path::Path, sync::Arc};

use counterpoint_log::{TopicLog, TopicOptions};

use crate::program::Program;

/// The topics of one run, and how a program is told of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Topics {
    /// In the output folder.
    #[default]
    Embedded,
    /// On a Kafka broker.
    Kafka {
        /// What `--broker` takes.
        broker: String,
        /// What the names of the run's topics begin with.
        prefix: String,
    },
}

impl Topics {
    /// The program with the flags and settings that lead it here.
    #[must_use]
    pub fn of(&self, program: Program) -> Program {
        match self {
            Self::Embedded => program,
            // Brokers soon let go of a process that was killed: tests kill many.
            Self::Kafka { broker, prefix } => program
                .with(["--broker", broker])
                .env("COUNTERPOINT_TOPICS__PREFIX", prefix)
                .env("COUNTERPOINT_TOPICS__KAFKA__SESSION_TIMEOUT_MS", "3000")
                .env("COUNTERPOINT_TOPICS__KAFKA__HEARTBEAT_INTERVAL_MS", "500"),
        }
    }

    /// The log of a run into `out`, once there is one.
    pub fn open(&self, out: &Path) -> Option<Arc<dyn TopicLog>> {
        match self {
            Self::Embedded => counterpoint_log::open_existing(None, out, &TopicOptions::default()).ok(),
            Self::Kafka { broker, prefix } => {
                let options = TopicOptions { prefix: prefix.clone(), ..TopicOptions::default() };
                counterpoint_log::open_existing(Some(broker), out, &options).ok()
            }
        }
    }
}
