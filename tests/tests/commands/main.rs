//! The commands as another program calls them: flags, outputs, exit codes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

mod bench;
mod classes;
mod desk;
mod evaluation;
mod experiments;
mod folders;
mod looking;
mod media;
mod models;
mod revisions;
mod usage;
