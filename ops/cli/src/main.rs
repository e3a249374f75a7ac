//! The program `counterpoint`; everything it does is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    counterpoint_cli::main(None)
}
