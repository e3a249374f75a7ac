//! Offsets without records. Transactions leave marks in partitions, and what was taken back keeps its place, so that
//! the distance of two positions does not tell whether there is anything between them: reading does.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use counterpoint_messages::Topic;
use parking_lot::Mutex;

use super::{
    cluster::Cluster,
    reader::{Read, Reader},
};
use crate::{LogError, Position};

const WAIT: Duration = Duration::from_millis(200);

/// Stretches in which nothing is to be read, as far as was looked. A log at rest is looked at once.
#[derive(Default)]
pub(super) struct Gaps(Mutex<Known>);

impl Gaps {
    /// Those partitions of a topic in whose stretch of offsets, all of it decided, a record is to be read.
    pub(super) fn filled(
        &self,
        cluster: &Arc<Cluster>,
        topic: Topic,
        stretches: &BTreeMap<u32, Range<i64>>,
    ) -> Result<BTreeSet<u32>, LogError> {
        let mut known = self.0.lock();
        let unknown: BTreeMap<_, _> = stretches
            .iter()
            .map(|(partition, stretch)| (*partition, known.rest((topic, *partition), stretch)))
            .filter(|(_, rest)| !rest.is_empty())
            .collect();
        if unknown.is_empty() {
            return Ok(BTreeSet::new());
        }
        let filled = look(&Reader::up_to_the_end(cluster, topic)?, &unknown)?;
        for (partition, stretch) in stretches.iter().filter(|(partition, _)| !filled.contains(partition)) {
            known.add((topic, *partition), stretch.clone());
        }
        Ok(filled)
    }
}

fn look(reader: &Reader, stretches: &BTreeMap<u32, Range<i64>>) -> Result<BTreeSet<u32>, LogError> {
    let position = |offset: i64| Position(offset.max(0).unsigned_abs());
    let from: Vec<_> =
        stretches.iter().map(|(partition, range)| (*partition, position(range.start))).collect();
    reader.read_from(&from)?;
    let (mut left, mut filled) = (stretches.clone(), BTreeSet::new());
    while !left.is_empty() {
        match reader.next(WAIT)? {
            Read::Found(found) => {
                let partition = found.record.partition;
                if let Some(stretch) = left.remove(&partition)
                    && found.record.position <= position(stretch.end)
                {
                    filled.insert(partition);
                }
            }
            Read::End(partition) => drop(left.remove(&partition)),
            Read::Nothing => {}
        }
    }
    Ok(filled)
}

/// One gap of each partition, which grows where others join it.
#[derive(Default)]
struct Known(BTreeMap<(Topic, u32), Range<i64>>);

impl Known {
    /// What is left of a stretch behind a gap that covers its beginning.
    fn rest(&self, place: (Topic, u32), stretch: &Range<i64>) -> Range<i64> {
        match self.0.get(&place) {
            Some(gap) if gap.contains(&stretch.start) => gap.end.min(stretch.end)..stretch.end,
            _ => stretch.clone(),
        }
    }

    fn add(&mut self, place: (Topic, u32), stretch: Range<i64>) {
        let gap = self.0.entry(place).or_insert_with(|| stretch.clone());
        *gap = if stretch.start <= gap.end && gap.start <= stretch.end {
            gap.start.min(stretch.start)..gap.end.max(stretch.end)
        } else {
            stretch
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_looked_at_once_and_grows_with_what_is_found_behind_it() {
        let place = (Topic::Clips, 1);
        let mut known = Known::default();
        assert_eq!(known.rest(place, &(5..9)), 5..9);
        known.add(place, 5..9);
        assert!(known.rest(place, &(5..9)).is_empty());
        assert!(known.rest(place, &(6..8)).is_empty());
        assert_eq!(known.rest(place, &(4..9)), 4..9);
        assert_eq!(known.rest(place, &(7..12)), 9..12);
        known.add(place, 7..12);
        assert!(known.rest(place, &(5..12)).is_empty());
        assert_eq!(known.rest((Topic::Clips, 0), &(5..9)), 5..9);
        known.add(place, 20..21);
        assert_eq!(known.rest(place, &(5..9)), 5..9);
        assert!(known.rest(place, &(20..21)).is_empty());
    }
}
