use std::{
    fs::{self, File},
    sync::mpsc,
    thread,
};

use counterpoint_log::{failpoints, process::Process};
use counterpoint_servers::s3::{KEY_ID, S3Server, SECRET};
use fail::FailScenario;

use super::*;
use crate::s3::{S3, S3Settings};

const BUCKET: &str = "store";

/// A store, and where its objects are as files.
pub(crate) struct Place {
    pub store: Store,
    files: PathBuf,
    _local: tempfile::TempDir,
    pub server: Option<S3Server>,
}

impl Place {
    pub fn folder() -> Self {
        let local = tempfile::tempdir().unwrap();
        let store = Store::open(local.path()).unwrap();
        Self { store, files: local.path().to_owned(), _local: local, server: None }
    }

    pub fn bucket() -> Self {
        let server = S3Server::start(&[BUCKET]).unwrap();
        let local = tempfile::tempdir().unwrap();
        let store = Store::in_bucket(bucket(&server, "s3://store/of/one-run"), local.path(), 1000).unwrap();
        let files = server.bucket(BUCKET).join("of/one-run");
        Self { store, files, _local: local, server: Some(server) }
    }

    pub fn both() -> [Self; 2] {
        [Self::folder(), Self::bucket()]
    }

    pub fn file(&self, hash: ContentHash) -> PathBuf {
        self.files.join(object_name(hash))
    }

    /// Makes an object as old as if nobody had put it for so many hours.
    pub fn age(&self, hash: ContentHash, hours: u64) {
        age(&self.file(hash), hours);
    }

    /// The same for a tombstone.
    pub fn age_tombstone(&self, hash: ContentHash, hours: u64) {
        age(&self.files.join("tombstones").join(hash.to_string()), hours);
    }

    pub fn tombstones(&self) -> Vec<ContentHash> {
        let notes = self.store.objects().notes(Note::Tombstone).unwrap();
        notes.into_iter().map(|note| note.hash).collect()
    }
}

fn age(path: &Path, hours: u64) {
    File::options().append(true).open(path).unwrap().set_modified(hours_ago(hours)).unwrap();
}

fn hours_ago(hours: u64) -> SystemTime {
    SystemTime::now() - Duration::from_secs(hours * 3600)
}

fn settings(server: &S3Server) -> S3Settings {
    S3Settings { endpoint: Some(server.endpoint()), allow_http: true, ..S3Settings::default() }
}

fn bucket(server: &S3Server, url: &str) -> Bucket {
    S3::with_key(settings(server), KEY_ID, SECRET).bucket(&url.parse().unwrap()).unwrap()
}

fn stores() -> Vec<(Store, Option<Place>)> {
    let mut stores: Vec<_> =
        Place::both().into_iter().map(|place| (place.store.clone(), Some(place))).collect();
    stores.push((Store::in_memory().unwrap(), None));
    stores
}

#[test]
fn an_object_is_found_under_its_hash_and_a_second_put_refreshes_its_time_only() {
    for place in Place::both() {
        let store = &place.store;
        let object = store.put_bytes(b"sound").unwrap();
        assert_eq!(object, MediaObject { hash: ContentHash::of(b"sound"), bytes: 5 });
        place.age(object.hash, 30);

        assert_eq!(store.put_bytes(b"sound").unwrap(), object);
        assert_eq!(store.get(object.hash).unwrap(), b"sound");
        assert!(fs::metadata(place.file(object.hash)).unwrap().modified().unwrap() > hours_ago(1));
        assert_eq!(fs::read_dir(store.scratch()).unwrap().count(), 0);
    }
}

#[test]
fn a_file_is_taken_in_with_the_time_of_the_put_not_of_its_making() {
    for (store, _place) in stores() {
        // More than one part of an upload.
        let bytes: Vec<u8> = (0..9_u32 << 20).map(|number| (number / 999) as u8).collect();
        let file = store.scratch().join("made-long-ago");
        fs::write(&file, &bytes).unwrap();
        age(&file, 30);
        let object = store.take_in(&file).unwrap();
        assert!(!file.exists());
        let [entry] = store.objects().list().unwrap()[..] else { panic!("one object in {}", store.place()) };
        assert_eq!((entry.hash, entry.bytes), (object.hash, bytes.len() as u64));
        assert!(entry.modified > hours_ago(1));
        assert_eq!(fs::read(store.open_object(object.hash).unwrap().path()).unwrap(), bytes);
    }
}

#[test]
fn a_missing_object_is_named_with_its_remedy() {
    for (store, _place) in stores() {
        let gone = ContentHash::of(b"gone");
        assert!(!store.contains(gone).unwrap());
        for error in [store.get(gone).unwrap_err(), store.open_object(gone).unwrap_err()] {
            assert!(matches!(error, StoreError::Missing { .. }), "{error}");
            assert!(error.to_string().contains("--from decoder"));
        }
    }
}

