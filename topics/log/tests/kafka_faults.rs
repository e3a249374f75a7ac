//! What becomes of members and readers when brokers go away, processes die and names clash.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

mod common;

use std::{
    collections::{BTreeSet, VecDeque},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use counterpoint_log::{
    Commit, Epoch, Event, EventStream, Group, Headers, LogError, Member, Membership, Outgoing, Received,
    StateEntry, TopicLog,
    kafka::{KafkaLog, KafkaOptions},
};
use counterpoint_messages::{Fingerprint, StageName, Topic};
use counterpoint_servers::kafka::KafkaSetup;
use futures::StreamExt;
use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer},
};
use rustix::process::{Pid, Signal, kill_process};

use common::{address, broker, options, random_prefix};

const RECORDS: usize = 300;
const PATIENCE: Duration = Duration::from_secs(300);

fn outgoing(topic: Topic, partition: u32, value: usize) -> Outgoing {
    let text = value.to_string();
    Outgoing { topic, partition, key: text.clone().into(), value: text.into(), headers: Headers::default() }
}

fn number(bytes: &[u8]) -> usize {
    std::str::from_utf8(bytes).unwrap().parse().unwrap()
}

fn membership(instance: &str, exclusive: bool) -> Membership {
    Membership {
        group: Group { stage: StageName::Composer, fingerprint: Fingerprint([1; 8]) },
        instance: instance.into(),
        inputs: vec![Topic::Clips],
        exclusive,
        max_records: 10,
        max_bytes: 1 << 20,
    }
}

/// A member that does each record by itself: one output, the count in its state, the position.
struct Owner {
    events: EventStream,
    member: Box<dyn Member>,
    epoch: Epoch,
    count: usize,
    /// Records that are still to be done.
    read: VecDeque<Received>,
}

impl Owner {
    async fn join(log: &KafkaLog, instance: &str) -> Self {
        let (events, member) = log.join(membership(instance, true)).await.unwrap();
        let mut owner = Self { events, member, epoch: Epoch(0), count: 0, read: VecDeque::new() };
        owner.assigned().await;
        owner
    }

    /// Waits for an assignment, whatever passes meanwhile.
    async fn assigned(&mut self) {
        loop {
            match self.next().await {
                Next::Assigned => return,
                Next::Fenced(holder) => panic!("fenced by {holder}"),
                Next::Other => {}
            }
        }
    }

    /// Takes what comes next.
    async fn next(&mut self) -> Next {
        let next = tokio::time::timeout(PATIENCE, self.events.next()).await;
        match next.expect("something should happen").expect("the stream should go on") {
            Ok(Event::Assigned { epoch, state, .. }) => {
                self.epoch = epoch;
                self.count = state.first().map_or(0, |entry| number(entry.value.as_deref().unwrap()));
                self.read.clear();
                return Next::Assigned;
            }
            Ok(Event::Records(records)) => self.read.extend(records),
            Ok(Event::Fenced { holder }) => return Next::Fenced(holder),
            Ok(Event::Waiting { .. } | Event::CaughtUp | Event::Revoked { .. }) => {}
            Err(error) => assert!(error.is_passing(), "{error}"),
        }
        Next::Other
    }

    async fn one(&mut self, record: &Received) -> Result<(), LogError> {
        let value = number(&record.value);
        assert_eq!(value, self.count, "each record comes once, in order");
        let commit = Commit {
            outputs: vec![outgoing(Topic::Samples, 0, value)],
            state: vec![StateEntry {
                partition: 0,
                key: b"count".to_vec(),
                value: Some((value + 1).to_string().into()),
            }],
            positions: vec![(Topic::Clips, 0, record.position)],
        };
        self.member.commit(self.epoch, commit).await?;
        self.count = value + 1;
        Ok(())
    }

    /// Works until the count is reached, going back to what is committed after every passing fault.
    async fn work(&mut self, until: usize) {
        while self.count < until {
            let Some(record) = self.read.pop_front() else {
                if let Next::Fenced(holder) = self.next().await {
                    panic!("fenced by {holder}");
                }
                continue;
            };
            if let Err(error) = self.one(&record).await {
                assert!(error.is_passing(), "{error}");
                while let Err(error) = self.member.abort(self.epoch).await {
                    assert!(error.is_passing(), "{error}");
                }
                self.assigned().await;
            }
        }
    }
}

/// What an owner was told.
enum Next {
    Assigned,
    Fenced(String),
    Other,
}

async fn written(log: &KafkaLog) -> Vec<usize> {
    log.scan(Topic::Samples).map(|record| number(&record.unwrap().value)).collect().await
}

async fn filled(options: &KafkaOptions) -> KafkaLog {
    let log = KafkaLog::open(options).unwrap();
    log.append((0..RECORDS).map(|input| outgoing(Topic::Clips, 0, input)).collect()).await.unwrap();
    log
}

