//! Inputs that never end: what is taken up, when pools are sealed, and what a later run makes of it.

use std::{
    fs,
    future::Future,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use counterpoint_actors::{follow::Follower, projection::Projection, settings::FollowSettings};
use counterpoint_log::{TopicLog, memory::MemoryLog};
use counterpoint_messages::{InputSealed, Message, PoolSealed, RunFinished, StageName, Topic};
use futures::TryStreamExt;

use crate::{
    harness::{CLASSES, Harness, assert_adds_up},
    tally::checked,
};

fn memory() -> Arc<dyn TopicLog> {
    Arc::new(MemoryLog::new(4))
}

/// Quick, and no pool before it is asked for.
fn quick() -> FollowSettings {
    FollowSettings { scan_seconds: 0.05, settle_seconds: 0.2, seal_clips: 0, seal_minutes: 60.0 }
}

async fn messages(log: &Arc<dyn TopicLog>, topic: Topic) -> Vec<Message> {
    let records: Vec<_> = log.scan(topic).try_collect().await.unwrap();
    records.iter().map(|record| Message::decode(&record.value).unwrap()).collect()
}

async fn count(log: &Arc<dyn TopicLog>, topic: Topic) -> usize {
    messages(log, topic).await.len()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..6_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("still not so: {what}");
}

async fn until_count(log: &Arc<dyn TopicLog>, topic: Topic, number: usize) {
    until(&format!("{topic} has {number} records"), async || count(log, topic).await >= number).await;
}

async fn pools(log: &Arc<dyn TopicLog>) -> Vec<PoolSealed> {
    let pool = |message| match message {
        Message::PoolSealed(pool) => Some(pool),
        _ => None,
    };
    messages(log, Topic::Pools).await.into_iter().filter_map(pool).collect()
}

async fn ends(log: &Arc<dyn TopicLog>) -> Vec<RunFinished> {
    let end = |message| match message {
        Message::RunFinished(end) => Some(end),
        _ => None,
    };
    messages(log, Topic::Runs).await.into_iter().filter_map(end).collect()
}

/// Follows the harness's folder with every stage while `body` goes on, and stops cleanly.
fn following(
    harness: &Harness,
    log: &Arc<dyn TopicLog>,
    settings: FollowSettings,
    body: impl Future<Output = ()>,
) {
    actix::System::new().block_on(async {
        let revision = harness.revision();
        counterpoint_actors::pipeline::declare(&**log, &revision).await.unwrap();
        let pipeline = harness.pipeline(log, &StageName::RUN);
        let follower = Follower {
            log: Arc::clone(log),
            revision,
            tools: Arc::clone(&pipeline.tools),
            offer: harness.offered(),
            source: harness.settings.source.clone(),
            settings,
        };
        let mut running = pipeline.start();
        tokio::select! {
            ended = running.ended() => panic!("it ended: {ended:?}"),
            error = follower.follow() => panic!("it does not follow: {error:?}"),
            () = body => {}
        }
        running.stop();
        running.ended().await.unwrap();
    });
}

fn write(harness: &Harness, number: usize, content: &str) {
    fs::write(harness.path("clips").join(format!("{}.mp4", Harness::video(number))), content).unwrap();
}

async fn summary(harness: &Harness, log: &Arc<dyn TopicLog>) -> counterpoint_actors::projection::Summary {
    Projection::of(&**log, &harness.revision()).await.unwrap().summary
}

#[test]
fn a_pool_is_sealed_for_every_so_many_clips_and_the_report_follows_it() {
    let harness = Harness::with_clips(2);
    let log = memory();
    let settings = FollowSettings { seal_clips: 4, ..quick() };
    following(&harness, &log, settings.clone(), async {
        until_count(&log, Topic::Accepted, 2).await;
        for number in 2..4 {
            harness.add_clip(number, "good");
        }
        until("the first pools are composed", async || ends(&log).await.len() == 1).await;
        let sealed = pools(&log).await;
        assert_eq!(sealed.iter().map(|pool| pool.members).sum::<u64>(), 4);
        assert!(sealed.iter().all(|pool| pool.generation == 1), "{sealed:?}");
        until("the report is there", async || harness.path("out/manifest.jsonl").exists()).await;
        for number in 4..9 {
            harness.add_clip(number, "good");
        }
        until("the second pools are composed", async || ends(&log).await.len() == 2).await;
        until_count(&log, Topic::Accepted, 9).await;
    });
    actix::System::new().block_on(async {
        let sealed = pools(&log).await;
        let members: u64 = sealed.iter().map(|pool| pool.members).sum();
        assert_eq!(members, 8, "the ninth waits for others: {sealed:?}");
        assert_eq!(sealed.iter().map(|pool| pool.generation).max(), Some(2));
    });
    // A plain run seals what is left, changes no pool, and comes to what it comes to without following.
    let before = actix::System::new().block_on(pools(&log));
    let ended = harness.run(&log);
    assert_adds_up(&ended);
    assert_eq!((ended.accepted, ended.composed["aligned"]), (9, 9));
    let after = actix::System::new().block_on(pools(&log));
    assert_eq!(after[..before.len()], before);
    let members: u64 = after.iter().map(|pool| pool.members).sum();
    assert_eq!(members, 9);
}

#[test]
fn a_pool_is_sealed_when_its_time_has_come_and_then_nothing_is_written() {
    let harness = Harness::with_clips(4);
    let log = memory();
    let settings = FollowSettings { seal_minutes: 0.01, ..quick() };
    following(&harness, &log, settings, async {
        until("the inputs have ended", async || {
            let inputs = count(&log, Topic::Inputs).await;
            let ended: usize = ends(&log).await.iter().map(|end| end.inputs.len()).sum();
            inputs > 1 && ended == inputs
        })
        .await;
        assert_eq!(pools(&log).await.iter().map(|pool| pool.members).sum::<u64>(), 4);
        let all = async || {
            let mut all = 0;
            for topic in Topic::MESSAGES {
                all += count(&log, topic).await;
            }
            all
        };
        let before = all().await;
        // Twenty looks and two pools' time.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_eq!(all().await, before, "an idle input writes nothing");
        harness.add_clip(4, "good");
        until_count(&log, Topic::Pools, 3).await;
    });
    assert_eq!(harness.run(&log).accepted, 5);
}

#[test]
fn a_file_that_was_cut_short_when_it_was_read_is_brought_again_once_it_is_whole() {
    let harness = Harness::with_clips(2);
    let log = memory();
    write(&harness, 0, "bad half");
    following(&harness, &log, quick(), async {
        until_count(&log, Topic::Rejected, 1).await;
        write(&harness, 0, "good and whole");
        until_count(&log, Topic::Accepted, 2).await;
    });
    let ended = harness.run(&log);
    assert_adds_up(&ended);
    assert_eq!((ended.found, ended.accepted, ended.rejected.len()), (2, 2, 0), "{ended:?}");
    checked(&harness, &log);
    assert_eq!(ended.composed["aligned"], 2);
}

#[test]
fn a_file_that_changes_while_its_clip_is_on_its_way_is_brought_again_when_that_is_rejected() {
    let mut harness = Harness::with_clips(2);
    harness.media = Arc::new(crate::harness::PretendedMedia {
        delay: Duration::from_millis(1_500),
        ..Default::default()
    });
    let log = memory();
    write(&harness, 0, "bad half");
    following(&harness, &log, quick(), async {
        until("the worker is at it", async || harness.media.prepared.load(Ordering::Relaxed) == 2).await;
        write(&harness, 0, "good and whole");
        let of_source = async || {
            let rejected = messages(&log, Topic::Rejected).await;
            rejected.iter().any(|message| {
                matches!(message, Message::Rejected(rejected) if rejected.stage == StageName::Source)
            })
        };
        until("the source has seen it", of_source).await;
        until_count(&log, Topic::Accepted, 2).await;
    });
    let ended = harness.run(&log);
    assert_adds_up(&ended);
    assert_eq!((ended.found, ended.accepted, ended.rejected.len()), (2, 2, 0), "{ended:?}");
    checked(&harness, &log);
}

#[test]
fn an_accepted_clip_keeps_its_first_bytes() {
    let harness = Harness::with_clips(2);
    let log = memory();
    following(&harness, &log, quick(), async {
        until_count(&log, Topic::Accepted, 2).await;
        write(&harness, 0, "good but other");
        until_count(&log, Topic::Rejected, 1).await;
    });
    let ended = harness.run(&log);
    assert_adds_up(&ended);
    assert_eq!((ended.found, ended.accepted), (2, 2));
    let clips = actix::System::new().block_on(count(&log, Topic::Clips));
    assert_eq!(clips, 2);
}

#[test]
fn a_list_that_grows_brings_the_clips_it_names_and_a_list_that_is_gone_for_a_moment_does_no_harm() {
    let harness = Harness::with_clips(2);
    let log = memory();
    fs::write(harness.path("clips/later000000.mp4"), "good later").unwrap();
    let list = harness.path("train.csv");
    following(&harness, &log, quick(), async {
        until_count(&log, Topic::Accepted, 2).await;
        let rows = fs::read_to_string(&list).unwrap();
        fs::remove_file(&list).unwrap();
        harness.add_clip(3, "good");
        until_count(&log, Topic::Accepted, 3).await;
        fs::write(&list, format!("{rows}later000000,0.000,10.000,\"{}\"\n", CLASSES[1].1)).unwrap();
        until_count(&log, Topic::Accepted, 4).await;
    });
    let ended = harness.run(&log);
    assert_adds_up(&ended);
    assert_eq!((ended.found, ended.accepted, ended.unlabelled, ended.dead_letters), (4, 4, 0, 0));
}

#[test]
fn a_follower_that_starts_again_goes_on_where_the_last_one_was() {
    let harness = Harness::with_clips(4);
    let log = memory();
    following(&harness, &log, quick(), until_count(&log, Topic::Accepted, 2));
    let settings = FollowSettings { seal_minutes: 0.005, ..quick() };
    following(&harness, &log, settings, async {
        until("every clip is in a pool", async || {
            pools(&log).await.iter().map(|pool| pool.members).sum::<u64>() == 4
        })
        .await;
    });
    assert_eq!(harness.media.prepared.load(Ordering::Relaxed), 4, "nothing is decoded twice");
    let ended = harness.run(&log);
    assert_eq!((ended.accepted, ended.composed["aligned"]), (4, 4));
}

#[test]
fn rows_are_counted_by_class_with_what_there_is_of_them() {
    let harness = Harness::with_clips(8);
    harness.add_clip(8, "still");
    let list = harness.path("train.csv");
    let rows = fs::read_to_string(&list).unwrap();
    let cat = CLASSES[0].1;
    fs::write(
        &list,
        format!("{rows}notthere001,0.000,10.000,\"{cat}\"\nnotthere002,0.000,10.000,\"/m/09x0r\"\n"),
    )
    .unwrap();
    let log = memory();
    let ended = harness.run(&log);
    let coverage = &ended.coverage["Cat"];
    assert_eq!((coverage.wanted, coverage.on_hand, coverage.accepted), (4, 3, 2));
    assert_eq!(coverage.missing, [("not_tried", 1)].into());
    assert_eq!(ended.coverage["Bird"].missing, [].into());
    assert_eq!(ended.coverage.len(), 4, "rows that curation drops are not wanted: {:?}", ended.coverage);
    actix::System::new().block_on(async {
        assert_eq!(summary(&harness, &log).await.coverage, ended.coverage);
        let runs = messages(&log, Topic::Runs).await;
        let follows =
            |message: &Message| matches!(message, Message::InputSealed(InputSealed { follow: Some(_), .. }));
        assert!(!runs.iter().any(follows));
    });
}
