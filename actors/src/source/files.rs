//! What lies in a folder: every media file with its length and time, and nothing about clips.

use std::{
    fs::{self, Metadata},
    io,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use walkdir::{DirEntry, WalkDir};

/// Ends of a stem by which programs mark a file that they are still writing.
const UNFINISHED: [&str; 4] = [".part", ".tmp", ".temp", ".partial"];

/// A media file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaEntry {
    /// Path.
    pub path: String,
    /// File name without its ending.
    pub stem: String,
    /// Length in bytes.
    pub bytes: u64,
    /// When it was last changed, in milliseconds since 1970.
    pub modified_ms: i64,
}

impl MediaEntry {
    /// One file, whatever it is called.
    ///
    /// # Errors
    /// If it is not there.
    pub fn of_file(path: &str) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        let (path, stem) = (path.to_owned(), String::new());
        Ok(Self { path, stem, bytes: metadata.len(), modified_ms: modified_ms(&metadata) })
    }
}

/// A place as it lies there.
#[derive(Debug, Default)]
pub struct Enumeration {
    /// Its media files, in no order.
    pub files: Vec<MediaEntry>,
    /// A sentence for each thing that could not be looked at.
    pub left_out: Vec<String>,
}

/// Every media file below a folder. What is hidden, or marked as being written (`x.part.mp4`), is none.
pub(crate) fn enumerate(folder: &str, extensions: &[String]) -> Enumeration {
    let mut found = Enumeration::default();
    let walk = WalkDir::new(folder).follow_links(true).into_iter();
    for entry in walk.filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry)) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let place = error.path().map_or_else(|| folder.to_owned(), |path| path.display().to_string());
                found.left_out.push(format!("{place} was left out: {error}; mend it and run again"));
                continue;
            }
        };
        let path = entry.path();
        if !entry.file_type().is_file() || !has_ending(path, extensions) {
            continue;
        }
        let Some(text) = path.to_str() else {
            let path = path.display();
            found.left_out.push(format!("{path} was left out: its name is not UTF-8; rename it"));
            continue;
        };
        let Some(stem) = media_stem(path, extensions) else { continue };
        let metadata = entry.metadata().ok();
        found.files.push(MediaEntry {
            path: text.to_owned(),
            stem: stem.to_owned(),
            bytes: metadata.as_ref().map_or(0, Metadata::len),
            modified_ms: metadata.map_or(0, |metadata| modified_ms(&metadata)),
        });
    }
    found
}

/// The name of a media file without its ending; `None` of what is none, or is hidden or still being written.
pub(super) fn media_stem<'a>(path: &'a Path, extensions: &[String]) -> Option<&'a str> {
    let stem = path.file_stem().filter(|_| has_ending(path, extensions))?.to_str()?;
    let is_unfinished = stem.starts_with('.') || UNFINISHED.iter().any(|mark| stem.ends_with(mark));
    (!is_unfinished).then_some(stem)
}

fn has_ending(path: &Path, extensions: &[String]) -> bool {
    path.extension().is_some_and(|ending| extensions.contains(&ending.to_string_lossy().to_lowercase()))
}

fn modified_ms(metadata: &Metadata) -> i64 {
    metadata.modified().map_or(0, since_1970)
}

/// A time in milliseconds since 1970.
pub(super) fn since_1970(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_and_unfinished_files_and_other_endings_are_no_media() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(".hidden")).unwrap();
        fs::create_dir(folder.path().join("below")).unwrap();
        for name in [
            "a.mp4",
            "below/b.MKV",
            "c.mp4.part",
            "d.part.mp4",
            "e.temp.mp4",
            ".f.mp4",
            ".hidden/g.mp4",
            "h.txt",
        ] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        let extensions = ["mp4", "mkv"].map(str::to_owned);
        let found = enumerate(folder.path().to_str().unwrap(), &extensions);
        let mut stems: Vec<_> = found.files.iter().map(|file| (file.stem.as_str(), file.bytes)).collect();
        stems.sort_unstable();
        assert_eq!(stems, [("a", 1), ("b", 1)]);
        assert!(found.left_out.is_empty(), "{:?}", found.left_out);
    }
}
