//! The log's file, and what its faults mean.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use crate::LogError;

/// How long one process waits for another's transaction.
const PATIENCE: Duration = Duration::from_secs(5);

/// Free space below which a failed write is put down to a full disk.
const FULL_BELOW_BYTES: u64 = 64 << 10;

/// Path of the log's file; prints as it.
#[derive(Debug, Clone)]
pub(super) struct LogFile {
    path: PathBuf,
}

impl fmt::Display for LogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

impl LogFile {
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self { path: folder.join("topics.sqlite3") }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A connection to the file, which must be there.
    pub(super) fn connect(&self) -> Result<Connection, LogError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || {
            let mut connection = Connection::open_with_flags(&self.path, flags)?;
            configure(&mut connection)?;
            Ok(connection)
        };
        open().map_err(|error| self.fault(error))
    }

    /// What an error of SQLite means for the log.
    pub(super) fn fault(&self, error: rusqlite::Error) -> LogError {
        let (code, extended) = match &error {
            rusqlite::Error::SqliteFailure(failure, _) => (failure.code, failure.extended_code),
            rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::InvalidColumnType(..) => {
                return self.corrupt(error);
            }
            _ => return self.unavailable(error),
        };
        match code {
            ErrorCode::DiskFull => LogError::Full { place: self.to_string() },
            ErrorCode::SystemIoFailure if self.is_full() => LogError::Full { place: self.to_string() },
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => self.corrupt(error),
            ErrorCode::ReadOnly if extended == ffi::SQLITE_READONLY_DBMOVED => {
                self.corrupt("it was moved or deleted while in use")
            }
            ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen => self
                .invalid(format!("cannot be opened for writing ({error}): check its owner and permissions")),
            ErrorCode::DatabaseBusy => self.unavailable(
                "another process holds its lock for long; if one is suspended, let it go on or end it",
            ),
            // What the program asks is fixed, so a table it cannot find was not made by it.
            ErrorCode::Unknown if extended == ffi::SQLITE_ERROR => self.corrupt(error),
            _ => self.unavailable(error),
        }
    }

    /// What an error of the operating system means for the log.
    pub(super) fn io_fault(&self, doing: &str, error: &io::Error) -> LogError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                LogError::Full { place: self.to_string() }
            }
            _ => self.invalid(format!("{doing}: {error}; check the folder's path, owner and permissions")),
        }
    }

    pub(super) fn corrupt(&self, detail: impl fmt::Display) -> LogError {
        LogError::Corrupt { place: self.to_string(), detail: detail.to_string() }
    }

    pub(super) fn unavailable(&self, detail: impl fmt::Display) -> LogError {
        LogError::Unavailable { place: self.to_string(), detail: detail.to_string() }
    }

    pub(super) fn invalid(&self, detail: impl fmt::Display) -> LogError {
        LogError::invalid(format!("{self} {detail}"))
    }

    fn is_full(&self) -> bool {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        rustix::fs::statvfs(folder)
            .is_ok_and(|stat| stat.f_bavail.saturating_mul(stat.f_frsize) < FULL_BELOW_BYTES)
    }
}

fn configure(connection: &mut Connection) -> rusqlite::Result<()> {
    // SQLite's own handler backs off to 100 ms, in which a busy peer gets dozens of transactions in.
    connection.busy_handler(Some(|tries: i32| {
        let pause = Duration::from_millis(u64::from(tries.unsigned_abs()).clamp(1, 10));
        std::thread::sleep(pause);
        pause.saturating_mul(tries.unsigned_abs()) < PATIENCE
    }))?;
    connection.set_prepared_statement_cache_capacity(32);
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "trusted_schema", false)
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
