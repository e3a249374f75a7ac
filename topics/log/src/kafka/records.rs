//! Records outside any group: written, scanned, followed, described.

use std::{sync::Arc, thread, time::Duration};

use counterpoint_messages::Topic;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::{
    cluster::Cluster,
    convert::Found,
    reader::{Read, Reader},
    state::{self, Written},
    transactions::Transactions,
};
use crate::{
    LogError, Outgoing, Position, Received, RecordStream, TopicDescription, checks, cursors::Limits,
};

/// Pages that are read ahead of whoever scans or follows.
const AHEAD: usize = 2;
const WAIT: Duration = Duration::from_millis(100);
/// Newest offsets of a partition from which its bytes are estimated.
const SAMPLE: i64 = 64;

type Pages = mpsc::Sender<Result<Vec<Received>, LogError>>;

/// Writes records of nobody's, and waits until everybody sees them.
pub(super) fn append(
    cluster: &Arc<Cluster>,
    appends: &Mutex<Transactions>,
    records: Vec<Outgoing>,
) -> Result<(), LogError> {
    if records.is_empty() {
        return Ok(());
    }
    let mut places: Vec<_> = records.iter().map(|record| (record.topic, record.partition)).collect();
    places.sort();
    places.dedup();
    let records: Vec<_> = records.into_iter().map(Written::Output).collect();
    let mut transactions = appends.lock();
    transactions.ready()?;
    if let Err(failure) = transactions.write(None, &records, None) {
        // Nobody tells whoever appends later what became of it, so it is found out now.
        if failure.undecided {
            transactions.ready()?;
        }
        return Err(failure.error);
    }
    drop(transactions);
    // Brokers answer before the last of them has opened to readers what was written.
    for (topic, partition) in places {
        cluster.settled_end(topic, partition)?;
    }
    Ok(())
}

/// See [`crate::TopicLog::scan`].
pub(super) fn scan(cluster: &Arc<Cluster>, topic: Topic) -> RecordStream {
    stream(cluster, move |cluster, pages| {
        let partitions = 0..checks::partitions_of(topic, cluster.partitions);
        // All ends first: what is written from now on is no part of it.
        let ends: Vec<_> = partitions
            .map(|partition| Ok((partition, cluster.ends(topic, partition)?.1)))
            .collect::<Result<_, LogError>>()?;
        for (partition, end) in ends {
            cluster.settle(topic, partition, end)?;
            let mut page = Page::default();
            state::each(cluster, topic, partition, end, |found| page.add(found, pages))?;
            page.turn(pages);
        }
        Ok(())
    })
}

/// See [`crate::TopicLog::follow`].
pub(super) fn follow(cluster: &Arc<Cluster>, topic: Topic) -> RecordStream {
    stream(cluster, move |cluster, pages| {
        let partitions = 0..checks::partitions_of(topic, cluster.partitions);
        let reader = Reader::following(cluster, topic)?;
        reader.read_from(&partitions.map(|partition| (partition, Position(0))).collect::<Vec<_>>())?;
        let mut page = Page::default();
        while !pages.is_closed() {
            let wait = if page.records.is_empty() { WAIT } else { Duration::ZERO };
            match reader.next(wait)? {
                Read::Found(found) => page.add(found, pages),
                Read::End(_) => {}
                Read::Nothing => page.turn(pages),
            }
        }
        Ok(())
    })
}

/// Records on their way to a stream.
#[derive(Default)]
struct Page {
    records: Vec<Received>,
    bytes: usize,
}

impl Page {
    fn add(&mut self, found: Found, pages: &Pages) {
        let Found { record, is_tombstone } = found;
        let is_state = matches!(record.topic, Topic::State(_));
        if (is_tombstone && record.topic.is_compacted()) || (is_state && state::is_own(&record.key)) {
            return;
        }
        if !Limits::SCAN.admit(self.records.len(), self.bytes, record.bytes()) {
            self.turn(pages);
        }
        self.bytes = self.bytes.saturating_add(record.bytes());
        self.records.push(record);
    }

    fn turn(&mut self, pages: &Pages) {
        let Self { records, .. } = std::mem::take(self);
        if !records.is_empty() {
            // Fails when nobody reads any more, which is seen elsewhere.
            let _ = pages.blocking_send(Ok(records));
        }
    }
}

/// A stream that a thread of its own fills, from the first time it is polled until it is dropped.
fn stream(
    cluster: &Arc<Cluster>,
    work: impl FnOnce(&Arc<Cluster>, &Pages) -> Result<(), LogError> + Send + 'static,
) -> RecordStream {
    let cluster = Arc::clone(cluster);
    Box::pin(async_stream::try_stream! {
        let (pages, mut received) = mpsc::channel(AHEAD);
        let place = cluster.place.clone();
        thread::Builder::new()
            .name("kafka-scan".into())
            .spawn(move || {
                if let Err(error) = work(&cluster, &pages) {
                    let _ = pages.blocking_send(Err(error));
                }
            })
            .map_err(|error| place.unavailable(error))?;
        while let Some(page) = received.recv().await {
            for record in page? {
                yield record;
            }
        }
    })
}

/// Every topic. Records are counted by the distance of positions, bytes are estimated from the newest.
pub(super) fn describe(cluster: &Arc<Cluster>) -> Result<Vec<TopicDescription>, LogError> {
    Topic::all().map(|topic| describe_topic(cluster, topic)).collect()
}

fn describe_topic(cluster: &Arc<Cluster>, topic: Topic) -> Result<TopicDescription, LogError> {
    let partitions = checks::partitions_of(topic, cluster.partitions);
    let mut described = TopicDescription { topic, partitions, records: 0, bytes: 0, newest_ms: None };
    for partition in 0..partitions {
        let (first, end) = cluster.ends(topic, partition)?;
        let records = end.saturating_sub(first).max(0).unsigned_abs();
        if records == 0 {
            continue;
        }
        let (mut sampled, mut bytes) = (0_u64, 0_u64);
        let from = first.max(end.saturating_sub(SAMPLE));
        state::between(cluster, topic, partition, from, end, |Found { record, .. }| {
            sampled += 1;
            bytes += record.bytes() as u64;
            described.newest_ms = described.newest_ms.max(Some(record.written_ms));
        })?;
        described.records = described.records.saturating_add(records);
        let estimate = bytes.saturating_mul(records).checked_div(sampled).unwrap_or(0);
        described.bytes = described.bytes.saturating_add(estimate);
    }
    Ok(described)
}