#[test]
fn a_broker_that_is_absent_is_named_with_the_remedy() {
    let error = KafkaLog::open(&options("127.0.0.1:1", "absent")).err().unwrap();
    assert!(matches!(error, LogError::Unavailable { .. }), "{error}");
    let text = error.to_string();
    for word in ["kafka://127.0.0.1:1", "refused", "check that it runs", "--broker"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn a_log_that_is_not_there_is_not_made_by_those_who_only_look() {
    let prefix = random_prefix();
    for _ in 0..2 {
        let looking = KafkaOptions { create: false, ..options(&broker(), &prefix) };
        let error = KafkaLog::open(&looking).err().unwrap().to_string();
        assert!(error.contains(&format!("there is no topic {prefix}.clips")), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_restarts_or_dies_in_the_middle_loses_and_doubles_nothing() {
    let mut server = KafkaSetup::new().start().unwrap();
    // Sessions end while it is away: members have to come back by themselves.
    let log = filled(&impatient(options(&address(&server), &random_prefix()))).await;
    let mut owner = Owner::join(&log, "a").await;
    owner.work(RECORDS / 3).await;
    for (dies, until) in [(false, RECORDS * 2 / 3), (true, RECORDS)] {
        let restarting = tokio::task::spawn_blocking(move || {
            if dies {
                server.kill();
            }
            server.restart().unwrap();
            server
        });
        owner.work(until).await;
        server = restarting.await.unwrap();
    }
    assert_eq!(written(&log).await, (0..RECORDS).collect::<Vec<_>>());
    owner.member.leave().await.unwrap();
    let successor = Owner::join(&log, "b").await;
    assert_eq!(successor.count, RECORDS);
    assert!(successor.epoch > owner.epoch);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_was_open_when_the_broker_died_holds_readers_up_until_it_ends_by_itself() {
    let mut server = KafkaSetup::new().start().unwrap();
    let options = options(&address(&server), &random_prefix());
    let log = KafkaLog::open(&options).unwrap();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &options.brokers).set("transactional.id", "lost");
    // Long enough for the broker to be back before: one that ends a transaction while it starts passes over partitions
    // whose leader it does not know yet, and leaves it hanging for good.
    config.set("transaction.timeout.ms", "45000");
    let writer: BaseProducer = config.create().unwrap();
    writer.init_transactions(PATIENCE).unwrap();
    writer.begin_transaction().unwrap();
    let topic = format!("{}.{}", options.prefix, Topic::Samples);
    writer.send(BaseRecord::to(&topic).partition(0).key("k").payload("1")).unwrap();
    // Never committed. What is delivered is written: the transaction is open.
    writer.flush(PATIENCE).unwrap();
    server.kill();
    // Nothing of the writer is left that could end it.
    drop(writer);
    server.restart().unwrap();
    let mut outputs = log.follow(Topic::Samples);
    while let Err(error) = log.append(vec![outgoing(Topic::Samples, 0, 2)]).await {
        assert!(error.is_passing(), "{error}");
    }
    let first = tokio::time::timeout(PATIENCE, outputs.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(number(&first.value), 2, "what was never committed is never seen");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_with_one_name_the_newer_fences_the_older() {
    let options = options(&broker(), &random_prefix());
    let (log, other) = (filled(&options).await, KafkaLog::open(&options).unwrap());
    let mut older = Owner::join(&log, "same").await;
    older.work(3).await;
    let mut newer = Owner::join(&other, "same").await;
    assert_eq!(newer.count, 3);
    let state = StateEntry { partition: 0, key: b"count".to_vec(), value: None };
    let late =
        Commit { outputs: vec![outgoing(Topic::Samples, 0, 99)], state: vec![state], positions: vec![] };
    let error = older.member.commit(older.epoch, late).await.unwrap_err();
    assert!(matches!(error, LogError::Fenced { .. }), "{error}");
    let holder = loop {
        if let Next::Fenced(holder) = older.next().await {
            break holder;
        }
    };
    assert!(holder.contains("the same name") && holder.contains("topics.instance"), "{holder}");
    newer.work(10).await;
    assert_eq!(written(&log).await, (0..10).collect::<Vec<_>>());
}

/// The partitions that a member of a shared group is given, once both have some.
async fn share(events: &mut EventStream) -> (Epoch, BTreeSet<u32>) {
    loop {
        match tokio::time::timeout(PATIENCE, events.next()).await.unwrap().unwrap() {
            Ok(Event::Assigned { epoch, partitions, .. }) if partitions.len() < 4 => {
                return (epoch, partitions.into_iter().map(|(_, partition)| partition).collect());
            }
            // Dropping the acknowledgement gives it.
            Ok(_) => {}
            Err(error) => assert!(error.is_passing(), "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_a_shared_group_divide_its_partitions_and_keep_to_them() {
    let options = options(&broker(), &random_prefix());
    let log = KafkaLog::open(&options).unwrap();
    assert_eq!(log.partitions(Topic::Clips), 4);
    let (mut events, first) = log.join(membership("a", false)).await.unwrap();
    loop {
        if let Ok(Event::Assigned { partitions, .. }) = events.next().await.unwrap() {
            assert_eq!(partitions.len(), 4);
            break;
        }
    }
    let (mut others, second) = log.join(membership("b", false)).await.unwrap();
    let ((epoch, mine), (_, theirs)) = tokio::join!(share(&mut events), share(&mut others));
    assert_eq!((mine.len(), theirs.len()), (2, 2));
    assert!(mine.is_disjoint(&theirs));
    let position = counterpoint_log::Position(1);
    let of = |partition: &u32| Commit {
        positions: vec![(Topic::Clips, *partition, position)],
        ..Commit::default()
    };
    first.commit(epoch, of(mine.first().unwrap())).await.unwrap();
    let error = first.commit(epoch, of(theirs.first().unwrap())).await.unwrap_err();
    assert!(error.to_string().contains("not assigned"), "{error}");
    second.leave().await.unwrap();
    loop {
        if let Ok(Event::Assigned { partitions, .. }) = events.next().await.unwrap()
            && partitions.len() == 4
        {
            break;
        }
    }
}

const KILLED: &str = "COUNTERPOINT_LOG_KAFKA_KILLED";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the process that the test below starts and kills"]
async fn killed_process() {
    let Some(place) = std::env::var_os(KILLED) else { return };
    let place = place.into_string().unwrap();
    let (brokers, prefix) = place.split_once('/').unwrap();
    let log = KafkaLog::open(&impatient(options(brokers, prefix))).unwrap();
    let mut owner = Owner::join(&log, "a").await;
    owner.work(RECORDS).await;
    std::future::pending::<()>().await;
}

/// Of members that the brokers soon take for dead.
fn impatient(options: KafkaOptions) -> KafkaOptions {
    let properties = [("session_timeout_ms", "2000"), ("heartbeat_interval_ms", "200")];
    let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned()));
    KafkaOptions { properties: properties.into(), ..options }
}

/// Starts the process, and waits until it has done some more records than `before`.
async fn at_work(log: &KafkaLog, place: &(String, String), before: usize) -> Child {
    let (brokers, prefix) = place;
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed_process", "--ignored", "--nocapture"])
        .env(KILLED, format!("{brokers}/{prefix}"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut outputs = log.follow(Topic::Samples).skip(before + 5);
    tokio::time::timeout(PATIENCE, outputs.next()).await.unwrap().unwrap().unwrap();
    child
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_leaves_whole_commits_and_its_namesake_and_others_take_over() {
    let place = (broker(), random_prefix());
    let log = filled(&options(&place.0, &place.1)).await;
    let mut before = 0;
    for successor in ["a", "b", "a"] {
        let mut child = at_work(&log, &place, before).await;
        child.kill().unwrap();
        child.wait().unwrap();
        let owner = Owner::join(&log, successor).await;
        assert!(owner.count > before);
        assert_eq!(written(&log).await, (0..owner.count).collect::<Vec<_>>());
        before = owner.count;
        owner.member.leave().await.unwrap();
    }
    let mut owner = Owner::join(&log, "c").await;
    owner.work(RECORDS).await;
    assert_eq!(written(&log).await, (0..RECORDS).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_process_awakes_to_find_that_another_has_taken_over() {
    let place = (broker(), random_prefix());
    let log = filled(&options(&place.0, &place.1)).await;
    let child = at_work(&log, &place, 0).await;
    kill_process(Pid::from_child(&child), Signal::STOP).unwrap();
    let mut owner = Owner::join(&log, "b").await;
    assert!(owner.count < RECORDS, "the process was at work");
    owner.work(owner.count + 5).await;
    kill_process(Pid::from_child(&child), Signal::CONT).unwrap();
    let ended = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success() && said.contains(&format!("process {}", std::process::id())), "{said}");
    owner.work(RECORDS).await;
    assert_eq!(written(&log).await, (0..RECORDS).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_process_that_nobody_replaced_goes_on_where_it_was() {
    let place = (broker(), random_prefix());
    let log = filled(&options(&place.0, &place.1)).await;
    let mut child = at_work(&log, &place, 0).await;
    kill_process(Pid::from_child(&child), Signal::STOP).unwrap();
    // Twice its session: the brokers have struck it off.
    let mut outputs = log.follow(Topic::Samples).map(|record| number(&record.unwrap().value));
    let mut seen = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(4), async {
        while let Some(output) = outputs.next().await {
            seen.push(output);
        }
    })
    .await;
    assert!(seen.len() < RECORDS, "the process was at work");
    kill_process(Pid::from_child(&child), Signal::CONT).unwrap();
    let awake = Instant::now();
    while seen.len() < RECORDS {
        seen.push(tokio::time::timeout(PATIENCE, outputs.next()).await.unwrap().unwrap());
        // It ends what it had begun itself, rather than wait until the brokers do so after half a minute.
        assert!(seen.len() > RECORDS / 2 || awake.elapsed() < Duration::from_secs(25), "{seen:?}");
    }
    assert_eq!(seen, (0..RECORDS).collect::<Vec<_>>());
    child.kill().unwrap();
    child.wait().unwrap();
}
