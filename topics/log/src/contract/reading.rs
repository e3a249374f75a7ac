//! What a member is given to read.

use std::sync::Arc;

use counterpoint_messages::{Fingerprint, StageName, Topic};
use futures::{FutureExt, StreamExt};

use super::{Engine, harness::*};
use crate::{Commit, Event, Group, LogError, Membership, Outgoing, TopicLog};

/// What was there before the group is read by it.
pub async fn a_new_group_starts_at_the_beginning(engine: &dyn Engine) {
    let log = engine.open().await;
    log.append(numbered(SINGLE, 0..5)).await.unwrap();
    let mut owner = Owner::join(&log, membership(&[SINGLE, SPLIT])).await;
    assert_eq!(owner.state, []);
    let mut expected = vec![(SINGLE, 0)];
    expected.extend((0..log.partitions(SPLIT)).map(|partition| (SPLIT, partition)));
    owner.partitions.sort();
    expected.sort();
    assert_eq!(owner.partitions, expected);
    assert_eq!(values(&owner.read().await), texts(0..5));
}

/// A topic without records has an end all the same.
pub async fn an_empty_topic_reaches_its_end(engine: &dyn Engine) {
    let log = engine.open().await;
    let mut owner = Owner::join(&log, membership(&[SPLIT])).await;
    assert_eq!(owner.read().await, []);
}

/// The end is news once, and again after further records.
pub async fn the_end_is_told_once_each_time_it_is_reached(engine: &dyn Engine) {
    let log = engine.open().await;
    let mut owner = Owner::join(&log, membership(&[SINGLE])).await;
    assert_eq!(owner.read().await, []);
    // Commits that bring this group nothing wake it at most.
    log.append(numbered(SPLIT, 0..1)).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert!(owner.events.next().now_or_never().is_none());
    log.append(numbered(SINGLE, 0..1)).await.unwrap();
    assert_eq!(values(&owner.read().await), texts(0..1));
    assert!(owner.events.next().now_or_never().is_none());
}

/// Pages are bounded by records and by bytes, and never mix partitions.
pub async fn a_page_holds_one_partition_and_keeps_to_its_bounds(engine: &dyn Engine) {
    let log = engine.open().await;
    let value = "x".repeat(100);
    for partition in 0..log.partitions(SPLIT) {
        log.append((0..20).map(|_| record(SPLIT, partition, "", &value)).collect()).await.unwrap();
    }
    for (max_records, max_bytes) in [(3, 1 << 20), (100, 450), (1, 1 << 20)] {
        let group = Group { fingerprint: Fingerprint([max_records as u8; 8]), ..GROUP };
        let bounded = Membership { group, max_records, max_bytes, ..membership(&[SPLIT]) };
        let mut owner = Owner::join(&log, bounded).await;
        let mut read = 0;
        while let Event::Records(page) = next(&mut owner.events).await {
            assert!(!page.is_empty() && page.len() <= max_records && page.len() * 100 <= max_bytes);
            assert!(page.iter().all(|record| record.partition == page[0].partition));
            read += page.len();
        }
        assert_eq!(read, 20 * log.partitions(SPLIT) as usize);
    }
}

/// Bounds never keep a record back for good.
pub async fn a_record_larger_than_the_bounds_comes_alone(engine: &dyn Engine) {
    let log = engine.open().await;
    let large = Outgoing { value: vec![1; 2 << 20], ..record(SINGLE, 0, "large", "") };
    log.append(vec![record(SINGLE, 0, "k", "0"), large, record(SINGLE, 0, "k", "2")]).await.unwrap();
    let mut owner = Owner::join(&log, Membership { max_bytes: 64, ..membership(&[SINGLE]) }).await;
    let mut pages = Vec::new();
    while let Event::Records(page) = next(&mut owner.events).await {
        pages.push(page.len());
    }
    assert_eq!(pages, [1, 1, 1]);
}

