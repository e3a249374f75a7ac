//! Who is in a group, and what it has committed.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use counterpoint_messages::Topic;
use parking_lot::Mutex;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    groups::GroupInfo,
};

use super::{cluster::Cluster, config, fault::Complaints, gaps::Gaps};
use crate::{Group, GroupDescription, LogError, Position, checks};

/// How long the brokers may take to answer.
pub(super) const ANSWER: Duration = Duration::from_secs(10);
/// How long a group may take to agree on who holds what.
const AGREEMENT: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(50);

/// A member as the brokers know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// The member's name and something that no other member ever had.
    pub(super) id: String,
    /// Its process.
    pub(super) process: String,
    /// Whether it holds a lock.
    pub(super) holds: bool,
}

/// The members of a group; `None` while they are about to agree anew. The brokers may take `patience` to answer.
pub(super) fn members(
    cluster: &Cluster,
    group: &str,
    patience: Duration,
) -> Result<Option<Vec<Seen>>, LogError> {
    let list = cluster.client().fetch_group_list(Some(group), patience);
    let list = list.map_err(|error| cluster.place.fault(&error))?;
    Ok(match list.groups().iter().find(|found| found.name() == group) {
        Some(found) => seen(found),
        None => Some(Vec::new()),
    })
}

fn seen(group: &GroupInfo) -> Option<Vec<Seen>> {
    match group.state() {
        "Stable" | "Empty" | "Dead" | "" => {}
        _ => return None,
    }
    let members = group.members().iter().map(|member| Seen {
        id: member.id().to_owned(),
        process: member.client_id().to_owned(),
        holds: member.assignment().is_some_and(assigns),
    });
    Some(members.collect())
}

/// Whether an assignment of the consumer protocol names any topic: version, number of topics.
fn assigns(assignment: &[u8]) -> bool {
    assignment.get(2..6).is_some_and(|topics| topics != [0; 4])
}

/// Looks at groups from outside. Its clients are kept, so that whoever looks every few seconds does not connect as
/// often.
#[derive(Default)]
pub(super) struct Observer {
    /// One for each group: a client asks only for the group whose name it was made with.
    askers: Mutex<BTreeMap<String, Arc<BaseConsumer<Complaints>>>>,
    gaps: Gaps,
}

impl Observer {
    fn asker(&self, cluster: &Cluster, group: Group) -> Result<Arc<BaseConsumer<Complaints>>, LogError> {
        let name = cluster.group(group);
        let mut askers = self.askers.lock();
        if let Some(asker) = askers.get(&name) {
            return Ok(Arc::clone(asker));
        }
        let config = config::asker(&cluster.base, &name);
        let asker = config.create_with_context(Complaints::default());
        let asker = Arc::new(asker.map_err(|error| cluster.place.fault(&error))?);
        askers.insert(name, Arc::clone(&asker));
        Ok(asker)
    }

    /// Forgets those of groups that are gone.
    fn keep(&self, is_there: impl Fn(&str) -> bool) {
        self.askers.lock().retain(|name, _| is_there(name));
    }
}

/// Every group of the log that has committed a position.
pub(super) fn describe(
    cluster: &Arc<Cluster>,
    observer: &Observer,
) -> Result<Vec<GroupDescription>, LogError> {
    let list = cluster.client().fetch_group_list(None, ANSWER);
    let list = list.map_err(|error| cluster.place.fault(&error))?;
    observer.keep(|name| list.groups().iter().any(|found| found.name() == name));
    let mut described = Vec::new();
    for found in list.groups() {
        let Some(group) = cluster.parse_group(found.name()) else { continue };
        let committed = committed(cluster, observer, group)?;
        if !committed.is_empty() {
            let lag_by_topic = lag(cluster, &observer.gaps, &committed)?;
            let lag = lag_by_topic.iter().fold(0_u64, |sum, (_, lag)| sum.saturating_add(*lag));
            let holder = holder(cluster, found)?;
            described.push(GroupDescription { group, holder, lag, lag_by_topic });
        }
    }
    described.sort_by_key(|group| group.group.to_string());
    Ok(described)
}

