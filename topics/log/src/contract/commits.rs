//! What a commit makes durable.

use std::collections::BTreeSet;

use counterpoint_messages::{Fingerprint, Topic};

use super::{Engine, harness::*};
use crate::{Commit, Group, LogError, Membership, StateEntry};

/// Reading and working leave no trace.
pub async fn nothing_is_visible_before_its_commit(engine: &dyn Engine) {
    let log = engine.open().await;
    log.append(numbered(SPLIT, 0..3)).await.unwrap();
    let mut owner = Owner::join(&log, membership(&[SPLIT])).await;
    let records = owner.read().await;
    assert_eq!(log.groups().await.unwrap(), []);
    assert_eq!(scan(&log, SINGLE).await, []);
    let commit = Commit { outputs: numbered(SINGLE, 0..3), ..done(&records) };
    owner.commit(commit).await.unwrap();
    assert_eq!(values(&scan(&log, SINGLE).await), texts(0..3));
}

/// Outputs, state and positions become true together.
pub async fn a_commit_is_whole(engine: &dyn Engine) {
    let log = engine.open().await;
    log.append(numbered(SPLIT, 0..5)).await.unwrap();
    let mut owner = Owner::join(&log, membership(&[SPLIT])).await;
    let records = owner.read().await;
    let commit = Commit {
        outputs: numbered(SINGLE, 0..2),
        state: vec![entry("count", Some("2"))],
        ..done(&records[..2])
    };
    owner.commit(commit).await.unwrap();
    owner.leave().await;
    let mut successor = Owner::join(&engine.open().await, membership(&[SPLIT])).await;
    assert_eq!(successor.state, [entry("count", Some("2"))]);
    assert_eq!(values(&successor.read().await), texts(2..5));
    assert_eq!(values(&scan(&log, SINGLE).await), texts(0..2));
}

/// A commit that cannot be done as a whole is not done at all, and does not end the membership.
pub async fn a_refused_commit_leaves_nothing(engine: &dyn Engine) {
    let log = engine.open().await;
    log.append(numbered(SPLIT, 0..3)).await.unwrap();
    let mut owner = Owner::join(&log, membership(&[SPLIT])).await;
    let records = owner.read().await;
    let good =
        Commit { outputs: numbered(SINGLE, 0..2), state: vec![entry("a", Some("1"))], ..done(&records) };
    let mut bad = good.clone();
    bad.outputs.push(record(SINGLE, 1, "no such partition", ""));
    let error = owner.commit(bad).await.unwrap_err();
    assert!(matches!(error, LogError::Invalid { .. }), "{error}");
    let nowhere = StateEntry { partition: log.partitions(SPLIT), ..entry("b", Some("1")) };
    let error = owner.commit(Commit { state: vec![nowhere], ..good.clone() }).await.unwrap_err();
    assert!(matches!(error, LogError::Invalid { .. }), "{error}");
    assert_eq!(scan(&log, SINGLE).await, []);
    assert_eq!(log.groups().await.unwrap(), []);
    owner.member.abort(owner.epoch).await.unwrap();
    assert_eq!(owner.reassigned().await, []);
    assert_eq!(values(&owner.read().await), texts(0..3));
    owner.commit(good).await.unwrap();
    assert_eq!(values(&scan(&log, SINGLE).await), texts(0..2));
}

/// After an abort, what was not committed is read again, with the state that was.
pub async fn an_abort_resumes_at_what_was_committed(engine: &dyn Engine) {
    let log = engine.open().await;
    log.append(numbered(SPLIT, 0..10)).await.unwrap();
    let mut owner = Owner::join(&log, Membership { max_records: 3, ..membership(&[SPLIT]) }).await;
    let records = owner.read().await;
    let commit = Commit { state: vec![entry("seen", Some("4"))], ..done(&records[..4]) };
    owner.commit(commit).await.unwrap();
    for _ in 0..2 {
        patiently(owner.member.abort(owner.epoch)).await.unwrap();
        assert_eq!(owner.reassigned().await, [entry("seen", Some("4"))]);
        assert_eq!(values(&owner.read().await), texts(4..10));
    }
}

/// An abort takes back only what was not handed to a commit.
pub async fn commits_in_flight_before_an_abort_count(engine: &dyn Engine) {
    let log = engine.open().await;
    log.append(numbered(SPLIT, 0..4)).await.unwrap();
    let mut owner = Owner::join(&log, membership(&[SPLIT])).await;
    let records = owner.read().await;
    let (committed, aborted) =
        tokio::join!(owner.commit(done(&records[..3])), owner.member.abort(owner.epoch));
    committed.unwrap();
    aborted.unwrap();
    owner.reassigned().await;
    assert_eq!(values(&owner.read().await), texts(3..4));
}

