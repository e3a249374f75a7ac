//! What tuning did: the collapse of a model on conflicting streams, and how much of it was repaired.

use serde::{Deserialize, Serialize};

use super::Scores;
use crate::questions::Stream;

/// Points that the strict accuracy has to lie below the aligned one for a collapse.
const COLLAPSE: f64 = 0.30;
/// Points that tuning has to win back.
const REPAIR: f64 = 0.25;
/// Points that it may cost on aligned samples.
const LOSS: f64 = 0.05;
/// Strict accuracy on a single stream of a model whose towers know their stream.
const SINGLE: f64 = 0.85;

/// A claim about a model before and after tuning, and what was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// What is claimed.
    pub claim: String,
    /// Whether it holds.
    pub holds: bool,
    /// The numbers it stands on.
    pub measured: String,
}

/// The claims, in the order of the argument: the towers know their streams, the model collapses, tuning repairs it,
/// and costs next to nothing. A claim that lacks a score does not hold.
pub fn claims(before: &Scores, after: &Scores) -> Vec<Claim> {
    let strict = |scores: &Scores, condition: &str, stream: Stream| {
        Some(scores.get(condition)?.get(stream.as_str())?.accuracy_strict)
    };
    let percent =
        |share: Option<f64>| share.map_or_else(|| "?".to_owned(), |share| format!("{:.1} %", 100.0 * share));
    let streams = [Stream::Visual, Stream::Audio];
    let alone = streams.map(|stream| {
        let condition = if stream == Stream::Visual { "audio_removed" } else { "frames_zeroed" };
        strict(before, condition, stream)
    });
    let towers = Claim {
        claim: format!("each stream alone is known: at least {:.0} %", 100.0 * SINGLE),
        holds: alone.iter().all(|share| share.is_some_and(|share| share >= SINGLE)),
        measured: format!("picture {}, sound {}", percent(alone[0]), percent(alone[1])),
    };
    // The question that suffers most is the one that the argument goes on with.
    let gap =
        |stream: Stream| Some(strict(before, "aligned", stream)? - strict(before, "misaligned", stream)?);
    let worst = streams
        .into_iter()
        .max_by(|one, other| gap(*one).unwrap_or(-1.0).total_cmp(&gap(*other).unwrap_or(-1.0)));
    let worst = worst.unwrap_or(Stream::Audio);
    let collapse = Claim {
        claim: format!("conflicting streams cost at least {:.0} points", 100.0 * COLLAPSE),
        holds: gap(worst).is_some_and(|gap| gap >= COLLAPSE),
        measured: format!(
            "{} question: aligned {}, misaligned {}",
            worst.as_str(),
            percent(strict(before, "aligned", worst)),
            percent(strict(before, "misaligned", worst)),
        ),
    };
    let interval = |scores: &Scores| Some(scores.get("misaligned")?.get(worst.as_str())?.interval);
    let apart = interval(before).zip(interval(after)).is_some_and(|([_, high], [low, _])| high < low);
    let (was, is) = (strict(before, "misaligned", worst), strict(after, "misaligned", worst));
    let repair = Claim {
        claim: format!("tuning wins back at least {:.0} points, intervals disjoint", 100.0 * REPAIR),
        holds: apart && was.zip(is).is_some_and(|(was, is)| is - was >= REPAIR),
        measured: format!(
            "{} question, misaligned: {} before, {} after",
            worst.as_str(),
            percent(was),
            percent(is)
        ),
    };
    let kept = streams.map(|stream| (strict(before, "aligned", stream), strict(after, "aligned", stream)));
    let cost = Claim {
        claim: format!("aligned clips lose at most {:.0} points", 100.0 * LOSS),
        holds: kept.iter().all(|(was, is)| was.zip(*is).is_some_and(|(was, is)| was - is <= LOSS)),
        measured: format!(
            "picture {} to {}, sound {} to {}",
            percent(kept[0].0),
            percent(kept[0].1),
            percent(kept[1].0),
            percent(kept[1].1),
        ),
    };
    vec![towers, collapse, repair, cost]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scoring::Score;

    fn scores(rows: &[(&str, &str, f64)]) -> Scores {
        let mut scores = Scores::new();
        for &(condition, question, accuracy_strict) in rows {
            let interval = [accuracy_strict - 0.05, accuracy_strict + 0.05];
            let score = Score { accuracy_strict, interval, ..Score::default() };
            scores.entry(condition.to_owned()).or_default().insert(question.to_owned(), score);
        }
        scores
    }

    fn before(misaligned: f64) -> Scores {
        scores(&[
            ("aligned", "visual", 0.99),
            ("aligned", "audio", 0.98),
            ("misaligned", "visual", 0.97),
            ("misaligned", "audio", misaligned),
            ("audio_removed", "visual", 0.96),
            ("frames_zeroed", "audio", 0.90),
        ])
    }

    fn after(aligned: f64, misaligned: f64) -> Scores {
        scores(&[
            ("aligned", "visual", aligned),
            ("aligned", "audio", 0.98),
            ("misaligned", "visual", 0.90),
            ("misaligned", "audio", misaligned),
        ])
    }

    fn hold(before: &Scores, after: &Scores) -> Vec<bool> {
        claims(before, after).into_iter().map(|claim| claim.holds).collect()
    }

    #[test]
    fn a_collapse_that_was_repaired_holds_in_all_claims() {
        assert_eq!(hold(&before(0.2), &after(0.97, 0.9)), [true; 4]);
        let told = &claims(&before(0.2), &after(0.97, 0.9))[2].measured;
        assert_eq!(told, "audio question, misaligned: 20.0 % before, 90.0 % after");
    }

    #[test]
    fn each_claim_fails_by_itself() {
        assert_eq!(hold(&before(0.8), &after(0.97, 0.95)), [true, false, false, true]);
        assert_eq!(hold(&before(0.2), &after(0.97, 0.4)), [true, true, false, true]);
        assert_eq!(hold(&before(0.2), &after(0.90, 0.9)), [true, true, true, false]);
        let mut deaf = before(0.2);
        deaf.remove("frames_zeroed");
        assert_eq!(hold(&deaf, &after(0.97, 0.9)), [false, true, true, true]);
        assert_eq!(hold(&Scores::new(), &Scores::new()), [false; 4]);
    }
}
