//! Files that are there whole or not at all.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use counterpoint_core::media_job::MOST_INPUT_BYTES;
use counterpoint_messages::ContentHash;

use super::StoreError;

/// Age at which nobody is writing a scratch file any more.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// BLAKE3 and length of a file.
///
/// # Errors
/// If it cannot be read; [`io::ErrorKind::FileTooLarge`] where it is longer than [`MOST_INPUT_BYTES`].
pub fn hash_file(path: &Path) -> io::Result<(ContentHash, u64)> {
    let file = File::open(path)?;
    check_length(file.metadata()?.len(), MOST_INPUT_BYTES)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok((ContentHash(*hasher.finalize().as_bytes()), hasher.count()))
}

/// Refuses more bytes than any input may have.
///
/// # Errors
/// [`io::ErrorKind::FileTooLarge`] above [`MOST_INPUT_BYTES`].
pub(crate) fn check_length(bytes: u64, most: u64) -> io::Result<()> {
    if bytes > most {
        let told = format!("it has {bytes} bytes, more than {most}");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, told));
    }
    Ok(())
}

/// Writes a file so that readers see the old content or the new one, and a crash leaves one of the two.
///
/// # Errors
/// If it cannot be written.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    write_atomically_by(path, |file| File::options().write(true).open(file)?.write_all(bytes))
}

/// The same of a file that `write` fills under the path that it is given.
///
/// # Errors
/// If it cannot be written.
pub fn write_atomically_by(
    path: &Path,
    write: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    make_folder(folder)?;
    let file = tempfile::Builder::new()
        .prefix(".writing-")
        .tempfile_in(folder)
        .map_err(|error| StoreError::io("make a file in", folder, error))?
        .into_temp_path();
    write(&file).map_err(|error| StoreError::io("write", path, error))?;
    // Files for people and other programs, not secrets: readable like any other. By name, as the writer may have
    // put another file there.
    fs::set_permissions(&file, Permissions::from_mode(0o644))
        .map_err(|error| StoreError::io("set the mode of", path, error))?;
    sync(&file)?;
    rename(&file, path)?;
    sync(folder)
}

pub(super) fn sync(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| StoreError::io("sync", path, error))
}

pub(super) fn rename(file: &Path, path: &Path) -> Result<(), StoreError> {
    fs::rename(file, path).map_err(|error| StoreError::io("rename a file to", path, error))
}

pub(super) fn make_folder(folder: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(folder).map_err(|error| StoreError::io("make folder", folder, error))
}

/// The scratch folder below `root`, without what processes that died left in it.
pub(super) fn scratch_in(root: &Path) -> Result<PathBuf, StoreError> {
    let scratch = root.join("scratch");
    make_folder(&scratch)?;
    remove_abandoned(&scratch, ABANDONED, |_| true);
    Ok(scratch)
}

/// Removes files of a folder that nobody has written to for so long, if `is_ours` knows their names; how many.
/// Other processes may be writing the newer ones.
pub(crate) fn remove_abandoned(folder: &Path, age: Duration, is_ours: impl Fn(&str) -> bool) -> u64 {
    let mut removed = 0;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let metadata = entry.metadata().ok().filter(fs::Metadata::is_file);
        let modified = metadata.and_then(|metadata| metadata.modified().ok());
        let is_old = modified.is_some_and(|time| time.elapsed().is_ok_and(|elapsed| elapsed > age));
        // Another process may have removed it first.
        if is_old && is_ours(&entry.file_name().to_string_lossy()) && fs::remove_file(entry.path()).is_ok() {
            removed += 1;
        }
    }
    removed
}
