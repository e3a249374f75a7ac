//! The orphan sweep: removes media objects that no record points to.
//!
//! A retry may make other bytes than the first try, and a process may die between the media and the record:
//! what it stored is an orphan. A sweep marks from the roots, which are all records of all revisions, read as
//! they are: an object stays as long as its hash stands anywhere in the bytes of a record, a state or a dead
//! letter, in whatever version, or in a pool's listing. What is not marked, and was not put for `untouched`,
//! gets a tombstone. A later sweep removes it if it is still unmarked and untouched and the tombstone is old
//! enough. A put refreshes the object's time, and puts and removals exclude each other in the store, so a run
//! that is at work meanwhile loses nothing.

mod marks;

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, SystemTime},
};

use counterpoint_log::{LogError, TopicLog};
use counterpoint_messages::{ContentHash, DeadLetter, Message, PoolSealed, Topic};
use futures::TryStreamExt;
use serde::Serialize;
use walkdir::WalkDir;

use self::marks::Marks;
use crate::store::{Entry, Note, Store, StoreError, remove_abandoned};

/// How a sweep goes about it.
#[derive(Debug, Clone, Copy)]
pub struct SweepOptions {
    /// Time that an object, and then its tombstone, must have been left alone. Far longer than any stage may
    /// take from putting an object to committing the record that points to it.
    pub untouched: Duration,
    /// Whether nothing is changed.
    pub dry_run: bool,
}

/// What a sweep found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Swept {
    /// Objects in the store before.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that a record points to.
    pub in_use: u64,
    /// Objects without a record that were put lately: a record may be on its way.
    pub recent: u64,
    /// Objects marked for a later sweep now.
    pub marked: u64,
    /// Objects marked by an earlier sweep, not long enough ago.
    pub waiting: u64,
    /// Objects removed.
    pub removed: u64,
    /// Their bytes.
    pub removed_bytes: u64,
    /// Scratch files of processes that died, removed.
    pub leftovers: u64,
}

/// A sweep cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The log.
    #[error("cannot read the log")]
    Log(#[from] LogError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Records of another log may point into the store.
    #[error(
        "another log ({log}) has its objects in {place} too, and its records are unknown here: sweep only a \
         store of one run, or, if that log is gone for good, remove logs/{log} from the store"
    )]
    OtherLog {
        /// Its name.
        log: ContentHash,
        /// Folder or address of the store.
        place: String,
    },
    /// A record of a version to come, which may point to objects in ways that are unknown here.
    #[error("record {position} of {topic} cannot be read ({detail}): sweep with the version that wrote it")]
    Unreadable {
        /// Topic.
        topic: Topic,
        /// Position.
        position: u64,
        /// What the decoder said.
        detail: String,
    },
}

/// Notes in the store that this log points into it; done once the log holds a revision.
///
/// # Errors
/// If the log cannot be read or the note not be written.
pub async fn note_log(log: &dyn TopicLog, store: &Store) -> Result<(), SweepError> {
    match log_name(log).await? {
        Some(name) => Ok(store.note_log(name)?),
        None => Ok(()),
    }
}

/// A name that the log keeps wherever it is moved: the hash of its first revision and of the moment of that.
async fn log_name(log: &dyn TopicLog) -> Result<Option<ContentHash>, LogError> {
    let first = log.scan(Topic::Revisions).try_next().await?;
    Ok(first.map(|record| {
        let moment = record.written_ms.to_le_bytes();
        ContentHash::of(&[record.key.as_slice(), &record.value, &moment].concat())
    }))
}

/// Sweeps the store of the run whose log this is and whose files lie in `out`.
///
/// # Errors
/// [`SweepError`]; what was done until then is right all the same.
pub async fn sweep(
    log: &dyn TopicLog,
    store: &Store,
    out: &Path,
    options: SweepOptions,
) -> Result<Swept, SweepError> {
    let own = log_name(log).await?;
    let logs = store.objects().notes(Note::Log)?;
    if let Some(other) = logs.iter().find(|other| Some(other.hash) != own) {
        return Err(SweepError::OtherLog { log: other.hash, place: store.place() });
    }
    // The objects first, then the records: a record that comes later than this listing points to an object
    // that was put later than the one listed, or lately, and its time tells.
    let now = SystemTime::now();
    let mut marks = Marks::new(store.objects().list()?);
    mark(log, store, &mut marks).await?;
    let tombstones = store.objects().notes(Note::Tombstone)?;
    let mut tombstones: HashMap<_, _> =
        tombstones.into_iter().map(|stone| (stone.hash, stone.modified)).collect();
    let mut sweeping = Sweeping { store, options, now, swept: Swept::default() };
    for (entry, is_marked) in marks.into_entries() {
        sweeping.judge(entry, is_marked, tombstones.remove(&entry.hash))?;
    }
    // What is left has no object any more.
    for gone in tombstones.into_keys() {
        sweeping.unnote(gone)?;
    }
    sweeping.leftovers(out);
    Ok(sweeping.swept)
}

