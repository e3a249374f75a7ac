//! Objects in memory.

use std::{collections::HashMap, io::Write, path::Path, time::SystemTime};

use counterpoint_messages::ContentHash;
use parking_lot::Mutex;

use super::{Content, Entry, LocalObject, Note, Objects, StoreError};

#[derive(Debug)]
pub(super) struct Memory {
    held: Mutex<Held>,
    /// Scratch, and objects that were asked for as files.
    folder: tempfile::TempDir,
}

#[derive(Debug, Default)]
struct Held {
    objects: HashMap<ContentHash, (Vec<u8>, SystemTime)>,
    notes: HashMap<(Note, ContentHash), SystemTime>,
}

impl Memory {
    pub(super) fn new() -> Result<Self, StoreError> {
        let folder = tempfile::tempdir()
            .map_err(|error| StoreError::io("make a folder in", &std::env::temp_dir(), error))?;
        Ok(Self { held: Mutex::default(), folder })
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Objects for Memory {
    fn place(&self) -> String {
        "memory".to_owned()
    }

    fn put(&self, hash: ContentHash, content: Content<'_>) -> Result<(), StoreError> {
        let bytes = match content {
            Content::Bytes(bytes) => bytes.to_vec(),
            Content::File(path) => {
                std::fs::read(path).map_err(|error| StoreError::io("read", path, error))?
            }
        };
        self.held.lock().objects.insert(hash, (bytes, SystemTime::now()));
        Ok(())
    }

    fn get(&self, hash: ContentHash) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.held.lock().objects.get(&hash).map(|(bytes, _)| bytes.clone()))
    }

    fn open(&self, hash: ContentHash) -> Result<Option<LocalObject>, StoreError> {
        let Some(bytes) = self.get(hash)? else { return Ok(None) };
        let path = self.folder.path().join(hash.to_string());
        // Renamed into place, as another thread may have asked for the same.
        let fault = |error| StoreError::io("write", &path, error);
        let mut file = tempfile::NamedTempFile::new_in(self.folder.path()).map_err(fault)?;
        file.write_all(&bytes).map_err(fault)?;
        file.persist(&path).map_err(|error| fault(error.error))?;
        Ok(Some(LocalObject::stays(path)))
    }

    fn contains(&self, hash: ContentHash) -> Result<bool, StoreError> {
        Ok(self.held.lock().objects.contains_key(&hash))
    }

    fn list(&self) -> Result<Vec<Entry>, StoreError> {
        let held = self.held.lock();
        let entry = |(hash, (bytes, modified)): (&ContentHash, &(Vec<u8>, SystemTime))| Entry {
            hash: *hash,
            bytes: bytes.len() as u64,
            modified: *modified,
        };
        Ok(held.objects.iter().map(entry).collect())
    }

    fn delete(&self, hash: ContentHash, untouched_since: SystemTime) -> Result<bool, StoreError> {
        let mut held = self.held.lock();
        let is_old = held.objects.get(&hash).is_some_and(|(_, modified)| *modified <= untouched_since);
        Ok(is_old && held.objects.remove(&hash).is_some())
    }

    fn note(&self, note: Note, name: ContentHash) -> Result<(), StoreError> {
        self.held.lock().notes.insert((note, name), SystemTime::now());
        Ok(())
    }

    fn unnote(&self, note: Note, name: ContentHash) -> Result<(), StoreError> {
        self.held.lock().notes.remove(&(note, name));
        Ok(())
    }

    fn notes(&self, note: Note) -> Result<Vec<Entry>, StoreError> {
        let held = self.held.lock();
        let of_kind = held.notes.iter().filter(|((kind, _), _)| *kind == note);
        let entry = |((_, name), written): (&(Note, ContentHash), &SystemTime)| Entry {
            hash: *name,
            bytes: 0,
            modified: *written,
        };
        Ok(of_kind.map(entry).collect())
    }
}
