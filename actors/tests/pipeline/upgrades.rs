//! Logs of an earlier release, and records of a later one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use counterpoint_actors::{
    dead_letters, format, held_up::is_held_up, pipeline, projection::Projection, projection::newest_revision,
};
use counterpoint_log::{
    Event, EventStream, GroupDescription, Headers, LogError, Member, Membership, Outgoing, Received,
    RecordStream, TopicDescription, TopicLog, memory::MemoryLog, sqlite::SqliteLog,
};
use counterpoint_messages::{
    Follow, FormatLevel, InputOffered, Message, MessageKind, RecordId, StageName, Topic, TraceParent,
    partition_of,
};
use futures::{StreamExt, TryStreamExt};

use crate::harness::{Harness, assert_adds_up};

/// A log as it looks to one program.
struct View {
    inner: Arc<dyn TopicLog>,
    look: Arc<dyn Fn(&mut Received) + Send + Sync>,
}

impl View {
    fn of(
        inner: &Arc<dyn TopicLog>,
        look: impl Fn(&mut Received) + Send + Sync + 'static,
    ) -> Arc<dyn TopicLog> {
        Arc::new(Self { inner: Arc::clone(inner), look: Arc::new(look) })
    }

    /// Of a program that is older than the writer of some of its records: those on one topic that hold
    /// these bytes come as version 99 of their kind.
    fn of_older(inner: &Arc<dyn TopicLog>, topic: Topic, needle: &[u8]) -> Arc<dyn TopicLog> {
        let needle = needle.to_vec();
        Self::of(inner, move |record| {
            let is_meant = needle.is_empty() || record.value.windows(needle.len()).any(|part| part == needle);
            if record.topic == topic && is_meant {
                record.value[6..8].copy_from_slice(&99_u16.to_le_bytes());
                let checksum =
                    crc32c::crc32c_append(crc32c::crc32c(&record.value[4..12]), &record.value[16..]);
                record.value[12..16].copy_from_slice(&checksum.to_le_bytes());
            }
        })
    }

    fn records(&self, records: RecordStream) -> RecordStream {
        let look = Arc::clone(&self.look);
        Box::pin(records.map_ok(move |mut record| {
            look(&mut record);
            record
        }))
    }
}

#[async_trait]
impl TopicLog for View {
    fn partitions(&self, topic: Topic) -> u32 {
        self.inner.partitions(topic)
    }

    async fn join(&self, membership: Membership) -> Result<(EventStream, Box<dyn Member>), LogError> {
        let (events, member) = self.inner.join(membership).await?;
        let look = Arc::clone(&self.look);
        let events = events.map(move |event| match event {
            Ok(Event::Records(mut records)) => {
                records.iter_mut().for_each(&*look);
                Ok(Event::Records(records))
            }
            event => event,
        });
        Ok((Box::pin(events), member))
    }

    async fn append(&self, records: Vec<Outgoing>) -> Result<(), LogError> {
        self.inner.append(records).await
    }

    fn scan(&self, topic: Topic) -> RecordStream {
        self.records(self.inner.scan(topic))
    }

    fn follow(&self, topic: Topic) -> RecordStream {
        self.records(self.inner.follow(topic))
    }

    async fn topics(&self) -> Result<Vec<TopicDescription>, LogError> {
        self.inner.topics().await
    }

    async fn groups(&self) -> Result<Vec<GroupDescription>, LogError> {
        self.inner.groups().await
    }
}

/// Runs every stage until nothing is left but what records of a later release hold back; where that is.
fn run_until_held_up(harness: &Harness, log: &Arc<dyn TopicLog>) -> BTreeSet<(Topic, u32)> {
    actix::System::new().block_on(async {
        let revision = harness.revision();
        pipeline::declare(&**log, &revision).await.unwrap();
        let mut running = harness.pipeline(log, &StageName::RUN).start();
        harness.offer(log).await;
        while !(running.is_quiet() && is_held_up(&running, &**log, &revision).await.unwrap()) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let held = running.held();
        for record in held.values() {
            let text = record.to_string();
            assert!(text.contains("version 99 of") && text.contains("upgrade counterpoint"), "{text}");
        }
        running.stop();
        running.ended().await.unwrap();
        held.into_keys().collect()
    })
}

fn counts(log: &Arc<dyn TopicLog>) -> BTreeMap<Topic, u64> {
    let topics = actix::System::new().block_on(log.topics()).unwrap();
    topics.into_iter().map(|topic| (topic.topic, topic.records)).collect()
}

/// Versions that are written of each kind.
fn versions(log: &Arc<dyn TopicLog>) -> BTreeMap<String, BTreeSet<u16>> {
    actix::System::new().block_on(async {
        let mut versions: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for topic in Topic::MESSAGES {
            let mut records = log.scan(topic);
            while let Some(record) = records.try_next().await.unwrap() {
                let kind = Message::decode(&record.value).unwrap().kind();
                let version = u16::from_le_bytes([record.value[6], record.value[7]]);
                versions.entry(format!("{kind:?}")).or_default().insert(version);
            }
        }
        versions
    })
}

