//! Points at which tests make a stage fail, named `STAGE::POINT`.
//!
//! They act once [`arm_failpoints`] was called and are set as the `fail` crate says, e.g. by
//! the `FAILPOINTS` environment variable:
//! `FAILPOINTS='curator::plan=return(panic:7xkj4XqaynU)'`: the part before the colon is what to do
//! (`panic`, `abort`, `kill`, `stall`), the part behind it is any part of the message as it prints, or
//! empty for every record.

use std::sync::atomic::{AtomicBool, Ordering};

use counterpoint_messages::StageName;

use super::{Record, process::Job};

/// Fails where and when it is run, if a test asked for it.
pub(super) fn at(stage: StageName, point: &str, record: &Record) -> Option<Job> {
    armed().then(|| {
        let (name, message) = (format!("{stage}::{point}"), format!("{:?}", record.message));
        Box::new(move || strike(&name, &message)) as Job
    })
}

fn strike(name: &str, message: &str) {
    let action = fail::eval(name, |argument| argument.unwrap_or_default());
    let Some((action, needle)) = action.as_deref().and_then(|action| action.split_once(':')) else {
        return;
    };
    if !message.contains(needle) {
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

static ARMED: AtomicBool = AtomicBool::new(false);

/// Turns failpoints on in this process; without it a failpoint costs one load.
pub fn arm_failpoints() {
    ARMED.store(true, Ordering::Relaxed);
}

fn armed() -> bool {
    ARMED.load(Ordering::Relaxed)
}
