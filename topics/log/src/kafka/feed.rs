//! What a member has been sent and has not taken yet.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    thread,
    time::Duration,
};

use counterpoint_messages::Topic;
use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use super::{
    cluster::Cluster,
    reader::{Read, Reader},
    stalls::Stalls,
};
use crate::{LogError, Position, Received, cursors::Limits};

/// How often a reader looks whether it is still wanted.
const GLANCE: Duration = Duration::from_millis(100);
/// Records and bytes that a reader hands over at once.
const HANDFUL: Limits = Limits { records: 512, bytes: 1 << 18 };
/// What a record takes up beside its key and value, in bytes.
const RECORD_BYTES: usize = 128;

type Place = (Topic, u32);

/// Records of several partitions, each in order, read ahead by at most so many bytes.
pub(super) struct Feed {
    bound: usize,
    inner: Mutex<Inner>,
    room: Condvar,
    changes: Arc<watch::Sender<()>>,
}

struct Inner {
    lanes: BTreeMap<Place, VecDeque<Received>>,
    /// The partition that was read from last.
    turn: Option<Place>,
    bytes: usize,
    ended: BTreeSet<Place>,
    faults: BTreeMap<Topic, LogError>,
    is_over: bool,
}

/// What a feed has to give.
pub(super) enum Serving {
    Records(Vec<Received>),
    /// Everything was handed out.
    End,
    /// More is to come, or may be.
    Nothing,
}

/// A feed that ends when this is dropped.
pub(super) struct Feeding(Arc<Feed>);

impl Feeding {
    /// Starts a reader for each topic.
    pub(super) fn start(
        cluster: &Arc<Cluster>,
        places: &[(Topic, u32, Position)],
        bytes: usize,
        changes: &Arc<watch::Sender<()>>,
    ) -> Result<Self, LogError> {
        let lanes = places.iter().map(|(topic, partition, _)| ((*topic, *partition), VecDeque::new()));
        let feed = Arc::new(Feed {
            bound: bytes,
            inner: Mutex::new(Inner {
                lanes: lanes.collect(),
                turn: None,
                bytes: 0,
                ended: BTreeSet::new(),
                faults: BTreeMap::new(),
                is_over: false,
            }),
            room: Condvar::new(),
            changes: Arc::clone(changes),
        });
        let feeding = Self(Arc::clone(&feed));
        let mut topics: BTreeMap<Topic, Vec<(u32, Position)>> = BTreeMap::new();
        for (topic, partition, position) in places {
            topics.entry(*topic).or_default().push((*partition, *position));
        }
        for (topic, from) in topics {
            let (cluster, feed) = (Arc::clone(cluster), Arc::clone(&feed));
            let place = cluster.place.clone();
            thread::Builder::new()
                .name("kafka-read".into())
                .spawn(move || feed.fill(&cluster, topic, &from))
                .map_err(|error| place.unavailable(error))?;
        }
        Ok(feeding)
    }

    /// The next page there is.
    ///
    /// # Errors
    /// What keeps a reader from reading.
    pub(super) fn next(&self, limits: Limits) -> Result<Serving, LogError> {
        self.0.next(limits)
    }
}

impl Drop for Feeding {
    fn drop(&mut self) {
        self.0.inner.lock().is_over = true;
        self.0.room.notify_all();
    }
}

impl Feed {
    fn fill(&self, cluster: &Arc<Cluster>, topic: Topic, from: &[(u32, Position)]) {
        let (mut reader, mut stalls) = (None, Stalls::new(topic, from));
        while self.has_room() {
            if let Err(error) = self.read(cluster, topic, &mut reader, &mut stalls) {
                let is_passing = error.is_passing();
                self.failed(topic, error);
                if !is_passing {
                    return;
                }
                thread::sleep(GLANCE);
            }
        }
    }

