//! Creating the file, and recognising one that is there.
//!
//! A new log is made under a temporary name and linked to its own when it is complete, so that two
//! processes may start at once and a file without its tables is always damage.

use std::{
    fs::{self, File},
    io::{self, Read},
};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::{SqliteOptions, file::LogFile};
use crate::LogError;

const APPLICATION_ID: i32 = i32::from_be_bytes(*b"CNPT");
const FORMAT: i32 = 1;
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Largest file that is checked from end to end when it is opened; damage in a larger one is found when
/// it is read.
const QUICK_CHECK_BYTES: u64 = 8 << 20;

const TABLES: &str = "
    CREATE TABLE settings (
        name TEXT PRIMARY KEY,
        value INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- AUTOINCREMENT: the position of a record that compaction removed is never given to another.
    CREATE TABLE records (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        topic TEXT NOT NULL,
        partition INTEGER NOT NULL,
        compacted INTEGER NOT NULL,
        key BLOB NOT NULL,
        trace BLOB,
        revision BLOB,
        clip BLOB,
        written_ms INTEGER NOT NULL,
        value BLOB NOT NULL,
        reader BLOB
    ) STRICT;
    CREATE INDEX records_in_order ON records (topic, partition, position);
    CREATE UNIQUE INDEX records_newest ON records (topic, partition, key) WHERE compacted = 1;

    CREATE TABLE totals (
        topic TEXT NOT NULL,
        partition INTEGER NOT NULL,
        records INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        newest_ms INTEGER NOT NULL,
        PRIMARY KEY (topic, partition)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE positions (
        group_name TEXT NOT NULL,
        topic TEXT NOT NULL,
        partition INTEGER NOT NULL,
        position INTEGER NOT NULL,
        PRIMARY KEY (group_name, topic, partition)
    ) STRICT, WITHOUT ROWID;

    -- A lease that was given back keeps its row, because epochs only grow; its member is null.
    CREATE TABLE leases (
        group_name TEXT PRIMARY KEY,
        epoch INTEGER NOT NULL,
        member TEXT,
        host TEXT NOT NULL,
        boot TEXT NOT NULL,
        process_namespace TEXT NOT NULL,
        process INTEGER NOT NULL,
        process_started INTEGER NOT NULL,
        since_ms INTEGER NOT NULL,
        renewed_ms INTEGER NOT NULL,
        expires_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// Makes sure that there is a log which can be read, and says how many partitions it has.
pub(super) fn prepare(file: &LogFile, options: &SqliteOptions) -> Result<u32, LogError> {
    if !file.path().try_exists().map_err(|error| file.io_fault("cannot be looked for", &error))? {
        if !options.create {
            return Err(file.invalid("is not there: nothing has been run on it yet"));
        }
        create(file, options.partitions.max(1))?;
    }
    let bytes = recognise(file)?;
    let mut connection = file.connect()?;
    if bytes <= QUICK_CHECK_BYTES {
        let verdict: String = connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(|error| file.fault(error))?;
        if verdict != "ok" {
            return Err(file.corrupt(verdict));
        }
    }
    add_what_came_later(&mut connection).map_err(|error| file.fault(error))?;
    let partitions: Option<i64> = connection
        .query_row("SELECT value FROM settings WHERE name = 'partitions'", [], |row| row.get(0))
        .optional()
        .map_err(|error| file.fault(error))?;
    partitions
        .and_then(|partitions| u32::try_from(partitions).ok())
        .filter(|partitions| *partitions > 0)
        .ok_or_else(|| file.corrupt("it does not say how many partitions it has"))
}

fn create(file: &LogFile, partitions: u32) -> Result<(), LogError> {
    use std::os::unix::fs::PermissionsExt;
    let folder = file.path().parent().unwrap_or(std::path::Path::new("."));
    let failed = |error: io::Error| file.io_fault("cannot be created", &error);
    fs::create_dir_all(folder).map_err(failed)?;
    let temporary = tempfile::Builder::new()
        .prefix("topics-")
        .suffix(".new")
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(failed)?
        .into_temp_path();
    let fill = || {
        let connection = Connection::open(&temporary)?;
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
        connection.pragma_update(None, "user_version", FORMAT)?;
        connection.execute_batch(TABLES)?;
        connection.execute("INSERT INTO settings VALUES ('partitions', ?1)", [partitions])?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.close().map_err(|(_, error)| error)
    };
    fill().map_err(|error| file.fault(error))?;
    File::open(&temporary).and_then(|created| created.sync_all()).map_err(failed)?;
    match temporary.persist_noclobber(file.path()) {
        Ok(()) => File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error.error)),
    }
}

/// Gives a log of release 0.1 the column that it lacks. That release names the columns it reads and writes,
/// so it goes on working on the same file, and the format stays the same.
fn add_what_came_later(connection: &mut Connection) -> rusqlite::Result<()> {
    let lacks = |connection: &Connection| -> rusqlite::Result<bool> {
        let column = "SELECT count(*) = 0 FROM pragma_table_info('records') WHERE name = 'reader'";
        connection.query_row(column, [], |row| row.get(0))
    };
    if !lacks(connection)? {
        return Ok(());
    }
    // Looked at again under the lock: two processes may open the file at once.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if lacks(&transaction)? {
        transaction.execute_batch("ALTER TABLE records ADD COLUMN reader BLOB")?;
    }
    transaction.commit()
}

/// Reads the header before SQLite does, which would take an empty file for a new database and somebody
/// else's database for ours. Gives the file's length in bytes.
fn recognise(file: &LogFile) -> Result<u64, LogError> {
    let mut header = Vec::new();
    let bytes = File::open(file.path())
        .and_then(|opened| {
            let bytes = opened.metadata()?.len();
            opened.take(100).read_to_end(&mut header)?;
            Ok(bytes)
        })
        .map_err(|error| file.io_fault("cannot be read", &error))?;
    if bytes == 0 {
        return Err(file.corrupt("it is empty"));
    }
    let (Some(magic), Some(format), Some(application)) =
        (header.first_chunk::<16>(), number(&header, 60), number(&header, 68))
    else {
        return Err(file.corrupt(format!("it ends after {bytes} bytes")));
    };
    if magic != MAGIC {
        return Err(file.corrupt("it is no SQLite database"));
    }
    if application != APPLICATION_ID {
        return Err(file.invalid(format!(
            "is a database of another program (application id {application:#x}): choose another folder"
        )));
    }
    if format > FORMAT {
        return Err(file.invalid(format!(
            "is of format {format}, and this program knows up to {FORMAT}: upgrade counterpoint"
        )));
    }
    Ok(bytes)
}

fn number(header: &[u8], offset: usize) -> Option<i32> {
    header.get(offset..)?.first_chunk().map(|bytes| i32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_of_release_0_1_gets_what_it_lacks_and_that_release_still_writes_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = LogFile::in_folder(folder.path());
        prepare(&file, &SqliteOptions::default()).unwrap();
        let log = file.connect().unwrap();
        log.execute_batch("ALTER TABLE records DROP COLUMN reader").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| prepare(&file, &SqliteOptions::default()).unwrap());
            }
        });
        // As release 0.1 says it.
        log.execute(
            "INSERT INTO records (topic, partition, compacted, key, trace, revision, clip, written_ms, value)
             VALUES ('clips', 0, 0, x'', NULL, NULL, NULL, 0, x'')",
            [],
        )
        .unwrap();
        let reader: Option<Vec<u8>> =
            log.query_row("SELECT reader FROM records", [], |row| row.get(0)).unwrap();
        assert_eq!(reader, None);
    }
}
