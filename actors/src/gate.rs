//! Accepts or rejects a clip by what was measured of it.
//!
//! Reads [`ClipDecoded`]; writes [`ClipAccepted`] or [`Rejected`]. The thresholds stand for the part of
//! the human check that a signal can answer (appendix B.2): something is seen, something is heard,
//! something moves.

use counterpoint_log::StateEntry;
use counterpoint_messages::{
    Cause, ClipAccepted, ClipDecoded, Fingerprint, Message, RejectReason, Rejected, SignalStatistics,
    StageName, Topic,
};

use crate::{
    settings::GateSettings,
    stage::{Effects, NoWork, Order, Output, Profile, Record, Stage, StageError, Step},
};

const STAGE: StageName = StageName::Gate;

/// See the module.
#[derive(Debug)]
pub struct Gate {
    settings: GateSettings,
    fingerprint: Fingerprint,
}

impl Gate {
    /// A gate under these thresholds.
    pub fn new(settings: GateSettings, fingerprint: Fingerprint) -> Self {
        Self { settings, fingerprint }
    }
}

/// The first threshold that a clip misses, and the sentence for people.
fn judge(found: &SignalStatistics, limits: &GateSettings) -> Option<(RejectReason, String)> {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let sentence = |what: &str, value: String, setting: &str, limit: String| {
        format!("{what} is {value}, the limit gate.{setting} is {limit}")
    };
    if found.silent_share > limits.silent_share_max {
        let limit = percent(limits.silent_share_max);
        let text = sentence("the silent share", percent(found.silent_share), "silent_share_max", limit);
        return Some((RejectReason::Silent, text));
    }
    if found.loudness_lufs < limits.loudness_min_lufs {
        let (value, limit) = (found.loudness_lufs, limits.loudness_min_lufs);
        let text = sentence(
            "the loudness",
            format!("{value:.1} LUFS"),
            "loudness_min_lufs",
            format!("{limit:.1} LUFS"),
        );
        return Some((RejectReason::TooQuiet, text));
    }
    if found.black_share > limits.black_share_max {
        let limit = percent(limits.black_share_max);
        let text = sentence("the black share", percent(found.black_share), "black_share_max", limit);
        return Some((RejectReason::Black, text));
    }
    if found.motion < limits.motion_min {
        let (value, limit) = (format!("{:.6}", found.motion), format!("{:.6}", limits.motion_min));
        return Some((RejectReason::Static, sentence("the motion", value, "motion_min", limit)));
    }
    if found.cuts > limits.cuts_max {
        let (value, limit) = (found.cuts.to_string(), limits.cuts_max.to_string());
        return Some((RejectReason::TooManyCuts, sentence("the number of cuts", value, "cuts_max", limit)));
    }
    None
}

impl Stage for Gate {
    type Work = NoWork;

    fn profile(&self) -> Profile {
        Profile { stage: STAGE, inputs: vec![Topic::Decoded], order: Order::Parallel, blameless: false }
    }

    fn restore(&mut self, _: &[StateEntry]) -> Result<(), StageError> {
        Ok(())
    }

    fn plan(&mut self, record: &Record) -> Result<Step<NoWork>, StageError> {
        let Message::ClipDecoded(decoded) = &record.message else {
            return Err(StageError::unexpected(STAGE, &record.message));
        };
        let ClipDecoded { clip, class, media, sound, statistics, duration_ms, .. } = decoded.clone();
        let id = Cause {
            stage: STAGE,
            transform: 1,
            settings: self.fingerprint,
            inputs: &[decoded.id],
            detail: "",
        }
        .id();
        let (clip_id, video) = (clip.id, clip.video.clone());
        let output = match judge(&statistics, &self.settings) {
            None => {
                let message = ClipAccepted { id, clip, class, media, sound, statistics, duration_ms };
                Output::of_clip(Topic::Accepted, id, clip_id, &video, message)
            }
            Some((reason, detail)) => {
                let message = Rejected {
                    id,
                    clip: clip_id,
                    video: clip.video,
                    path: decoded.origin.path.clone(),
                    split: Some(clip.split),
                    stage: STAGE,
                    reason,
                    detail,
                };
                Output::of_clip(Topic::Rejected, id, clip_id, &video, message)
            }
        };
        Ok(Step::Done(Effects::output(output)))
    }

    fn conclude(&mut self, _: &Record, outcome: NoWork) -> Result<Effects, StageError> {
        match outcome {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: SignalStatistics =
        SignalStatistics { loudness_lufs: -20.0, silent_share: 0.0, black_share: 0.0, motion: 0.05, cuts: 1 };

    #[test]
    fn each_threshold_turns_away_with_its_own_reason_value_and_setting() {
        let limits = GateSettings::default();
        assert_eq!(judge(&GOOD, &limits), None);
        let cases = [
            (SignalStatistics { silent_share: 0.97, ..GOOD }, RejectReason::Silent, "97.0 %"),
            (SignalStatistics { loudness_lufs: -66.0, ..GOOD }, RejectReason::TooQuiet, "-66.0 LUFS"),
            (SignalStatistics { black_share: 0.8, ..GOOD }, RejectReason::Black, "80.0 %"),
            (SignalStatistics { motion: 0.0, ..GOOD }, RejectReason::Static, "0.000000"),
            (SignalStatistics { cuts: 99, ..GOOD }, RejectReason::TooManyCuts, "99"),
        ];
        for (statistics, reason, value) in cases {
            let (found, detail) = judge(&statistics, &limits).unwrap();
            assert_eq!(found, reason);
            assert!(detail.contains(value) && detail.contains("gate."), "{detail}");
        }
    }
}
