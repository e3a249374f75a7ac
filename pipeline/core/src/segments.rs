//! AudioSet's segment lists: which labels hold for which seconds of which video, a row each.
//!
//! Reads the published files (three comment lines, `, ` between fields), the same without comments or with
//! a header, and lists for one's own clips. Rows are read one at a time and none is kept. A quoted field
//! ends with its line, so one missing quote breaks one row and not the rest of the file.

use std::{
    borrow::Cow,
    io::{self, Read},
};

use counterpoint_messages::Segment;
use csv::ByteRecord;

mod bounded;

use bounded::{BoundedLines, MAX_LINE};

/// Latest end of a segment, in seconds: a year, longer than any video.
const MAX_SECONDS: f64 = 366.0 * 24.0 * 3600.0;
/// Characters of a broken value that an error shows.
const SHOWN: usize = 80;

/// A row of a segment list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentRow {
    /// YouTube's id of the video, or the stem of one's own file.
    pub youtube_id: String,
    /// The part of the video that the labels describe.
    pub segment: Segment,
    /// Machine ids in the order of the list, without repeats; at least one.
    pub labels: Vec<String>,
    /// Line in the file, from 1.
    pub line: u64,
}

/// A row that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{file}, line {line}: {problem}: `{value}`; {remedy}")]
pub struct RowError {
    /// File as named by the caller.
    pub file: String,
    /// Line in the file, from 1.
    pub line: u64,
    /// What is wrong.
    pub problem: &'static str,
    /// The value that is wrong, cut to its first 80 characters.
    pub value: String,
    /// What would mend it.
    pub remedy: &'static str,
}

/// A file of which no row can be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "{file} is no segment list: first broken row in line {line}: {problem}: `{value}`; {remedy}",
    file = .0.file, line = .0.line, problem = .0.problem, value = .0.value, remedy = .0.remedy
)]
pub struct NoSegmentList(pub RowError);

/// Looks whether a file is a segment list at all: whether a row of it can be read, or it has none. `file` is its
/// name in the error.
///
/// # Errors
/// [`NoSegmentList`] with the first row where every row is broken.
pub fn check(input: impl Read, file: &str) -> Result<(), NoSegmentList> {
    let mut first_broken = None;
    for row in SegmentReader::new(input, file) {
        match row {
            Ok(_) => return Ok(()),
            Err(error) => first_broken.get_or_insert(error),
        };
    }
    first_broken.map_or(Ok(()), |error| Err(NoSegmentList(error)))
}

/// What is wrong with a row, before the file and line are added.
struct Fault {
    problem: &'static str,
    value: String,
    remedy: &'static str,
}

impl Fault {
    fn new(problem: &'static str, value: &[u8], remedy: &'static str) -> Self {
        let value = String::from_utf8_lossy(value).chars().take(SHOWN).collect();
        Self { problem, value, remedy }
    }
}

/// Iterates over the rows of a segment list. A broken row is an `Err` and reading goes on behind it;
/// after a failure to read the file itself there are no more rows.
pub struct SegmentReader<R> {
    rows: csv::Reader<BoundedLines<R>>,
    record: ByteRecord,
    file: String,
    begun: bool,
    ended: bool,
}

impl<R: Read> SegmentReader<R> {
    /// Reads the list from `input`; `file` is its name in errors. Needs no buffered reader.
    pub fn new(input: R, file: &str) -> Self {
        let rows = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .quoting(false)
            .terminator(csv::Terminator::Any(b'\n'))
            .buffer_capacity(1 << 16)
            .from_reader(BoundedLines::new(input));
        Self { rows, record: ByteRecord::new(), file: file.to_owned(), begun: false, ended: false }
    }

    fn error(&self, line: u64, fault: Fault) -> RowError {
        let Fault { problem, value, remedy } = fault;
        RowError { file: self.file.clone(), line, problem, value, remedy }
    }
}

impl<R: Read> Iterator for SegmentReader<R> {
    type Item = Result<SegmentRow, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            match self.rows.read_byte_record(&mut self.record) {
                Ok(true) => {}
                Ok(false) => {
                    self.ended = true;
                    break;
                }
                Err(error) => {
                    self.ended = true;
                    let line = self.rows.position().line();
                    let why = io::Error::from(error).to_string();
                    let fault = Fault::new(
                        "the file cannot be read further",
                        why.as_bytes(),
                        "check the file and its disk",
                    );
                    return Some(Err(self.error(line, fault)));
                }
            }
            // The reader passes over blank lines, so the line it stopped behind is the reliable one.
            let line = self.rows.position().line().saturating_sub(1);
            if is_blank(&self.record) || is_comment(&self.record) {
                continue;
            }
            let first = !std::mem::replace(&mut self.begun, true);
            if first && is_header(&self.record) {
                continue;
            }
            let row = parse(&self.record);
            return Some(
                row.map(|(youtube_id, segment, labels)| SegmentRow { youtube_id, segment, labels, line })
                    .map_err(|fault| self.error(line, fault)),
            );
        }
        None
    }
}

