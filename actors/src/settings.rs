//! The settings that decide what comes out of the pipeline, by stage.
//!
//! Everything here is part of a stage's fingerprint: changed, it makes a new revision. What only decides
//! how fast or how patiently the pipeline works is [`Effort`], which is part of none; nor are
//! [`FollowSettings`] and [`FetcherSettings`], which decide when and how clips come, and [`EvaluatorSettings`],
//! which belong to evaluations.

mod evaluator;
mod fetcher;
mod follow;
mod prober;
mod trainer;

use std::time::Duration;

use counterpoint_core::media_job::ShortClips;
pub use evaluator::EvaluatorSettings;
pub use fetcher::{FetchOutcome, FetchReason, FetcherSettings};
pub use follow::FollowSettings;
pub use prober::ProberSettings;
use serde::{Deserialize, Serialize};
pub use trainer::TrainerSettings;

/// What comes out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Seed of every random choice.
    pub seed: u64,
    /// Reading of folders.
    pub source: SourceSettings,
    /// Classes.
    pub curator: CuratorSettings,
    /// The normal form of media.
    pub decoder: DecoderSettings,
    /// The judge.
    pub prober: ProberSettings,
    /// Thresholds.
    pub gate: GateSettings,
    /// Samples.
    pub composer: ComposerSettings,
    /// Rounds of training.
    pub trainer: TrainerSettings,
}

/// Reading of folders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourceSettings {
    /// File name endings of media files, in lower case, without the dot.
    pub extensions: Vec<String>,
}

impl Default for SourceSettings {
    fn default() -> Self {
        let extensions = ["mp4", "mkv", "webm", "mov", "avi", "m4v"];
        Self { extensions: extensions.map(str::to_owned).to_vec() }
    }
}

/// Classes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CuratorSettings {
    /// Path of a rules file; the built-in rules give the 61 classes of MMA-Bench.
    pub rules: Option<String>,
}

/// The normal form of media (appendix C).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecoderSettings {
    /// Width and height in pixels; a multiple of 14 gives whole patches.
    pub size: u32,
    /// Length in seconds.
    pub seconds: u32,
    /// Frames a second.
    pub frame_rate: u32,
    /// Integrated loudness in LUFS that every sound is brought to.
    pub loudness_lufs: f64,
    /// What becomes of a train clip that is too short (the appendix discards it).
    pub short_train: ShortClips,
    /// What becomes of an eval clip that is too short.
    pub short_eval: ShortClips,
}

impl Default for DecoderSettings {
    fn default() -> Self {
        Self {
            size: 504,
            seconds: 10,
            frame_rate: 25,
            loudness_lufs: -23.0,
            short_train: ShortClips::Reject,
            short_eval: ShortClips::Pad,
        }
    }
}

/// Thresholds of the signal statistics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GateSettings {
    /// Largest share of silent 100 ms windows, 0 to 1.
    pub silent_share_max: f64,
    /// Lowest integrated loudness of the source sound in LUFS.
    pub loudness_min_lufs: f64,
    /// Largest share of black frames, 0 to 1.
    pub black_share_max: f64,
    /// Least mean luma change from frame to frame, 0 to 1.
    pub motion_min: f64,
    /// Most hard cuts.
    pub cuts_max: u32,
}

impl Default for GateSettings {
    fn default() -> Self {
        Self {
            silent_share_max: 0.9,
            loudness_min_lufs: -60.0,
            black_share_max: 0.5,
            motion_min: 0.000_5,
            cuts_max: 20,
        }
    }
}

/// Samples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ComposerSettings {
    /// `default` (every recipe once), `published` (1 + 10 donors, appendix C), `streams` (whole, no sound, no
    /// picture) or the path of a plan.
    pub plan: String,
}

impl Default for ComposerSettings {
    fn default() -> Self {
        Self { plan: "default".to_owned() }
    }
}

