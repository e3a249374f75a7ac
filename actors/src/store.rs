//! The media store: objects under the BLAKE3 of their bytes, in a folder.
//!
//! An object is complete as soon as it has its name: it is written under another name, synced and
//! renamed. A put that finds the object refreshes its time, which keeps a later sweep away from it.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use counterpoint_core::media_job::MOST_INPUT_BYTES;
use counterpoint_messages::{ContentHash, MediaObject};

/// Age at which nobody is writing a scratch file any more.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// The store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No space.
    #[error("no space left for {0}: free some and run again, nothing is lost")]
    Full(PathBuf),
    /// An object that a record points to is not there.
    #[error("object {hash} is missing from {root}: put it back, or run again with --from decoder")]
    Missing {
        /// Its hash.
        hash: ContentHash,
        /// Folder of the store.
        root: PathBuf,
    },
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

/// A folder of objects.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens the store in a folder, which is made if need be.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let store = Self { root: root.to_owned() };
        make_folder(&store.scratch())?;
        store.sweep_scratch();
        Ok(store)
    }

    /// Removes what processes that died left behind; others may be writing the newer files.
    fn sweep_scratch(&self) {
        for entry in fs::read_dir(self.scratch()).into_iter().flatten().flatten() {
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            if modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > ABANDONED)) {
                // Another process may have removed it first.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Folder for files on their way into the store, on the same file system.
    pub fn scratch(&self) -> PathBuf {
        self.root.join("scratch")
    }

    /// Where an object is, whether or not it is there.
    pub fn path(&self, hash: ContentHash) -> PathBuf {
        let name = hash.to_string();
        self.root.join(&name[..2]).join(name)
    }

    /// Stores bytes.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<MediaObject, StoreError> {
        let scratch = self.scratch();
        let mut file = tempfile::NamedTempFile::new_in(&scratch)
            .map_err(|error| StoreError::io("make a file in", &scratch, error))?;
        file.write_all(bytes).map_err(|error| StoreError::io("write", file.path(), error))?;
        self.take_in(&file.into_temp_path())
    }

    /// Moves a finished file of [`Store::scratch`] into the store.
    ///
    /// # Errors
    /// If it cannot be read, synced or renamed.
    pub fn take_in(&self, file: &Path) -> Result<MediaObject, StoreError> {
        let (hash, bytes) = hash_file(file).map_err(|error| StoreError::io("read", file, error))?;
        let path = self.path(hash);
        let object = MediaObject { hash, bytes };
        if let Ok(there) = File::options().append(true).open(&path) {
            there
                .set_modified(SystemTime::now())
                .map_err(|error| StoreError::io("refresh the time of", &path, error))?;
            let _ = fs::remove_file(file);
            return Ok(object);
        }
        put_in_place(file, &path)?;
        Ok(object)
    }

    /// Reads an object whole.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if it is not there.
    pub fn get(&self, hash: ContentHash) -> Result<Vec<u8>, StoreError> {
        let path = self.path(hash);
        fs::read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::Missing { hash, root: self.root.clone() },
            _ => StoreError::io("read", &path, error),
        })
    }
}

/// BLAKE3 and length of a file.
///
/// # Errors
/// If it cannot be read; [`io::ErrorKind::FileTooLarge`] where it is longer than [`MOST_INPUT_BYTES`].
pub fn hash_file(path: &Path) -> io::Result<(ContentHash, u64)> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    if bytes > MOST_INPUT_BYTES {
        let told = format!("it has {bytes} bytes, more than {MOST_INPUT_BYTES}");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, told));
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok((ContentHash(*hasher.finalize().as_bytes()), hasher.count()))
}

/// Writes a file so that readers see the old content or the new one, and a crash leaves one of the two.
///
/// # Errors
/// If it cannot be written.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    make_folder(folder)?;
    let mut file = tempfile::Builder::new()
        .prefix(".writing-")
        .tempfile_in(folder)
        .map_err(|error| StoreError::io("make a file in", folder, error))?;
    file.write_all(bytes).map_err(|error| StoreError::io("write", path, error))?;
    // Files for people and other programs, not secrets: readable like any other.
    rustix::fs::fchmod(file.as_file(), rustix::fs::Mode::from_raw_mode(0o644))
        .map_err(|error| StoreError::io("set the mode of", path, error.into()))?;
    put_in_place(&file.into_temp_path(), path)
}

/// Syncs a finished file and gives it its name.
fn put_in_place(file: &Path, path: &Path) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    make_folder(folder)?;
    let sync = |path: &Path| File::open(path)?.sync_all();
    sync(file).map_err(|error| StoreError::io("sync", file, error))?;
    fs::rename(file, path).map_err(|error| StoreError::io("rename a file to", path, error))?;
    sync(folder).map_err(|error| StoreError::io("sync", folder, error))
}

fn make_folder(folder: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(folder).map_err(|error| StoreError::io("make folder", folder, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_found_under_its_hash_and_a_second_put_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let object = store.put_bytes(b"sound").unwrap();
        assert_eq!(object, MediaObject { hash: ContentHash::of(b"sound"), bytes: 5 });
        let old = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1);
        File::options().append(true).open(store.path(object.hash)).unwrap().set_modified(old).unwrap();

        assert_eq!(store.put_bytes(b"sound").unwrap(), object);
        assert_eq!(store.get(object.hash).unwrap(), b"sound");
        assert!(fs::metadata(store.path(object.hash)).unwrap().modified().unwrap() > old);
        assert_eq!(fs::read_dir(store.scratch()).unwrap().count(), 0);
    }

    #[test]
    fn a_missing_object_is_named_with_its_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let error = store.get(ContentHash::of(b"gone")).unwrap_err();
        assert!(matches!(error, StoreError::Missing { .. }), "{error}");
        assert!(error.to_string().contains("--from decoder"));
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
}
