use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::SettingError;

/// How a never-ending input is followed. Part of no fingerprint: what decides when a pool is sealed
/// travels with the input, and a sealed pool stays as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FollowSettings {
    /// Longest time between two looks at the folder and the label lists, in seconds.
    pub scan_seconds: f64,
    /// How long a file must have kept its length and time before it counts as there, in seconds.
    pub settle_seconds: f64,
    /// Accepted clips that make a pool; 0 for no such limit.
    pub seal_clips: u64,
    /// Minutes after which what is accepted by then makes a pool, however little it is.
    pub seal_minutes: f64,
}

impl Default for FollowSettings {
    fn default() -> Self {
        Self { scan_seconds: 2.0, settle_seconds: 5.0, seal_clips: 1000, seal_minutes: 10.0 }
    }
}

impl FollowSettings {
    /// Refuses what can never work.
    ///
    /// # Errors
    /// The first setting that is out of range.
    pub fn check(&self) -> Result<(), SettingError> {
        let day = 86_400.0;
        let checks = [
            ("follow.scan_seconds", self.scan_seconds, 0.05..=day, "from 0.05 seconds to a day"),
            ("follow.settle_seconds", self.settle_seconds, 0.0..=day, "from 0 seconds to a day"),
            (
                "follow.seal_minutes",
                self.seal_minutes,
                0.001..=365.0 * 1440.0,
                "from 0.001 minutes to a year",
            ),
        ];
        SettingError::first_of(
            checks.map(|(name, value, range, remedy)| {
                (name, value.to_string(), range.contains(&value), remedy)
            }),
        )
    }

    /// Longest time between two looks.
    pub fn scan(&self) -> Duration {
        Duration::from_secs_f64(self.scan_seconds)
    }

    /// How long a file must have kept its length and time.
    pub fn settle(&self) -> Duration {
        Duration::from_secs_f64(self.settle_seconds)
    }

    /// After so long a pool is sealed in any case.
    pub fn seal_after(&self) -> Duration {
        Duration::from_secs_f64(60.0 * self.seal_minutes)
    }
}