/// How fast and how patiently the pipeline works; never what comes out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Effort {
    /// Media worker processes; 0 for one a core.
    pub workers: usize,
    /// Records a stage may have read and not committed.
    pub max_records: usize,
    /// Their bytes.
    pub max_bytes: usize,
    /// Seconds that a fault of ours (a full disk, a store that does not answer) may last before the run
    /// gives up.
    pub patience_seconds: u64,
}

impl Default for Effort {
    fn default() -> Self {
        Self { workers: 0, max_records: 256, max_bytes: 8 << 20, patience_seconds: 20 }
    }
}

impl Effort {
    /// Media worker processes.
    pub fn workers(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            workers => workers,
        }
    }

    /// How long a fault of ours may last.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.patience_seconds)
    }
}

/// A setting that can never work.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("setting {name} is {value}: {remedy}")]
pub struct SettingError {
    /// Name, e.g. `decoder.size`.
    pub name: &'static str,
    /// What it is set to.
    pub value: String,
    /// What it may be.
    pub remedy: &'static str,
}

/// What a setting has to fulfil: its name, what it is set to, whether that can work, and what it may be.
pub type SettingCheck = (&'static str, String, bool, &'static str);

impl SettingError {
    /// Goes through the checks.
    ///
    /// # Errors
    /// The first setting that can never work.
    pub fn first_of(checks: impl IntoIterator<Item = SettingCheck>) -> Result<(), Self> {
        match checks.into_iter().find(|(.., is_right, _)| !is_right) {
            Some((name, value, _, remedy)) => Err(Self { name, value, remedy }),
            None => Ok(()),
        }
    }
}

impl Settings {
    /// Refuses what can never work.
    ///
    /// # Errors
    /// The first setting that is out of range.
    pub fn check(&self) -> Result<(), SettingError> {
        let (decoder, gate) = (&self.decoder, &self.gate);
        let share = 0.0..=1.0;
        let checks = [
            (
                "decoder.size",
                decoder.size.to_string(),
                (28..=2048).contains(&decoder.size) && decoder.size % 2 == 0,
                "an even number of pixels from 28 to 2048",
            ),
            (
                "decoder.seconds",
                decoder.seconds.to_string(),
                (1..=60).contains(&decoder.seconds),
                "from 1 to 60 seconds",
            ),
            (
                "decoder.frame_rate",
                decoder.frame_rate.to_string(),
                (1..=60).contains(&decoder.frame_rate),
                "from 1 to 60 frames a second",
            ),
            (
                "decoder.loudness_lufs",
                decoder.loudness_lufs.to_string(),
                (-50.0..=-10.0).contains(&decoder.loudness_lufs),
                "from -50 to -10 LUFS",
            ),
            (
                "gate.silent_share_max",
                gate.silent_share_max.to_string(),
                share.contains(&gate.silent_share_max),
                "a share from 0 to 1",
            ),
            (
                "gate.black_share_max",
                gate.black_share_max.to_string(),
                share.contains(&gate.black_share_max),
                "a share from 0 to 1",
            ),
            (
                "gate.motion_min",
                gate.motion_min.to_string(),
                share.contains(&gate.motion_min),
                "a share of full scale from 0 to 1",
            ),
            (
                "gate.loudness_min_lufs",
                gate.loudness_min_lufs.to_string(),
                (-70.0..=0.0).contains(&gate.loudness_min_lufs),
                "from -70 to 0 LUFS",
            ),
            (
                "source.extensions",
                format!("{:?}", self.source.extensions),
                !self.source.extensions.is_empty(),
                "at least one file name ending",
            ),
        ];
        SettingError::first_of(checks)?;
        self.prober.check()?;
        self.trainer.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_range_and_what_is_not_is_named() {
        let mut settings = Settings::default();
        assert_eq!(settings.check(), Ok(()));
        settings.decoder.size = 15;
        let error = settings.check().unwrap_err();
        assert_eq!(error.to_string(), "setting decoder.size is 15: an even number of pixels from 28 to 2048");
    }
}
