//! Objects of a remote store as local files, bounded in bytes.
//!
//! Whoever uses a file holds a shared lock on it; what is to go is locked exclusively first. The system gives
//! locks back when a process dies, so several processes share one cache and a kill leaves nothing locked.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use counterpoint_messages::ContentHash;
use rustix::fs::FlockOperation;

use super::{
    StoreError,
    file::{make_folder, remove_abandoned},
    hash_named,
};

/// Age at which nobody is downloading any more.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// Beginning of the names of files on their way.
const ON_THE_WAY: &str = ".fetched-";

/// An object as a file of this machine. While the value or a clone of it lives, the file stays.
#[derive(Debug, Clone)]
pub struct LocalObject {
    path: PathBuf,
    _lease: Option<Arc<File>>,
}

impl LocalObject {
    /// A file that nobody takes away.
    pub(super) fn stays(path: PathBuf) -> Self {
        Self { path, _lease: None }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    max_bytes: u64,
}

impl Cache {
    pub(super) fn new(folder: &Path, max_bytes: u64) -> Result<Self, StoreError> {
        make_folder(folder)?;
        remove_abandoned(folder, ABANDONED, |name| name.starts_with(ON_THE_WAY));
        Ok(Self { folder: folder.to_owned(), max_bytes })
    }

    /// The object, from the cache or else by `fetch`, which writes it to a file and says whether there is
    /// such an object. `place` names its store in errors.
    pub(super) fn open(
        &self,
        hash: ContentHash,
        place: &str,
        fetch: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<(), StoreError>) -> Result<bool, StoreError>,
    ) -> Result<Option<LocalObject>, StoreError> {
        if let Some(there) = self.lease(hash)? {
            return Ok(Some(there));
        }
        let mut file = tempfile::Builder::new()
            .prefix(ON_THE_WAY)
            .tempfile_in(&self.folder)
            .map_err(|error| StoreError::io("make a file in", &self.folder, error))?;
        let mut hasher = blake3::Hasher::new();
        let is_there = fetch(&mut |chunk| {
            hasher.update(chunk);
            file.write_all(chunk).map_err(|error| StoreError::io("write", file.path(), error))
        })?;
        if !is_there {
            return Ok(None);
        }
        if ContentHash(*hasher.finalize().as_bytes()) != hash {
            return Err(StoreError::Damaged { hash, place: place.to_owned() });
        }
        let path = self.folder.join(hash.to_string());
        // The name is trusted from now on, also after a power failure.
        file.as_file().sync_data().map_err(|error| StoreError::io("sync", file.path(), error))?;
        let lease = Arc::new(lock_shared(&path, file.reopen())?);
        loop {
            match file.persist_noclobber(&path) {
                Ok(_) => break,
                Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => {
                    // Somebody else has fetched it meanwhile. If it is gone again, it is our turn.
                    if let Some(there) = self.lease(hash)? {
                        return Ok(Some(there));
                    }
                    file = refused.file;
                }
                Err(refused) => return Err(StoreError::io("rename a file to", &path, refused.error)),
            }
        }
        self.evict()?;
        Ok(Some(LocalObject { path, _lease: Some(lease) }))
    }

    /// A file of the cache, locked against removal.
    fn lease(&self, hash: ContentHash) -> Result<Option<LocalObject>, StoreError> {
        let path = self.folder.join(hash.to_string());
        loop {
            let lease = match File::open(&path) {
                Ok(file) => lock_shared(&path, Ok(file))?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(StoreError::io("open", &path, error)),
            };
            let fault = |error| StoreError::io("look at", &path, error);
            // Removed between the opening and the lock.
            if lease.metadata().map_err(fault)?.nlink() == 0 {
                continue;
            }
            lease.set_modified(SystemTime::now()).map_err(fault)?;
            return Ok(Some(LocalObject { path, _lease: Some(Arc::new(lease)) }));
        }
    }

