use counterpoint_log::{Headers, Outgoing, memory::MemoryLog};
use counterpoint_messages::{
    Fingerprint, FormatLevel, MediaObject, Message, Parent, ParentRole, PoolSealed, Recipe, RecordId,
    RevisionDeclared, SampleComposed, Split, StageName,
};

use super::*;
use crate::store::tests::Place;

const DAY: SweepOptions = SweepOptions { untouched: Duration::from_secs(24 * 3600), dry_run: false };

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// A log with one revision, whose settings name a plan.
fn log(plan: ContentHash) -> MemoryLog {
    let log = MemoryLog::new(1);
    let settings =
        [("composer".to_owned(), [("plan".to_owned(), plan.to_string())].into())].into_iter().collect();
    let (replays, fingerprints) = Default::default();
    let revision = RevisionDeclared { number: 1, settings, replays, fingerprints };
    append(&log, Topic::Revisions, Message::from(revision).encode(FormatLevel::NEWEST).unwrap());
    log
}

fn append(log: &MemoryLog, topic: Topic, value: Vec<u8>) {
    // Of a revision that nobody works under any more, as most are.
    let headers = Headers { revision: Some(Fingerprint([9; 8])), ..Headers::default() };
    run(log.append(vec![Outgoing { topic, partition: 0, key: vec![1; 16], value, headers }])).unwrap();
}

fn sample(media: MediaObject, sound: MediaObject) -> Message {
    let (class, video) = ("Cat".to_owned(), "v".to_owned());
    let parent = Parent { role: ParentRole::Host, clip: RecordId::default(), video, class, media, sound };
    Message::from(SampleComposed {
        id: RecordId([1; 16]),
        recipe: Recipe::Aligned,
        class_seen: None,
        classes_heard: vec![],
        split: Split::Train,
        parents: vec![parent],
        seed: 0,
        plan: ContentHash::default(),
        pool: RecordId::default(),
        generation: 1,
        duration_ms: 10_000,
    })
}

fn sealed(listing: ContentHash) -> Message {
    Message::from(PoolSealed {
        id: RecordId([3; 16]),
        generation: 1,
        split: Split::Train,
        members: 1,
        member_ids: ContentHash::default(),
        listing,
        plan: ContentHash::default(),
    })
}

fn dead(raw: Vec<u8>) -> Message {
    Message::from(DeadLetter {
        id: RecordId([2; 16]),
        clip: None,
        revision: None,
        stage: StageName::Composer,
        topic: Topic::Pools.to_string(),
        partition: 0,
        position: 1,
        attempts: 3,
        reason: String::new(),
        key: vec![],
        raw,
    })
}

fn sweep_now(log: &MemoryLog, place: &Place, options: SweepOptions) -> Swept {
    let out = tempfile::tempdir().unwrap();
    run(sweep(log, &place.store, out.path(), options)).unwrap()
}

#[test]
fn what_any_record_names_stays_and_an_orphan_goes_in_two_sweeps() {
    for place in Place::both() {
        let put = |bytes: &[u8]| place.store.put_bytes(bytes).unwrap();
        let named: Vec<_> = (0..8).map(|number| put(format!("named {number}").as_bytes())).collect();
        let listings: Vec<_> = named[4..6]
            .iter()
            .map(|member| put(format!("{{\"sound\":\"{member:?}\"}}\n").as_bytes()))
            .collect();
        let (orphan, recent) = (put(b"orphan"), put(b"recent"));
        let log = log(named[0].hash);
        append(&log, Topic::Samples, sample(named[1], named[2]).encode(FormatLevel::NEWEST).unwrap());
        append(&log, Topic::Pools, sealed(listings[0].hash).encode(FormatLevel::NEWEST).unwrap());
        let lost = sealed(listings[1].hash).encode(FormatLevel::NEWEST).unwrap();
        append(&log, Topic::DeadLetters, dead(lost).encode(FormatLevel::NEWEST).unwrap());
        append(&log, Topic::DeadLetters, dead(named[3].hash.0.to_vec()).encode(FormatLevel::NEWEST).unwrap());
        // Versions to come, which nobody here can read.
        append(&log, Topic::Decoded, [b"?".as_slice(), &named[6].hash.0].concat());
        append(&log, Topic::Runs, format!("{{\"object\": \"{}\"}}", named[7].hash).into_bytes());
        for object in named.iter().chain(&listings).chain([&orphan]) {
            place.age(object.hash, 30);
        }

        let first = sweep_now(&log, &place, DAY);
        let expected = Swept { objects: 12, in_use: 10, recent: 1, marked: 1, ..Swept::default() };
        assert_eq!(Swept { bytes: 0, ..first }, expected);
        assert_eq!(place.tombstones(), [orphan.hash]);
        assert_eq!(sweep_now(&log, &place, DAY).waiting, 1, "its tombstone is young");

        place.age_tombstone(orphan.hash, 25);
        let last = sweep_now(&log, &place, DAY);
        assert_eq!((last.removed, last.removed_bytes, last.in_use), (1, 6, 10));
        assert!(!place.store.contains(orphan.hash).unwrap());
        assert!(place.tombstones().is_empty());
        for object in named.iter().chain(&listings).chain([&recent]) {
            assert!(place.store.contains(object.hash).unwrap(), "{object:?}");
        }
    }
}

