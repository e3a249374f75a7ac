//! Whatever is wrong with what comes in, the program names it and its remedy, and the next good clip works.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

mod disk;
mod media;
mod permissions;
mod texts;
mod topics;

use counterpoint_tests::{
    out::{assert_adds_up, number},
    workplace::Workplace,
};

/// Adds the good clip of this number and expects a run to accept it beside those that were there.
fn next_good_clip_works(workplace: &Workplace, clip: u32, accepted: u64) {
    workplace.add_good(clip);
    workplace.run().run().done();
    let summary = workplace.out().summary();
    assert_adds_up(&summary);
    assert_eq!(number(&summary["accepted"]), accepted, "{summary:#}");
}
