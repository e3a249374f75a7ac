//! The whole pipeline on both embedded engines, with media workers that only pretend.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

mod assessment;
mod evaluation;
mod fetch;
mod follow;
#[path = "../common/harness.rs"]
mod harness;
#[path = "../common/prepared.rs"]
mod prepared;
mod runs;
mod source;
#[path = "../common/tallied.rs"]
mod tallied;
mod tally;
mod training;
#[path = "../common/tutor.rs"]
mod tutor;
mod upgrades;