fn is_blank(record: &ByteRecord) -> bool {
    record.len() == 1 && record.as_slice().trim_ascii().is_empty()
}

fn is_comment(record: &ByteRecord) -> bool {
    record.get(0).is_some_and(|first| first.trim_ascii_start().starts_with(b"#"))
}

/// A header names its second column after the start of the segment.
fn is_header(record: &ByteRecord) -> bool {
    record.get(1).is_some_and(|second| {
        let name = unquoted(second.trim_ascii());
        name.eq_ignore_ascii_case(b"start_seconds") || name.eq_ignore_ascii_case(b"start")
    })
}

const FIELDS: &str = "write `id,start,end,\"label,label\"`";

fn parse(record: &ByteRecord) -> Result<(String, Segment, Vec<String>), Fault> {
    let whole_line = || record.iter().collect::<Vec<_>>().join(&b","[..]);
    if record.as_slice().len() + record.len() > MAX_LINE {
        return Err(Fault::new("the line is longer than 64 KiB", &whole_line(), "put one segment on a line"));
    }
    let mut pieces = record.iter();
    let mut field = |name| match next_field(&mut pieces)? {
        Some(field) => Ok(field),
        None => Err(Fault::new(name, &whole_line(), FIELDS)),
    };
    let id = field("the line has no id")?;
    let start = field("the line has no start")?;
    let end = field("the line has no end")?;
    let labels = field("the line has no labels")?;
    if pieces.next().is_some() {
        return Err(Fault::new("the line has more than four fields", &whole_line(), FIELDS));
    }
    let youtube_id = text(&id)?.to_owned();
    if youtube_id.is_empty() {
        return Err(Fault::new("the id is empty", &whole_line(), FIELDS));
    }
    let segment = Segment { start_ms: milliseconds(&start)?, end_ms: milliseconds(&end)? };
    if segment.end_ms <= segment.start_ms {
        return Err(Fault::new(
            "the end is not after the start",
            &end,
            "give both in seconds from the start",
        ));
    }
    Ok((youtube_id, segment, parse_labels(&labels)?))
}

/// The next field without its quotes. The reader splits at every comma, so a quoted field may come in
/// several pieces, which are joined again.
fn next_field<'r>(pieces: &mut impl Iterator<Item = &'r [u8]>) -> Result<Option<Cow<'r, [u8]>>, Fault> {
    let Some(first) = pieces.next() else { return Ok(None) };
    let first = first.trim_ascii();
    if !first.starts_with(b"\"") {
        return Ok(Some(Cow::Borrowed(first)));
    }
    if is_quoted(first) {
        return Ok(Some(Cow::Borrowed(unquoted(first))));
    }
    let mut field = first.to_vec();
    for piece in pieces {
        field.push(b',');
        field.extend_from_slice(piece);
        let whole = field.trim_ascii_end();
        if is_quoted(whole) {
            return Ok(Some(Cow::Owned(unquoted(whole).to_vec())));
        }
    }
    Err(Fault::new("a quote is not closed", &field, "close it on the same line"))
}

fn is_quoted(field: &[u8]) -> bool {
    field.len() >= 2 && field.starts_with(b"\"") && field.ends_with(b"\"")
}

fn unquoted(field: &[u8]) -> &[u8] {
    if is_quoted(field) { &field[1..field.len() - 1] } else { field }
}

fn text(field: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(field)
        .map_err(|_| Fault::new("the text is not UTF-8", field, "save the file as UTF-8"))
}

fn milliseconds(field: &[u8]) -> Result<u64, Fault> {
    let seconds: Option<f64> = std::str::from_utf8(field).ok().and_then(|text| text.trim().parse().ok());
    match seconds {
        Some(seconds) if (0.0..=MAX_SECONDS).contains(&seconds) => Ok((seconds * 1000.0).round() as u64),
        Some(_) => Err(Fault::new("the time is out of range", field, "give seconds between 0 and a year")),
        None => Err(Fault::new("the time is not a number", field, "give seconds, e.g. 30.000")),
    }
}

fn parse_labels(field: &[u8]) -> Result<Vec<String>, Fault> {
    let mut labels: Vec<String> = Vec::new();
    for label in text(field)?.split(',').map(str::trim).filter(|label| !label.is_empty()) {
        if !labels.iter().any(|known| known == label) {
            labels.push(label.to_owned());
        }
    }
    if labels.is_empty() {
        return Err(Fault::new(
            "the row has no labels",
            field,
            "give machine ids such as /m/0bt9lr, or drop the row",
        ));
    }
    Ok(labels)
}

#[cfg(test)]
mod tests;
