//! Rows of the label lists that curation would keep and whose clips are not in the folder.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    path::Path,
};

use counterpoint_core::{
    curation::Curator,
    identity::{ClipName, is_youtube_id},
    segments::{SegmentReader, SegmentRow},
};
use counterpoint_messages::{InputOffered, Segment, Split};

use crate::source::files::enumerate;

/// A row to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedRow {
    /// Source video.
    pub video: String,
    /// Annotated part.
    pub segment: Segment,
    /// Split of its list.
    pub split: Split,
    /// Class that curation gives it.
    pub class: String,
}

impl WantedRow {
    /// Tells rows apart.
    pub fn key(&self) -> String {
        row_key(&self.video, self.segment)
    }

    /// File name under which the source will know it; `None` if the video's name cannot be one.
    pub fn file_name(&self, ending: &str) -> Option<String> {
        let Self { video, segment, .. } = self;
        if video.is_empty() || video.starts_with('.') || video.contains(['/', '\0']) {
            return None;
        }
        let seconds = |ms: u64| ms as f64 / 1000.0;
        Some(match is_youtube_id(video) {
            true => {
                format!("{video}_{:.3}_{:.3}.{ending}", seconds(segment.start_ms), seconds(segment.end_ms))
            }
            // Other names are read whole.
            false => format!("{video}.{ending}"),
        })
    }
}

/// What the state of the fetcher calls a row: `VIDEO@START-END`, in milliseconds.
pub fn row_key(video: &str, segment: Segment) -> String {
    format!("{video}@{}-{}", segment.start_ms, segment.end_ms)
}

/// What is wanted.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Rows without a file, in the order of the lists.
    pub rows: Vec<WantedRow>,
    /// Rows whose names cannot be files.
    pub unnameable: u64,
}

/// Reads the lists and looks which clips are there, also those that are being written. A list that cannot
/// be read is left to the source to tell of.
pub fn wanted(input: &InputOffered, extensions: &[String], ending: &str, rulebook: &Curator) -> Wanted {
    let mut there: HashMap<String, Vec<Option<Segment>>> = HashMap::new();
    for file in enumerate(&input.clips, extensions).files {
        for name in ClipName::parse(&file.stem) {
            there.entry(name.video).or_default().push(name.segment);
        }
    }
    let is_there = |row: &SegmentRow| {
        let named = there.get(&row.youtube_id).into_iter().flatten();
        // A file without a segment in its name is the whole video, or the only clip of it.
        named.into_iter().any(|named| named.is_none_or(|named| named.start_ms == row.segment.start_ms))
    };
    let mut wanted = Wanted::default();
    let mut splits: HashMap<String, Split> = HashMap::new();
    let mut seen = HashSet::new();
    for list in &input.labels {
        let Ok(file) = File::open(Path::new(&list.path)) else { continue };
        for row in SegmentReader::new(file, &list.path).flatten() {
            let Ok(curated) = rulebook.curate(&row.labels) else { continue };
            // The source leaves a video out of every split but its first.
            if *splits.entry(row.youtube_id.clone()).or_insert(list.split) != list.split || is_there(&row) {
                continue;
            }
            let class = curated.class.to_owned();
            let row = WantedRow { video: row.youtube_id, segment: row.segment, split: list.split, class };
            match row.file_name(ending) {
                None => wanted.unnameable += 1,
                Some(name) => {
                    if seen.insert(name) {
                        wanted.rows.push(row);
                    }
                }
            }
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(video: &str) -> WantedRow {
        let segment = Segment { start_ms: 30_000, end_ms: 40_500 };
        WantedRow { video: video.to_owned(), segment, split: Split::Train, class: "Cat".to_owned() }
    }

    #[test]
    fn a_fetched_file_is_named_so_that_the_source_knows_it() {
        let name = row("-4gqARaE_JE").file_name("mp4").unwrap();
        assert_eq!(name, "-4gqARaE_JE_30.000_40.500.mp4");
        let stem = name.strip_suffix(".mp4").unwrap();
        let read = ClipName { video: "-4gqARaE_JE".to_owned(), segment: Some(row("x").segment) };
        assert!(ClipName::parse(stem).contains(&read));
        assert_eq!(row("holiday").file_name("mkv").unwrap(), "holiday.mkv");
        for video in ["", "../up", ".hidden", "a\0b"] {
            assert_eq!(row(video).file_name("mp4"), None);
        }
    }
}
