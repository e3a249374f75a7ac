//! When a clip may be tried again, and when anything may.

use counterpoint_messages::RejectReason;
use serde::{Deserialize, Serialize};

/// Longest wait, in milliseconds.
const LONGEST_MS: u64 = 24 * 3_600_000;
const MINUTE_MS: i64 = 60_000;

/// A row that was tried for and is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Tries that failed by the clip's own fault.
    pub attempts: u32,
    /// Why the last one failed.
    pub reason: RejectReason,
    /// When it may be tried again, in milliseconds since 1970; `None` for never.
    pub retry_at_ms: Option<i64>,
    /// How the last one ended, for people.
    #[serde(default)]
    pub said: String,
}

/// What holds for all rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// Nothing is begun before this.
    pub slow_until_ms: i64,
    /// How often in a row the other side asked for fewer requests, or could not be reached.
    pub slowed: u32,
    /// Begin of the minute in which commands are counted.
    pub minute_ms: i64,
    /// Commands begun in it.
    pub begun: u64,
}

impl Pace {
    /// How many commands may be begun now, of at most `per_minute` a minute (0: any number).
    pub fn allowed(&mut self, now_ms: i64, per_minute: u64) -> u64 {
        if now_ms < self.slow_until_ms {
            return 0;
        }
        if per_minute == 0 {
            return u64::MAX;
        }
        // A clock that was set back must not keep the minute from ending.
        if !(self.minute_ms..self.minute_ms.saturating_add(MINUTE_MS)).contains(&now_ms) {
            (self.minute_ms, self.begun) = (now_ms, 0);
        }
        per_minute.saturating_sub(self.begun)
    }

    /// When something may be begun.
    pub fn open_at(&self, now_ms: i64, per_minute: u64) -> i64 {
        let minute = match per_minute > 0 && self.begun >= per_minute {
            true => self.minute_ms.saturating_add(MINUTE_MS),
            false => now_ms,
        };
        minute.max(self.slow_until_ms).max(now_ms)
    }
}

/// The wait before try `times + 1`, in milliseconds: `first_ms`, and twice as long each time, from half of
/// that to one and a half times it. What decides is a hash of seed and row, so rows that failed together
/// do not come back together, and a run made again waits the same.
pub fn backoff_ms(first_ms: u64, times: u32, seed: u64, row: &str) -> u64 {
    let doubled = first_ms.saturating_mul(1 << times.saturating_sub(1).min(20)).min(LONGEST_MS);
    let hash = blake3::hash(format!("{seed} {row} {times}").as_bytes());
    let permille = u64::from(u16::from_le_bytes([hash.as_bytes()[0], hash.as_bytes()[1]])) % 1000;
    (doubled / 2).saturating_add(doubled.saturating_mul(permille) / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_twofold_within_their_spread_and_are_the_same_each_time() {
        for times in 1..=6 {
            let nominal = 1_000 << (times - 1);
            let waits: Vec<_> = (0..50).map(|row| backoff_ms(1_000, times, 7, &row.to_string())).collect();
            assert!(waits.iter().all(|wait| (nominal / 2..nominal * 3 / 2).contains(wait)), "{waits:?}");
            assert!(waits.iter().max() > waits.iter().min());
            assert_eq!(backoff_ms(1_000, times, 7, "0"), waits[0]);
        }
        assert!(backoff_ms(u64::MAX, u32::MAX, 0, "") <= LONGEST_MS * 3 / 2);
    }

    #[test]
    fn no_more_are_begun_in_a_minute_than_allowed_and_none_while_slowed() {
        let mut pace = Pace::default();
        assert_eq!(pace.allowed(1_000_000, 3), 3);
        pace.begun += 2;
        assert_eq!(pace.allowed(1_030_000, 3), 1);
        pace.begun += 1;
        assert_eq!((pace.allowed(1_030_000, 3), pace.open_at(1_030_000, 3)), (0, 1_060_000));
        assert_eq!(pace.allowed(1_060_000, 3), 3);
        pace.slow_until_ms = 2_000_000;
        assert_eq!((pace.allowed(1_999_999, 0), pace.open_at(1_999_999, 0)), (0, 2_000_000));
        assert_eq!(pace.allowed(2_000_000, 0), u64::MAX);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_stop_the_fetching() {
        let mut pace = Pace { minute_ms: 9_000_000, begun: 3, ..Pace::default() };
        assert_eq!(pace.allowed(1_000_000, 3), 3);
    }
}
