//! The files of a place joined to label lists of any length, in memory bounded by the number of files.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    time::Duration,
};

use counterpoint_core::{
    curation::Curator,
    identity::{ClipName, Resolution, resolve},
    segments::SegmentReader,
};
use counterpoint_messages::{InputOffered, LabelList, Segment, Split};

use super::{
    UnknownMids,
    files::{Enumeration, MediaEntry},
    settling::{Moment, Settling},
};
use crate::{Tools, stage::Fault};

/// Sentences kept for people.
const MAX_EXPLANATIONS: usize = 50;
/// Unknown MIDs kept by name.
const MAX_UNKNOWN_MIDS: usize = 100;

/// A media file and what the lists say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Path or address.
    pub path: String,
    /// Length in bytes.
    pub bytes: u64,
    /// When it was last changed, in milliseconds since 1970.
    pub modified_ms: i64,
    /// Source video, or the stem where no list knows it.
    pub video: String,
    /// Its labels, if a list names it.
    pub clip: Option<LabelledClip>,
}

/// What a label list says of a clip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledClip {
    /// Source video.
    pub video: String,
    /// Annotated part.
    pub segment: Option<Segment>,
    /// Split of the list.
    pub split: Split,
    /// MIDs without repeats.
    pub labels: Vec<String>,
}

impl LabelledClip {
    /// Tells clips apart: video and segment.
    pub fn key(&self) -> String {
        match self.segment {
            Some(segment) => format!("{}@{}-{}", self.video, segment.start_ms, segment.end_ms),
            None => self.video.clone(),
        }
    }
}

/// A place and its labels.
#[derive(Debug, Default)]
pub struct Listing {
    /// Files in order of their paths.
    pub files: Vec<Candidate>,
    /// Rows that name no file.
    pub labels_without_clip: u64,
    /// Rows that could not be read.
    pub broken_rows: u64,
    /// Rows that repeat a segment of an earlier row, among the clips that are there.
    pub repeated_rows: u64,
    /// MIDs that the ontology does not know.
    pub unknown_mids: UnknownMids,
    /// Rows that curation would keep, by class.
    pub wanted: BTreeMap<String, u64>,
    /// Sentences for people.
    pub explanations: Vec<String>,
}

impl Listing {
    pub(super) fn explain(&mut self, sentence: String) {
        if self.explanations.len() < MAX_EXPLANATIONS {
            self.explanations.push(sentence);
        }
    }

    fn want(&mut self, rulebook: &Curator, labels: &[String]) {
        if let Ok(curated) = rulebook.curate(labels) {
            match self.wanted.get_mut(curated.class) {
                Some(rows) => *rows += 1,
                None => {
                    self.wanted.insert(curated.class.to_owned(), 1);
                }
            }
        }
    }
}

/// Lists a place and joins its files to the label lists. Of a followed place only what has settled.
///
/// # Errors
/// [`Fault::Ours`] if the place cannot be listed now; [`Fault::Record`] if a list cannot be read at all: the
/// sentence names the file and the remedy. A followed list may come back, so there it is no error.
pub(super) fn list(
    tools: &Tools,
    input: &InputOffered,
    extensions: &[String],
    rulebook: &Curator,
) -> Result<Listing, Fault> {
    let found = tools.places.list(&input.clips, extensions)?;
    join(found, input, rulebook, &tools.settling).map_err(Fault::Record)
}

fn join(
    found: Enumeration,
    input: &InputOffered,
    rulebook: &Curator,
    settling: &Settling,
) -> Result<Listing, String> {
    let mut listing = Listing::default();
    found.left_out.into_iter().for_each(|sentence| listing.explain(sentence));
    let settle = input.follow.map(|follow| Duration::from_millis(follow.settle_ms));
    let files = match settle {
        Some(settle) => settling.look(&input.clips, found.files, settle, Moment::now()).files,
        None => found.files,
    };
    let mut rows: HashMap<String, Vec<LabelledClip>> = files
        .iter()
        .flat_map(|file| ClipName::parse(&file.stem))
        .map(|name| (name.video, Vec::new()))
        .collect();
    for list in &input.labels {
        let read = open_list(list, settle.map(|settle| (settling, settle)))
            .and_then(|file| read_labels(list, file, rulebook, &mut rows, &mut listing));
        match read {
            Err(error) if settle.is_some() => listing.explain(error),
            read => read?,
        }
    }
    rows.retain(|_, rows| !rows.is_empty());
    listing.files = files
        .into_iter()
        .map(|file| {
            let (video, clip) = match resolve(&file.stem, |video| rows.contains_key(video)) {
                Resolution::Known(name) => {
                    let clip = rows.get(&name.video).and_then(|rows| choose(&name, rows));
                    (name.video, clip)
                }
                Resolution::Unknown(name) => (name.video, None),
            };
            let MediaEntry { path, bytes, modified_ms, stem: _ } = file;
            Candidate { path, bytes, modified_ms, video, clip }
        })
        .collect();
    listing.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(listing)
}

