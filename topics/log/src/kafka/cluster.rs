//! One log on a cluster: its names, its topics and their ends, and the clients that ask for them.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use counterpoint_messages::{StageName, Topic};
use futures::executor::block_on;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    error::RDKafkaErrorCode as Code,
    producer::{BaseProducer, Producer},
};

use super::{
    config::{self, KafkaOptions, MAX_BATCH_BYTES},
    fault::{Complaints, Place},
    reader::{Idle, introduce},
};
use crate::{Group, LogError, checks};

/// How long the brokers may take to answer at all, where something is known to be wrong.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long brokers that have just started may not count yet where topics are made.
const STARTING: Duration = Duration::from_secs(10);
/// The same where they are merely slow.
const SLOWNESS: Duration = Duration::from_secs(60);
/// How long one question waits for its answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a transaction of another may keep what was written from being seen: the time-out of
/// transactions, and then what the brokers take to notice, ten seconds unless they are told otherwise.
pub(super) const SETTLED: Duration = Duration::from_secs(60);
/// Records of a compacted topic stay for so long at least, in milliseconds, so that no scan misses a key
/// that was replaced since it began.
const COMPACTION_LAG_MS: &str = "3600000";
/// Bytes of a segment of a compacted topic: only whole segments are compacted.
const COMPACTED_SEGMENT: &str = "67108864";

/// The topic whose partitions decide how many all partitioned topics have.
const DECISIVE: Topic = Topic::Clips;

pub(super) struct Cluster {
    pub(super) place: Place,
    pub(super) partitions: u32,
    pub(super) base: ClientConfig,
    prefix: String,
    written: BaseConsumer<Complaints>,
    committed: BaseConsumer<Complaints>,
    pub(super) idle: Idle,
}

/// Topics whose partitions members of groups hold instead of those that they read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Locks {
    /// One for the whole group.
    Whole,
    /// One for each partition of the partitioned topics.
    Split,
}

impl Cluster {
    /// Connects, and creates what is missing if that is wanted.
    pub(super) fn open(options: &KafkaOptions) -> Result<Self, LogError> {
        let KafkaOptions { brokers, prefix, .. } = options;
        check_names(brokers, prefix)?;
        let process = format!(
            "process {} on host {}",
            std::process::id(),
            rustix::system::uname().nodename().to_string_lossy()
        );
        let base = config::base(options, &process)?;
        let place = Place::of(brokers);
        let partitions = Survey::new(&base, &place, options)?.prepare()?;
        let surveyor = |isolation| {
            let config = config::surveyor(&base, isolation);
            config.create_with_context(Complaints::default()).map_err(|error| place.fault(&error))
        };
        let (written, committed) = (surveyor("read_uncommitted")?, surveyor("read_committed")?);
        let (prefix, idle) = (prefix.clone(), Idle::default());
        Ok(Self { place, partitions, base, prefix, written, committed, idle })
    }

    pub(super) fn topic(&self, topic: Topic) -> String {
        topic_name(&self.prefix, topic)
    }

    pub(super) fn locks(&self, locks: Locks) -> String {
        lock_name(&self.prefix, locks)
    }

    pub(super) fn group(&self, group: Group) -> String {
        format!("{}.{group}", self.prefix)
    }

    /// The group of this name, if it is one of this log's.
    pub(super) fn parse_group(&self, name: &str) -> Option<Group> {
        name.strip_prefix(self.prefix.as_str())?.strip_prefix('.')?.parse().ok()
    }

    /// Name of a member and of its transactions.
    pub(super) fn member(&self, stage: StageName, instance: &str) -> String {
        format!("{}.{stage}.{instance}", self.prefix)
    }

    /// The group that readers name without ever joining it.
    pub(super) fn readers(&self) -> String {
        format!("{}.readers", self.prefix)
    }

