//! Objects in a folder, for the processes of one host.
//!
//! Puts and deletes of objects in one subfolder exclude each other by a lock on it that the system gives back
//! when a process dies: a put that has returned is never undone by a delete that looked at the object before.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use counterpoint_log::failpoints;
use counterpoint_messages::ContentHash;
use rustix::fs::FlockOperation;

use super::{
    Content, Entry, LocalObject, Note, Objects, StoreError,
    file::{make_folder, rename, sync},
    hash_named, object_name,
};

#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn path(&self, hash: ContentHash) -> PathBuf {
        self.root.join(object_name(hash))
    }

    fn note_path(&self, note: Note, name: ContentHash) -> PathBuf {
        self.root.join(note.folder()).join(name.to_string())
    }

    /// Keeps deletes, or also puts, out of the subfolder of `path` while the value lives.
    fn lock(path: &Path, operation: FlockOperation) -> Result<File, StoreError> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let fault = |error| StoreError::io("lock", folder, error);
        let lock = File::open(folder).map_err(fault)?;
        rustix::fs::flock(&lock, operation).map_err(|error| fault(error.into()))?;
        Ok(lock)
    }

    fn put_file(&self, path: &Path, file: &Path) -> Result<(), StoreError> {
        let folder = path.parent().unwrap_or(Path::new("."));
        make_folder(folder)?;
        let lock = Self::lock(path, FlockOperation::LockShared)?;
        if touch(path)? {
            return Ok(());
        }
        drop(lock);
        // Outside the lock: a sync may take its time.
        sync(file)?;
        touch(file)?;
        let lock = Self::lock(path, FlockOperation::LockShared)?;
        rename(file, path)?;
        drop(lock);
        sync(folder)
    }
}

/// Refreshes a file's time, if it is there.
fn touch(path: &Path) -> Result<bool, StoreError> {
    let fault = |error| StoreError::io("refresh the time of", path, error);
    match File::options().append(true).open(path) {
        Ok(there) => there.set_modified(SystemTime::now()).map(|()| true).map_err(fault),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(fault(error)),
    }
}

impl Objects for Folder {
    fn place(&self) -> String {
        self.root.display().to_string()
    }

    fn put(&self, hash: ContentHash, content: Content<'_>) -> Result<(), StoreError> {
        let path = self.path(hash);
        match content {
            Content::File(file) => self.put_file(&path, file),
            Content::Bytes(bytes) => {
                let scratch = self.root.join("scratch");
                let mut file = tempfile::NamedTempFile::new_in(&scratch)
                    .map_err(|error| StoreError::io("make a file in", &scratch, error))?;
                file.write_all(bytes).map_err(|error| StoreError::io("write", file.path(), error))?;
                self.put_file(&path, &file.into_temp_path())
            }
        }
    }

    fn get(&self, hash: ContentHash) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(hash);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("read", &path, error)),
        }
    }

    fn open(&self, hash: ContentHash) -> Result<Option<LocalObject>, StoreError> {
        Ok(self.contains(hash)?.then(|| LocalObject::stays(self.path(hash))))
    }

    fn contains(&self, hash: ContentHash) -> Result<bool, StoreError> {
        let path = self.path(hash);
        path.try_exists().map_err(|error| StoreError::io("look for", &path, error))
    }

    fn list(&self) -> Result<Vec<Entry>, StoreError> {
        let mut objects = Vec::new();
        for shard in 0..=u8::MAX {
            entries(&self.root.join(format!("{shard:02x}")), &mut objects)?;
        }
        Ok(objects)
    }

    fn delete(&self, hash: ContentHash, untouched_since: SystemTime) -> Result<bool, StoreError> {
        let path = self.path(hash);
        let _lock = Self::lock(&path, FlockOperation::LockExclusive)?;
        failpoints::reached("store::delete", "");
        let modified = match fs::metadata(&path).and_then(|metadata| metadata.modified()) {
            Ok(modified) => modified,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(StoreError::io("look at", &path, error)),
        };
        if modified > untouched_since {
            return Ok(false);
        }
        fs::remove_file(&path).map(|()| true).map_err(|error| StoreError::io("remove", &path, error))
    }

    fn note(&self, note: Note, name: ContentHash) -> Result<(), StoreError> {
        let path = self.note_path(note, name);
        make_folder(path.parent().unwrap_or(&self.root))?;
        let write = || File::create(&path)?.set_modified(SystemTime::now());
        write().map_err(|error| StoreError::io("write", &path, error))
    }

    fn unnote(&self, note: Note, name: ContentHash) -> Result<(), StoreError> {
        let path = self.note_path(note, name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::io("remove", &path, error))
            }
            _ => Ok(()),
        }
    }

    fn notes(&self, note: Note) -> Result<Vec<Entry>, StoreError> {
        let mut notes = Vec::new();
        entries(&self.root.join(note.folder()), &mut notes)?;
        Ok(notes)
    }
}

/// The files of a folder that are named by a hash; none where there is no folder.
fn entries(folder: &Path, found: &mut Vec<Entry>) -> Result<(), StoreError> {
    let fault = |error| StoreError::io("list", folder, error);
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fault(error)),
    };
    for entry in listed {
        let entry = entry.map_err(fault)?;
        let Some(hash) = entry.file_name().to_str().and_then(hash_named) else { continue };
        match entry.metadata().and_then(|metadata| Ok((metadata.len(), metadata.modified()?))) {
            Ok((bytes, modified)) => found.push(Entry { hash, bytes, modified }),
            // Removed since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(fault(error)),
        }
    }
    Ok(())
}