    /// Removes what was not used for longest until the bound holds; what is in use stays.
    fn evict(&self) -> Result<(), StoreError> {
        let mut files = Vec::new();
        let fault = |error| StoreError::io("list", &self.folder, error);
        for entry in fs::read_dir(&self.folder).map_err(fault)? {
            let entry = entry.map_err(fault)?;
            // Another process may have removed it since.
            let Ok(metadata) = entry.metadata() else { continue };
            let is_object = entry.file_name().to_str().and_then(hash_named).is_some();
            files.push((metadata.modified().map_err(fault)?, metadata.len(), entry.path(), is_object));
        }
        let mut bytes: u64 = files.iter().map(|(_, bytes, ..)| bytes).sum();
        files.retain(|(.., is_object)| *is_object);
        files.sort();
        for (_, length, path, _) in files {
            if bytes <= self.max_bytes {
                break;
            }
            let Ok(file) = File::open(&path) else { continue };
            let locked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
            // Removed between the opening and the lock: under this name is another file now, that of somebody
            // who fetched the object again, and it may be in use.
            let is_still_there = locked.is_ok() && file.metadata().is_ok_and(|there| there.nlink() > 0);
            if is_still_there && fs::remove_file(&path).is_ok() {
                bytes = bytes.saturating_sub(length);
            }
        }
        Ok(())
    }
}

fn lock_shared(path: &Path, file: io::Result<File>) -> Result<File, StoreError> {
    let fault = |error| StoreError::io("lock", path, error);
    let file = file.map_err(fault)?;
    rustix::fs::flock(&file, FlockOperation::LockShared).map_err(|error| fault(error.into()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: usize = 1000;

    fn content(number: u8) -> Vec<u8> {
        vec![number; BYTES]
    }

    /// The object of this number, and whether it had to be fetched.
    fn open(cache: &Cache, number: u8) -> (LocalObject, bool) {
        let bytes = content(number);
        let mut was_fetched = false;
        let object = cache.open(ContentHash::of(&bytes), "here", |take| {
            was_fetched = true;
            take(&bytes[..10])?;
            take(&bytes[10..]).map(|()| true)
        });
        let object = object.unwrap().unwrap();
        assert_eq!(fs::read(object.path()).unwrap(), bytes);
        (object, was_fetched)
    }

    fn bytes_in(folder: &Path) -> u64 {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
    }

    #[test]
    fn the_least_recently_used_goes_first_and_the_bound_holds() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path(), 3 * BYTES as u64).unwrap();
        for number in 0..3 {
            open(&cache, number);
        }
        assert!(!open(&cache, 0).1, "used again, so that 1 is the oldest now");
        open(&cache, 3);
        assert_eq!(bytes_in(folder.path()), 3 * BYTES as u64);
        assert!(!open(&cache, 0).1 && !open(&cache, 2).1 && !open(&cache, 3).1);
        assert!(open(&cache, 1).1, "it had gone");
    }

    #[test]
    fn what_is_in_use_stays_although_the_bound_is_passed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path(), BYTES as u64).unwrap();
        let held: Vec<_> = (0..4).map(|number| open(&cache, number).0).collect();
        assert!(held.iter().all(|object| object.path().exists()));
        drop(held);
        open(&cache, 4);
        assert_eq!(bytes_in(folder.path()), BYTES as u64);
    }

    #[test]
    fn threads_that_ask_for_more_than_fits_all_get_what_they_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4_u8 {
                let folder = folder.path();
                scope.spawn(move || {
                    // A cache each, as processes have.
                    let cache = Cache::new(folder, 2 * BYTES as u64).unwrap();
                    for round in 0..200_u8 {
                        open(&cache, round.wrapping_mul(7).wrapping_add(thread) % 6);
                    }
                });
            }
        });
        open(&Cache::new(folder.path(), 2 * BYTES as u64).unwrap(), 7);
        assert!(bytes_in(folder.path()) <= 2 * BYTES as u64);
    }

    #[test]
    fn other_content_than_the_name_says_is_refused_and_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path(), 10_000).unwrap();
        let hash = ContentHash::of(b"sound");
        let error = cache.open(hash, "s3://clips", |take| take(b"noise").map(|()| true)).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        assert!(cache.open(hash, "s3://clips", |_| Ok(false)).unwrap().is_none());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