struct Sweeping<'a> {
    store: &'a Store,
    options: SweepOptions,
    now: SystemTime,
    swept: Swept,
}

impl Sweeping<'_> {
    fn is_old(&self, time: SystemTime) -> bool {
        self.now.duration_since(time).is_ok_and(|age| age >= self.options.untouched)
    }

    fn judge(
        &mut self,
        entry: Entry,
        is_marked: bool,
        tombstone: Option<SystemTime>,
    ) -> Result<(), StoreError> {
        self.swept.objects += 1;
        self.swept.bytes += entry.bytes;
        // A tombstone speaks of the object as it was then.
        let standing = tombstone.filter(|written| *written >= entry.modified);
        match (is_marked, self.is_old(entry.modified), standing) {
            (true, ..) => self.swept.in_use += 1,
            (false, false, _) => self.swept.recent += 1,
            (false, true, Some(written)) if self.is_old(written) => return self.remove(entry),
            (false, true, Some(_)) => {
                self.swept.waiting += 1;
                return Ok(());
            }
            (false, true, None) => {
                self.swept.marked += 1;
                return match self.options.dry_run {
                    true => Ok(()),
                    false => self.store.objects().note(Note::Tombstone, entry.hash),
                };
            }
        }
        if tombstone.is_some() { self.unnote(entry.hash) } else { Ok(()) }
    }

    fn remove(&mut self, entry: Entry) -> Result<(), StoreError> {
        let before = self.now.checked_sub(self.options.untouched).unwrap_or(SystemTime::UNIX_EPOCH);
        if self.options.dry_run || self.store.objects().delete(entry.hash, before)? {
            self.swept.removed += 1;
            self.swept.removed_bytes += entry.bytes;
        } else {
            self.swept.recent += 1;
        }
        self.unnote(entry.hash)
    }

    fn unnote(&self, hash: ContentHash) -> Result<(), StoreError> {
        if self.options.dry_run { Ok(()) } else { self.store.objects().unnote(Note::Tombstone, hash) }
    }

    /// Files that processes were writing when they died, in the scratch folder and beside their places.
    fn leftovers(&mut self, out: &Path) {
        if self.options.dry_run {
            return;
        }
        let age = self.options.untouched;
        let mut removed = remove_abandoned(&self.store.scratch(), age, |_| true);
        let is_half_written = |name: &str| {
            name.starts_with(".writing-") || (name.starts_with(".clip-") && name.ends_with(".part"))
        };
        let made = [out.join("samples"), out.join("gallery")];
        let folders = made.iter().flat_map(|folder| WalkDir::new(folder).into_iter().filter_map(Result::ok));
        let folders = folders.filter(|entry| entry.file_type().is_dir()).map(walkdir::DirEntry::into_path);
        for folder in folders.chain([out.to_owned()]) {
            removed += remove_abandoned(&folder, age, is_half_written);
        }
        self.swept.leftovers = removed;
    }
}

/// Marks whatever a record of the log names, and what the listings name that were named.
async fn mark(log: &dyn TopicLog, store: &Store, marks: &mut Marks) -> Result<(), SweepError> {
    let mut listings = Vec::new();
    for topic in Topic::all() {
        let mut records = log.scan(topic);
        while let Some(record) = records.try_next().await? {
            marks.mark_all_in(&record.key);
            marks.mark_all_in(&record.value);
            let sealed = match topic {
                Topic::Pools => Message::decode(&record.value).map_err(|error| SweepError::Unreadable {
                    topic,
                    position: record.position.0,
                    detail: error.to_string(),
                })?,
                Topic::DeadLetters => match Message::decode(&record.value) {
                    Ok(Message::DeadLetter(DeadLetter { raw, .. })) => match Message::decode(&raw) {
                        Ok(message) => message,
                        // That may be why it is a dead letter.
                        Err(_) => continue,
                    },
                    _ => continue,
                },
                _ => continue,
            };
            if let Message::PoolSealed(PoolSealed { listing, .. }) = sealed
                && !listings.contains(&listing)
            {
                listings.push(listing);
            }
        }
    }
    for listing in listings {
        match store.get(listing) {
            Ok(bytes) => marks.mark_all_in(&bytes),
            // Its pool cannot be composed any more, which is for the composer to say.
            Err(StoreError::Missing { .. } | StoreError::Damaged { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
