//! Files made to hang, crash, fill or fool the media worker: each has one outcome that a person understands,
//! and nothing else comes to harm.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

mod mutations;
mod outcomes;
mod run;
mod worker;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The tests count processes and open files, so they take turns.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
