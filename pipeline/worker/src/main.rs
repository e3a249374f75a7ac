//! The limited program that touches untrusted media.
fn main() {}