    /// Name of transactions of nobody's, which no other process has.
    pub(super) fn appender(&self) -> String {
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let nanoseconds = since_1970.unwrap_or_default().as_nanos();
        format!("{}.append.{}.{nanoseconds}", self.prefix, std::process::id())
    }

    /// The client to ask about groups.
    pub(super) fn client(&self) -> &BaseConsumer<Complaints> {
        &self.committed
    }

    /// The first offset that is kept of a partition, and the one behind all that was written.
    pub(super) fn ends(&self, topic: Topic, partition: u32) -> Result<(i64, i64), LogError> {
        self.watermarks(&self.written, topic, partition)
    }

    /// The offset behind all that is decided of a partition: where the first open transaction begins.
    pub(super) fn decided_end(&self, topic: Topic, partition: u32) -> Result<i64, LogError> {
        Ok(self.watermarks(&self.committed, topic, partition)?.1)
    }

    fn watermarks(
        &self,
        client: &BaseConsumer<Complaints>,
        topic: Topic,
        partition: u32,
    ) -> Result<(i64, i64), LogError> {
        let number = i32::try_from(partition).unwrap_or(i32::MAX);
        let name = self.topic(topic);
        let start = Instant::now();
        introduce(client, &name);
        loop {
            match client.fetch_watermarks(&name, number, ANSWER) {
                Ok(ends) => return Ok(ends),
                // A topic that was made just now may not have its leader yet.
                Err(error) if start.elapsed() > PATIENCE => return Err(self.place.fault(&error)),
                Err(error) if !self.place.fault(&error).is_passing() => return Err(self.place.fault(&error)),
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Waits until every transaction is over that wrote before `end`: what it wrote is then seen or gone.
    pub(super) fn settle(&self, topic: Topic, partition: u32, end: i64) -> Result<(), LogError> {
        let start = Instant::now();
        let mut pause = Duration::from_millis(2);
        loop {
            let decided = self.decided_end(topic, partition)?;
            if decided >= end {
                return Ok(());
            }
            if start.elapsed() > SETTLED {
                return Err(self.hanging(topic, partition, decided));
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    /// What is to be said of a transaction that nobody ends, which begins at this offset.
    pub(super) fn hanging(&self, topic: Topic, partition: u32, start: i64) -> LogError {
        let (name, brokers) = (self.topic(topic), self.base.get("bootstrap.servers").unwrap_or_default());
        self.place.unavailable(format!(
            "a transaction on topic {name}, partition {partition} has been open for more than {SETTLED:?}, and nothing \
             behind it can be read; a broker that was restarted may have left it hanging: with all processes of this \
             log stopped, `kafka-transactions.sh --bootstrap-server {brokers} abort --topic {name} --partition \
             {partition} --start-offset {start}` ends it, and then `counterpoint status --audit` tells whether what it \
             held is missing"
        ))
    }

    /// The end of a partition as it is now, with everything before it settled.
    pub(super) fn settled_end(&self, topic: Topic, partition: u32) -> Result<i64, LogError> {
        let (_, end) = self.ends(topic, partition)?;
        self.settle(topic, partition, end)?;
        Ok(end)
    }
}

/// Finds out what is there, before anything is opened.
struct Survey<'a> {
    options: &'a KafkaOptions,
    base: &'a ClientConfig,
    place: &'a Place,
    probe: BaseProducer<Complaints>,
}

impl<'a> Survey<'a> {
    fn new(base: &'a ClientConfig, place: &'a Place, options: &'a KafkaOptions) -> Result<Self, LogError> {
        let probe = base.create_with_context(Complaints::default()).map_err(|error| place.fault(&error))?;
        Ok(Self { options, base, place, probe })
    }

    /// Creates what is missing, and gives the number of partitions that the log has.
    fn prepare(&self) -> Result<u32, LogError> {
        let KafkaOptions { prefix, create, partitions, .. } = self.options;
        let mut found = self.topics()?;
        let decisive = topic_name(prefix, DECISIVE);
        if !found.contains_key(&decisive) {
            if !create {
                return Err(self.place.invalid(format!(
                    "there is no topic {decisive}: begin a run, or name its cluster and setting topics.prefix"
                )));
            }
            // The one that decides comes first: processes that start at once make one log.
            self.create(&[(decisive.clone(), (*partitions).max(1), false)])?;
            found = self.await_topics(std::slice::from_ref(&decisive))?;
        }
        let split = found.get(&decisive).copied().unwrap_or(1);
        let wanted = wanted(prefix, split);
        let missing: Vec<_> = wanted.iter().filter(|(name, ..)| !found.contains_key(name)).cloned().collect();
        if !missing.is_empty() {
            self.create(&missing)?;
            let names: Vec<_> = wanted.iter().map(|(name, ..)| name.clone()).collect();
            found = self.await_topics(&names)?;
        }
        for (name, partitions, _) in &wanted {
            let found = found.get(name).copied().unwrap_or(0);
            if found != *partitions {
                return Err(self.place.invalid(format!(
                    "topic {name} has {found} partitions and {decisive} has {split}: give topics.prefix another \
                     value, or make the topics anew"
                )));
            }
        }
        Ok(split)
    }

    /// Names and partitions of all topics of the cluster that have a leader.
    fn topics(&self) -> Result<BTreeMap<String, u32>, LogError> {
        let start = Instant::now();
        let mut known = None;
        loop {
            match self.probe.client().fetch_metadata(None, Duration::from_secs(1)) {
                Ok(metadata) => {
                    let topics = metadata.topics().iter();
                    let with_leader =
                        topics.filter(|topic| topic.partitions().iter().all(|found| found.leader() >= 0));
                    let count = |partitions: usize| u32::try_from(partitions).unwrap_or(u32::MAX);
                    return Ok(with_leader
                        .map(|topic| (topic.name().to_owned(), count(topic.partitions().len())))
                        .collect());
                }
                Err(error) => {
                    self.probe.poll(Duration::ZERO);
                    if let Some((code, words)) = self.probe.context().take()
                        && (code != Code::AllBrokersDown || known.is_none())
                    {
                        known = Some(self.place.code(code, words));
                    }
                    match known.clone() {
                        Some(fault) if !fault.is_passing() => return Err(fault),
                        fault if start.elapsed() >= if fault.is_some() { PATIENCE } else { SLOWNESS } => {
                            let waited = start.elapsed().as_secs();
                            let detail = match fault {
                                Some(LogError::Unavailable { detail, .. }) => detail,
                                _ => error.to_string(),
                            };
                            return Err(self.place.unavailable(format!(
                                "no broker in {waited}s ({detail}): check that it runs, its address in --broker, \
                                 and settings topics.kafka"
                            )));
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    fn await_topics(&self, names: &[String]) -> Result<BTreeMap<String, u32>, LogError> {
        let start = Instant::now();
        loop {
            let found = self.topics()?;
            match names.iter().find(|name| !found.contains_key(*name)) {
                None => return Ok(found),
                Some(name) if start.elapsed() > SLOWNESS => {
                    return Err(self.place.unavailable(format!("topic {name} has no leader")));
                }
                Some(_) => thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn create(&self, topics: &[(String, u32, bool)]) -> Result<(), LogError> {
        let admin: AdminClient<DefaultClientContext> =
            self.base.create().map_err(|error| self.place.fault(&error))?;
        let copies = self.options.replication.and_then(|copies| i32::try_from(copies).ok());
        let largest = MAX_BATCH_BYTES.to_string();
        let new = topics.iter().map(|(name, partitions, compacted)| {
            let partitions = i32::try_from(*partitions).unwrap_or(i32::MAX);
            let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(copies.unwrap_or(-1)))
                .set("max.message.bytes", &largest);
            if *compacted {
                topic
                    .set("cleanup.policy", "compact")
                    .set("min.compaction.lag.ms", COMPACTION_LAG_MS)
                    .set("segment.bytes", COMPACTED_SEGMENT)
            } else {
                topic.set("cleanup.policy", "delete").set("retention.ms", "-1").set("retention.bytes", "-1")
            }
        });
        let new: Vec<_> = new.collect();
        let options = AdminOptions::new().operation_timeout(Some(SLOWNESS)).request_timeout(Some(SLOWNESS));
        let start = Instant::now();
        loop {
            let results =
                block_on(admin.create_topics(&new, &options)).map_err(|error| self.place.fault(&error))?;
            let mut is_early = false;
            for result in results {
                match result {
                    // Another process was faster.
                    Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                    // Brokers that have just started count only after a while.
                    Err((_, Code::InvalidReplicationFactor)) if start.elapsed() < STARTING => is_early = true,
                    Err((name, code)) => {
                        return Err(self.place.code(code, format!("topic {name} cannot be made: {code}")));
                    }
                }
            }
            if !is_early {
                return Ok(());
            }
            tracing::debug!(place = %self.place, "fewer brokers than copies of a topic; they may be starting");
            thread::sleep(Duration::from_millis(200));
        }
    }
}

/// Every topic of the log: name, partitions, whether it is compacted.
fn wanted(prefix: &str, split: u32) -> Vec<(String, u32, bool)> {
    let topics = Topic::all()
        .map(|topic| (topic_name(prefix, topic), checks::partitions_of(topic, split), topic.is_compacted()));
    let locks = [(Locks::Whole, 1), (Locks::Split, split)];
    topics.chain(locks.map(|(locks, partitions)| (lock_name(prefix, locks), partitions, false))).collect()
}

fn topic_name(prefix: &str, topic: Topic) -> String {
    format!("{prefix}.{topic}")
}

fn lock_name(prefix: &str, locks: Locks) -> String {
    match locks {
        Locks::Whole => format!("{prefix}.lock"),
        Locks::Split => format!("{prefix}.locks"),
    }
}

fn check_names(brokers: &str, prefix: &str) -> Result<(), LogError> {
    let is_host = |host: &str| {
        let name = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let name = name.unwrap_or(if host.contains(':') { "" } else { host });
        !name.is_empty() && !name.contains([';', '/', '@', ' '])
    };
    let is_address = |broker: &str| {
        let (host, port) = broker.rsplit_once(':').unwrap_or_default();
        is_host(host) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    if !brokers.split(',').all(is_address) {
        return Err(LogError::invalid(format!(
            "broker `kafka://{brokers}`: give kafka://HOST:PORT, further brokers behind commas"
        )));
    }
    check_name("topics.prefix", prefix)
}

/// Refuses what Kafka takes neither as part of a topic's name nor of a member's.
pub(super) fn check_name(setting: &str, name: &str) -> Result<(), LogError> {
    let is_legal = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    if name.is_empty() || name.len() > 100 || !name.chars().all(is_legal) {
        return Err(LogError::invalid(format!(
            "setting {setting} is `{name}`: give 1 to 100 letters, digits, dots, dashes and underscores"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_or_a_prefix_that_cannot_be_is_refused_with_the_form_that_can() {
        assert_eq!(check_names("a:1,b.c:9092,[::1]:9093", "counterpoint.x-1"), Ok(()));
        for brokers in ["", "host", "host:", ":9092", "host:0", "host:99999", "a:1,", "a:1;b:2"] {
            let error = check_names(brokers, "p").unwrap_err().to_string();
            assert!(error.contains("kafka://HOST:PORT"), "{brokers}: {error}");
        }
        for prefix in ["", "a b", "a/b", "\u{e4}"] {
            assert!(check_names("a:1", prefix).unwrap_err().to_string().contains("topics.prefix"));
        }
    }
}
