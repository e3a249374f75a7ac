use std::{
    fs::{self, File},
    time::Duration,
};

use super::*;

fn age(path: &Path, hours: u64) {
    let old = SystemTime::now() - Duration::from_secs(hours * 3600);
    File::options().append(true).open(path).unwrap().set_modified(old).unwrap();
}

fn in_folder() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

#[test]
fn an_object_is_found_under_its_hash_and_a_second_put_refreshes_its_time_only() {
    let (_folder, store) = in_folder();
    let object = store.put_bytes(b"sound").unwrap();
    assert_eq!(object, MediaObject { hash: ContentHash::of(b"sound"), bytes: 5 });
    let path = store.open_object(object.hash).unwrap().path().to_owned();
    age(&path, 30);
    let old = fs::metadata(&path).unwrap().modified().unwrap();

    assert_eq!(store.put_bytes(b"sound").unwrap(), object);
    assert_eq!(store.get(object.hash).unwrap(), b"sound");
    assert!(fs::metadata(&path).unwrap().modified().unwrap() > old);
    assert_eq!(fs::read_dir(store.scratch()).unwrap().count(), 0);
}

#[test]
fn a_file_is_taken_in_with_the_time_of_the_put_not_of_its_making() {
    for store in [in_folder().1, Store::in_memory().unwrap()] {
        fs::create_dir_all(store.scratch()).unwrap();
        let file = store.scratch().join("made-long-ago");
        fs::write(&file, b"picture").unwrap();
        age(&file, 30);
        let object = store.take_in(&file).unwrap();
        assert!(!file.exists());
        let [entry] = store.objects().list().unwrap()[..] else { panic!("one object") };
        assert_eq!((entry.hash, entry.bytes), (object.hash, 7));
        assert!(entry.modified.elapsed().unwrap() < Duration::from_secs(3600));
        assert_eq!(fs::read(store.open_object(object.hash).unwrap().path()).unwrap(), b"picture");
    }
}

#[test]
fn a_missing_object_is_named_with_its_remedy() {
    for store in [in_folder().1, Store::in_memory().unwrap()] {
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
    let (_folder, store) = in_folder();
    let object = store.put_bytes(b"sound").unwrap();
    let path = store.open_object(object.hash).unwrap().path().to_owned();
    let day_ago = SystemTime::now() - Duration::from_secs(24 * 3600);
    age(&path, 30);
    store.put_bytes(b"sound").unwrap();
    assert!(!store.objects().delete(object.hash, day_ago).unwrap());
    age(&path, 30);
    assert!(store.objects().delete(object.hash, day_ago).unwrap());
    assert!(!store.contains(object.hash).unwrap());
    assert!(!store.objects().delete(object.hash, day_ago).unwrap(), "it is gone already");
}

#[test]
fn notes_are_kept_apart_by_kind_and_from_objects() {
    for store in [in_folder().1, Store::in_memory().unwrap()] {
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
fn a_file_is_replaced_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/summary.json");
    write_atomically(&path, b"one").unwrap();
    write_atomically(&path, b"two").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}