/// A partition with much to read does not keep the others from being read.
pub async fn no_partition_starves_the_others(engine: &dyn Engine) {
    let log = engine.open().await;
    let last = log.partitions(SPLIT) - 1;
    log.append(numbered(SPLIT, 0..1000)).await.unwrap();
    log.append(vec![record(SPLIT, last, "late", "late")]).await.unwrap();
    let mut owner = Owner::join(&log, Membership { max_records: 10, ..membership(&[SPLIT]) }).await;
    let mut before = 0;
    while let Event::Records(page) = next(&mut owner.events).await {
        if page[0].partition == last {
            break;
        }
        before += page.len();
    }
    assert!(before < 1000, "read {before} records of the first partition before the last one's");
}

/// A member learns of what other processes write.
pub async fn records_of_another_process_arrive(engine: &dyn Engine) {
    let (log, other) = (engine.open().await, engine.open().await);
    let mut owner = Owner::join(&log, membership(&[SINGLE])).await;
    assert_eq!(owner.read().await, []);
    other.append(numbered(SINGLE, 0..2)).await.unwrap();
    assert_eq!(values(&owner.read().await), texts(0..2));
}

/// Several groups read the same records, each at its own pace, at the same time.
pub async fn groups_do_not_disturb_each_other(engine: &dyn Engine) {
    let log = engine.open().await;
    log.append(numbered(SINGLE, 0..50)).await.unwrap();
    let work = |stage: StageName, log: Arc<dyn TopicLog>| async move {
        let group = Group { stage, ..GROUP };
        let mut owner =
            Owner::join(&log, Membership { group, max_records: 7, ..membership(&[SINGLE]) }).await;
        let records = owner.read().await;
        owner.commit(done(&records)).await.unwrap();
        values(&records)
    };
    let members = StageName::ALL.map(|stage| work(stage, Arc::clone(&log)));
    for read in futures::future::join_all(members).await {
        assert_eq!(read, texts(0..50));
    }
    assert_eq!(log.groups().await.unwrap().len(), StageName::ALL.len());
}

/// An operator sees who owns a group and how far behind it is.
pub async fn lag_counts_what_is_behind_the_committed_positions(engine: &dyn Engine) {
    let log = engine.open().await;
    log.append(numbered(SPLIT, 0..10)).await.unwrap();
    log.append(vec![record(SPLIT, 1, "k", "v")]).await.unwrap();
    let mut owner = Owner::join(&log, membership(&[SPLIT])).await;
    let records = owner.read().await;
    let first: Vec<_> = records.iter().filter(|record| record.partition == 0).take(4).cloned().collect();
    owner.commit(done(&first)).await.unwrap();
    let groups = log.groups().await.unwrap();
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].group, GROUP);
    assert!(groups[0].lag >= 7, "{}", groups[0].lag);
    assert_eq!(groups[0].lag_by_topic.iter().map(|(_, lag)| lag).sum::<u64>(), groups[0].lag);
    assert!(groups[0].holder.is_some());
    owner.commit(done(&records)).await.unwrap();
    owner.leave().await;
    let after = log.groups().await.unwrap();
    assert_eq!((after[0].lag, after[0].lag_by_topic.clone()), (0, vec![(SPLIT, 0)]));
    // Brokers tell of it a moment later.
    patiently(async {
        while log.groups().await.unwrap()[0].holder.is_some() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// What can never work is said at once.
pub async fn a_membership_that_cannot_be_served_is_refused(engine: &dyn Engine) {
    let log = engine.open().await;
    let impossible = [
        membership(&[]),
        membership(&[SINGLE, SINGLE]),
        membership(&[Topic::State(StageName::Gate)]),
        Membership { max_records: 0, ..membership(&[SINGLE]) },
    ];
    for membership in impossible {
        let error = log.join(membership).await.err().unwrap();
        assert!(matches!(error, LogError::Invalid { .. }), "{error}");
    }
    let owner = Owner::join(&log, membership(&[SINGLE])).await;
    let elsewhere = Commit { positions: vec![(SPLIT, 0, crate::Position(1))], ..Commit::default() };
    let error = owner.commit(elsewhere).await.unwrap_err();
    assert!(error.to_string().contains("not assigned"), "{error}");
}
