//! Transactions that nobody ends. A reader of what is committed would wait behind one for ever and without a
//! word, as if nothing more had been written.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use counterpoint_messages::Topic;

use super::cluster::{Cluster, SETTLED};
use crate::LogError;

/// How often a reader that has nothing to read looks.
const EVERY: Duration = Duration::from_secs(15);

/// Where the partitions of a topic were last seen to be held up.
pub(super) struct Stalls {
    topic: Topic,
    looked: Instant,
    held_up: BTreeMap<u32, (i64, Instant)>,
}

impl Stalls {
    pub(super) fn new(topic: Topic) -> Self {
        Self { topic, looked: Instant::now(), held_up: BTreeMap::new() }
    }

    /// To be called while nothing is to be read.
    ///
    /// # Errors
    /// When a transaction of one of the partitions is open for longer than any may be.
    pub(super) fn look(
        &mut self,
        cluster: &Cluster,
        partitions: impl Iterator<Item = u32>,
    ) -> Result<(), LogError> {
        if self.looked.elapsed() < EVERY {
            return Ok(());
        }
        for partition in partitions {
            let decided = cluster.decided_end(self.topic, partition)?;
            let (_, written) = cluster.ends(self.topic, partition)?;
            self.looked = Instant::now();
            if self.lasts(partition, decided, written, self.looked) > SETTLED {
                return Err(cluster.hanging(self.topic, partition, decided));
            }
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_end_that_stands_still_before_what_is_written_counts() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut stalls = Stalls::new(Topic::Clips);
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
}