    /// Reads once, with a reader that is opened if there is none.
    fn read(
        &self,
        cluster: &Arc<Cluster>,
        topic: Topic,
        open: &mut Option<Reader>,
        stalls: &mut Stalls,
    ) -> Result<(), LogError> {
        let reader = match open {
            Some(reader) => reader,
            None => open.insert(reader_of(cluster, topic, &stalls.places())?),
        };
        let (records, ended) = take(reader)?;
        stalls.heard(&records, &ended);
        if !(records.is_empty() && ended.is_empty()) {
            self.add(topic, records, &ended);
        }
        if stalls.look(cluster)? {
            tracing::warn!(%topic, "a client read nothing of what is there; another reads on in its place");
            *open = None;
        }
        Ok(())
    }

    /// Waits for room; false when nothing is wanted any more.
    fn has_room(&self) -> bool {
        let mut inner = self.inner.lock();
        while !inner.is_over && inner.bytes > self.bound {
            self.room.wait(&mut inner);
        }
        !inner.is_over
    }

    fn add(&self, topic: Topic, records: Vec<Received>, ended: &[u32]) {
        let mut inner = self.inner.lock();
        inner.faults.remove(&topic);
        for record in records {
            let place = (topic, record.partition);
            inner.ended.remove(&place);
            inner.bytes = inner.bytes.saturating_add(record.bytes()).saturating_add(RECORD_BYTES);
            if let Some(lane) = inner.lanes.get_mut(&place) {
                lane.push_back(record);
            }
        }
        inner.ended.extend(ended.iter().map(|partition| (topic, *partition)));
        drop(inner);
        self.changes.send_replace(());
    }

    fn failed(&self, topic: Topic, error: LogError) {
        self.inner.lock().faults.insert(topic, error);
        self.changes.send_replace(());
    }

    fn next(&self, limits: Limits) -> Result<Serving, LogError> {
        let mut inner = self.inner.lock();
        let Some(place) = inner.next_place() else {
            // What was read is handed out first.
            if let Some((_, fault)) = inner.faults.pop_first() {
                return Err(fault);
            }
            let is_end = inner.lanes.keys().all(|place| inner.ended.contains(place));
            return Ok(if is_end { Serving::End } else { Serving::Nothing });
        };
        inner.turn = Some(place);
        let (mut page, mut bytes) = (Vec::new(), 0_usize);
        if let Some(lane) = inner.lanes.get_mut(&place) {
            while let Some(record) =
                lane.pop_front_if(|record| limits.admit(page.len(), bytes, record.bytes()))
            {
                bytes = bytes.saturating_add(record.bytes());
                page.push(record);
            }
        }
        inner.bytes =
            inner.bytes.saturating_sub(bytes).saturating_sub(RECORD_BYTES.saturating_mul(page.len()));
        drop(inner);
        self.room.notify_all();
        Ok(Serving::Records(page))
    }
}

impl Inner {
    /// The first partition with records behind the one whose turn it was.
    fn next_place(&self) -> Option<Place> {
        let waiting = || self.lanes.iter().filter(|(_, lane)| !lane.is_empty()).map(|(place, _)| *place);
        waiting().find(|place| Some(*place) > self.turn).or_else(|| waiting().next())
    }
}

fn reader_of(cluster: &Arc<Cluster>, topic: Topic, from: &[(u32, Position)]) -> Result<Reader, LogError> {
    let reader = Reader::following(cluster, topic)?;
    reader.read_from(from)?;
    Ok(reader)
}

/// What a reader has at hand, waiting a little for the first of it.
fn take(reader: &Reader) -> Result<(Vec<Received>, Vec<u32>), LogError> {
    let (mut records, mut bytes, mut ended) = (Vec::new(), 0_usize, Vec::new());
    let mut wait = GLANCE;
    loop {
        match reader.next(wait)? {
            Read::Found(found) => {
                // Only state is ever taken back, and nobody is fed with that.
                let record = found.record;
                ended.retain(|partition| *partition != record.partition);
                bytes = bytes.saturating_add(record.bytes());
                records.push(record);
                if !HANDFUL.admit(records.len(), bytes, 0) {
                    return Ok((records, ended));
                }
            }
            Read::End(partition) => ended.push(partition),
            Read::Nothing => return Ok((records, ended)),
        }
        wait = Duration::ZERO;
    }
}
