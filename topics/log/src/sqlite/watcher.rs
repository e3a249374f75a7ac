//! The thread of an open log that looks at the clock: it notices what other processes commit, and has the
//! leases of this one renewed.

use std::{
    sync::{Arc, Weak},
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection;

use super::Shared;
use crate::LogError;

/// How long a commit of another process may go unnoticed.
const GLANCE: Duration = Duration::from_millis(50);

/// Starts the thread. It ends soon after the log, its streams and its members are gone.
pub(super) fn start(shared: &Arc<Shared>, renewal: Duration) -> Result<(), LogError> {
    let connection = shared.file.connect()?;
    let watched = Arc::downgrade(shared);
    thread::Builder::new()
        .name("log-watcher".into())
        .spawn(move || watch(&watched, &connection, renewal))
        .map_err(|error| shared.file.unavailable(error))?;
    Ok(())
}

fn watch(watched: &Weak<Shared>, connection: &Connection, renewal: Duration) {
    let (mut version, mut renewed) = (None, Instant::now());
    loop {
        thread::sleep(GLANCE);
        let Some(shared) = watched.upgrade() else { return };
        let seen = data_version(connection);
        // What cannot be seen is left to the readers to stumble over.
        if seen != version || seen.is_none() {
            version = seen;
            shared.wake();
        }
        if renewed.elapsed() >= renewal {
            renewed = Instant::now();
            shared.renew();
        }
    }
}

/// Changes whenever another connection has committed.
fn data_version(connection: &Connection) -> Option<i64> {
    connection.prepare_cached("PRAGMA data_version").ok()?.query_row([], |row| row.get(0)).ok()
}
