//! Transactions of one writer: everything in one is visible together or never.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use counterpoint_messages::{StageName, Topic};
use rdkafka::{
    TopicPartitionList,
    consumer::ConsumerGroupMetadata,
    error::{KafkaError, RDKafkaError, RDKafkaErrorCode as Code},
    producer::{BaseProducer, BaseRecord, Producer},
};

use super::{
    cluster::Cluster,
    config, convert,
    fault::Complaints,
    state::{self, Written},
};
use crate::{Group, LogError, failpoints};

/// How long one step of a transaction is waited for: longer than a transaction can stay open.
const PATIENCE: Duration = Duration::from_secs(45);
/// How often a client that cannot take more is asked again.
const PAUSE: Duration = Duration::from_millis(1);

/// Why a transaction was not committed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) code: Option<Code>,
    pub(super) error: LogError,
    /// Whether it may have been committed all the same; the next [`Transactions::ready`] decides it.
    pub(super) undecided: bool,
}

impl Failure {
    /// Whether the brokers doubt that the writer still belongs to its group.
    pub(super) fn is_of_membership(&self) -> bool {
        matches!(
            self.code,
            Some(
                Code::IllegalGeneration
                    | Code::UnknownMemberId
                    | Code::RebalanceInProgress
                    | Code::FencedInstanceId
                    | Code::ProducerFenced
                    | Code::InvalidProducerEpoch
                    | Code::Fenced
            )
        )
    }
}

/// What a transaction says of a group.
pub(super) struct Standing<'a> {
    /// Offsets of the group.
    pub(super) offsets: &'a TopicPartitionList,
    /// The member, as it was last told by the brokers.
    pub(super) member: &'a ConsumerGroupMetadata,
}

pub(super) struct Transactions {
    cluster: Arc<Cluster>,
    name: String,
    producer: Option<BaseProducer<Complaints>>,
}

impl Transactions {
    pub(super) fn new(cluster: &Arc<Cluster>, name: String) -> Self {
        Self { cluster: Arc::clone(cluster), name, producer: None }
    }

    /// Whether the next transaction begins with another writer of the same name.
    pub(super) fn is_spent(&self) -> bool {
        self.producer.is_none()
    }

    /// Makes sure that there is a writer. A new one first ends what an earlier one of its name has begun:
    /// once this returns, all of that is decided and visible.
    pub(super) fn ready(&mut self) -> Result<(), LogError> {
        if self.producer.is_some() {
            return Ok(());
        }
        let place = &self.cluster.place;
        let config = config::writer(&self.cluster.base, &self.name);
        let producer: BaseProducer<Complaints> =
            config.create_with_context(Complaints::default()).map_err(|error| place.fault(&error))?;
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = producer.init_transactions(left(deadline)) {
            if !is_retriable(&error) || Instant::now() >= deadline {
                producer.poll(Duration::ZERO);
                let complaint = producer.context().take();
                return Err(match complaint {
                    Some((code, words)) if !place.code(code, &words).is_passing() => place.code(code, words),
                    _ => place.fault(&error),
                });
            }
        }
        self.producer = Some(producer);
        Ok(())
    }

    /// Writes all of it in one transaction, which no longer is one's own business where this fails.
    pub(super) fn write(
        &mut self,
        group: Option<Group>,
        records: &[Written],
        standing: Option<&Standing<'_>>,
    ) -> Result<(), Failure> {
        let Some(producer) = self.producer.take() else {
            let error = self.cluster.place.unavailable("there is no transaction to write in");
            return Err(Failure { code: None, error, undecided: false });
        };
        let deadline = Instant::now() + PATIENCE;
        let written = self.fill(&producer, group, records, deadline).and_then(|()| match standing {
            // Only when all records are there: whoever comes after this member then finds them.
            Some(Standing { offsets, member }) => {
                retry(deadline, || producer.send_offsets_to_transaction(offsets, member, left(deadline)))
            }
            None => Ok(()),
        });
        if let Err(error) = written {
            let failure = self.failure(&error, false);
            if abort(&producer) {
                self.producer = Some(producer);
            }
            return Err(failure);
        }
        if standing.is_some() {
            failpoints::reached("log::inside", "");
        }
        match retry(deadline, || producer.commit_transaction(left(deadline))) {
            Ok(()) => {
                if standing.is_some() {
                    failpoints::reached("log::committed", "");
                }
                self.producer = Some(producer);
                Ok(())
            }
            // The request to commit may still be on its way, and would then end a later transaction of this
            // writer: it writes no more.
            Err(error) => {
                let is_aborted = requires_abort(&error) && abort(&producer);
                Err(self.failure(&error, !is_aborted))
            }
        }
    }

