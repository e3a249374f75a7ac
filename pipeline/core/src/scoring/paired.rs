use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Interval;

/// Two-sided 95 % point of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// One question that two models answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair<'a> {
    /// Source video.
    pub video: &'a str,
    /// Whether the first was right.
    pub before: bool,
    /// Whether the second was.
    pub after: bool,
}

/// Two models side by side on the same questions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    /// Questions that both were asked.
    pub n: u64,
    /// Accuracy of the first.
    pub before: f64,
    /// Accuracy of the second.
    pub after: f64,
    /// Questions that only the second answered right.
    pub gained: u64,
    /// Questions that only the first answered right.
    pub lost: u64,
    /// `after - before`.
    pub difference: f64,
    /// Its 95 % interval, clustered by source video.
    pub interval: Interval,
    /// McNemar's exact test (1947), two-sided: how likely so uneven a split of the changed answers is, were gains and
    /// losses alike. Takes questions for independent, which the interval does not.
    pub p_value: f64,
}

/// Compares two models on the questions that both were asked.
pub fn paired<'a>(pairs: impl IntoIterator<Item = Pair<'a>>) -> Paired {
    let (mut n, mut before, mut after, mut gained, mut lost) = (0_u64, 0_u64, 0_u64, 0_u64, 0_u64);
    let mut clusters: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for pair in pairs {
        n += 1;
        before += u64::from(pair.before);
        after += u64::from(pair.after);
        gained += u64::from(pair.after && !pair.before);
        lost += u64::from(pair.before && !pair.after);
        let (count, change) = clusters.entry(pair.video).or_default();
        *count += 1.0;
        *change += f64::from(u8::from(pair.after)) - f64::from(u8::from(pair.before));
    }
    let share = |count: u64| if n == 0 { 0.0 } else { count as f64 / n as f64 };
    let difference = share(after) - share(before);
    let interval = match n {
        0 => [-1.0, 1.0],
        n => {
            let groups = clusters.len() as f64;
            let residuals = clusters.values().map(|(count, change)| (change - count * difference).powi(2));
            let variance = residuals.sum::<f64>() / (n as f64).powi(2) * groups / (groups - 1.0).max(1.0);
            let half = Z * variance.sqrt();
            [(difference - half).max(-1.0), (difference + half).min(1.0)]
        }
    };
    Paired {
        n,
        before: share(before),
        after: share(after),
        gained,
        lost,
        difference,
        interval,
        p_value: mcnemar(gained, lost),
    }
}

/// Twice the tail of a fair coin's binomial, summed by logarithms so that no power of two overflows.
fn mcnemar(gained: u64, lost: u64) -> f64 {
    let (changed, fewer) = (gained.saturating_add(lost), gained.min(lost));
    if changed == 0 {
        return 1.0;
    }
    let mut logarithm = -(changed as f64) * std::f64::consts::LN_2;
    let mut tail = logarithm.exp();
    for flips in 1..=fewer {
        logarithm += ((changed - flips + 1) as f64).ln() - (flips as f64).ln();
        tail += logarithm.exp();
    }
    (2.0 * tail).min(1.0)
}
