//! The media store: objects under the BLAKE3 of their bytes, in a folder, in a bucket or in memory.
//!
//! An object is complete as soon as it has its name. A put that finds the object refreshes its time, which
//! keeps a later sweep away from it ([`crate::sweep`]): once a put has returned, no sweep that is under way
//! removes the object.

mod bucket;
mod cache;
mod file;
mod folder;
mod memory;

use std::{
    fmt,
    io::{self},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use counterpoint_messages::{ContentHash, MediaObject};

pub(crate) use self::file::{check_length, remove_abandoned};
use self::{bucket::InBucket, folder::Folder, memory::Memory};
pub use self::{
    cache::LocalObject,
    file::{hash_file, write_atomically, write_atomically_by},
};
use crate::s3::{Bucket, S3Error};

/// The store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No space.
    #[error("no space left for {0}: free some and run again, nothing is lost")]
    Full(PathBuf),
    /// An object that a record points to is not there.
    #[error(
        "object {hash} is missing from {place}: put it back, give the [store] settings of the run that made it, \
         or run again with --from decoder"
    )]
    Missing {
        /// Its hash.
        hash: ContentHash,
        /// Folder or address of the store.
        place: String,
    },
    /// An object has other bytes than its name says.
    #[error("object {hash} in {place} is damaged: delete it, and run again with --from decoder")]
    Damaged {
        /// Its hash.
        hash: ContentHash,
        /// Folder or address of the store.
        place: String,
    },
    /// A sweep is removing the very object that was put.
    #[error(
        "a sweep of {place} is removing {hash} at this moment: wait until it has ended; if it was killed, run again \
         in {} s",
        left.as_secs() + 1
    )]
    Swept {
        /// Its hash.
        hash: ContentHash,
        /// Folder or address of the store.
        place: String,
        /// How long until it counts as ended, whatever became of it.
        left: Duration,
    },
    /// The bucket of the store.
    #[error("the store cannot be used: {0}")]
    Bucket(#[from] S3Error),
    /// Anything else.
    #[error("cannot {verb} {path}: {source}")]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl StoreError {
    pub(crate) fn io(verb: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(path.to_owned()),
            _ => Self::Io { verb, path: path.to_owned(), source },
        }
    }
}

/// Objects under their hashes. Clones share one store.
#[derive(Clone)]
pub struct Store {
    objects: Arc<dyn Objects>,
    scratch: PathBuf,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.place())
    }
}

impl Store {
    /// Opens the store in a folder, which is made if need be.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let scratch = file::scratch_in(root)?;
        Ok(Self { objects: Arc::new(Folder::new(root)), scratch })
    }

    /// Opens the store in a bucket. What is read from it is kept in the folder `local`: at most `cache_bytes`,
    /// the least recently used goes first, and what is in use stays. Several processes may share `local`.
    ///
    /// # Errors
    /// If the bucket is not there or does not answer, or `local` cannot be made.
    pub fn in_bucket(bucket: Bucket, local: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        bucket.check()?;
        let scratch = file::scratch_in(local)?;
        Ok(Self { objects: Arc::new(InBucket::new(bucket, local, cache_bytes)?), scratch })
    }

    /// A store that lasts as long as its last clone and syncs nothing: for simulation.
    ///
    /// # Errors
    /// If no temporary folder can be made for files on their way.
    pub fn in_memory() -> Result<Self, StoreError> {
        let memory = Memory::new()?;
        let scratch = file::scratch_in(memory.folder())?;
        Ok(Self { objects: Arc::new(memory), scratch })
    }

    /// Where it is, for people: a folder or an address.
    pub fn place(&self) -> String {
        self.objects.place()
    }

    /// Local folder for files on their way into the store.
    pub fn scratch(&self) -> PathBuf {
        self.scratch.clone()
    }

    /// Stores bytes.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<MediaObject, StoreError> {
        let object = MediaObject { hash: ContentHash::of(bytes), bytes: bytes.len() as u64 };
        self.objects.put(object.hash, Content::Bytes(bytes))?;
        Ok(object)
    }

    /// Moves a finished file of [`Store::scratch`] into the store.
    ///
    /// # Errors
    /// If it cannot be read or stored.
    pub fn take_in(&self, file: &Path) -> Result<MediaObject, StoreError> {
        let (hash, bytes) = hash_file(file).map_err(|error| StoreError::io("read", file, error))?;
        self.objects.put(hash, Content::File(file))?;
        // A folder has moved it; anywhere else it was a copy that is not needed any more.
        let _ = std::fs::remove_file(file);
        Ok(MediaObject { hash, bytes })
    }

    /// Reads an object whole.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if it is not there.
    pub fn get(&self, hash: ContentHash) -> Result<Vec<u8>, StoreError> {
        self.objects.get(hash)?.ok_or_else(|| self.missing(hash))
    }

    /// An object as a file of this machine, which stays as long as the value.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if it is not there.
    pub fn open_object(&self, hash: ContentHash) -> Result<LocalObject, StoreError> {
        self.objects.open(hash)?.ok_or_else(|| self.missing(hash))
    }

    /// Whether an object is there.
    ///
    /// # Errors
    /// If the store cannot say.
    pub fn contains(&self, hash: ContentHash) -> Result<bool, StoreError> {
        self.objects.contains(hash)
    }

    /// Notes that the log of this name writes records that point into the store.
    ///
    /// # Errors
    /// If the note cannot be written.
    pub fn note_log(&self, log: ContentHash) -> Result<(), StoreError> {
        self.objects.note(Note::Log, log)
    }

    pub(crate) fn objects(&self) -> &dyn Objects {
        &*self.objects
    }

    fn missing(&self, hash: ContentHash) -> StoreError {
        StoreError::Missing { hash, place: self.place() }
    }
}