    fn fill(
        &self,
        producer: &BaseProducer<Complaints>,
        group: Option<Group>,
        records: &[Written],
        deadline: Instant,
    ) -> Result<(), KafkaError> {
        producer.begin_transaction()?;
        let names = Names::of(&self.cluster, group);
        for record in records {
            while let Err(error) = send(producer, &names, group, record) {
                if error.rdkafka_error_code() != Some(Code::QueueFull) || Instant::now() >= deadline {
                    return Err(error);
                }
                producer.poll(PAUSE);
            }
        }
        // Not by `flush`, which rounds up to a tenth of a second.
        while producer.in_flight_count() > 0 && Instant::now() < deadline {
            producer.poll(PAUSE);
        }
        Ok(())
    }

    fn failure(&self, error: &KafkaError, undecided: bool) -> Failure {
        Failure { code: error.rdkafka_error_code(), error: self.cluster.place.fault(error), undecided }
    }

    /// Serves what the client has to tell while nothing is written.
    pub(super) fn idle(&self) {
        if let Some(producer) = &self.producer {
            producer.poll(Duration::ZERO);
        }
    }
}

/// Names of topics, made once a transaction.
struct Names {
    messages: Vec<(Topic, String)>,
    state: Option<String>,
}

impl Names {
    fn of(cluster: &Cluster, group: Option<Group>) -> Self {
        let stage = group.map(|group: Group| -> StageName { group.stage });
        Self {
            messages: Topic::MESSAGES.map(|topic| (topic, cluster.topic(topic))).to_vec(),
            state: stage.map(|stage| cluster.topic(Topic::State(stage))),
        }
    }

    fn find(&self, topic: Topic) -> &str {
        let found = self.messages.iter().find(|(named, _)| *named == topic);
        found.map_or("", |(_, name)| name)
    }
}

fn send(
    producer: &BaseProducer<Complaints>,
    names: &Names,
    group: Option<Group>,
    record: &Written,
) -> Result<(), KafkaError> {
    match record {
        Written::Output(record) => {
            let partition = i32::try_from(record.partition).unwrap_or(i32::MAX);
            let record = BaseRecord::to(names.find(record.topic))
                .partition(partition)
                .key(record.key.as_slice())
                .payload(record.value.as_slice())
                .headers(convert::written(&record.headers));
            producer.send(record).map_err(|(error, _)| error)
        }
        Written::State(record) => {
            let fingerprint = group.map(|group| group.fingerprint).unwrap_or_default();
            let mut sent = BaseRecord::to(names.state.as_deref().unwrap_or_default())
                .partition(0)
                .key(record.key.as_slice())
                .headers(convert::written(&state::headers(fingerprint)));
            if let Some(value) = &record.value {
                sent = sent.payload(value.as_slice());
            }
            producer.send(sent).map_err(|(error, _)| error)
        }
    }
}

/// Takes back what the transaction holds; whether the writer can go on.
///
/// It cannot while records are on their way: one that arrives behind the end of its transaction would be taken
/// for part of the writer's next one, or stay open for ever. Whatever comes of them is settled by the next
/// writer of this name, whose newer epoch refuses them.
fn abort(producer: &BaseProducer<Complaints>) -> bool {
    let deadline = Instant::now() + PATIENCE;
    producer.in_flight_count() == 0 && retry(deadline, || producer.abort_transaction(left(deadline))).is_ok()
}

fn retry(deadline: Instant, mut step: impl FnMut() -> Result<(), KafkaError>) -> Result<(), KafkaError> {
    loop {
        match step() {
            Err(error) if is_retriable(&error) && Instant::now() < deadline => thread::sleep(PAUSE),
            done => return done,
        }
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(100))
}

fn is_retriable(error: &KafkaError) -> bool {
    of_transaction(error).is_some_and(RDKafkaError::is_retriable)
}

fn requires_abort(error: &KafkaError) -> bool {
    of_transaction(error).is_some_and(RDKafkaError::txn_requires_abort)
}

fn of_transaction(error: &KafkaError) -> Option<&RDKafkaError> {
    match error {
        KafkaError::Transaction(error) => Some(error),
        _ => None,
    }
}
