//! What the program says about itself while it runs, read by those who are to read it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

mod deployment;
mod metrics;
mod otlp;
mod traces;
