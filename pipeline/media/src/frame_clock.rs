/// Tolerance in nanoseconds for the rounding of times on their way through containers: a frame stamped
/// this little after a tick counts as shown at it.
pub(crate) const ROUNDING: u64 = 1_000;

/// Ticks at a steady rate over frames at any times: tick `i`, at `i / rate` seconds after the start, shows
/// the last frame that began at or before it; ticks before the first frame show that one.
#[derive(Debug)]
pub(crate) struct FrameClock {
    start: u64,
    rate: f64,
    next: u64,
    most: u64,
}

impl FrameClock {
    /// At most `most` ticks at `rate` a second, the first `start` nanoseconds into the file.
    pub(crate) fn new(start: u64, rate: f64, most: u64) -> Self {
        Self { start, rate, next: 0, most }
    }

    /// Ticks that still show the frame before the one that begins at `time`.
    pub(crate) fn ticks_before(&mut self, time: u64) -> u64 {
        let first = self.next;
        while self.next < self.most && self.time_of(self.next).saturating_add(ROUNDING) < time {
            self.next += 1;
        }
        self.next - first
    }

    /// All ticks that are left.
    pub(crate) fn ticks_left(&mut self) -> u64 {
        let left = self.most - self.next;
        self.next = self.most;
        left
    }

    /// Whether every tick has passed.
    pub(crate) fn is_over(&self) -> bool {
        self.next >= self.most
    }

    fn time_of(&self, tick: u64) -> u64 {
        self.start.saturating_add((tick as f64 / self.rate * 1e9).round() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_frames_a_second_at_two_ticks_show_every_fifteenth() {
        let mut clock = FrameClock::new(0, 2.0, 4);
        let shown: Vec<u64> =
            (0..60_u64).filter(|frame| clock.ticks_before((frame + 1) * 1_000_000_000 / 30) > 0).collect();
        assert_eq!(shown, [0, 15, 30, 45]);
    }

    #[test]
    fn a_frame_that_begins_at_the_tick_is_shown_at_it() {
        let mut clock = FrameClock::new(0, 2.0, 4);
        assert_eq!(clock.ticks_before(500_000_000), 1);
        assert_eq!(clock.ticks_before(1_500_000_400), 2, "rounded on its way");
        assert_eq!(clock.ticks_before(1_500_100_000), 1);
    }

    #[test]
    fn a_long_frame_is_shown_at_every_tick_it_covers() {
        let mut clock = FrameClock::new(1_000_000_000, 25.0, 250);
        assert_eq!(clock.ticks_before(3_000_000_000), 50);
        assert_eq!(clock.ticks_left(), 200);
        assert!(clock.is_over());
    }

    #[test]
    fn ticks_never_pass_their_number() {
        let mut clock = FrameClock::new(0, 25.0, 3);
        assert_eq!(clock.ticks_before(u64::MAX), 3);
    }
}
