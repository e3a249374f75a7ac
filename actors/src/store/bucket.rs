//! Objects in a bucket.
//!
//! Nothing in a bucket can be locked, and a delete asks no questions. A sweep therefore says first what it is
//! about to delete, by a note `deleting/HASH/PROCESS-NUMBER`, then looks at the object's time, deletes, and takes the
//! note back. A put writes the object, then looks for such notes, then looks whether the object is there:
//!
//! - a note that is there: a delete may be under way; wait until it has gone, and put again;
//! - no note, but no object either: a delete came between; put again;
//! - no note, and the object: every delete from now on sees the new time.
//!
//! A note whose sweep was killed is passed over: at once where its process can be seen to have ended, else after
//! a time that no delete takes. This needs no more than what S3 promises: whoever reads after a write sees it.

use std::{
    collections::HashMap,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime},
};

use counterpoint_log::{failpoints, process::Process};
use counterpoint_messages::ContentHash;

use super::{Content, Entry, LocalObject, Note, Objects, StoreError, cache::Cache, hash_named, object_name};
use crate::s3::{Body, Bucket, Listed, S3Error};

/// Longest that a delete may take from its note to the request; what is slower gives up.
const DELETE_WITHIN: Duration = Duration::from_secs(60);
/// Age of a note whose sweep has died, where its process cannot be seen: far beyond the longest delete, its request and its tries included.
const NOTE_IS_DEAD: Duration = Duration::from_secs(15 * 60);
/// How long the last request of a process that was killed may still be on its way in the server.
const LAST_REQUEST: Duration = Duration::from_secs(2);
/// How long a put waits for a delete before its stage pauses.
const WAIT: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct InBucket {
    bucket: Bucket,
    cache: Cache,
}

impl InBucket {
    pub(super) fn new(bucket: Bucket, local: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        Ok(Self { bucket, cache: Cache::new(&local.join("objects"), cache_bytes)? })
    }

    /// Gives an object to `take` piece by piece; whether there is such an object.
    fn fetch(
        &self,
        hash: ContentHash,
        take: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<bool, StoreError> {
        match self.bucket.read(&object_name(hash)) {
            Ok((_, chunks)) => {
                for chunk in chunks {
                    take(&chunk?)?;
                }
                Ok(true)
            }
            Err(S3Error::Gone { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until no delete of the object is under way.
    fn wait_for_deletes(&self, hash: ContentHash) -> Result<bool, StoreError> {
        let folder = format!("deleting/{hash}");
        let start = Instant::now();
        let mut has_waited = false;
        let mut ended: HashMap<String, Instant> = HashMap::new();
        loop {
            let mut longest = None;
            for note in self.bucket.list(&folder)? {
                // A clock that runs ahead makes it no older.
                let age = note.modified.elapsed().unwrap_or_default();
                let left = match owner(&note.name) {
                    Some(owner) if owner.has_ended() => {
                        let seen = *ended.entry(note.name.clone()).or_insert_with(Instant::now);
                        LAST_REQUEST.saturating_sub(seen.elapsed())
                    }
                    _ => NOTE_IS_DEAD.saturating_sub(age),
                };
                match left {
                    Duration::ZERO => self.bucket.delete(&note.name)?,
                    left => longest = longest.max(Some(left)),
                }
            }
            let Some(left) = longest else { return Ok(has_waited) };
            if start.elapsed() > WAIT {
                return Err(StoreError::Swept { hash, place: self.place(), left });
            }
            has_waited = true;
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

impl Objects for InBucket {
    fn place(&self) -> String {
        self.bucket.url().to_string()
    }

    fn put(&self, hash: ContentHash, content: Content<'_>) -> Result<(), StoreError> {
        let name = object_name(hash);
        loop {
            let body = match content {
                Content::Bytes(bytes) => Body::Bytes(bytes.to_vec()),
                Content::File(path) => Body::File(
                    std::fs::File::open(path).map_err(|error| StoreError::io("open", path, error))?,
                ),
            };
            self.bucket.put(&name, body)?;
            failpoints::reached("store::stored", "");
            if !self.wait_for_deletes(hash)? && self.bucket.modified(&name)?.is_some() {
                return Ok(());
            }
        }
    }

    fn get(&self, hash: ContentHash) -> Result<Option<Vec<u8>>, StoreError> {
        let mut bytes = Vec::new();
        let is_there = self.fetch(hash, &mut |chunk| {
            bytes.extend_from_slice(chunk);
            Ok(())
        })?;
        match is_there {
            true if ContentHash::of(&bytes) != hash => Err(StoreError::Damaged { hash, place: self.place() }),
            is_there => Ok(is_there.then_some(bytes)),
        }
    }

    fn open(&self, hash: ContentHash) -> Result<Option<LocalObject>, StoreError> {
        self.cache.open(hash, &self.place(), |take| self.fetch(hash, take))
    }

    fn contains(&self, hash: ContentHash) -> Result<bool, StoreError> {
        Ok(self.bucket.modified(&object_name(hash))?.is_some())
    }

    fn list(&self) -> Result<Vec<Entry>, StoreError> {
        let is_object = |hash: ContentHash, name: &str| object_name(hash) == name;
        Ok(self.bucket.list("")?.iter().filter_map(|listed| entry(listed, is_object)).collect())
    }

    fn delete(&self, hash: ContentHash, untouched_since: SystemTime) -> Result<bool, StoreError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let this = Process::this().map_err(|error| StoreError::io("read", Path::new("/proc"), error))?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // Tells this delete from those of other processes and threads.
        let note = format!("deleting/{hash}/{this}-{number}");
        let name = object_name(hash);
        let start = Instant::now();
        self.bucket.put(&note, Body::Bytes(Vec::new()))?;
        let is_old = self.bucket.modified(&name)?.is_some_and(|modified| modified <= untouched_since);
        failpoints::reached("store::delete", "");
        let deletes = is_old && start.elapsed() < DELETE_WITHIN;
        if deletes {
            self.bucket.delete(&name)?;
        }
        self.bucket.delete(&note)?;
        Ok(deletes)
    }

    fn note(&self, note: Note, name: ContentHash) -> Result<(), StoreError> {
        Ok(self.bucket.put(&format!("{}/{name}", note.folder()), Body::Bytes(Vec::new()))?)
    }

    fn unnote(&self, note: Note, name: ContentHash) -> Result<(), StoreError> {
        Ok(self.bucket.delete(&format!("{}/{name}", note.folder()))?)
    }

    fn notes(&self, note: Note) -> Result<Vec<Entry>, StoreError> {
        let is_note = |_, _: &str| true;
        Ok(self.bucket.list(note.folder())?.iter().filter_map(|listed| entry(listed, is_note)).collect())
    }
}

/// The process that wrote a note of a delete; none of a release before notes named it.
fn owner(note: &str) -> Option<Process> {
    let (_, name) = note.rsplit_once('/')?;
    let (owner, _) = name.rsplit_once('-')?;
    owner.parse().ok()
}

/// What is named by a hash, in a place where `is_one` expects it.
fn entry(listed: &Listed, is_one: impl Fn(ContentHash, &str) -> bool) -> Option<Entry> {
    let hash = hash_named(listed.name.rsplit('/').next()?)?;
    let Listed { bytes, modified, .. } = *listed;
    is_one(hash, &listed.name).then_some(Entry { hash, bytes, modified })
}
