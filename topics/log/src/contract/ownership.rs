//! Who owns a group.

use futures::StreamExt;

use super::{Engine, SLEEPER, harness::*};
use crate::{Commit, Event, LogError, Membership};

/// One member works; the next knows for whom it waits, and goes on where that one stopped.
pub async fn a_second_member_waits_names_the_holder_and_takes_over(engine: &dyn Engine) {
    let (log, other) = (engine.open().await, engine.open().await);
    log.append(numbered(SPLIT, 0..4)).await.unwrap();
    let mut owner = Owner::join(&log, membership(&[SPLIT])).await;
    let (mut events, _member) = other.join(membership(&[SPLIT])).await.unwrap();
    let Event::Waiting { holder } = next(&mut events).await else { panic!("should wait") };
    assert!(holder.contains("process"), "{holder}");
    let records = owner.read().await;
    owner.commit(done(&records[..1])).await.unwrap();
    let epoch = owner.epoch;
    owner.leave().await;
    let Event::Assigned { epoch: successor, .. } = next(&mut events).await else {
        panic!("should be assigned")
    };
    assert!(successor > epoch);
    let Event::Records(rest) = next(&mut events).await else { panic!("should read") };
    assert_eq!(values(&rest), texts(1..4));
}

/// Two members are two members, wherever they run.
pub async fn a_second_member_of_one_process_waits_as_well(engine: &dyn Engine) {
    let log = engine.open().await;
    let owner = Owner::join(&log, membership(&[SPLIT])).await;
    let (mut events, _member) = log.join(membership(&[SPLIT])).await.unwrap();
    assert!(matches!(next(&mut events).await, Event::Waiting { .. }));
    owner.commit(Commit::default()).await.unwrap();
    owner.leave().await;
    assert!(matches!(next(&mut events).await, Event::Assigned { .. }));
}

/// Whoever is gone holds nothing.
pub async fn a_dropped_member_lets_the_next_one_in(engine: &dyn Engine) {
    let log = engine.open().await;
    let owner = Owner::join(&log, membership(&[SPLIT])).await;
    drop(owner);
    Owner::join(&engine.open().await, membership(&[SPLIT])).await;
}

/// Leaving is for good.
pub async fn a_member_that_left_reads_and_commits_nothing(engine: &dyn Engine) {
    let log = engine.open().await;
    let mut owner = Owner::join(&log, membership(&[SPLIT])).await;
    patiently(owner.member.leave()).await.unwrap();
    log.append(numbered(SPLIT, 0..1)).await.unwrap();
    assert!(patiently(owner.events.next()).await.is_none());
    let commit = Commit { outputs: numbered(SINGLE, 0..1), ..Commit::default() };
    let error = owner.commit(commit).await.unwrap_err();
    assert!(matches!(error, LogError::Fenced { .. }), "{error}");
    assert_eq!(scan(&log, SINGLE).await, []);
    patiently(owner.member.leave()).await.unwrap();
}

/// One that never got its group can go without disturbing the one that has it.
pub async fn a_waiting_member_may_leave(engine: &dyn Engine) {
    let log = engine.open().await;
    let owner = Owner::join(&log, membership(&[SPLIT])).await;
    let (mut events, member) = log.join(membership(&[SPLIT])).await.unwrap();
    assert!(matches!(next(&mut events).await, Event::Waiting { .. }));
    patiently(member.leave()).await.unwrap();
    assert!(patiently(events.next()).await.is_none());
    owner.commit(Commit::default()).await.unwrap();
}

/// A process that slept while others took over can do no harm: nothing of its work becomes visible.
pub async fn a_suspended_owner_is_fenced_when_it_awakes(engine: &dyn Engine) {
    let (sleeper, log) = (engine.open_and_suspend().await, engine.open().await);
    log.append(numbered(SPLIT, 0..3)).await.unwrap();
    let instance = SLEEPER.to_owned();
    let mut zombie = Owner::join(&sleeper, Membership { instance, ..membership(&[SPLIT]) }).await;
    let records = zombie.read().await;
    let mut successor = Owner::join(&log, membership(&[SPLIT])).await;
    assert!(successor.epoch > zombie.epoch);
    let commit =
        Commit { outputs: numbered(SINGLE, 0..3), state: vec![entry("mine", Some("1"))], ..done(&records) };
    for epoch in [zombie.epoch, successor.epoch] {
        let error = patiently(zombie.member.commit(epoch, commit.clone())).await.unwrap_err();
        assert!(matches!(error, LogError::Fenced { group: GROUP, .. }), "{error}");
    }
    let error = patiently(zombie.member.abort(zombie.epoch)).await.unwrap_err();
    assert!(matches!(error, LogError::Fenced { .. }), "{error}");
    assert!(matches!(next(&mut zombie.events).await, Event::Fenced { .. }));
    assert!(patiently(zombie.events.next()).await.is_none());
    assert_eq!(scan(&log, SINGLE).await, []);
    assert_eq!(values(&successor.read().await), texts(0..3));
    successor.commit(commit).await.unwrap();
    assert_eq!(values(&scan(&log, SINGLE).await), texts(0..3));
}

/// Epochs never repeat, whoever comes and goes.
pub async fn epochs_grow_with_every_owner(engine: &dyn Engine) {
    let mut epochs = Vec::new();
    for _ in 0..4 {
        let log = engine.open().await;
        let owner = Owner::join(&log, membership(&[SPLIT])).await;
        epochs.push(owner.epoch);
        owner.leave().await;
    }
    assert!(epochs.is_sorted_by(|a, b| a < b), "{epochs:?}");
}
