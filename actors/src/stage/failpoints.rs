//! Points of a stage at which tests make it fail, as [`counterpoint_log::failpoints`] says.
//!
//! `STAGE::plan`, `STAGE::work`, `STAGE::worked` (what came of the work, media say, is there),
//! `STAGE::conclude`, `STAGE::concluded` (what the record brings about is known) and `STAGE::commit`. What
//! they are about is the message as it prints.

use counterpoint_log::failpoints;
use counterpoint_messages::StageName;

use super::{Record, process::Job};

/// Fails where and when it is run, if a test asked for it.
pub(super) fn at(stage: StageName, point: &str, record: &Record) -> Option<Job> {
    failpoints::is_armed().then(|| {
        let (name, message) = (format!("{stage}::{point}"), format!("{:?}", record.message));
        Box::new(move || failpoints::reached(&name, &message)) as Job
    })
}

/// Fails here if a test asked for it, whatever the commit holds.
pub(super) fn before_commit(stage: StageName) {
    if failpoints::is_armed() {
        failpoints::reached(&format!("{stage}::commit"), "");
    }
}
