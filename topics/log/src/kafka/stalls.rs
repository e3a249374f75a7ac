//! What keeps a reader from reading without a word, as if nothing more had been written: a transaction that nobody
//! ends, behind which nothing is committed, and a client that reads no more of a partition (seen of librdkafka 2.12
//! after a broker had started again).

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use counterpoint_messages::Topic;

use super::{
    cluster::{Cluster, SETTLED},
    gaps::Gaps,
};
use crate::{LogError, Position, Received};

/// How often a reader looks.
const EVERY: Duration = Duration::from_secs(15);

/// What a reader has come to, and where the partitions of its topic were last seen to be held up.
pub(super) struct Stalls {
    topic: Topic,
    looked: Instant,
    lanes: BTreeMap<u32, Lane>,
    held_up: BTreeMap<u32, (i64, Instant)>,
    gaps: Gaps,
}

/// How far a partition was read.
struct Lane {
    after: Position,
    /// Whether its reader told anything of it since the last look.
    is_heard: bool,
    /// Its decided end at the last look.
    end: Option<i64>,
}

impl Stalls {
    /// Of a reader that begins behind these positions.
    pub(super) fn new(topic: Topic, from: &[(u32, Position)]) -> Self {
        let lane = |after| Lane { after, is_heard: false, end: None };
        Self {
            topic,
            looked: Instant::now(),
            lanes: from.iter().map(|(partition, after)| (*partition, lane(*after))).collect(),
            held_up: BTreeMap::new(),
            gaps: Gaps::default(),
        }
    }

    /// What was read, and of which partitions the end was reached.
    pub(super) fn heard(&mut self, records: &[Received], ended: &[u32]) {
        for record in records {
            if let Some(lane) = self.lanes.get_mut(&record.partition) {
                (lane.after, lane.is_heard) = (record.position, true);
            }
        }
        for partition in ended {
            if let Some(lane) = self.lanes.get_mut(partition) {
                lane.is_heard = true;
            }
        }
    }

    /// Behind what the partitions are to be read from now on.
    pub(super) fn places(&self) -> Vec<(u32, Position)> {
        self.lanes.iter().map(|(partition, lane)| (*partition, lane.after)).collect()
    }

    /// Whether the reader has gone deaf: there were records at the last look that it still has told nothing of.
    /// Looks now and then, however often it is called.
    ///
    /// # Errors
    /// When a transaction of one of the partitions is open for longer than any may be.
    pub(super) fn look(&mut self, cluster: &Arc<Cluster>) -> Result<bool, LogError> {
        if self.looked.elapsed() < EVERY {
            return Ok(false);
        }
        self.looked = Instant::now();
        let mut unread = BTreeMap::new();
        let partitions: BTreeSet<u32> = self.lanes.keys().copied().collect();
        for partition in partitions {
            let decided = cluster.decided_end(self.topic, partition)?;
            let (_, written) = cluster.ends(self.topic, partition)?;
            if self.lasts(partition, decided, written, self.looked) > SETTLED {
                return Err(cluster.hanging(self.topic, partition, decided));
            }
            if let Some(lane) = self.lanes.get_mut(&partition)
                && let Some(stretch) = lane.unread(decided)
            {
                unread.insert(partition, stretch);
            }
        }
        Ok(!self.gaps.filled(cluster, self.topic, &unread)?.is_empty())
    }

    /// For how long the decided end of a partition is known to have stood still before its written end.
    fn lasts(&mut self, partition: u32, decided: i64, written: i64, now: Instant) -> Duration {
        if decided >= written {
            self.held_up.remove(&partition);
            return Duration::ZERO;
        }
        let seen = self.held_up.entry(partition).or_insert((decided, now));
        if seen.0 != decided {
            *seen = (decided, now);
        }
        now.duration_since(seen.1)
    }
}

impl Lane {
    /// Offsets that were decided at the last look and of which nothing was heard since; marks of transactions may be
    /// all there is among them.
    fn unread(&mut self, decided: i64) -> Option<Range<i64>> {
        let is_heard = mem::take(&mut self.is_heard);
        let read = i64::try_from(self.after.0).unwrap_or(i64::MAX);
        let end = self.end.replace(decided)?;
        (!is_heard && read < end).then_some(read..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_end_that_stands_still_before_what_is_written_counts() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut stalls = Stalls::new(Topic::Clips, &[]);
        assert_eq!(stalls.lasts(0, 5, 5, at(0)), Duration::ZERO);
        assert_eq!(stalls.lasts(0, 5, 8, at(10)), Duration::ZERO);
        assert_eq!(stalls.lasts(0, 5, 20, at(25)), Duration::from_secs(15));
        assert_eq!(stalls.lasts(1, 5, 20, at(25)), Duration::ZERO);
        // One transaction is over, and the next one is open.
        assert_eq!(stalls.lasts(0, 9, 20, at(40)), Duration::ZERO);
        assert_eq!(stalls.lasts(0, 9, 20, at(75)), Duration::from_secs(35));
        assert_eq!(stalls.lasts(0, 20, 20, at(90)), Duration::ZERO);
        assert_eq!(stalls.lasts(0, 20, 21, at(105)), Duration::ZERO);
    }

    #[test]
    fn what_was_there_at_the_last_look_is_unread_when_nothing_was_heard_since() {
        let mut stalls = Stalls::new(Topic::Clips, &[(0, Position(3))]);
        let unread = |stalls: &mut Stalls, decided| stalls.lanes.get_mut(&0).unwrap().unread(decided);
        // It may have been written a moment ago.
        assert_eq!(unread(&mut stalls, 5), None);
        assert_eq!(unread(&mut stalls, 9), Some(3..5));
        stalls.heard(&[], &[0]);
        assert_eq!(unread(&mut stalls, 9), None);
        assert_eq!(unread(&mut stalls, 9), Some(3..9));
        assert_eq!(stalls.places(), [(0, Position(3))]);
    }
}