/// The row that a file name means: the one of its segment, or the first if it names none. Labels of other seconds
/// are not its labels.
fn choose(name: &ClipName, rows: &[LabelledClip]) -> Option<LabelledClip> {
    let Some(named) = name.segment else { return rows.first().cloned() };
    let is_of_it = |row: &&LabelledClip| row.segment.is_none_or(|listed| listed.start_ms == named.start_ms);
    rows.iter().find(is_of_it).cloned()
}

/// Opens a label list. Of one that somebody may be writing, the last line counts once it is ended: half a
/// row can look whole and name other labels.
fn open_list(list: &LabelList, watched: Option<(&Settling, Duration)>) -> Result<io::Take<File>, String> {
    let failed = |error| format!("cannot read the label list {}: {error}", list.path);
    let mut file = File::open(&list.path).map_err(failed)?;
    let Some((settling, settle)) = watched else { return Ok(file.take(u64::MAX)) };
    let entry = MediaEntry::of_file(&list.path).map_err(failed)?;
    if !settling.look(&list.path, vec![entry], settle, Moment::now()).files.is_empty() {
        return Ok(file.take(u64::MAX));
    }
    let length = end_of_last_line(&mut file).map_err(failed)?;
    Ok(file.take(length))
}

/// Bytes up to and with the last line feed; leaves the file at its beginning.
fn end_of_last_line(file: &mut File) -> io::Result<u64> {
    const STEP: u64 = 1 << 16;
    let mut end = file.seek(SeekFrom::End(0))?;
    while end > 0 {
        let start = end.saturating_sub(STEP);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        file.by_ref().take(end - start).read_to_end(&mut bytes)?;
        if let Some(place) = bytes.iter().rposition(|byte| *byte == b'\n') {
            end = start + place as u64 + 1;
            break;
        }
        end = start;
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(end)
}

fn read_labels(
    list: &LabelList,
    file: impl Read,
    rulebook: &Curator,
    rows: &mut HashMap<String, Vec<LabelledClip>>,
    listing: &mut Listing,
) -> Result<(), String> {
    let ontology = rulebook.ontology();
    for row in SegmentReader::new(BufReader::with_capacity(1 << 16, file), &list.path) {
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                listing.broken_rows += 1;
                listing.explain(error.to_string());
                continue;
            }
        };
        for mid in row.labels.iter().filter(|mid| ontology.find(mid).is_none()) {
            if listing.unknown_mids.len() < MAX_UNKNOWN_MIDS || listing.unknown_mids.contains_key(mid) {
                *listing.unknown_mids.entry(mid.clone()).or_default() += 1;
            }
        }
        let Some(same_video) = rows.get_mut(&row.youtube_id) else {
            listing.labels_without_clip += 1;
            listing.want(rulebook, &row.labels);
            continue;
        };
        if let Some(first) = same_video.first() {
            let repeated = same_video.iter().any(|other| other.segment == Some(row.segment));
            listing.repeated_rows += u64::from(repeated);
            if first.split != list.split {
                // A source video on both sides of the split would leak; the first list decides.
                listing.explain(format!(
                    "{} line {}: {} is already in the {} split by an earlier list; this row was left out",
                    list.path,
                    row.line,
                    row.youtube_id,
                    first.split.as_str(),
                ));
                continue;
            }
            if repeated {
                continue;
            }
        }
        listing.want(rulebook, &row.labels);
        let mut seen = HashSet::new();
        let labels = row.labels.into_iter().filter(|mid| seen.insert(mid.clone())).collect();
        same_video.push(LabelledClip {
            video: row.youtube_id,
            segment: Some(row.segment),
            split: list.split,
            labels,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_last_line_of_a_list_that_is_being_written_counts_once_it_is_ended() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let list = LabelList { path: file.path().to_str().unwrap().to_owned(), split: Split::Train };
        let settling = Settling::default();
        let read = |settle: Option<Duration>| {
            let mut text = String::new();
            open_list(&list, settle.map(|settle| (&settling, settle)))
                .unwrap()
                .read_to_string(&mut text)
                .unwrap();
            text.len()
        };
        let settle = Some(Duration::from_secs(1000));
        for (text, ended) in
            [("", 0), ("half", 0), ("one\n", 4), ("one\nhalf", 4), (&"\n".repeat(1 << 17), 1 << 17)]
        {
            fs::write(file.path(), text).unwrap();
            assert_eq!((read(settle), read(None)), (ended, text.len()));
        }
        fs::write(file.path(), format!("one\n{}", "x".repeat(1 << 17))).unwrap();
        assert_eq!(read(settle), 4);
        assert_eq!(read(Some(Duration::ZERO)), 4 + (1 << 17), "once it has settled it is read to its end");
    }
}
