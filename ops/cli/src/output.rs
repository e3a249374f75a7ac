//! What the program prints, and how it ends.

use std::{
    fmt,
    io::{self, Write},
    process::ExitCode,
};

pub use counterpoint_pages::count as thousands;
use serde::Serialize;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// It failed: exit code 1.
    Failed(anyhow::Error),
    /// It was asked for what cannot be: exit code 2.
    Usage(String),
}

impl Failure {
    /// A command line that cannot be obeyed.
    pub fn usage(reason: impl Into<String>) -> Self {
        Self::Usage(reason.into())
    }

    /// Exit code.
    pub fn code(&self) -> ExitCode {
        match self {
            Self::Failed(_) => ExitCode::from(1),
            Self::Usage(_) => ExitCode::from(2),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => f.write_str(&chain(error)),
            Self::Usage(reason) => write!(f, "{reason}\ntry --help"),
        }
    }
}

/// An error and its causes; some errors tell their cause in their own text, and once is enough.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// What a command comes to.
pub type Outcome = Result<ExitCode, Failure>;

/// Prints a line of the result to stdout. A reader that has gone away ends the output, not the work.
pub fn print(line: &str) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// Prints a line for people to stderr.
pub fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Prints the one JSON object of `--json`.
pub fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&serde_json::to_string_pretty(value)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_was_told_already_is_not_told_again() {
        let told = |context: &str| {
            let error = anyhow::anyhow!("no such file").context(context.to_owned());
            Failure::from(error.context("cannot go on")).to_string()
        };
        assert_eq!(told("cannot start x"), "cannot go on: cannot start x: no such file");
        assert_eq!(
            told("cannot start x: no such file; build it"),
            "cannot go on: cannot start x: no such file; build it"
        );
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(
            [0, 999, 1_000, 2_041_789].map(thousands),
            ["0", "999", "1,000", "2,041,789"].map(str::to_owned)
        );
    }
}
