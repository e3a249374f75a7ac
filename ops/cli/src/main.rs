//! The counterpoint program.
fn main() {}
