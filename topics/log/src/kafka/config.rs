//! How the clients are set up: what the user may say, and what the guarantees rest on.

use std::{collections::BTreeMap, fmt};

use rdkafka::{ClientConfig, error::KafkaError};

use crate::{LogError, MAX_RECORD_BYTES};

/// How a log on Kafka is opened.
#[derive(Clone)]
pub struct KafkaOptions {
    /// `host:port` of one or more brokers, joined by commas.
    pub brokers: String,
    /// What the names of topics, groups and members begin with; logs of one cluster differ in it.
    pub prefix: String,
    /// Partitions of the partitioned topics, at least one; decided when the log is created, and ignored
    /// for one that is there.
    pub partitions: u32,
    /// Copies of each topic, decided when the log is created; `None` leaves it to the brokers.
    pub replication: Option<u32>,
    /// Properties of librdkafka, with dots or underscores in their names.
    pub properties: BTreeMap<String, String>,
    /// Whether a log that is not there is created.
    pub create: bool,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            brokers: "localhost:9092".to_owned(),
            prefix: "counterpoint".to_owned(),
            partitions: 4,
            replication: None,
            properties: BTreeMap::new(),
            create: true,
        }
    }
}

impl fmt::Debug for KafkaOptions {
    /// Without the values of properties: they may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { brokers, prefix, partitions, replication, properties, create } = self;
        let names: Vec<_> = properties.keys().collect();
        write!(
            f,
            "KafkaOptions({brokers}, {prefix}, {partitions} x {replication:?}, create {create}, {names:?})"
        )
    }
}

/// Bytes that a record may take beyond its key and value: headers and framing.
const FRAMING_BYTES: usize = 64 << 10;

/// Largest batch that a topic has to take.
pub(super) const MAX_BATCH_BYTES: usize = MAX_RECORD_BYTES + FRAMING_BYTES;

/// How long a transaction may stay open before the brokers abort it, in milliseconds. Most take a few; a broker that
/// changes hands or has much to do may take seconds, and readers wait so long behind one whose process died. Longer than
/// a broker takes to start again: one that ends transactions while it starts leaves some hanging.
const TRANSACTION_MS: &str = "30000";

/// Properties that are not the user's to set, and why.
const OURS: [(&str, &str); 18] = [
    ("bootstrap.servers", "--broker names the brokers"),
    ("metadata.broker.list", "--broker names the brokers"),
    ("client.id", "it names the process, so that members know for whom they wait"),
    ("group.id", "groups are named by stage and settings"),
    ("group.instance.id", "members are named by stage and topics.instance"),
    ("group.protocol", "members rely on the classic protocol"),
    ("partition.assignment.strategy", "a member keeps its partitions when others come"),
    ("transactional.id", "transactions are named by stage and topics.instance"),
    ("transaction.timeout.ms", "a process that died must not hold others up for longer"),
    ("enable.idempotence", "commits are transactions"),
    ("acks", "commits are transactions"),
    ("request.required.acks", "commits are transactions"),
    ("isolation.level", "only what is committed may be read"),
    ("enable.auto.commit", "positions are committed with the work"),
    ("enable.auto.offset.store", "positions are committed with the work"),
    ("auto.offset.reset", "reading resumes at what was committed"),
    ("enable.partition.eof", "the end of a topic is told by it"),
    ("message.max.bytes", "records have a largest size"),
];

/// The properties of every client: where the brokers are, and what the user said.
pub(super) fn base(options: &KafkaOptions, client: &str) -> Result<ClientConfig, LogError> {
    let mut config = ClientConfig::new();
    for (given, value) in &options.properties {
        let name = given.to_lowercase().replace('_', ".");
        if let Some((_, reason)) = OURS.iter().find(|(ours, _)| *ours == name) {
            return Err(LogError::invalid(format!(
                "setting topics.kafka.{given} is not yours to set: {reason}"
            )));
        }
        config.set(name, value);
    }
    // Each property by itself, to name the one that is wrong, and never its value.
    for (given, value) in &options.properties {
        let mut one = ClientConfig::new();
        one.set(given.to_lowercase().replace('_', "."), value);
        if let Err(KafkaError::ClientConfig(_, reason, ..)) = one.create_native_config() {
            return Err(LogError::invalid(if reason.starts_with("No such configuration property") {
                format!(
                    "setting topics.kafka.{given} is unknown: give properties of librdkafka, \
                     with _ for each dot of their names"
                )
            } else {
                format!("setting topics.kafka.{given} has a value that librdkafka does not take")
            }));
        }
    }
    for (name, value) in [("reconnect.backoff.ms", "50"), ("reconnect.backoff.max.ms", "1000")] {
        if config.get(name).is_none() {
            config.set(name, value);
        }
    }
    config.set("bootstrap.servers", &options.brokers);
    config.set("client.id", client);
    // What it logs of lost connections is said in errors, by those whom it concerns.
    config.set("log.connection.close", "false");
    Ok(config)
}

