//! `counterpoint`: finds out whether a multimodal model really listens and really looks.
//!
//! Commands are thin: they read what the user gave, open what they need ([`context`]) and hand over to
//! the pipeline. Results go to stdout, logs and progress to stderr.

mod args;
mod commands;
mod config;
mod context;
mod gallery;
mod local;
mod output;
mod page;
mod progress;
mod sides;

use std::process::ExitCode;

use clap::Parser;

use crate::{args::Arguments, output::Failure};
pub use crate::{
    local::{Examined, LocalModels, Weights},
    sides::{Job, Outcome as SideOutcome, Prompt, Scale, Side, Work},
};

/// Does what the command line asks for, and tells why where that cannot be.
///
/// `local` is what a program with models in it can do; a program without becomes such a one when it has to.
#[must_use]
pub fn main(local: Option<&'static dyn LocalModels>) -> ExitCode {
    let arguments = Arguments::parse();
    // Named here because the guard must outlive the pipeline.
    let _failpoints = std::env::var_os("FAILPOINTS").map(|_| {
        counterpoint_log::failpoints::arm();
        fail::FailScenario::setup()
    });
    match commands::run(arguments, local) {
        Ok(code) => code,
        Err(failure) => {
            output::say(&format!("counterpoint: {failure}"));
            failure.code()
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}
