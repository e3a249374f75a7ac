//! Where input media lies: a local folder, or a part of a bucket.

use std::{
    fmt,
    io::{self, Write},
    path::{Path, PathBuf},
};

use counterpoint_messages::{ContentHash, MediaFile};
use tempfile::TempPath;

use super::files::{Enumeration, MediaEntry, enumerate, media_stem, since_1970};
use crate::{
    s3::{Bucket, S3, S3Error, S3Url},
    stage::Fault,
    store::{StoreError, hash_file},
};

/// BLAKE3 and length of a file's content, or why there are none.
pub type Hashed = Result<(ContentHash, u64), Unusable>;

/// Reads input media by path or by `s3://` address.
#[derive(Debug, Clone, Default)]
pub struct Places {
    s3: S3,
}

/// A media file that can be opened by a path of this machine.
#[derive(Debug)]
pub enum LocalFile {
    /// It is where it always was.
    There(PathBuf),
    /// A copy, which is removed with this value.
    Copy(TempPath),
}

impl LocalFile {
    /// Its path.
    pub fn path(&self) -> &Path {
        match self {
            Self::There(path) => path,
            Self::Copy(path) => path,
        }
    }
}

/// Why a media file that was found cannot be used now.
#[derive(Debug)]
pub enum Unusable {
    /// It is gone.
    Missing,
    /// It has other content, of so many bytes at least.
    Changed(u64),
    /// It is there and cannot be read.
    Unreadable(String),
    /// It is longer than any that is read.
    TooLarge(String),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("it is not there any more"),
            Self::Changed(bytes) => write!(f, "it has other content now ({bytes} bytes)"),
            Self::Unreadable(detail) | Self::TooLarge(detail) => f.write_str(detail),
        }
    }
}

impl From<io::Error> for Unusable {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::FileTooLarge => Self::TooLarge(error.to_string()),
            _ => Self::Unreadable(error.to_string()),
        }
    }
}

impl Places {
    /// Reads from local paths and, by `s3`, from buckets.
    pub fn new(s3: S3) -> Self {
        Self { s3 }
    }

    /// Tries whether a bucket can be listed at all.
    ///
    /// # Errors
    /// [`S3Error`], which names the bucket and the remedy.
    pub fn check(&self, url: &S3Url) -> Result<(), S3Error> {
        self.s3.bucket(url)?.check()
    }

    /// Every file below a place whose name ends in one of `extensions`, upper and lower case alike.
    ///
    /// # Errors
    /// [`Fault::Ours`] if the place cannot be listed now.
    pub fn list(&self, place: &str, extensions: &[String]) -> Result<Enumeration, Fault> {
        match S3Url::is_one(place) {
            true => self.list_bucket(place, extensions),
            false => Ok(enumerate(place, extensions)),
        }
    }

    fn list_bucket(&self, place: &str, extensions: &[String]) -> Result<Enumeration, Fault> {
        let bucket = self.bucket(place)?;
        let mut found = Enumeration::default();
        for object in bucket.list("").map_err(ours)? {
            let Some(stem) = media_stem(Path::new(&object.name), extensions) else { continue };
            found.files.push(MediaEntry {
                path: bucket.address(&object.name),
                stem: stem.to_owned(),
                bytes: object.bytes,
                modified_ms: since_1970(object.modified),
            });
        }
        Ok(found)
    }

    /// BLAKE3 and length of a file's content.
    ///
    /// # Errors
    /// Inner: the file cannot be used. Outer: [`Fault::Ours`], the place does not answer.
    pub fn hash(&self, path: &str) -> Result<Hashed, Fault> {
        if !S3Url::is_one(path) {
            return Ok(hash_file(path.as_ref()).map_err(Unusable::from));
        }
        let mut hasher = blake3::Hasher::new();
        let read = self.read(path, |chunk| {
            hasher.update(chunk);
            Ok(true)
        })?;
        Ok(read.map(|()| (ContentHash(*hasher.finalize().as_bytes()), hasher.count())))
    }

    /// The file with the content it had when it was found; a copy, if need be, lies in `scratch`.
    ///
    /// # Errors
    /// Inner: the file cannot be used. Outer: [`Fault::Ours`], the place does not answer or the disk is full.
    pub fn open(&self, found: &MediaFile, scratch: &Path) -> Result<Result<LocalFile, Unusable>, Fault> {
        let is_remote = S3Url::is_one(&found.path);
        let (file, content) = if is_remote {
            match self.copy(found, scratch)? {
                Ok((copy, hash, bytes)) => (LocalFile::Copy(copy), (hash, bytes)),
                Err(unusable) => return Ok(Err(unusable)),
            }
        } else {
            match hash_file(found.path.as_ref()) {
                Ok(content) => (LocalFile::There(found.path.clone().into()), content),
                Err(error) => return Ok(Err(error.into())),
            }
        };
        Ok(if content.0 == found.hash { Ok(file) } else { Err(Unusable::Changed(content.1)) })
    }

    fn copy(
        &self,
        found: &MediaFile,
        scratch: &Path,
    ) -> Result<Result<(TempPath, ContentHash, u64), Unusable>, Fault> {
        let mut copy = tempfile::Builder::new()
            .prefix(".fetched-")
            .tempfile_in(scratch)
            .map_err(|error| StoreError::io("make a file in", scratch, error))?;
        let mut hasher = blake3::Hasher::new();
        let read = self.read(&found.path, |chunk| {
            hasher.update(chunk);
            copy.write_all(chunk).map_err(|error| StoreError::io("write", copy.path(), error))?;
            // More than was found is other content, however much is still to come.
            Ok(hasher.count() <= found.bytes)
        })?;
        let hash = ContentHash(*hasher.finalize().as_bytes());
        Ok(read.map(|()| (copy.into_temp_path(), hash, hasher.count())))
    }

    /// Gives an object to `take` piece by piece, until that wants no more.
    fn read(
        &self,
        path: &str,
        mut take: impl FnMut(&[u8]) -> Result<bool, Fault>,
    ) -> Result<Result<(), Unusable>, Fault> {
        let url = path.parse::<S3Url>().map_err(Fault::Record)?;
        let (parent, name) = url.split();
        let bucket = self.s3.bucket(&parent).map_err(ours)?;
        let chunks = match bucket.read(&name) {
            Ok(chunks) => chunks,
            Err(S3Error::Gone { .. }) => return Ok(Err(Unusable::Missing)),
            Err(S3Error::Denied { detail, .. }) => return Ok(Err(Unusable::Unreadable(detail))),
            Err(error) => return Err(ours(error)),
        };
        for chunk in chunks {
            if !take(&chunk.map_err(ours)?)? {
                break;
            }
        }
        Ok(Ok(()))
    }

    fn bucket(&self, place: &str) -> Result<Bucket, Fault> {
        let url = place.parse::<S3Url>().map_err(Fault::Record)?;
        self.s3.bucket(&url).map_err(ours)
    }
}

fn ours(error: S3Error) -> Fault {
    Fault::Ours(error.to_string())
}