#[test]
fn a_record_of_a_later_release_pauses_its_partition_and_a_later_program_goes_on() {
    const CLIPS: usize = 16;
    let harness = Harness::with_clips(CLIPS);
    let undisturbed: Arc<dyn TopicLog> = Arc::new(MemoryLog::new(4));
    let (whole, all) = (harness.run(&undisturbed), counts(&undisturbed));
    let manifest = harness.manifest();
    let video = Harness::video(3);
    let partition = partition_of(&video, 4);
    let elsewhere =
        (0..CLIPS).filter(|number| partition_of(&Harness::video(*number), 4) != partition).count() as u64;
    assert!(elsewhere > 0);
    for (engine, topic) in [
        ("sqlite", Topic::Clips),
        ("memory", Topic::Curated),
        ("memory", Topic::Decoded),
        ("memory", Topic::Accepted),
        ("memory", Topic::Pools),
        ("memory", Topic::Inputs),
    ] {
        fs::remove_dir_all(harness.path("out")).unwrap();
        let log: Arc<dyn TopicLog> = match engine {
            "memory" => Arc::new(MemoryLog::new(4)),
            _ => Arc::new(SqliteLog::open(&harness.path("out/topics"), Default::default()).unwrap()),
        };
        let needle = if topic.is_partitioned() { video.as_bytes() } else { b"" };
        let older = View::of_older(&log, topic, needle);
        let place = (topic, if topic.is_partitioned() { partition } else { 0 });
        // Twice: a restart of the same program changes nothing.
        for _ in 0..2 {
            assert_eq!(run_until_held_up(&harness, &older), BTreeSet::from([place]), "{topic}");
            let counts = counts(&log);
            assert_eq!(counts[&Topic::DeadLetters], 0, "{topic}");
            let reached = match topic {
                Topic::Clips => Some(Topic::Curated),
                Topic::Curated => Some(Topic::Decoded),
                Topic::Decoded => Some(Topic::Accepted),
                _ => None,
            };
            if let Some(reached) = reached {
                let done = counts[&reached];
                assert!(done >= elsewhere && done < CLIPS as u64, "{reached}: {done} of {CLIPS}");
            }
            let seen = actix::System::new().block_on(Projection::of(&*older, &harness.revision())).unwrap();
            assert!(seen.summary.later_records > 0, "{topic}: the counts are marked");
        }
        let summary = harness.run(&log);
        assert_adds_up(&summary);
        assert_eq!(summary, whole, "{topic}");
        assert_eq!(harness.manifest(), manifest, "{topic}");
        for written in [Topic::Clips, Topic::Curated, Topic::Decoded, Topic::Accepted, Topic::Samples] {
            assert_eq!(counts(&log)[&written], all[&written], "{topic}: {written}");
        }
    }
}

/// What release 0.1 says of a member of a pool, and the most that it reads.
const MEMBER_OF_0_1: [&str; 9] =
    ["class", "clip", "duration_ms", "generation", "labels", "media", "sound", "split", "video"];

/// The names of what is said of each member, over all listings.
fn members(harness: &Harness, log: &Arc<dyn TopicLog>) -> Vec<Vec<String>> {
    let pools: Vec<_> = actix::System::new().block_on(log.scan(Topic::Pools).try_collect()).unwrap();
    let listings = pools.iter().map(|record| match Message::decode(&record.value).unwrap() {
        Message::PoolSealed(sealed) => sealed.listing.to_string(),
        other => panic!("{other:?}"),
    });
    let lines = listings.flat_map(|name| {
        let text = fs::read_to_string(harness.path("out/objects").join(&name[..2]).join(&name)).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    });
    let names = lines.map(|line| {
        let member: BTreeMap<String, serde_json::Value> = serde_json::from_str(&line).unwrap();
        member.into_keys().collect()
    });
    names.collect()
}