#[test]
fn a_delete_spares_what_was_put_since() {
    for place in Place::both() {
        let (store, objects) = (&place.store, place.store.objects());
        let object = store.put_bytes(b"sound").unwrap();
        place.age(object.hash, 30);
        store.put_bytes(b"sound").unwrap();
        assert!(!objects.delete(object.hash, hours_ago(24)).unwrap());
        place.age(object.hash, 30);
        assert!(objects.delete(object.hash, hours_ago(24)).unwrap());
        assert!(!store.contains(object.hash).unwrap());
        assert!(!objects.delete(object.hash, hours_ago(24)).unwrap(), "it is gone already");
    }
}

#[test]
fn an_object_put_while_it_is_removed_is_there_when_the_put_returns() {
    failpoints::arm();
    let scenario = FailScenario::setup();
    for place in Place::both() {
        let object = place.store.put_bytes(b"sound").unwrap();
        place.age(object.hash, 30);
        let (store, file) = (place.store.clone(), place.file(object.hash));
        let (sender, put) = mpsc::channel();
        let is_bucket = place.server.is_some();
        // The delete is under way when the put begins. A bucket cannot hold it back: it is stored, and lost.
        fail::cfg_callback("store::delete", move || {
            let (sender, store, file) = (sender.clone(), store.clone(), file.clone());
            thread::spawn(move || sender.send(store.put_bytes(b"sound").map(|_| ())));
            while is_bucket && fs::metadata(&file).unwrap().modified().unwrap() < hours_ago(1) {
                thread::yield_now();
            }
        })
        .unwrap();
        place.store.objects().delete(object.hash, hours_ago(24)).unwrap();
        put.recv().unwrap().unwrap();
        assert_eq!(place.store.get(object.hash).unwrap(), b"sound", "{}", place.store.place());
        fail::remove("store::delete");
    }
    scenario.teardown();
}

#[test]
fn a_delete_that_is_over_before_the_put_looks_is_noticed() {
    failpoints::arm();
    let scenario = FailScenario::setup();
    let place = Place::bucket();
    let hash = place.store.put_bytes(b"sound").unwrap().hash;
    place.age(hash, 30);
    let (looked, wait_until_looked) = mpsc::sync_channel(1);
    let (stored, wait_until_stored) = mpsc::sync_channel::<()>(1);
    let wait_until_stored = parking_lot::Mutex::new(wait_until_stored);
    fail::cfg_callback("store::delete", move || {
        looked.send(()).unwrap();
        wait_until_stored.lock().recv().unwrap();
    })
    .unwrap();
    let store = place.store.clone();
    let deleting = thread::spawn(move || store.objects().delete(hash, hours_ago(24)).unwrap());
    wait_until_looked.recv().unwrap();
    let deleting = parking_lot::Mutex::new(Some(deleting));
    // Once the object is stored, the delete goes through and takes its note back.
    fail::cfg_callback("store::stored", move || {
        if let Some(deleting) = deleting.lock().take() {
            stored.send(()).unwrap();
            assert!(deleting.join().unwrap(), "it was deleted");
        }
    })
    .unwrap();
    place.store.put_bytes(b"sound").unwrap();
    assert_eq!(place.store.get(hash).unwrap(), b"sound");
    scenario.teardown();
}

#[test]
fn a_put_waits_for_a_removal_under_way_and_passes_over_one_that_died() {
    let place = Place::bucket();
    let hash = place.store.put_bytes(b"sound").unwrap().hash;
    let folder = place.files.join(format!("deleting/{hash}"));
    fs::create_dir_all(&folder).unwrap();
    let (unknown, living) = (folder.join("1-2-3"), folder.join(format!("{}-7", Process::this().unwrap())));
    for note in [&unknown, &living] {
        fs::write(note, b"").unwrap();
    }
    age(&unknown, 1);
    let error = place.store.put_bytes(b"sound").unwrap_err();
    let StoreError::Swept { left, .. } = error else { panic!("{error}") };
    assert!((800..900).contains(&left.as_secs()), "{left:?}");
    assert!(error.to_string().ends_with(&format!("run again in {} s", left.as_secs() + 1)), "{error}");
    assert!(!unknown.exists(), "nobody takes so long");
    age(&living, 1);
    place.store.put_bytes(b"sound").unwrap();
    assert!(!living.exists());
}