#[test]
fn an_orphan_that_is_put_again_or_named_after_all_loses_its_tombstone() {
    for place in Place::both() {
        let [again, named] = [b"again", b"named"].map(|bytes| place.store.put_bytes(bytes).unwrap());
        let log = log(ContentHash::default());
        for object in [again, named] {
            place.age(object.hash, 80);
        }
        assert_eq!(sweep_now(&log, &place, DAY).marked, 2);
        place.age_tombstone(again.hash, 60);
        place.age_tombstone(named.hash, 60);
        place.store.put_bytes(b"again").unwrap();
        append(&log, Topic::Samples, sample(named, named).encode(FormatLevel::NEWEST).unwrap());
        let swept = sweep_now(&log, &place, DAY);
        assert_eq!((swept.recent, swept.in_use, swept.removed), (1, 1, 0));
        assert!(place.tombstones().is_empty());
    }
}

#[test]
fn an_object_that_was_put_after_its_tombstone_is_marked_anew() {
    let place = Place::folder();
    let object = place.store.put_bytes(b"sound").unwrap();
    let log = log(ContentHash::default());
    place.age(object.hash, 80);
    sweep_now(&log, &place, DAY);
    place.age_tombstone(object.hash, 60);
    place.age(object.hash, 30);
    let swept = sweep_now(&log, &place, DAY);
    assert_eq!((swept.marked, swept.removed), (1, 0));
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    for place in Place::both() {
        let [one, two] = [b"one", b"two"].map(|bytes| place.store.put_bytes(bytes).unwrap().hash);
        let log = log(ContentHash::default());
        place.age(one, 80);
        sweep_now(&log, &place, DAY);
        place.age_tombstone(one, 60);
        place.age(two, 80);
        let dry = SweepOptions { dry_run: true, ..DAY };
        let told = sweep_now(&log, &place, dry);
        assert_eq!((told.removed, told.marked), (1, 1));
        assert_eq!(place.tombstones(), [one]);
        assert_eq!(sweep_now(&log, &place, dry), told);
    }
}

#[test]
fn a_store_that_another_log_uses_as_well_is_left_alone() {
    let place = Place::folder();
    let (own, other) = (log(ContentHash::default()), log(ContentHash([1; 32])));
    run(note_log(&own, &place.store)).unwrap();
    sweep_now(&own, &place, DAY);
    run(note_log(&other, &place.store)).unwrap();
    let out = tempfile::tempdir().unwrap();
    let error = run(sweep(&own, &place.store, out.path(), DAY)).unwrap_err();
    assert!(error.to_string().contains("another log"), "{error}");
}

#[test]
fn a_pool_of_a_version_to_come_stops_the_sweep() {
    let place = Place::folder();
    let log = log(ContentHash::default());
    append(&log, Topic::Pools, b"a version to come".to_vec());
    let out = tempfile::tempdir().unwrap();
    let error = run(sweep(&log, &place.store, out.path(), DAY)).unwrap_err();
    assert!(error.to_string().contains("sweep with the version that wrote it"), "{error}");
}

#[test]
fn files_of_processes_that_died_are_removed_once_they_are_old() {
    let place = Place::folder();
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().join("samples/aligned");
    std::fs::create_dir_all(&folder).unwrap();
    let names = ["samples/aligned/.clip-1.part", ".writing-2", "samples/aligned/3.mp4", "summary.json"];
    for name in names {
        let file = std::fs::File::create(out.path().join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(30 * 3600)).unwrap();
    }
    std::fs::write(folder.join(".clip-new.part"), "").unwrap();
    let swept = run(sweep(&log(ContentHash::default()), &place.store, out.path(), DAY)).unwrap();
    assert_eq!(swept.leftovers, 2);
    let left = names.map(|name| out.path().join(name).exists());
    assert_eq!((left, folder.join(".clip-new.part").exists()), ([false, false, true, true], true));
}