/// What is to be stored.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content<'a> {
    /// From memory.
    Bytes(&'a [u8]),
    /// A file, which may be moved away.
    File(&'a Path),
}

/// Empty things beside the objects, named by a hash as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Note {
    /// No record pointed to the object of this name when the note was written.
    Tombstone,
    /// The log of this name points into the store.
    Log,
}

impl Note {
    fn folder(self) -> &'static str {
        match self {
            Self::Tombstone => "tombstones",
            Self::Log => "logs",
        }
    }
}

/// An object or a note of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its name.
    pub hash: ContentHash,
    /// Length in bytes.
    pub bytes: u64,
    /// When it was last put, by the clock of the store.
    pub modified: SystemTime,
}

/// A place for objects.
pub(crate) trait Objects: Send + Sync {
    /// For people.
    fn place(&self) -> String;

    /// Stores an object, or refreshes its time; when this returns the object is durable, and every
    /// [`Objects::delete`] that has not ended either sees the new time or has been made good.
    fn put(&self, hash: ContentHash, content: Content<'_>) -> Result<(), StoreError>;

    /// An object's bytes.
    fn get(&self, hash: ContentHash) -> Result<Option<Vec<u8>>, StoreError>;

    /// An object as a file.
    fn open(&self, hash: ContentHash) -> Result<Option<LocalObject>, StoreError>;

    /// Whether an object is there.
    fn contains(&self, hash: ContentHash) -> Result<bool, StoreError>;

    /// Every object, in no order.
    fn list(&self) -> Result<Vec<Entry>, StoreError>;

    /// Removes an object, unless it was put since `untouched_since`; whether it did. Never loses a put that
    /// returns while this is at work.
    fn delete(&self, hash: ContentHash, untouched_since: SystemTime) -> Result<bool, StoreError>;

    /// Writes a note, or refreshes its time.
    fn note(&self, note: Note, name: ContentHash) -> Result<(), StoreError>;

    /// Removes a note; none of this name is no error.
    fn unnote(&self, note: Note, name: ContentHash) -> Result<(), StoreError>;

    /// Every note of a kind.
    fn notes(&self, note: Note) -> Result<Vec<Entry>, StoreError>;
}

/// Name of an object below its store.
fn object_name(hash: ContentHash) -> String {
    let name = hash.to_string();
    format!("{}/{name}", &name[..2])
}

/// The hash that a file or key is named by.
fn hash_named(name: &str) -> Option<ContentHash> {
    let hash: ContentHash = name.parse().ok()?;
    (hash.to_string() == name).then_some(hash)
}

#[cfg(test)]
pub(crate) mod tests;