#[test]
fn a_put_passes_over_the_removal_of_a_process_of_this_host_that_was_killed() {
    let place = Place::bucket();
    let hash = place.store.put_bytes(b"sound").unwrap().hash;
    let folder = place.files.join(format!("deleting/{hash}"));
    fs::create_dir_all(&folder).unwrap();
    let this = Process::this().unwrap().to_string();
    let ended = folder.join(format!("{}_0-7", this.rsplit_once('_').unwrap().0));
    fs::write(&ended, b"").unwrap();
    place.store.put_bytes(b"sound").unwrap();
    assert!(!ended.exists());
    assert_eq!(place.store.get(hash).unwrap(), b"sound");
}

#[test]
fn notes_are_kept_apart_by_kind_and_from_objects() {
    for (store, _place) in stores() {
        let (objects, name) = (store.objects(), ContentHash::of(b"name"));
        objects.note(Note::Tombstone, name).unwrap();
        objects.note(Note::Tombstone, name).unwrap();
        let names =
            |note| -> Vec<_> { objects.notes(note).unwrap().into_iter().map(|note| note.hash).collect() };
        assert_eq!((names(Note::Tombstone), names(Note::Log)), (vec![name], vec![]));
        assert!(objects.list().unwrap().is_empty());
        objects.unnote(Note::Tombstone, name).unwrap();
        objects.unnote(Note::Tombstone, name).unwrap();
        assert!(names(Note::Tombstone).is_empty());
    }
}

#[test]
fn what_was_read_from_a_bucket_is_read_again_without_asking_it() {
    let place = Place::bucket();
    let server = place.server.as_ref().unwrap();
    let object = place.store.put_bytes(b"sound").unwrap();
    let first = place.store.open_object(object.hash).unwrap();
    let before = server.requests();
    let second = place.store.open_object(object.hash).unwrap();
    assert_eq!((first.path(), server.requests()), (second.path(), before));
}

#[test]
fn a_damaged_object_of_a_bucket_is_refused() {
    let place = Place::bucket();
    let object = place.store.put_bytes(b"sound").unwrap();
    fs::write(place.file(object.hash), b"noise").unwrap();
    for error in
        [place.store.get(object.hash).unwrap_err(), place.store.open_object(object.hash).unwrap_err()]
    {
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    }
}

#[test]
fn a_bucket_that_cannot_be_used_is_told_by_name_and_remedy() {
    let mut server = S3Server::start(&[BUCKET]).unwrap();
    let local = tempfile::tempdir().unwrap();
    let open = |bucket| Store::in_bucket(bucket, local.path(), 1).map(|_| ()).unwrap_err();
    let told = [
        (open(bucket(&server, "s3://other/x")), "no bucket for s3://other/x"),
        (
            open(
                S3::with_key(settings(&server), KEY_ID, "wrong")
                    .bucket(&"s3://store/x".parse().unwrap())
                    .unwrap(),
            ),
            "access to s3://store/x is denied",
        ),
    ];
    for (error, words) in told {
        assert!(error.to_string().contains(words), "{error}");
    }

    let store = Store::in_bucket(bucket(&server, "s3://store/x"), local.path(), 1).unwrap();
    let object = store.put_bytes(b"sound").unwrap();
    let is_away = |error: StoreError| matches!(error, StoreError::Bucket(S3Error::Away { .. }));
    server.set_ill(true);
    assert!(is_away(store.put_bytes(b"more").unwrap_err()));
    assert!(is_away(store.get(object.hash).unwrap_err()));
    assert!(server.refused() > 2, "it was tried again");
    server.set_ill(false);
    assert_eq!(store.get(object.hash).unwrap(), b"sound");
    server.stop();
    assert!(is_away(store.contains(object.hash).unwrap_err()));
    server.start_again().unwrap();
    assert!(store.contains(object.hash).unwrap());
}

#[test]
fn a_listing_has_as_many_pages_as_it_needs() {
    let server = S3Server::start(&[BUCKET]).unwrap();
    let names: Vec<_> = (0..2100).map(|number| format!("clips/{number:04} ö%20+.mp4")).collect();
    fs::create_dir(server.bucket(BUCKET).join("clips")).unwrap();
    for name in names.iter().chain([&"clips-2.mp4".to_owned()]) {
        fs::write(server.bucket(BUCKET).join(name), name).unwrap();
    }
    let bucket = bucket(&server, "s3://store/clips");
    let mut listed = bucket.list("").unwrap();
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    let found: Vec<_> = listed.iter().map(|object| format!("clips/{}", object.name)).collect();
    assert_eq!(found, names);
    let content: Vec<_> = bucket.read(&listed[7].name).unwrap().1.map(Result::unwrap).collect();
    assert_eq!(content.concat(), names[7].as_bytes());
}

#[test]
fn a_file_is_replaced_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/summary.json");
    write_atomically(&path, b"one").unwrap();
    write_atomically(&path, b"two").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}
