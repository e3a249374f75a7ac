use std::{collections::BTreeMap, fs};

use counterpoint_core::{
    media_job::PREPARE_TRANSFORM,
    plan::Plan,
    pool::{PoolListing, PoolMember},
    variants::{self, Composition},
};
use counterpoint_log::{Headers, Outgoing, TopicLog, memory::MemoryLog};
use counterpoint_messages::{
    Cause, Clip, ClipAccepted, ClipCurated, ClipDecoded, ClipFound, ContainerFacts, ContentHash, DeadLetter,
    FormatLevel, IdSum, InputOffered, InputSealed, MediaFile, MediaObject, Message, PoolComposed, RecordId,
    RecordRequeued, RejectReason, Rejected, RunFinished, SampleComposed, SignalStatistics, Split, StageName,
    Topic,
};

use super::*;
use crate::{
    revision::{Contents, Revision},
    settings::Settings,
};

/// A finished run without a fault: four clips accepted, one turned away by the gate, one given up on by the
/// decoder.
struct World {
    folder: tempfile::TempDir,
    revision: Revision,
    plan: Plan,
    store: Store,
    records: Vec<(Topic, RecordId, StageName, Message)>,
}

struct Strangers;

impl Relations for Strangers {
    fn parents<'a>(&'a self, _: &str) -> Vec<&'a str> {
        vec![]
    }

    fn class_mids<'a>(&'a self, _: &str) -> Vec<&'a str> {
        vec![]
    }
}

