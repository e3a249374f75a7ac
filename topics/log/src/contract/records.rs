//! Records, whoever wrote them.

use counterpoint_messages::{Fingerprint, RecordId, StageName, Topic, TraceParent};
use futures::StreamExt;

use super::{Engine, harness::*};
use crate::{Commit, Headers, LogError, MAX_RECORD_BYTES, Outgoing};

/// Order holds inside a partition, over appends and inside one.
pub async fn records_of_a_partition_come_in_the_order_they_were_written(engine: &dyn Engine) {
    let log = engine.open().await;
    for start in [0, 10, 20] {
        log.append(numbered(SINGLE, start..start + 10)).await.unwrap();
    }
    assert_eq!(values(&scan(&log, SINGLE).await), texts(0..30));
}

/// A later record never has a smaller position.
pub async fn positions_increase_over_appends_commits_and_reopening(engine: &dyn Engine) {
    let log = engine.open().await;
    log.append(numbered(SINGLE, 0..3)).await.unwrap();
    let owner = Owner::join(&log, membership(&[SPLIT])).await;
    owner.commit(Commit { outputs: numbered(SINGLE, 3..6), ..Commit::default() }).await.unwrap();
    owner.leave().await;
    drop(log);
    let log = engine.open().await;
    log.append(numbered(SINGLE, 6..9)).await.unwrap();
    let records = scan(&log, SINGLE).await;
    assert_eq!(values(&records), texts(0..9));
    assert!(records.is_sorted_by(|a, b| a.position < b.position));
}

/// Nothing of a record is lost or changed, empty parts included.
pub async fn headers_keys_and_values_come_back_as_written(engine: &dyn Engine) {
    let log = engine.open().await;
    let all = Headers {
        trace: Some(TraceParent { trace_id: [1; 16], span_id: [2; 8], sampled: true }),
        revision: Some(Fingerprint([3; 8])),
        clip: Some(RecordId([4; 16])),
        reader: Some(Fingerprint([7; 8])),
    };
    let unsampled = TraceParent { trace_id: [5; 16], span_id: [6; 8], sampled: false };
    let written = [
        Outgoing { headers: all, ..record(SINGLE, 0, "key", "value") },
        Outgoing {
            headers: Headers { trace: Some(unsampled), ..Headers::default() },
            ..record(SINGLE, 0, "", "")
        },
        Outgoing { key: vec![0, 0xff], value: (0..=255).collect(), ..record(SINGLE, 0, "", "") },
    ];
    log.append(written.to_vec()).await.unwrap();
    let read = scan(&log, SINGLE).await;
    assert_eq!(read.len(), written.len());
    for (read, written) in read.iter().zip(written) {
        assert_eq!((read.topic, read.partition), (SINGLE, 0));
        assert_eq!((&read.key, &read.value), (&written.key, &written.value));
        assert_eq!(read.headers, written.headers);
    }
}

/// A request that cannot be done as a whole is not done at all.
pub async fn an_append_with_one_bad_record_writes_none(engine: &dyn Engine) {
    let log = engine.open().await;
    let beyond = log.partitions(SPLIT);
    for bad in [record(SPLIT, beyond, "k", "v"), record(Topic::State(StageName::Gate), 0, "k", "v")] {
        let error = log.append(vec![record(SINGLE, 0, "k", "v"), bad]).await.unwrap_err();
        assert!(matches!(error, LogError::Invalid { .. }), "{error}");
    }
    assert_eq!(scan(&log, SINGLE).await, []);
}

/// The limit holds, and holds exactly.
pub async fn a_record_that_is_too_large_is_refused_and_the_largest_is_kept(engine: &dyn Engine) {
    let log = engine.open().await;
    let sized = |bytes| Outgoing { value: vec![7; bytes], ..record(SINGLE, 0, "", "") };
    let error = log.append(vec![sized(MAX_RECORD_BYTES + 1)]).await.unwrap_err();
    assert!(matches!(error, LogError::Invalid { .. }), "{error}");
    log.append(vec![sized(MAX_RECORD_BYTES)]).await.unwrap();
    let read = scan(&log, SINGLE).await;
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].value, vec![7; MAX_RECORD_BYTES]);
}

/// What is written during a scan is not part of it.
pub async fn a_scan_ends_at_what_was_the_end_when_it_began(engine: &dyn Engine) {
    let log = engine.open().await;
    log.append(numbered(SINGLE, 0..600)).await.unwrap();
    let mut records = log.scan(SINGLE);
    let first = next(&mut records).await;
    log.append(numbered(SINGLE, 600..700)).await.unwrap();
    let rest: Vec<_> = patiently(records.map(Result::unwrap).collect()).await;
    assert_eq!(values(&[&[first], rest.as_slice()].concat()), texts(0..600));
}

