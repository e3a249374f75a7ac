//! Inputs held against what the reference's processors make of the same clip (`fixtures.py` beside this file writes
//! the fixtures), and weights held against damaged and hostile files.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a broken expectation is how a test fails")]

mod adapters;
mod checkpoints;
mod hostile;
mod reference;
mod tokenizers;

use std::path::PathBuf;

/// A fixture beside this file.
fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/inputs").join(name)
}
