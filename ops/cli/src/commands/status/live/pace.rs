//! How fast something goes, by the times at which it was written.

use std::collections::BTreeMap;

/// Seconds over which a rate is taken.
const WINDOW: i64 = 10;

/// Things a second over the last ten seconds. What was written before counts for nothing, so a log that is read from
/// its beginning is no rush; what clocks elsewhere date later than now counts when its time has come.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Things by second since 1970; at most those of two windows.
    seconds: BTreeMap<i64, u64>,
}

impl Pace {
    /// One more, written at this time; times in milliseconds since 1970.
    pub(super) fn count(&mut self, written_ms: i64, now_ms: i64) {
        let (second, now) = (written_ms.div_euclid(1000), now_ms.div_euclid(1000));
        if (second - now).abs() <= WINDOW {
            *self.seconds.entry(second).or_default() += 1;
        }
    }

    /// The rate by now, over whole seconds.
    pub(super) fn rate(&mut self, now_ms: i64) -> f64 {
        let now = now_ms.div_euclid(1000);
        self.seconds = self.seconds.split_off(&(now - WINDOW));
        self.seconds.range(..now).map(|(_, things)| *things as f64).sum::<f64>() / WINDOW as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_whole_seconds_and_falls_to_nothing() {
        let mut pace = Pace::default();
        let now = 1_000_500;
        (0..20).for_each(|thing| pace.count(990_000 + 500 * thing, now));
        assert_eq!(pace.rate(now), 2.0);
        assert_eq!(pace.rate(now + 5_000), 1.0);
        assert_eq!(pace.rate(now + 60_000), 0.0);
        assert_eq!(pace.seconds.len(), 0);
    }

    #[test]
    fn what_is_read_of_the_past_is_no_rush_and_clocks_that_are_wrong_fill_no_memory() {
        let mut pace = Pace::default();
        for second in 0..100_000 {
            pace.count(1_000 * second, 50_000_000);
        }
        assert!(pace.seconds.len() <= 2 * WINDOW as usize + 1, "{}", pace.seconds.len());
        assert_eq!(pace.rate(50_000_000), 1.0);
        assert_eq!(pace.rate(50_004_000), 1.0, "what is dated ahead counts in its time");
        pace.count(i64::MAX, 0);
        pace.count(i64::MIN, 0);
    }
}
