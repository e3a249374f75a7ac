//! Reading one topic, committed records only.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use counterpoint_messages::Topic;
use parking_lot::Mutex;
use rdkafka::{
    ClientConfig, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode as Code},
};

use super::{
    cluster::Cluster,
    config,
    convert::{self, Found},
    fault::Complaints,
};
use crate::{LogError, Position};

/// How long a broker that is gone is waited for without a word.
const PATIENCE: Duration = Duration::from_secs(10);
/// After so long a wait without a record or an end, a client that reads what is there has gone deaf, as some do when a broker
/// has started again.
const SILENCE: Duration = Duration::from_secs(20);
/// How often a broker that is gone is asked whether it is back.
const PROBE: Duration = Duration::from_millis(500);

/// What a look at the topic came to.
#[derive(Debug)]
pub(super) enum Read {
    /// A record.
    Found(Found),
    /// Nothing is left of this partition for now.
    End(u32),
    /// Nothing yet.
    Nothing,
}

/// A reader of one topic: the client tells of which partition the end was reached, but not of which topic.
pub(super) struct Reader {
    cluster: Arc<Cluster>,
    topic: Topic,
    consumer: Arc<BaseConsumer<Complaints>>,
    is_hasty: bool,
    /// How long was waited in vain since something was last heard.
    silence: Mutex<Duration>,
    down: Mutex<Option<Outage>>,
}

/// Clients of hasty readers that nobody uses now. To connect takes a client half a second, and to look through a log
/// takes a reader for every partition.
#[derive(Default)]
pub(super) struct Idle(Mutex<Vec<Arc<BaseConsumer<Complaints>>>>);

impl Idle {
    /// Beyond so many, clients are closed rather than kept: each has threads and connections.
    const KEPT: usize = 4;

    fn take(&self) -> Option<Arc<BaseConsumer<Complaints>>> {
        let consumer = self.0.lock().pop()?;
        // What it had to complain of while nobody used it is over.
        while consumer.poll(Duration::ZERO).is_some() {}
        Some(consumer)
    }

    fn keep(&self, consumer: Arc<BaseConsumer<Complaints>>) {
        let mut idle = self.0.lock();
        if idle.len() < Self::KEPT {
            idle.push(consumer);
        }
    }
}

struct Outage {
    since: Instant,
    asked: Instant,
}

impl Reader {
    /// For records that are there and records to come.
    pub(super) fn following(cluster: &Arc<Cluster>, topic: Topic) -> Result<Self, LogError> {
        let consumer = connect(cluster, config::reader(&cluster.base, &cluster.readers()))?;
        Ok(Self::new(cluster, topic, consumer, false))
    }

    /// For what is there: it is soon told that it has come to the end.
    pub(super) fn up_to_the_end(cluster: &Arc<Cluster>, topic: Topic) -> Result<Self, LogError> {
        let consumer = match cluster.idle.take() {
            Some(consumer) => consumer,
            None => connect(cluster, config::hasty_reader(&cluster.base, &cluster.readers()))?,
        };
        Ok(Self::new(cluster, topic, consumer, true))
    }

    fn new(
        cluster: &Arc<Cluster>,
        topic: Topic,
        consumer: Arc<BaseConsumer<Complaints>>,
        is_hasty: bool,
    ) -> Self {
        let cluster = Arc::clone(cluster);
        Self { cluster, topic, consumer, is_hasty, silence: Mutex::default(), down: Mutex::default() }
    }

    /// Reads these partitions from now on, each behind its position, and no other.
    pub(super) fn read_from(&self, places: &[(u32, Position)]) -> Result<(), LogError> {
        let name = self.cluster.topic(self.topic);
        let mut list = TopicPartitionList::with_capacity(places.len());
        for (partition, position) in places {
            let partition = i32::try_from(*partition).unwrap_or(i32::MAX);
            list.add_partition_offset(&name, partition, convert::resume(*position))
                .map_err(|error| self.cluster.place.fault(&error))?;
        }
        introduce(&self.consumer, &name);
        self.consumer.assign(&list).map_err(|error| self.cluster.place.fault(&error))
    }

    /// The next thing there is to know, waiting for it at most so long.
    ///
    /// A broker that is gone for a while is waited for; the error that is given then is
    /// passing, and reading goes on where it was. A reader that is to come to an end and hears nothing is of no more
    /// use after such an error: another one hears.
    pub(super) fn next(&self, wait: Duration) -> Result<Read, LogError> {
        let start = Instant::now();
        match self.consumer.poll(wait) {
            Some(Ok(message)) => {
                self.hear();
                Ok(Read::Found(convert::found(self.topic, &message)))
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                self.hear();
                Ok(Read::End(partition.unsigned_abs()))
            }
            Some(Err(error)) => {
                self.failed(&error)?;
                self.outage()
            }
            None => {
                *self.silence.lock() += start.elapsed();
                self.outage()
            }
        }
    }

    fn hear(&self) {
        *self.silence.lock() = Duration::ZERO;
        self.down.lock().take();
    }

    fn is_deaf(&self) -> bool {
        self.is_hasty && *self.silence.lock() > SILENCE
    }

    fn failed(&self, error: &KafkaError) -> Result<(), LogError> {
        match error.rdkafka_error_code() {
            Some(Code::AllBrokersDown) => {
                let now = Instant::now();
                self.down.lock().get_or_insert(Outage { since: now, asked: now });
                Ok(())
            }
            // The client connects again by itself.
            Some(Code::BrokerTransportFailure | Code::Resolve | Code::OperationTimedOut) => Ok(()),
            _ => Err(self.cluster.place.fault(error)),
        }
    }

    /// Nothing was read: because nothing is there, or because nobody is.
    fn outage(&self) -> Result<Read, LogError> {
        let mut down = self.down.lock();
        let Some(outage) = down.as_mut() else {
            if self.is_deaf() {
                let name = self.cluster.topic(self.topic);
                return Err(self
                    .cluster
                    .place
                    .unavailable(format!("nothing of topic {name} came for {SILENCE:?}")));
            }
            return Ok(Read::Nothing);
        };
        if outage.asked.elapsed() < PROBE {
            return Ok(Read::Nothing);
        }
        if self.consumer.fetch_watermarks(&self.cluster.topic(self.topic), 0, PROBE).is_ok() {
            *down = None;
            return Ok(Read::Nothing);
        }
        outage.asked = Instant::now();
        let lasted = outage.since.elapsed();
        if lasted < PATIENCE {
            return Ok(Read::Nothing);
        }
        Err(self.cluster.place.unavailable(format!("no broker can be reached since {}s", lasted.as_secs())))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Without partitions, for it would read ahead.
        if self.is_hasty && !self.is_deaf() && self.consumer.unassign().is_ok() {
            self.cluster.idle.keep(Arc::clone(&self.consumer));
        }
    }
}

/// Tells a client of a topic that it may not have met. It would find out itself, but only when it looks around, twice a
/// second; and of brokers that are gone it tells when it is asked for more.
pub(super) fn introduce(client: &BaseConsumer<Complaints>, topic: &str) {
    if let Err(error) = client.fetch_metadata(Some(topic), PROBE) {
        tracing::debug!(%error, topic, "a client does not know a topic yet");
    }
}

fn connect(cluster: &Cluster, config: ClientConfig) -> Result<Arc<BaseConsumer<Complaints>>, LogError> {
    let consumer = config.create_with_context(Complaints::default());
    consumer.map(Arc::new).map_err(|error| cluster.place.fault(&error))
}
