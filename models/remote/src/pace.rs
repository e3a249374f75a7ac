//! When a request may be made. Pure: the time comes from outside.

use std::time::{Duration, Instant};

use crate::RemoteSettings;

/// Spreads requests evenly, and holds all of them back when the server asks for it.
#[derive(Debug)]
pub(crate) struct Pace {
    interval: Duration,
    next: Option<Instant>,
}

impl Pace {
    /// At most so many a minute; 0 for no limit.
    pub(crate) fn new(per_minute: u32) -> Self {
        let interval = Duration::from_secs(60).checked_div(per_minute).unwrap_or_default();
        Self { interval, next: None }
    }

    /// Takes the next free place, and tells how long it is until then.
    pub(crate) fn reserve(&mut self, now: Instant) -> Duration {
        let at = self.next.map_or(now, |next| next.max(now));
        self.next = at.checked_add(self.interval);
        at.saturating_duration_since(now)
    }

    /// Leaves the server alone so long.
    pub(crate) fn hold(&mut self, now: Instant, wait: Duration) {
        let until = now.checked_add(wait);
        self.next = self.next.max(until);
    }
}

/// How long to wait after the `attempt`-th request (from 1) before the next one. `chance` is from 0 to 1.
///
/// A server that says how long is waited for just that long and a little more, so that not everybody comes back
/// at once.
pub(crate) fn wait(
    settings: &RemoteSettings,
    attempt: u32,
    retry_after: Option<Duration>,
    chance: f64,
) -> Duration {
    let doubled = settings.retry_seconds * f64::from(attempt.saturating_sub(1).min(30)).exp2();
    let longest = doubled.min(settings.retry_max_seconds);
    let jitter = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
    match retry_after {
        Some(asked) => asked.saturating_add(jitter(settings.retry_seconds.min(1.0) * chance)),
        None => jitter(longest * (1.0 - chance / 2.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_a_minute_are_one_a_second_however_they_come() {
        let start = Instant::now();
        let mut pace = Pace::new(60);
        let waits: Vec<_> = (0..4).map(|_| pace.reserve(start).as_secs()).collect();
        assert_eq!(waits, [0, 1, 2, 3]);
        let later = start + Duration::from_secs(100);
        assert_eq!(pace.reserve(later), Duration::ZERO);
        assert_eq!(pace.reserve(later), Duration::from_secs(1));
        let mut unlimited = Pace::new(0);
        assert!((0..100).all(|_| unlimited.reserve(start) == Duration::ZERO));
    }

    #[test]
    fn a_server_that_wants_to_be_left_alone_is_by_every_question() {
        let start = Instant::now();
        let mut pace = Pace::new(0);
        pace.hold(start, Duration::from_secs(30));
        pace.hold(start, Duration::from_secs(10));
        assert_eq!(pace.reserve(start), Duration::from_secs(30));
        assert_eq!(pace.reserve(start + Duration::from_secs(40)), Duration::ZERO);
    }

    #[test]
    fn waits_double_up_to_a_limit_and_lose_at_most_half_by_chance() {
        let settings = RemoteSettings { retry_max_seconds: 10.0, ..RemoteSettings::default() };
        let seconds = |attempt, chance| wait(&settings, attempt, None, chance).as_secs_f64();
        assert_eq!(
            [1, 2, 3, 4, 5, 99].map(|attempt| seconds(attempt, 0.0)),
            [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
        );
        assert_eq!([1, 2, 5].map(|attempt| seconds(attempt, 1.0)), [0.5, 1.0, 5.0]);
        let asked = wait(&settings, 1, Some(Duration::from_secs(90)), 0.5);
        assert_eq!(asked, Duration::from_millis(90_500));
    }
}
