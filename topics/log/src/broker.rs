//! From the text of `--broker` to an open log.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    LogError, TopicLog,
    kafka::{KafkaLog, KafkaOptions},
    sqlite::{SqliteLog, SqliteOptions},
};

const ACCEPTED: &str =
    "embedded:DIR, where DIR is a folder on this host, or kafka://HOST:PORT, further brokers behind commas";

/// How a log is opened, whichever engine it is on.
#[derive(Clone)]
pub struct TopicOptions {
    /// Partitions of the partitioned topics, at least one; decided when the log is created.
    pub partitions: u32,
    /// Kafka: what the names of topics, groups and members begin with.
    pub prefix: String,
    /// Kafka: copies of each topic, decided when the log is created; `None` leaves it to the brokers.
    pub replication: Option<u32>,
    /// Kafka: properties of librdkafka, with dots or underscores in their names.
    pub kafka: BTreeMap<String, String>,
}

impl Default for TopicOptions {
    fn default() -> Self {
        let KafkaOptions { partitions, prefix, replication, properties, .. } = KafkaOptions::default();
        Self { partitions, prefix, replication, kafka: properties }
    }
}

impl fmt::Debug for TopicOptions {
    /// Without the values of properties: they may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.kafka.keys().collect();
        write!(f, "TopicOptions({}, {} x {:?}, {names:?})", self.prefix, self.partitions, self.replication)
    }
}

/// What `--broker` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broker {
    /// A folder on this host.
    Embedded(PathBuf),
    /// `host:port` of the brokers of a Kafka cluster, joined by commas.
    Kafka(String),
}

impl Broker {
    /// Reads the text of `--broker`, if there is one; else the log lies under `out`.
    ///
    /// # Errors
    /// [`LogError::Invalid`] for a text that names no log.
    pub fn of(text: Option<&str>, out: &Path) -> Result<Self, LogError> {
        let Some(text) = text else { return Ok(Self::Embedded(out.join("topics"))) };
        match text.split_once(':') {
            Some(("embedded", "")) => {
                Err(LogError::invalid(format!("broker `{text}` names no folder: give {ACCEPTED}")))
            }
            Some(("embedded", folder)) => Ok(Self::Embedded(PathBuf::from(folder))),
            Some(("kafka", brokers)) => {
                match brokers.strip_prefix("//").map(|rest| rest.trim_end_matches('/')) {
                    None | Some("") => {
                        Err(LogError::invalid(format!("broker `{text}` names no host: give {ACCEPTED}")))
                    }
                    Some(brokers) => Ok(Self::Kafka(brokers.to_owned())),
                }
            }
            _ => Err(LogError::invalid(format!("broker `{text}` is none: give {ACCEPTED}"))),
        }
    }

    fn open(self, options: &TopicOptions, create: bool) -> Result<Arc<dyn TopicLog>, LogError> {
        let TopicOptions { partitions, prefix, replication, kafka } = options.clone();
        Ok(match self {
            Self::Embedded(folder) => {
                let options = SqliteOptions { partitions, create, ..SqliteOptions::default() };
                Arc::new(SqliteLog::open(&folder, options)?)
            }
            Self::Kafka(brokers) => {
                let options =
                    KafkaOptions { brokers, prefix, partitions, replication, properties: kafka, create };
                Arc::new(KafkaLog::open(&options)?)
            }
        })
    }
}

/// Opens the log that `broker` names, or the one under `out` where it names none; creates it if need be.
///
/// # Errors
/// [`LogError::Invalid`] for a text that names no log, else as [`SqliteLog::open`] and [`KafkaLog::open`].
pub fn open(broker: Option<&str>, out: &Path, options: &TopicOptions) -> Result<Arc<dyn TopicLog>, LogError> {
    Broker::of(broker, out)?.open(options, true)
}

/// As [`open`], for commands that only look: a log that is not there is an error and stays so.
///
/// # Errors
/// [`LogError::Invalid`] as well when there is no log.
pub fn open_existing(
    broker: Option<&str>,
    out: &Path,
    options: &TopicOptions,
) -> Result<Arc<dyn TopicLog>, LogError> {
    Broker::of(broker, out)?.open(options, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_broker_the_log_lies_under_the_output_folder() {
        let of = |text| Broker::of(text, Path::new("runs/a")).unwrap();
        assert_eq!(of(None), Broker::Embedded("runs/a/topics".into()));
        assert_eq!(of(Some("embedded:/x/y")), Broker::Embedded("/x/y".into()));
        assert_eq!(of(Some("kafka://a:1,b:2/")), Broker::Kafka("a:1,b:2".to_owned()));
    }

    #[test]
    fn a_broker_that_cannot_be_opened_is_refused_with_the_form_that_can() {
        for broker in ["", "embedded", "embedded:", "redis://host", "kafka:host:9092", "kafka://"] {
            let error = Broker::of(Some(broker), Path::new(".")).unwrap_err().to_string();
            assert!(error.contains("embedded:DIR") && error.contains("kafka://HOST:PORT"), "{error}");
        }
    }

    #[test]
    fn a_command_that_only_looks_creates_nothing() {
        let out = tempfile::tempdir().unwrap();
        let error = open_existing(None, out.path(), &TopicOptions::default()).err().unwrap().to_string();
        assert!(error.contains("topics.sqlite3"), "{error}");
        assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);
    }
}
