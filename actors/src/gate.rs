//! Accepts or rejects a clip by what was measured of it.
//!
//! Reads [`ClipDecoded`], or [`ClipProbed`] where there is a judge; writes [`ClipAccepted`] or [`Rejected`]. The
//! thresholds stand for the part of the human check that a signal can answer (appendix B.2): something is
//! seen, something is heard, something moves. A judge has to have said yes four times (appendix B.1).

use counterpoint_core::questions::{Probe, yes_no};
use counterpoint_log::StateEntry;
use counterpoint_messages::{
    Cause, ClipAccepted, ClipDecoded, ClipProbed, Fingerprint, Message, RejectReason, Rejected,
    SignalStatistics, StageName, Topic,
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
    is_judged: bool,
    fingerprint: Fingerprint,
}

impl Gate {
    /// A gate under these thresholds, behind a judge or without one.
    pub fn new(settings: GateSettings, is_judged: bool, fingerprint: Fingerprint) -> Self {
        Self { settings, is_judged, fingerprint }
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

/// The first query that the judge did not answer by yes, and what it said to all four.
fn refuse(probed: &ClipProbed) -> Option<(RejectReason, String)> {
    let answers = probed.answers.all();
    let missed = Probe::ALL.into_iter().zip(answers).find(|(_, answer)| !answer.is_yes)?.0;
    let said = Probe::ALL.into_iter().zip(answers).map(|(probe, answer)| {
        let word = match (&answer.text, answer.is_yes) {
            (_, true) => "yes".to_owned(),
            (Some(text), false) if yes_no(text) == Some(false) => "no".to_owned(),
            (Some(text), false) => {
                format!("neither yes nor no but {:?}", text.chars().take(80).collect::<String>())
            }
            (None, false) => "nothing".to_owned(),
        };
        let likely = answer.yes_probability.map(|yes| format!(" ({:.0} % yes)", 100.0 * yes));
        format!("{}: {word}{}", probe.as_str(), likely.unwrap_or_default())
    });
    let reason = match missed {
        Probe::VisualAlone => RejectReason::NotVisibleAlone,
        Probe::AudioAlone => RejectReason::NotAudibleAlone,
        Probe::VisualTogether => RejectReason::NotVisibleTogether,
        Probe::AudioTogether => RejectReason::NotAudibleTogether,
    };
    Some((reason, format!("the judge {} said of it: {}", probed.judge, said.collect::<Vec<_>>().join("; "))))
}

impl Stage for Gate {
    type Work = NoWork;

    fn profile(&self) -> Profile {
        let input = if self.is_judged { Topic::Probed } else { Topic::Decoded };
        Profile { stage: STAGE, inputs: vec![input], order: Order::Parallel, blameless: false }
    }

    fn restore(&mut self, _: &[StateEntry]) -> Result<(), StageError> {
        Ok(())
    }

    fn plan(&mut self, record: &Record) -> Result<Step<NoWork>, StageError> {
        let (decoded, probed) = match &record.message {
            Message::ClipDecoded(decoded) => (decoded, None),
            Message::ClipProbed(probed) => (&probed.decoded, Some(probed)),
            other => return Err(StageError::unexpected(STAGE, other)),
        };
        let ClipDecoded { clip, class, media, sound, statistics, duration_ms, .. } = decoded.clone();
        let id = Cause {
            stage: STAGE,
            transform: 1,
            settings: self.fingerprint,
            inputs: &[probed.map_or(decoded.id, |probed| probed.id)],
            detail: "",
        }
        .id();
        let (clip_id, video) = (clip.id, clip.video.clone());
        let refused = judge(&statistics, &self.settings).or_else(|| probed.and_then(refuse));
        let output = match refused {
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