/// Of a member of a group, which holds a lock and reads nothing.
pub(super) fn member(base: &ClientConfig, group: &str, member: &str) -> ClientConfig {
    let mut config = base.clone();
    for (name, value) in [("session.timeout.ms", "10000"), ("heartbeat.interval.ms", "1000")] {
        if config.get(name).is_none() {
            config.set(name, value);
        }
    }
    // It is also how long brokers hold a join back for members that do not come again: librdkafka's five minutes would
    // be a pipeline at rest. The thread of the lock polls all the time.
    if config.get("max.poll.interval.ms").is_none() {
        let session = config.get("session.timeout.ms").unwrap_or("10000").to_owned();
        config.set("max.poll.interval.ms", session);
    }
    config.set("group.id", group);
    config.set("group.instance.id", member);
    // A member that comes takes nothing from one that is there.
    config.set("partition.assignment.strategy", "cooperative-sticky");
    config.set("enable.auto.commit", "false");
    config
}

/// Of a reader of committed records, which is a member of no group but has to name one.
pub(super) fn reader(base: &ClientConfig, group: &str) -> ClientConfig {
    let mut config = base.clone();
    config.set("group.id", group);
    config.set("isolation.level", "read_committed");
    config.set("enable.auto.commit", "false");
    config.set("enable.auto.offset.store", "false");
    config.set("enable.partition.eof", "true");
    config.set("auto.offset.reset", "error");
    for (name, value) in [
        // What is read ahead is memory: little of it, and no second of waiting when it was used up.
        ("queued.max.messages.kbytes", "8192"),
        ("fetch.queue.backoff.ms", "10"),
        ("fetch.error.backoff.ms", "100"),
    ] {
        if config.get(name).is_none() {
            config.set(name, value);
        }
    }
    config
}

/// Of a reader that ends where the records do. A broker that has nothing more to give holds its answer back for half
/// a second in case something comes; marks of transactions at the end of a partition make that the common case.
pub(super) fn hasty_reader(base: &ClientConfig, group: &str) -> ClientConfig {
    let mut config = reader(base, group);
    config.set("fetch.wait.max.ms", "10");
    config
}

/// Of a client that asks what a group has committed, and waits for what is about to be.
pub(super) fn asker(base: &ClientConfig, group: &str) -> ClientConfig {
    let mut config = surveyor(base, "read_committed");
    config.set("group.id", group);
    config.set("enable.auto.commit", "false");
    config
}

/// Of a client that asks for ends of partitions: of all that was written, or of what is committed.
pub(super) fn surveyor(base: &ClientConfig, isolation: &str) -> ClientConfig {
    let mut config = base.clone();
    config.set("isolation.level", isolation);
    config
}

/// Of a writer.
pub(super) fn writer(base: &ClientConfig, transactional: &str) -> ClientConfig {
    let mut config = base.clone();
    for (name, value) in [("compression.type", "lz4"), ("linger.ms", "1")] {
        if config.get(name).is_none() {
            config.set(name, value);
        }
    }
    config.set("transactional.id", transactional);
    config.set("transaction.timeout.ms", TRANSACTION_MS);
    config.set("message.max.bytes", MAX_BATCH_BYTES.to_string());
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> KafkaOptions {
        let properties = [(name.to_owned(), value.to_owned())].into();
        KafkaOptions { properties, ..KafkaOptions::default() }
    }

    #[test]
    fn underscores_of_a_property_stand_for_dots() {
        let config = base(&with("security_protocol", "SASL_SSL"), "test").unwrap();
        assert_eq!(config.get("security.protocol"), Some("SASL_SSL"));
    }

    #[test]
    fn a_property_that_is_unknown_wrong_or_ours_is_named_and_its_value_is_not() {
        for (name, words) in [
            ("sasl_pasword", "topics.kafka.sasl_pasword is unknown"),
            ("security_protocol", "topics.kafka.security_protocol has a value"),
            ("transactional_id", "topics.kafka.transactional_id is not yours to set"),
            ("enable.idempotence", "topics.kafka.enable.idempotence is not yours to set"),
        ] {
            let error = base(&with(name, "hunter2"), "test").unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_values_of_properties_are_not_printed() {
        let printed = format!("{:?}", with("sasl_password", "hunter2"));
        assert!(printed.contains("sasl_password") && !printed.contains("hunter2"), "{printed}");
    }
}