/// All of a partition comes before the next one.
pub async fn a_scan_goes_partition_after_partition(engine: &dyn Engine) {
    let log = engine.open().await;
    let partitions = log.partitions(SPLIT);
    for _ in 0..3 {
        log.append((0..partitions).map(|partition| record(SPLIT, partition, "k", "v")).collect())
            .await
            .unwrap();
    }
    let read: Vec<_> = scan(&log, SPLIT).await.iter().map(|record| record.partition).collect();
    assert_eq!(read, (0..partitions).flat_map(|partition| [partition; 3]).collect::<Vec<_>>());
}

/// Each key that was there when the scan began is in it, at least in a later version.
pub async fn a_scan_of_a_compacted_topic_misses_no_key_that_is_replaced_meanwhile(engine: &dyn Engine) {
    let log = engine.open().await;
    log.append(numbered(Topic::Curated, 0..600)).await.unwrap();
    let mut records = log.scan(Topic::Curated);
    let mut keys = vec![next(&mut records).await.key];
    log.append(numbered(Topic::Curated, 0..600)).await.unwrap();
    while let Some(record) = patiently(records.next()).await {
        keys.push(record.unwrap().key);
    }
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 600);
}

/// Following begins at the beginning and does not end.
pub async fn a_follower_sees_what_is_there_and_what_comes(engine: &dyn Engine) {
    let (log, other) = (engine.open().await, engine.open().await);
    log.append(numbered(SPLIT, 0..2)).await.unwrap();
    let mut records = log.follow(SPLIT);
    let mut read = vec![next(&mut records).await, next(&mut records).await];
    log.append(numbered(SPLIT, 2..3)).await.unwrap();
    read.push(next(&mut records).await);
    other.append(numbered(SPLIT, 3..4)).await.unwrap();
    read.push(next(&mut records).await);
    assert_eq!(values(&read), texts(0..4));
}

/// Of a compacted topic the newest of each key is kept at least, and where it was written.
pub async fn compaction_keeps_the_newest_record_of_a_key(engine: &dyn Engine) {
    let log = engine.open().await;
    let write = async |key, value| log.append(vec![record(Topic::Curated, 0, key, value)]).await.unwrap();
    write("a", "old").await;
    write("b", "only").await;
    write("a", "new").await;
    let newest: std::collections::BTreeMap<_, _> =
        scan(&log, Topic::Curated).await.into_iter().map(|record| (record.key, record.value)).collect();
    assert_eq!(newest, [(b"a".to_vec(), b"new".to_vec()), (b"b".to_vec(), b"only".to_vec())].into());
    log.append(vec![record(SINGLE, 0, "a", "old"), record(SINGLE, 0, "a", "new")]).await.unwrap();
    assert_eq!(values(&scan(&log, SINGLE).await), ["old", "new"]);
}

/// An operator sees every topic, and what it holds.
pub async fn topics_are_described_with_their_records_and_bytes(engine: &dyn Engine) {
    let log = engine.open().await;
    log.append(vec![record(SPLIT, 0, "k", "123"), record(SPLIT, 1, "k", "12")]).await.unwrap();
    let described = log.topics().await.unwrap();
    let topics: Vec<_> = described.iter().map(|topic| topic.topic).collect();
    assert_eq!(topics, Topic::all().collect::<Vec<_>>());
    for topic in described {
        assert_eq!(topic.partitions, log.partitions(topic.topic));
        let least = if topic.topic == SPLIT { (2, 7) } else { (0, 0) };
        assert!(topic.records >= least.0 && topic.bytes >= least.1, "{topic:?}");
        assert_eq!((topic.records > 0, topic.newest_ms.is_some()), (least.0 > 0, least.0 > 0), "{topic:?}");
    }
}

/// Records outlive the processes that wrote them.
pub async fn what_was_written_is_there_after_reopening(engine: &dyn Engine) {
    let log = engine.open().await;
    let partitions = log.partitions(SPLIT);
    log.append(numbered(SINGLE, 0..3)).await.unwrap();
    drop(log);
    let log = engine.open().await;
    assert_eq!(log.partitions(SPLIT), partitions);
    assert_eq!(values(&scan(&log, SINGLE).await), texts(0..3));
}