fn id(stage: StageName, transform: u32, detail: &str) -> RecordId {
    Cause { stage, transform, settings: Default::default(), inputs: &[], detail }.id()
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("objects")).unwrap();
        let plan = Plan::default();
        let contents = Contents {
            ontology: ContentHash::default(),
            rules: ContentHash::default(),
            plan: plan.hash(),
            judge: None,
            rounds: None,
        };
        let revision = Revision::new(1, &Settings::default(), contents, BTreeMap::new());
        let mut world = Self { folder, revision, plan, store, records: Vec::new() };
        world.write();
        world
    }

    fn put(&mut self, topic: Topic, key: RecordId, stage: StageName, message: impl Into<Message>) {
        self.records.push((topic, key, stage, message.into()));
    }

    fn write(&mut self) {
        let input = id(StageName::Source, 1, "input");
        let offered = InputOffered {
            id: input,
            clips: "clips".to_owned(),
            labels: vec![],
            ontology: "ontology.json".to_owned(),
            nonce: 0,
            offered_at_ms: 0,
            follow: None,
            fetch: false,
        };
        self.put(Topic::Inputs, input, StageName::Source, offered);
        let mut members = Vec::new();
        let mut ids = IdSum::default();
        for (number, class) in ["Cat", "Bird", "Cat", "Bird", "Fire", "Rain"].into_iter().enumerate() {
            let clip = self.found(number, class);
            ids = ids.plus(clip.id);
            let object = |bytes: &str| self.store.put_bytes(bytes.as_bytes()).unwrap();
            let (media, sound) = (object(&format!("mp4 {number}")), object(&format!("flac {number}")));
            match number {
                5 => self.given_up(&clip),
                _ => self.decoded(&clip, class, media, sound),
            }
            match number {
                0..4 => members.push(self.accepted(&clip, class, media, sound)),
                4 => self.turned_away(&clip),
                _ => {}
            }
        }
        let sealed = InputSealed {
            input,
            count: 6,
            total: 6,
            total_ids: ids,
            found: 6,
            already_known: 0,
            labels_without_clip: 0,
            broken_rows: 0,
            unknown_mids: BTreeMap::new(),
            repeated_rows: 0,
            explanations: vec![],
            follow: None,
            wanted: BTreeMap::new(),
            missing: BTreeMap::new(),
            retry_at_ms: None,
        };
        self.put(Topic::Runs, id(StageName::Source, 1, "sealed"), StageName::Source, sealed);
        self.compose(members);
        let finished = RunFinished { inputs: vec![input], accepted: 4, rejected: 1, dead_letters: 1 };
        self.put(Topic::Runs, id(StageName::Coordinator, 1, "run 1"), StageName::Coordinator, finished);
    }

    fn found(&mut self, number: usize, class: &str) -> Clip {
        let clip = Clip {
            id: id(StageName::Source, 1, &format!("clip {number}")),
            video: format!("video{number:06}"),
            segment: None,
            split: Split::Train,
            labels: vec![format!("/m/{class}")],
        };
        let media = MediaFile { path: clip.video.clone(), hash: ContentHash::default(), bytes: 1 };
        let message = ClipFound { clip: clip.clone(), media: media.clone() };
        self.put(Topic::Clips, clip.id, StageName::Source, message);
        let curated = id(StageName::Curator, 1, &clip.video);
        let (class, mids) = (class.to_owned(), vec![]);
        let message = ClipCurated { id: curated, clip: clip.clone(), media, class, mids };
        self.put(Topic::Curated, curated, StageName::Curator, message);
        clip
    }

    fn decoded(&mut self, clip: &Clip, class: &str, media: MediaObject, sound: MediaObject) {
        let decoded = id(StageName::Decoder, PREPARE_TRANSFORM, &clip.video);
        let message = ClipDecoded {
            id: decoded,
            clip: clip.clone(),
            class: class.to_owned(),
            origin: MediaFile { path: String::new(), hash: ContentHash::default(), bytes: 1 },
            media,
            sound,
            container: ContainerFacts {
                container: "mp4".to_owned(),
                video_codec: "h264".to_owned(),
                audio_codec: "aac".to_owned(),
                width: 4,
                height: 4,
                frame_rate: 25.0,
                duration_ms: 10_000,
                sample_rate: 48_000,
                channels: 1,
            },
            statistics: SignalStatistics::default(),
            duration_ms: 10_000,
            padded_ms: 0,
        };
        self.put(Topic::Decoded, decoded, StageName::Decoder, message);
    }

    fn accepted(&mut self, clip: &Clip, class: &str, media: MediaObject, sound: MediaObject) -> PoolMember {
        let accepted = ClipAccepted {
            id: id(StageName::Gate, 1, &clip.video),
            clip: clip.clone(),
            class: class.to_owned(),
            media,
            sound,
            statistics: SignalStatistics::default(),
            duration_ms: 10_000,
        };
        let member = PoolMember::new(&accepted, 1, None);
        self.put(Topic::Accepted, accepted.id, StageName::Gate, accepted);
        member
    }

    fn turned_away(&mut self, clip: &Clip) {
        let rejected = Rejected {
            id: id(StageName::Gate, 1, &clip.video),
            clip: clip.id,
            video: clip.video.clone(),
            path: String::new(),
            split: Some(clip.split),
            stage: StageName::Gate,
            reason: RejectReason::Static,
            detail: String::new(),
        };
        self.put(Topic::Rejected, rejected.id, StageName::Gate, rejected);
    }

    fn given_up(&mut self, clip: &Clip) {
        let letter = DeadLetter {
            id: id(StageName::Decoder, 1, "letter"),
            clip: Some(clip.id),
            revision: Some(self.revision.fingerprint(StageName::Curator)),
            stage: StageName::Decoder,
            topic: Topic::Curated.to_string(),
            partition: 0,
            position: 7,
            attempts: 3,
            reason: "it crashed the worker".to_owned(),
            key: id(StageName::Curator, 1, &clip.video).0.to_vec(),
            raw: vec![],
        };
        self.put(Topic::DeadLetters, letter.id, StageName::Decoder, letter);
    }

    fn compose(&mut self, members: Vec<PoolMember>) {
        let listing = PoolListing::new(Split::Train, members).unwrap();
        let object = self.store.put_bytes(&listing.to_bytes().unwrap()).unwrap();
        let fingerprint = |stage| self.revision.fingerprint(stage);
        let sealed = listing.seal(&self.plan, object.hash, fingerprint(StageName::Coordinator));
        let composer = fingerprint(StageName::Composer);
        let hosts = variants::compose(listing, &sealed, &self.plan, 0, &Strangers, composer).unwrap();
        let mut composed = PoolComposed { pool: sealed.id, samples: 0, skipped: 0 };
        self.put(Topic::Pools, sealed.id, StageName::Coordinator, sealed);
        for composition in hosts.flat_map(|host| host.compositions) {
            match composition {
                Composition::Sample(sample) => {
                    composed.samples += 1;
                    self.put(Topic::Samples, sample.id, StageName::Composer, sample);
                }
                Composition::Skipped(skipped) => {
                    composed.skipped += 1;
                    self.put(Topic::Skipped, skipped.id, StageName::Composer, skipped);
                }
            }
        }
        let key = id(StageName::Composer, 1, "composed");
        self.put(Topic::Runs, key, StageName::Composer, composed);
    }

    fn place(&self, topic: Topic, nth: usize) -> usize {
        let places = self.records.iter().enumerate().filter(|(_, record)| record.0 == topic);
        places.map(|(place, _)| place).nth(nth).unwrap()
    }

    /// Takes a record away.
    fn remove(&mut self, topic: Topic, nth: usize) -> RecordId {
        self.records.remove(self.place(topic, nth)).1
    }

    /// Lets a record be there twice.
    fn repeat(&mut self, topic: Topic, nth: usize) -> RecordId {
        let (topic, key, stage, message) = self.records[self.place(topic, nth)].clone();
        self.put(topic, key, stage, message);
        key
    }

    fn sample(&mut self) -> &mut SampleComposed {
        let place = self.place(Topic::Samples, 0);
        match &mut self.records[place].3 {
            Message::SampleComposed(sample) => sample,
            other => panic!("{other:?}"),
        }
    }

    fn audit(&self) -> Audit {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let evidence = runtime.block_on(async {
            let log = MemoryLog::new(1);
            for (topic, key, stage, message) in &self.records {
                let headers =
                    Headers { revision: Some(self.revision.fingerprint(*stage)), ..Headers::default() };
                let (key, value) = (key.0.to_vec(), message.encode(FormatLevel::NEWEST).unwrap());
                log.append(vec![Outgoing { topic: *topic, partition: 0, key, value, headers }])
                    .await
                    .unwrap();
            }
            Evidence::read(&log, &self.revision).await.unwrap()
        });
        let made = self.folder.path().join("samples");
        let grounds = Grounds {
            store: &self.store,
            plan: &self.plan,
            seed: 0,
            relations: &Strangers,
            made: Some(&made),
        };
        audit(&evidence, &grounds).unwrap()
    }

    /// The one finding of a world in which something was planted.
    fn finding(&self) -> String {
        let findings = self.audit().findings();
        assert_eq!(findings.len(), 1, "{findings:#?}");
        findings.into_iter().next().unwrap()
    }
}

