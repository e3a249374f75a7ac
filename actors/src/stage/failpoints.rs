//! Points of a stage at which tests make it fail, as [`counterpoint_log::failpoints`] says.
//!
//! `STAGE::plan`, `STAGE::work`, `STAGE::worked` (what came of the work, media say, is there),
//! `STAGE::conclude`, `STAGE::concluded` (what the record brings about is known) and `STAGE::commit`. What
//! they are about is the message as it prints.

use counterpoint_log::failpoints;
use counterpoint_messages::StageName;

use super::Record;

/// Fails here if a test asked for it.
pub(super) fn reached(stage: StageName, point: &str, record: &Record) {
    Point::of(stage, point, record).reached();
}

/// Fails here if a test asked for it, whatever the commit holds.
pub(super) fn before_commit(stage: StageName) {
    if failpoints::is_armed() {
        failpoints::reached(&format!("{stage}::commit"), "");
    }
}

/// A point that is reached on another thread than the one that knows the record.
pub(super) struct Point(Option<(String, String)>);

impl Point {
    pub fn of(stage: StageName, point: &str, record: &Record) -> Self {
        Self(failpoints::is_armed().then(|| (format!("{stage}::{point}"), format!("{:?}", record.message))))
    }

    pub fn reached(&self) {
        if let Some((name, message)) = &self.0 {
            failpoints::reached(name, message);
        }
    }
}
