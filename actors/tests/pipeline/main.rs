//! The whole pipeline on both embedded engines, with media workers that only pretend.

#[path = "../common/harness.rs"]
mod harness;
mod runs;
mod source;