#[test]
fn a_run_without_a_fault_has_no_findings_and_every_clip_is_counted_once() {
    let audit = World::new().audit();
    assert!(audit.is_ok() && audit.at_rest, "{audit}");
    let Audit { clips, composed, rejected, dead_letters, open, .. } = audit;
    assert_eq!((clips, composed, rejected, dead_letters, open), (6, 4, 1, 1, 0));
    assert_eq!(audit.objects, 11, "ten media objects and one listing");
    assert!(audit.to_string().ends_with("nothing lost, nothing twice, no media missing"), "{audit}");
}

#[test]
fn a_clip_without_an_ending_is_lost_at_rest_and_open_before() {
    let mut world = World::new();
    world.remove(Topic::Rejected, 0);
    let findings = world.audit().findings();
    assert_eq!(findings.len(), 2, "{findings:#?}");
    assert!(findings[0].contains("was Decoded and has not ended"), "{findings:#?}");
    assert!(findings[1].contains("rejected of the run's end is said to be 1, 0 are there"), "{findings:#?}");

    let end = world.place(Topic::Runs, 2);
    world.records.remove(end);
    let audit = world.audit();
    assert!(audit.is_ok() && !audit.at_rest && audit.open == 1, "{audit}");
}

#[test]
fn a_clip_that_ends_twice_is_found() {
    let mut world = World::new();
    let Message::ClipFound(found) = &world.records[world.place(Topic::Clips, 0)].3 else { panic!() };
    let clip = found.clip.clone();
    world.turned_away(&clip);
    let findings = world.audit().findings();
    assert!(findings[0].contains("ended as [Composed, Rejected(Gate)]"), "{findings:#?}");
}

