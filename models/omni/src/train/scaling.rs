//! Half precision without lost gradients: the loss is scaled up before gradients are taken, as far as they have room
//! (Mixed Precision Training, arXiv 1710.03740, section 3.2; numbers of PyTorch's `GradScaler`).

use serde::{Deserialize, Serialize};

/// What the loss is multiplied with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Scaling {
    scale: f64,
    /// Steps since it last changed.
    good: u32,
    fixed: bool,
}

/// Good steps after which more room is tried.
const PATIENCE: u32 = 2_000;

impl Scaling {
    /// For numbers of such range that nothing is lost.
    pub(super) fn none() -> Self {
        Self { scale: 1.0, good: 0, fixed: true }
    }

    /// For half precision.
    pub(super) fn half() -> Self {
        Self { scale: 65_536.0, good: 0, fixed: false }
    }

    /// What the loss is multiplied with now.
    pub(super) fn scale(&self) -> f64 {
        self.scale
    }

    /// Learns whether a step's gradients were finite. Says whether those that were not only need a smaller scale.
    pub(super) fn seen(&mut self, finite: bool) -> bool {
        if self.fixed {
            return false;
        }
        if finite {
            self.good += 1;
            if self.good == PATIENCE {
                (self.scale, self.good) = (self.scale * 2.0, 0);
            }
            return false;
        }
        (self.scale, self.good) = (self.scale / 2.0, 0);
        self.scale >= 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_halves_when_gradients_overflow_and_doubles_after_many_good_steps() {
        let mut scaling = Scaling::half();
        assert!(scaling.seen(false));
        assert_eq!(scaling.scale(), 32_768.0);
        for _ in 0..PATIENCE {
            assert!(!scaling.seen(true));
        }
        assert_eq!(scaling.scale(), 65_536.0);
    }

    #[test]
    fn gradients_that_overflow_at_any_scale_are_no_matter_of_the_scale() {
        let mut scaling = Scaling::half();
        let tries = (0..100).take_while(|_| scaling.seen(false)).count();
        assert_eq!(tries, 16);
        assert!(!Scaling::none().seen(false));
    }
}
