//! The files of a place joined to label lists of any length, in memory bounded by the number of files.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io::BufReader,
    path::Path,
};

use counterpoint_core::{
    identity::{ClipName, Resolution, resolve},
    ontology::Ontology,
    segments::SegmentReader,
};
use counterpoint_messages::{InputOffered, LabelList, Segment, Split};

use super::{
    UnknownMids,
    places::{Found, FoundFile, Places},
};
use crate::stage::Fault;

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
    /// Sentences for people.
    pub explanations: Vec<String>,
}

impl Listing {
    pub(super) fn explain(&mut self, sentence: String) {
        if self.explanations.len() < MAX_EXPLANATIONS {
            self.explanations.push(sentence);
        }
    }
}

/// Lists a place and joins its files to the label lists.
///
/// # Errors
/// [`Fault::Ours`] if the place cannot be listed now; [`Fault::Record`] if a list or the ontology cannot be
/// read at all: the sentence names the file and the remedy.
pub(super) fn list(places: &Places, input: &InputOffered, extensions: &[String]) -> Result<Listing, Fault> {
    let found = places.list(&input.clips, extensions)?;
    join(found, input).map_err(Fault::Record)
}

fn join(found: Found, input: &InputOffered) -> Result<Listing, String> {
    let mut listing = Listing::default();
    for sentence in found.left_out {
        listing.explain(sentence);
    }
    let mut rows: HashMap<String, Vec<LabelledClip>> = found
        .files
        .iter()
        .flat_map(|file| ClipName::parse(&file.stem))
        .map(|name| (name.video, Vec::new()))
        .collect();
    let mids = known_mids(&input.ontology)?;
    for list in &input.labels {
        read_labels(list, &mids, &mut rows, &mut listing)?;
    }
    rows.retain(|_, rows| !rows.is_empty());
    listing.files = found
        .files
        .into_iter()
        .map(|file| {
            let (video, clip) = match resolve(&file.stem, |video| rows.contains_key(video)) {
                Resolution::Known(name) => {
                    let clip = rows.get(&name.video).and_then(|rows| choose(&name, rows));
                    (name.video, clip)
                }
                Resolution::Unknown(name) => (name.video, None),
            };
            let FoundFile { path, bytes, modified_ms, stem: _ } = file;
            Candidate { path, bytes, modified_ms, video, clip }
        })
        .collect();
    listing.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(listing)
}

/// The row that a file name means: the one of its segment, or the first.
fn choose(name: &ClipName, rows: &[LabelledClip]) -> Option<LabelledClip> {
    let same_start = |row: &&LabelledClip| {
        name.segment.is_some_and(|named| row.segment.is_some_and(|listed| listed.start_ms == named.start_ms))
    };
    rows.iter().find(same_start).or(rows.first()).cloned()
}

fn known_mids(path: &str) -> Result<HashSet<String>, String> {
    let text =
        fs::read_to_string(path).map_err(|error| format!("cannot read the ontology {path}: {error}"))?;
    let ontology = Ontology::from_json(&text, path).map_err(|error| error.to_string())?;
    Ok(ontology.ids().map(|id| ontology.node(id).mid.clone()).collect())
}

fn read_labels(
    list: &LabelList,
    mids: &HashSet<String>,
    rows: &mut HashMap<String, Vec<LabelledClip>>,
    listing: &mut Listing,
) -> Result<(), String> {
    let path = Path::new(&list.path);
    let file =
        File::open(path).map_err(|error| format!("cannot read the label list {}: {error}", list.path))?;
    for row in SegmentReader::new(BufReader::with_capacity(1 << 16, file), &list.path) {
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                listing.broken_rows += 1;
                listing.explain(error.to_string());
                continue;
            }
        };
        for mid in row.labels.iter().filter(|mid| !mids.contains(mid.as_str())) {
            if listing.unknown_mids.len() < MAX_UNKNOWN_MIDS || listing.unknown_mids.contains_key(mid) {
                *listing.unknown_mids.entry(mid.clone()).or_default() += 1;
            }
        }
        let Some(same_video) = rows.get_mut(&row.youtube_id) else {
            listing.labels_without_clip += 1;
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
