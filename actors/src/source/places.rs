//! Where input media lies: a local folder, or a part of a bucket.

use std::{
    fmt, fs,
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use counterpoint_core::media_job::MOST_INPUT_BYTES;
use counterpoint_messages::{ContentHash, MediaFile};
use tempfile::TempPath;

use super::files::{Enumeration, MediaEntry, enumerate, media_stem, since_1970};
use crate::{
    s3::{Bucket, S3, S3Error, S3Url},
    stage::Fault,
    store::{StoreError, check_length, hash_file},
};

/// BLAKE3 and length of a file's content, or why there are none.
pub type Hashed = Result<(ContentHash, u64), Unusable>;

/// Reads input media by path or by `s3://` address.
#[derive(Debug, Clone)]
pub struct Places {
    s3: S3,
    /// Longest object that is read.
    most_bytes: u64,
}

/// A media file that can be opened by a path of this machine.
#[derive(Debug)]
pub enum LocalFile {
    /// It is where it always was, and looked like this before it was hashed.
    There(PathBuf, Look),
    /// A copy, which is removed with this value.
    Copy(TempPath),
}

impl LocalFile {
    /// Its path.
    pub fn path(&self) -> &Path {
        match self {
            Self::There(path, _) => path,
            Self::Copy(path) => path,
        }
    }

    /// Whether it is still the file that was hashed. What was read of it meanwhile is else of other content.
    ///
    /// # Errors
    /// [`Unusable::Changed`] or [`Unusable::Missing`].
    pub fn check(&self) -> Result<(), Unusable> {
        let Self::There(path, before) = self else { return Ok(()) };
        let now = Look::at(path)?;
        if now == *before { Ok(()) } else { Err(Unusable::Changed(now.bytes)) }
    }
}

/// What tells a file from another one under its name, and from itself after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl Look {
    fn at(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
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

impl Default for Places {
    fn default() -> Self {
        Self::new(S3::default())
    }
}

impl Places {
    /// Reads from local paths and, by `s3`, from buckets.
    pub fn new(s3: S3) -> Self {
        Self { s3, most_bytes: MOST_INPUT_BYTES }
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
            let path = Path::new(&found.path);
            // The look comes first: what changes after it shows in the next one.
            match Look::at(path).and_then(|look| Ok((look, hash_file(path)?))) {
                Ok((look, content)) => (LocalFile::There(path.to_owned(), look), content),
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
        let (bytes, chunks) = match bucket.read(&name) {
            Ok(object) => object,
            Err(S3Error::Gone { .. }) => return Ok(Err(Unusable::Missing)),
            Err(S3Error::Denied { detail, .. }) => return Ok(Err(Unusable::Unreadable(detail))),
            Err(error) => return Err(ours(error)),
        };
        if let Err(too_large) = check_length(bytes, self.most_bytes) {
            return Ok(Err(too_large.into()));
        }
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

#[cfg(test)]
mod tests {
    use std::fs::File;

    use counterpoint_servers::s3::{KEY_ID, S3Server, SECRET};

    use super::*;
    use crate::s3::S3Settings;

    #[test]
    fn an_object_longer_than_any_input_is_refused_before_it_is_read() {
        let server = S3Server::start(&["clips"]).unwrap();
        let bytes = 6;
        fs::write(server.bucket("clips").join("a.mp4"), b"sounds").unwrap();
        let settings =
            S3Settings { endpoint: Some(server.endpoint()), allow_http: true, ..S3Settings::default() };
        let places = Places { s3: S3::with_key(settings, KEY_ID, SECRET), most_bytes: bytes - 1 };
        let scratch = tempfile::tempdir().unwrap();
        let found = MediaFile { path: "s3://clips/a.mp4".to_owned(), hash: ContentHash::of(b"x"), bytes };

        let hashed = places.hash(&found.path).unwrap().unwrap_err();
        let opened = places.open(&found, scratch.path()).unwrap().unwrap_err();
        for unusable in [hashed, opened] {
            assert!(matches!(unusable, Unusable::TooLarge(_)), "{unusable}");
            assert_eq!(unusable.to_string(), "it has 6 bytes, more than 5");
        }
    }

    #[test]
    fn a_file_that_is_written_over_after_it_was_hashed_is_noticed_although_its_length_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mp4");
        let write = |content: &[u8], seconds| {
            fs::write(&path, content).unwrap();
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            File::options().append(true).open(&path).unwrap().set_modified(time).unwrap();
        };
        write(b"sound", 1_000);
        let found = MediaFile { path: path.display().to_string(), hash: ContentHash::of(b"sound"), bytes: 5 };
        let file = Places::default().open(&found, folder.path()).unwrap().unwrap();
        file.check().unwrap();
        write(b"noise", 2_000);
        assert!(matches!(file.check(), Err(Unusable::Changed(5))));
        fs::remove_file(&path).unwrap();
        assert!(matches!(file.check(), Err(Unusable::Missing)));
    }
}
