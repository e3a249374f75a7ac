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
/// How often it is asked whether it is back.
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

/// A reader of one topic at a time: the client tells of which partition the end was reached, but not of which
/// topic.
pub(super) struct Reader {
    cluster: Arc<Cluster>,
    topic: Topic,
    consumer: BaseConsumer<Complaints>,
    down: Mutex<Option<Outage>>,
}

struct Outage {
    since: Instant,
    asked: Instant,
}

impl Reader {
    /// For records that are there and records to come.
    pub(super) fn following(cluster: &Arc<Cluster>, topic: Topic) -> Result<Self, LogError> {
        Self::open(cluster, topic, config::reader(&cluster.base, &cluster.readers()))
    }

    /// For what is there: it is soon told that it has come to the end.
    pub(super) fn up_to_the_end(cluster: &Arc<Cluster>, topic: Topic) -> Result<Self, LogError> {
        Self::open(cluster, topic, config::hasty_reader(&cluster.base, &cluster.readers()))
    }

    fn open(cluster: &Arc<Cluster>, topic: Topic, config: ClientConfig) -> Result<Self, LogError> {
        let consumer = config.create_with_context(Complaints::default());
        let consumer = consumer.map_err(|error| cluster.place.fault(&error))?;
        Ok(Self { cluster: Arc::clone(cluster), topic, consumer, down: Mutex::default() })
    }

    /// Turns to another topic, of which it reads nothing yet.
    pub(super) fn turn_to(&mut self, topic: Topic) -> Result<(), LogError> {
        self.topic = topic;
        self.read_from(&[])
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
        self.consumer.assign(&list).map_err(|error| self.cluster.place.fault(&error))
    }

    /// The next thing there is to know, waiting for it at most so long.
    ///
    /// A broker that is gone for a while is waited for; the error that is given then is
    /// passing, and reading goes on where it was.
    pub(super) fn next(&self, wait: Duration) -> Result<Read, LogError> {
        match self.consumer.poll(wait) {
            Some(Ok(message)) => {
                self.down.lock().take();
                Ok(Read::Found(convert::found(self.topic, &message)))
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                self.down.lock().take();
                Ok(Read::End(partition.unsigned_abs()))
            }
            Some(Err(error)) => {
                self.failed(&error)?;
                self.outage()
            }
            None => self.outage(),
        }
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
        let Some(outage) = down.as_mut() else { return Ok(Read::Nothing) };
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