#[test]
fn a_record_that_is_there_twice_is_found_unless_it_was_put_back() {
    for topic in
        [Topic::Clips, Topic::Decoded, Topic::Accepted, Topic::Samples, Topic::Rejected, Topic::Pools]
    {
        let mut world = World::new();
        let key = world.repeat(topic, 0);
        let expected = format!("record {key} of {topic} is there 2 times, 1 would be right");
        assert!(world.finding().contains(&expected), "{topic}");
    }
    let mut world = World::new();
    let clip = world.repeat(Topic::Clips, 0);
    let (stage, key) = (StageName::Curator, clip.0.to_vec());
    let letter = match &world.records[world.place(Topic::DeadLetters, 0)].3 {
        Message::DeadLetter(letter) => DeadLetter {
            id: id(stage, 1, "letter"),
            topic: Topic::Clips.to_string(),
            key: key.clone(),
            ..letter.clone()
        },
        other => panic!("{other:?}"),
    };
    let dead_letter = letter.id;
    world.put(Topic::DeadLetters, dead_letter, stage, letter);
    let word = RecordRequeued { dead_letter, stage, clip: Some(clip), key };
    world.put(Topic::Runs, id(stage, 1, "requeued"), stage, word);
    let audit = world.audit();
    assert!(audit.is_ok() && !audit.at_rest, "what was put back calls for another end: {audit}");
}

#[test]
fn a_step_that_is_gone_is_found() {
    let mut world = World::new();
    world.remove(Topic::Curated, 0);
    assert!(world.finding().contains("is Decoded without having been Curated"));
    let mut world = World::new();
    world.remove(Topic::Clips, 4);
    let findings = world.audit().findings().join("\n");
    assert!(findings.contains("the source counted 6 clips, 5 are there"), "{findings}");
    assert!(findings.contains("which was never found"), "{findings}");
}

#[test]
fn samples_are_what_their_pools_come_to() {
    let mut world = World::new();
    world.sample().class_seen = Some("Dog".to_owned());
    assert!(world.finding().contains("is not what its pool comes to"));
    let mut world = World::new();
    world.remove(Topic::Samples, 3);
    assert!(world.finding().starts_with("lost: sample"));
    let mut world = World::new();
    let stray = SampleComposed { id: RecordId([9; 16]), ..world.sample().clone() };
    world.put(Topic::Samples, stray.id, StageName::Composer, stray);
    assert!(world.finding().contains("to which no pool comes"));
    let mut world = World::new();
    world.remove(Topic::Runs, 1);
    assert!(world.finding().contains("was sealed and not composed"));
}

#[test]
fn media_that_is_missing_short_or_other_is_found() {
    let world = World::new();
    let object = world.store.put_bytes(b"flac 1").unwrap();
    let path = world.store.open_object(object.hash).unwrap().path().to_owned();
    fs::write(&path, b"flac 2").unwrap();
    assert!(world.finding().contains("it holds other bytes"));
    fs::write(&path, b"flac").unwrap();
    assert!(world.finding().contains("it has 4 bytes instead of 6"));
    fs::remove_file(&path).unwrap();
    let finding = world.finding();
    assert!(finding.contains("it is not there") && finding.contains(&object.hash.to_string()), "{finding}");
}

#[test]
fn a_file_of_a_sample_that_holds_other_bytes_is_found() {
    let mut world = World::new();
    let sample = world.sample().id;
    let folder = world.folder.path().join("samples");
    fs::create_dir(&folder).unwrap();
    let made = crate::materialise::MadeSample {
        sample,
        path: "a.mp4".to_owned(),
        blake3: ContentHash::of(b"good"),
        bytes: 4,
    };
    fs::write(folder.join("made.jsonl"), serde_json::to_string(&made).unwrap()).unwrap();
    fs::write(folder.join("a.mp4"), b"good").unwrap();
    assert!(world.audit().is_ok());
    fs::write(folder.join("a.mp4"), b"evil").unwrap();
    assert!(world.finding().contains("a.mp4 holds other bytes"));
}

#[test]
fn a_record_that_nobody_can_read_is_lost_unless_a_dead_letter_tells_of_it() {
    let mut world = World::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let found = runtime.block_on(async {
        let log = MemoryLog::new(1);
        let (key, value) = (vec![1], b"junk".to_vec());
        let junk = Outgoing { topic: Topic::Clips, partition: 0, key, value, headers: Headers::default() };
        log.append(vec![junk]).await.unwrap();
        Evidence::read(&log, &world.revision).await.unwrap()
    });
    assert_eq!(found.unreadable.len(), 1);
    let mut audit = Audit { at_rest: true, ..Audit::default() };
    endings::check(&found, &Default::default(), &mut audit);
    assert!(audit.findings()[0].contains("clips/0@1 cannot be read"), "{audit}");
    world.records.clear();
    assert!(!world.audit().at_rest, "nothing was ever offered");
}