/// The processes that hold a group, which may have to agree on it first.
fn holder(cluster: &Cluster, found: &GroupInfo) -> Result<Option<String>, LogError> {
    let start = Instant::now();
    let mut now = seen(found);
    loop {
        if let Some(members) = now {
            return Ok(holders(members));
        }
        if start.elapsed() > AGREEMENT {
            return Ok(None);
        }
        thread::sleep(PAUSE);
        now = members(cluster, found.name(), ANSWER)?;
    }
}

/// The processes of those members that hold something, for people.
pub(super) fn holders(members: Vec<Seen>) -> Option<String> {
    let mut holders: Vec<_> =
        members.into_iter().filter(|member| member.holds).map(|member| member.process).collect();
    holders.sort();
    holders.dedup();
    (!holders.is_empty()).then(|| holders.join(", "))
}

/// The positions that a group has committed.
fn committed(
    cluster: &Cluster,
    observer: &Observer,
    group: Group,
) -> Result<Vec<(Topic, u32, Position)>, LogError> {
    let places: Vec<_> = Topic::MESSAGES
        .into_iter()
        .flat_map(|topic| {
            (0..checks::partitions_of(topic, cluster.partitions)).map(move |partition| (topic, partition))
        })
        .collect();
    let mut list = TopicPartitionList::with_capacity(places.len());
    for (topic, partition) in &places {
        list.add_partition(&cluster.topic(*topic), i32::try_from(*partition).unwrap_or(i32::MAX));
    }
    let committed = observer.asker(cluster, group)?.committed_offsets(list, ANSWER);
    let committed = committed.map_err(|error| cluster.place.fault(&error))?;
    Ok(places
        .into_iter()
        .filter_map(|(topic, partition)| {
            let number = i32::try_from(partition).ok()?;
            match committed.find_partition(&cluster.topic(topic), number)?.offset() {
                Offset::Offset(offset) => Some((topic, partition, Position(offset.max(0).unsigned_abs()))),
                _ => None,
            }
        })
        .collect())
}

/// Records behind the positions, in all partitions of each topic of which any was committed. Where there is none, and
/// no transaction is open, that is 0; else it is the distance to the end.
fn lag(
    cluster: &Arc<Cluster>,
    gaps: &Gaps,
    committed: &[(Topic, u32, Position)],
) -> Result<Vec<(Topic, u64)>, LogError> {
    let mut topics: Vec<_> = committed.iter().map(|(topic, ..)| *topic).collect();
    topics.dedup();
    let behind = |topic: Topic| {
        let (mut undecided, mut decided) = (BTreeMap::new(), BTreeMap::new());
        for partition in 0..checks::partitions_of(topic, cluster.partitions) {
            let found = committed.iter().find(|(t, p, _)| (*t, *p) == (topic, partition));
            let next = found.map_or(0, |(.., position)| i64::try_from(position.0).unwrap_or(i64::MAX));
            let (first, end) = cluster.ends(topic, partition)?;
            let stretch = next.max(first)..end;
            if stretch.is_empty() {
                continue;
            }
            let is_decided = cluster.decided_end(topic, partition)? >= end;
            if is_decided { &mut decided } else { &mut undecided }.insert(partition, stretch);
        }
        let filled = gaps.filled(cluster, topic, &decided)?;
        decided.retain(|partition, _| filled.contains(partition));
        let length = |stretch: &Range<i64>| stretch.end.saturating_sub(stretch.start).unsigned_abs();
        let lag = decided.values().chain(undecided.values()).map(length).fold(0, u64::saturating_add);
        Ok((topic, lag))
    };
    topics.into_iter().map(behind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_told_from_none() {
        assert!(!assigns(&[]));
        assert!(!assigns(&[0, 1, 0, 0, 0, 0, 0, 0, 0, 0]));
        assert!(assigns(&[0, 1, 0, 0, 0, 1, 0, 1, b'x', 0, 0, 0, 1, 0, 0, 0, 0]));
    }
}