#[test]
fn a_log_of_release_0_1_is_written_as_that_release_wrote_it_until_it_is_upgraded() {
    let harness = Harness::with_clips(8);
    let log: Arc<dyn TopicLog> =
        Arc::new(SqliteLog::open(&harness.path("out/topics"), Default::default()).unwrap());
    // Nothing is traced here, so the records are given a trace on their way.
    let log = View::of(&log, |record| {
        record.headers.trace = Some(TraceParent { trace_id: [1; 16], span_id: [2; 8], sampled: true });
    });
    let in_system = |level: FormatLevel| {
        let declared = Message::from(harness.revision().declared).encode(level).unwrap();
        let (key, headers) = (vec![1; 16], Headers::default());
        Outgoing { topic: Topic::Revisions, partition: 0, key, value: declared, headers }
    };
    let ask = |log: &Arc<dyn TopicLog>| actix::System::new().block_on(format::of(&**log)).unwrap();
    actix::System::new().block_on(log.append(vec![in_system(FormatLevel::FIRST)])).unwrap();
    assert_eq!(ask(&log).level, FormatLevel::FIRST);

    let first = harness.run(&log);
    let written = versions(&log);
    assert!(written.values().all(|versions| *versions == BTreeSet::from([1])), "{written:?}");
    assert!(!written.contains_key("FormatDeclared") && written.len() >= 10, "{written:?}");
    let members = members(&harness, &log);
    assert_eq!(members.len(), 8);
    assert!(members.iter().all(|member| *member == MEMBER_OF_0_1), "{members:?}");
    let followed = InputOffered {
        id: RecordId([9; 16]),
        clips: String::new(),
        labels: vec![],
        ontology: String::new(),
        nonce: 0,
        offered_at_ms: 1,
        follow: Some(Follow { settle_ms: 1, seal_clips: 1, seal: false }),
        fetch: false,
    };
    let offered = pipeline::append(&*log, Topic::Inputs, followed.id, followed.clone().into());
    let refused = actix::System::new().block_on(offered).unwrap_err().to_string();
    assert!(refused.contains("followed") && refused.contains("`counterpoint topics upgrade`"), "{refused}");

    let before = actix::System::new().block_on(format::upgrade(&*log)).unwrap();
    assert_eq!((before.declared, ask(&log).level), (1, FormatLevel::NEWEST));
    harness.add_clip(8, "good");
    harness.add_clip(9, "good");
    let second = harness.run(&log);
    assert_eq!((first.accepted, second.accepted), (8, 10));
    let members = self::members(&harness, &log);
    let say_more = members.iter().filter(|member| **member != MEMBER_OF_0_1);
    assert_eq!((members.len(), say_more.count()), (8 + 10, 2), "{members:?}");
    let written = versions(&log);
    assert_eq!(written["InputOffered"], BTreeSet::from([1, 2]));
    assert_eq!(written["FormatDeclared"], BTreeSet::from([1]));
    let inputs = actix::System::new().block_on(pipeline::inputs(&*log)).unwrap();
    assert_eq!(inputs[0].offered_at_ms, 0);
    assert!(inputs[1].offered_at_ms > 1_700_000_000_000, "{inputs:?}");
}

#[test]
fn a_new_log_says_its_level_before_anything_else() {
    let harness = Harness::with_clips(2);
    let log: Arc<dyn TopicLog> = Arc::new(MemoryLog::new(2));
    let level = |log: &Arc<dyn TopicLog>| actix::System::new().block_on(format::of(&**log)).unwrap().level;
    assert_eq!(level(&log), FormatLevel::NEWEST);
    harness.run(&log);
    assert_eq!(level(&log), FormatLevel::NEWEST);
    let mut records: Vec<_> =
        actix::System::new().block_on(log.scan(Topic::Revisions).try_collect::<Vec<_>>()).unwrap();
    let first = Message::decode(&records.remove(0).value).unwrap();
    assert_eq!(first.kind(), MessageKind::FormatDeclared);
    assert_eq!(versions(&log)["InputOffered"], BTreeSet::from([2]));
}

#[test]
fn what_a_later_release_wrote_is_told_and_never_counted_as_nothing() {
    let harness = Harness::with_clips(2);
    let log: Arc<dyn TopicLog> = Arc::new(MemoryLog::new(2));
    let value = b"this is no message".to_vec();
    let junk = Outgoing {
        topic: Topic::Clips,
        partition: 0,
        key: b"junk".to_vec(),
        value,
        headers: Headers::default(),
    };
    harness.run(&log);
    actix::System::new().block_on(log.append(vec![junk])).unwrap();
    harness.add_clip(2, "good");
    assert_eq!(harness.run(&log).dead_letters, 1);
    let older = |topic| View::of_older(&log, topic, b"");
    actix::System::new().block_on(async {
        let later = "upgrade counterpoint";
        let revision = newest_revision(&*older(Topic::Revisions)).await.unwrap_err().to_string();
        assert!(revision.contains("RevisionDeclared") && revision.contains(later), "{revision}");
        let inputs = pipeline::inputs(&*older(Topic::Inputs)).await.unwrap_err().to_string();
        assert!(inputs.contains("inputs/0") && inputs.contains(later), "{inputs}");
        let letters = older(Topic::DeadLetters);
        let waiting = dead_letters::list(&*letters).await.unwrap();
        assert_eq!((waiting.letters.len(), waiting.later.len()), (0, 1));
        let refused = dead_letters::requeue(&*letters).await.unwrap_err().to_string();
        assert!(refused.contains("nothing was put back"), "{refused}");
        assert_eq!(dead_letters::requeue(&*log).await.unwrap(), 1);
    });
}
