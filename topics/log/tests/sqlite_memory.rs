//! A stalled member holds the log back. In a program of its own, because it measures the process.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

use counterpoint_log::{
    Event, Group, Headers, Membership, Outgoing, TopicLog,
    sqlite::{SqliteLog, SqliteOptions},
};
use counterpoint_messages::{Fingerprint, StageName, Topic};
use futures::StreamExt;

const RECORD_BYTES: usize = 512 << 10;
const RECORDS: usize = 160;
const PAGE_BYTES: usize = 2 << 20;

/// Resident memory of this process in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[tokio::test]
async fn a_member_that_is_not_polled_keeps_at_most_a_page_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let log = SqliteLog::open(folder.path(), SqliteOptions::default()).unwrap();
    for _ in 0..RECORDS {
        let value = vec![1; RECORD_BYTES];
        let headers = Headers::default();
        log.append(vec![Outgoing { topic: Topic::Clips, partition: 0, key: vec![], value, headers }])
            .await
            .unwrap();
    }
    let membership = Membership {
        group: Group { stage: StageName::Decoder, fingerprint: Fingerprint([1; 8]) },
        instance: "test".into(),
        inputs: vec![Topic::Clips],
        exclusive: false,
        max_records: usize::MAX,
        max_bytes: PAGE_BYTES,
    };
    let (mut events, _member) = log.join(membership).await.unwrap();
    assert!(matches!(events.next().await, Some(Ok(Event::Assigned { .. }))));
    let before = resident();
    let Some(Ok(Event::Records(page))) = events.next().await else { panic!("there are records") };
    assert_eq!(page.len(), PAGE_BYTES / RECORD_BYTES);
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let grown = resident().saturating_sub(before);
    assert!(grown < RECORDS * RECORD_BYTES / 4, "grew by {grown} bytes for a page of {PAGE_BYTES}");
    let mut rest = 0;
    while let Some(Ok(Event::Records(page))) = events.next().await {
        rest += page.len();
    }
    assert_eq!(page.len() + rest, RECORDS);
}
