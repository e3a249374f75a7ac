//! From the text of `--broker` to an open log.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    LogError, TopicLog,
    sqlite::{SqliteLog, SqliteOptions},
};

const ACCEPTED: &str = "embedded:DIR, where DIR is a folder on this host";

/// Opens the log that `broker` names, or the one under `out` where it names none; creates it if need be,
/// with as many partitions as given.
///
/// # Errors
/// [`LogError::Invalid`] for a text that names no log this build can open, else as [`SqliteLog::open`].
pub fn open(broker: Option<&str>, out: &Path, partitions: u32) -> Result<Arc<dyn TopicLog>, LogError> {
    let options = SqliteOptions { partitions, ..SqliteOptions::default() };
    Ok(Arc::new(SqliteLog::open(&folder(broker, out)?, options)?))
}

/// As [`open`], for commands that only look: a log that is not there is an error and stays so.
///
/// # Errors
/// [`LogError::Invalid`] as well when there is no log.
pub fn open_existing(broker: Option<&str>, out: &Path) -> Result<Arc<dyn TopicLog>, LogError> {
    let options = SqliteOptions { create: false, ..SqliteOptions::default() };
    Ok(Arc::new(SqliteLog::open(&folder(broker, out)?, options)?))
}

fn folder(broker: Option<&str>, out: &Path) -> Result<PathBuf, LogError> {
    let Some(broker) = broker else { return Ok(out.join("topics")) };
    match broker.split_once(':') {
        Some(("embedded", "")) => {
            Err(LogError::invalid(format!("broker `{broker}` names no folder: give {ACCEPTED}")))
        }
        Some(("embedded", folder)) => Ok(PathBuf::from(folder)),
        Some(("kafka", _)) => Err(LogError::invalid(format!(
            "broker `{broker}`: this build has no Kafka engine; give {ACCEPTED}"
        ))),
        _ => Err(LogError::invalid(format!("broker `{broker}` is none: give {ACCEPTED}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_broker_the_log_lies_under_the_output_folder() {
        assert_eq!(folder(None, Path::new("runs/a")).unwrap(), Path::new("runs/a/topics"));
        assert_eq!(folder(Some("embedded:/x/y"), Path::new("runs/a")).unwrap(), Path::new("/x/y"));
    }

    #[test]
    fn a_broker_that_cannot_be_opened_is_refused_with_the_form_that_can() {
        for broker in ["", "embedded", "embedded:", "redis://host", "kafka://host:9092"] {
            let error = folder(Some(broker), Path::new(".")).unwrap_err().to_string();
            assert!(error.contains("embedded:DIR"), "{error}");
        }
        let error = folder(Some("kafka://host:9092"), Path::new(".")).unwrap_err().to_string();
        assert!(error.contains("this build has no Kafka engine"), "{error}");
    }

    #[test]
    fn a_command_that_only_looks_creates_nothing() {
        let out = tempfile::tempdir().unwrap();
        let error = open_existing(None, out.path()).err().unwrap().to_string();
        assert!(error.contains("topics.sqlite3"), "{error}");
        assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);
    }
}
