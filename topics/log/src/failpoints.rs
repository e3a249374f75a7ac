//! Points at which tests make a process fail, named `PLACE::POINT`.
//!
//! They act once [`arm`] was called and are set as the `fail` crate says, e.g. by the `FAILPOINTS`
//! environment variable: `FAILPOINTS='curator::plan=return(panic:7xkj4XqaynU)'`: the part before the colon
//! is what to do (`panic`, `abort`, `kill`, `stall`), the part behind it is any part of what the point is
//! about, or empty for everything. `3*off->return(kill:)` passes three times first.
//!
//! Points of every engine: `log::inside`, all of a commit is written and nothing of it is durable yet;
//! `log::committed`, it is durable and its member has not been told.

use std::sync::atomic::{AtomicBool, Ordering};

static ARMED: AtomicBool = AtomicBool::new(false);

/// Turns failpoints on in this process; without it a failpoint costs one load.
pub fn arm() {
    ARMED.store(true, Ordering::Relaxed);
}

/// Whether they are on.
pub fn is_armed() -> bool {
    ARMED.load(Ordering::Relaxed)
}

/// Fails here if a test asked for it; `about` tells occasions apart.
pub fn reached(name: &str, about: &str) {
    if !is_armed() {
        return;
    }
    let action = fail::eval(name, |argument| argument.unwrap_or_default());
    let Some((action, needle)) = action.as_deref().and_then(|action| action.split_once(':')) else {
        return;
    };
    if !about.contains(needle) {
        return;
    }
    match action {
        "abort" => std::process::abort(),
        "kill" => {
            // The one way to die that runs no code of ours at all.
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
        "stall" => {
            // Until the test lets go of it.
            while fail::eval(name, |_| ()).is_some() {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
        _ => std::panic::panic_any(format!("failpoint {name}")),
    }
}