/// Commits do not get lost among each other.
pub async fn commits_made_at_once_all_count(engine: &dyn Engine) {
    let log = engine.open().await;
    let owner = Owner::join(&log, membership(&[SPLIT])).await;
    let commits = (0..200).map(|number| {
        owner.commit(Commit {
            outputs: numbered(SINGLE, number..number + 1),
            state: vec![entry(&number.to_string(), Some("done"))],
            ..Commit::default()
        })
    });
    for committed in futures::future::join_all(commits).await {
        committed.unwrap();
    }
    let written: BTreeSet<_> = values(&scan(&log, SINGLE).await).into_iter().collect();
    assert_eq!(written, texts(0..200).into_iter().collect());
    owner.leave().await;
    assert_eq!(Owner::join(&log, membership(&[SPLIT])).await.state.len(), 200);
}

/// Committing nothing is allowed and does nothing. An engine may note on a state topic who owns a group.
pub async fn an_empty_commit_changes_nothing(engine: &dyn Engine) {
    let log = engine.open().await;
    let owner = Owner::join(&log, membership(&[SPLIT])).await;
    owner.commit(Commit::default()).await.unwrap();
    let topics = log.topics().await.unwrap();
    let messages = topics.iter().filter(|topic| Topic::MESSAGES.contains(&topic.topic));
    assert!(messages.into_iter().all(|topic| topic.records == 0));
    assert_eq!(log.groups().await.unwrap(), []);
    owner.leave().await;
    assert_eq!(Owner::join(&log, membership(&[SPLIT])).await.state, []);
}

/// The next owner is given what the last one committed: changed, added and removed.
pub async fn state_is_rebuilt_by_the_next_owner(engine: &dyn Engine) {
    let log = engine.open().await;
    let change = async |state: Vec<StateEntry>| {
        let owner = Owner::join(&log, membership(&[SPLIT])).await;
        let before = owner.state.clone();
        owner.commit(Commit { state, ..Commit::default() }).await.unwrap();
        owner.leave().await;
        before
    };
    let elsewhere = StateEntry { partition: 1, ..entry("a", Some("other partition")) };
    assert_eq!(change(vec![entry("b", Some("1")), entry("a", Some("1")), elsewhere.clone()]).await, []);
    let first = [entry("a", Some("1")), entry("b", Some("1")), elsewhere.clone()];
    assert_eq!(change(vec![entry("a", None), entry("b", Some("")), entry("none", None)]).await, first);
    assert_eq!(change(vec![]).await, [entry("b", Some("")), elsewhere]);
}

/// The same stage under other settings begins without state and without positions.
pub async fn state_belongs_to_one_fingerprint(engine: &dyn Engine) {
    let log = engine.open().await;
    log.append(numbered(SPLIT, 0..3)).await.unwrap();
    let mut owner = Owner::join(&log, membership(&[SPLIT])).await;
    let records = owner.read().await;
    let commit = Commit { state: vec![entry("a", Some("1"))], ..done(&records) };
    owner.commit(commit).await.unwrap();
    for fingerprint in [[6; 8], [8; 8], [0; 8], [0xff; 8]].map(Fingerprint) {
        let group = Group { fingerprint, ..GROUP };
        let mut other = Owner::join(&log, Membership { group, ..membership(&[SPLIT]) }).await;
        assert_eq!(other.state, []);
        assert_eq!(values(&other.read().await), texts(0..3));
        other.commit(Commit { state: vec![entry("a", None)], ..Commit::default() }).await.unwrap();
    }
    owner.leave().await;
    assert_eq!(Owner::join(&log, membership(&[SPLIT])).await.state, [entry("a", Some("1"))]);
}

/// A commit may change a key more than once.
pub async fn the_last_change_of_a_state_key_counts(engine: &dyn Engine) {
    let log = engine.open().await;
    let owner = Owner::join(&log, membership(&[SPLIT])).await;
    let state = vec![entry("a", Some("1")), entry("b", Some("1")), entry("a", Some("2")), entry("b", None)];
    owner.commit(Commit { state, ..Commit::default() }).await.unwrap();
    owner.leave().await;
    assert_eq!(Owner::join(&log, membership(&[SPLIT])).await.state, [entry("a", Some("2"))]);
}
