//! What `prepare` has done, kept while it works, so that whatever ends it costs the files at work only.
//!
//! `manifest.jsonl` appears when all is done. Until then each line goes to `.manifest.part` as soon as its file is
//! whole; that holds the lines of earlier calls as well, and stays when a call is interrupted. Lines of files that a
//! call is not about stay in the manifest, as what they tell of stays in the folder.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Mutex,
};

use anyhow::Context as _;
use counterpoint_actors::store::{hash_file, write_atomically};
use counterpoint_messages::ContentHash;

use super::Line;
use crate::output::Failure;

const PART: &str = ".manifest.part";

pub struct Ledger {
    out: PathBuf,
    /// Lines of earlier calls, by source.
    known: BTreeMap<String, Line>,
    /// The files that this call is about.
    files: HashSet<PathBuf>,
    part: Mutex<File>,
}

impl Ledger {
    /// Takes up what earlier calls have left in `out`, for a call on these files.
    ///
    /// # Errors
    /// If the manifest there is another one, of a run or of its samples.
    pub fn open(out: &Path, files: &[PathBuf]) -> Result<Self, Failure> {
        let (part, manifest) = (out.join(PART), manifest(out));
        let mut known = BTreeMap::new();
        let is_read = read(&manifest, |line| {
            let is_ours = line.is_some();
            known.extend(line.map(|line| (line.source.clone(), line)));
            is_ours
        });
        if !is_read.with_context(|| format!("cannot read {}", manifest.display()))? {
            return Err(Failure::usage(format!(
                "{} is not one that prepare has written, and it would be overwritten: choose another --out",
                manifest.display()
            )));
        }
        // A call that was killed may have left half a line.
        read(&part, |line| {
            known.extend(line.map(|line| (line.source.clone(), line)));
            true
        })
        .with_context(|| format!("cannot read {}", part.display()))?;
        let files = files.iter().map(|file| real(file)).collect();
        write_atomically(&part, text(known.values())?.as_bytes()).context("cannot note what was done")?;
        let file = File::options().append(true).open(&part);
        let file = file.with_context(|| format!("cannot open {}", part.display()))?;
        Ok(Self { out: out.to_owned(), known, files, part: Mutex::new(file) })
    }

    /// The line of an earlier call on a source, if that had the same cause and what it made is still there, byte
    /// by byte.
    pub fn done(&self, source: &str, cause: ContentHash) -> Option<&Line> {
        let line = self.known.get(source).filter(|line| line.cause == Some(cause))?;
        let Some(path) = &line.path else { return Some(line) };
        let (found, _) = hash_file(&self.out.join(path)).ok()?;
        (line.blake3 == Some(found)).then_some(line)
    }

    /// Notes a line; its file is whole.
    pub fn note(&self, line: &Line) -> anyhow::Result<()> {
        let text = text([line])?;
        let mut part = self.part.lock().map_err(|_| anyhow::anyhow!("a thread of prepare panicked"))?;
        part.write_all(text.as_bytes()).context("cannot note what was done")
    }

    /// Writes the manifest of the lines, and behind them of those of other files; its path, and the number of the
    /// others. Unless the lines are `complete` what was noted stays.
    pub fn publish(self, lines: &[Line], complete: bool) -> anyhow::Result<(PathBuf, usize)> {
        let manifest = manifest(&self.out);
        let kept: Vec<_> = self.known.values().filter(|line| self.is_of_others(line)).collect();
        let all = text(lines.iter().chain(kept.iter().copied()))?;
        write_atomically(&manifest, all.as_bytes()).context("cannot write the manifest")?;
        if complete {
            // What stays is read again, and says the same.
            let _ = fs::remove_file(self.out.join(PART));
        }
        Ok((manifest, kept.len()))
    }

    /// Whether a line is about a file that this call is not, and what it tells of is there still.
    fn is_of_others(&self, line: &Line) -> bool {
        let source = Path::new(&line.source);
        let is_there = match &line.path {
            Some(path) => self.out.join(path).is_file(),
            None => source.exists(),
        };
        is_there && !self.files.contains(&real(source))
    }
}

/// The same file by whatever path; of one that is gone the path as it is.
fn real(file: &Path) -> PathBuf {
    fs::canonicalize(file).unwrap_or_else(|_| file.to_owned())
}

/// Goes through the lines of a file, which need not be there, for as long as they are taken; whether all were.
fn read(file: &Path, take: impl FnMut(Option<Line>) -> bool) -> io::Result<bool> {
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Ok(lines.map(|line| serde_json::from_slice(line).ok()).all(take))
}

fn manifest(out: &Path) -> PathBuf {
    out.join("manifest.jsonl")
}

fn text<'a>(lines: impl IntoIterator<Item = &'a Line>) -> anyhow::Result<String> {
    let mut text = String::new();
    for line in lines {
        text.push_str(&serde_json::to_string(line).context("cannot write the manifest")?);
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAUSE: ContentHash = ContentHash([7; 32]);

    /// The line of a source whose file holds `content`; none for one that was rejected.
    fn line(source: &str, content: Option<&str>) -> Line {
        Line {
            path: content.map(|_| format!("{source}.mp4")),
            blake3: content.map(|content| ContentHash::of(content.as_bytes())),
            outcome: if content.is_some() { "ok" } else { "rejected" }.to_owned(),
            ..Line::rejected(source.to_owned(), Some(CAUSE))
        }
    }

    fn done(ledger: &Ledger) -> Vec<&str> {
        ["a", "b", "c"].into_iter().filter(|source| ledger.done(source, CAUSE).is_some()).collect()
    }

    #[test]
    fn what_was_done_before_a_kill_is_not_done_again() {
        let out = tempfile::tempdir().unwrap();
        fs::write(out.path().join("a.mp4"), "film").unwrap();
        let ledger = Ledger::open(out.path(), &[]).unwrap();
        ledger.note(&line("a", Some("film"))).unwrap();
        ledger.note(&line("b", None)).unwrap();
        drop(ledger);
        assert!(!manifest(out.path()).exists());
        // Killed in the middle of a line.
        let mut part = File::options().append(true).open(out.path().join(PART)).unwrap();
        part.write_all(br#"{"source":"c","outco"#).unwrap();

        let ledger = Ledger::open(out.path(), &[]).unwrap();
        assert_eq!(done(&ledger), ["a", "b"]);
        ledger.note(&line("c", None)).unwrap();
        drop(ledger);
        assert_eq!(done(&Ledger::open(out.path(), &[]).unwrap()), ["a", "b", "c"]);
    }

    #[test]
    fn an_interrupted_call_forgets_nothing_of_those_before_it() {
        let out = tempfile::tempdir().unwrap();
        let lines = ["a", "b", "c"].map(|source| line(source, None));
        let publish = |lines: &[Line], complete| {
            Ledger::open(out.path(), &[]).unwrap().publish(lines, complete).unwrap();
            fs::read_to_string(manifest(out.path())).unwrap().lines().count()
        };
        assert_eq!((publish(&lines, true), out.path().join(PART).exists()), (3, false));
        assert_eq!(publish(&lines[..1], false), 1);
        assert_eq!(done(&Ledger::open(out.path(), &[]).unwrap()), ["a", "b", "c"]);
    }

    #[test]
    fn lines_of_other_files_stay_as_long_as_what_they_tell_of() {
        let out = tempfile::tempdir().unwrap();
        let files = ["a", "b", "bad"].map(|name| out.path().join(format!("{name}.mov")));
        files.iter().for_each(|file| fs::write(file, "source").unwrap());
        let line = |index: usize, content: Option<&str>| line(files[index].to_str().unwrap(), content);
        let publish = |of_call: &[PathBuf], lines: &[Line]| {
            let ledger = Ledger::open(out.path(), of_call).unwrap();
            let (manifest, kept) = ledger.publish(lines, true).unwrap();
            (fs::read_to_string(manifest).unwrap().lines().count(), kept)
        };
        for (index, content) in [(0, Some("film")), (1, Some("film"))] {
            let made = line(index, content);
            fs::write(out.path().join(made.path.unwrap()), "film").unwrap();
        }
        assert_eq!(publish(&files[..1], &[line(0, Some("film"))]), (1, 0));
        assert_eq!(publish(&files[1..], &[line(1, Some("film")), line(2, None)]), (3, 1));
        // The same file under another name.
        let detour = out.path().join("./a.mov");
        assert_eq!(publish(&[detour], &[line(0, Some("film"))]), (3, 2));
        fs::remove_file(&files[2]).unwrap();
        fs::remove_file(out.path().join(line(1, Some("film")).path.unwrap())).unwrap();
        assert_eq!(publish(&files[..1], &[line(0, Some("film"))]), (1, 0));
    }

    #[test]
    fn a_manifest_of_something_else_is_not_overwritten() {
        let out = tempfile::tempdir().unwrap();
        for foreign in [r#"{"sample":"00","recipe":"aligned"}"#, "notes", "\u{fffd}"] {
            fs::write(manifest(out.path()), foreign).unwrap();
            let Err(error) = Ledger::open(out.path(), &[]) else { panic!("{foreign} is overwritten") };
            assert!(matches!(&error, Failure::Usage(reason) if reason.contains("choose another --out")));
        }
    }

    #[test]
    fn a_file_that_is_not_what_was_made_is_made_again() {
        let out = tempfile::tempdir().unwrap();
        let film = out.path().join("a.mp4");
        fs::write(&film, "film").unwrap();
        Ledger::open(out.path(), &[]).unwrap().publish(&[line("a", Some("film"))], true).unwrap();
        let ledger = Ledger::open(out.path(), &[]).unwrap();
        assert_eq!(done(&ledger), ["a"]);
        assert!(ledger.done("a", ContentHash([8; 32])).is_none(), "it was asked for something else");
        fs::write(&film, "fiml").unwrap();
        assert!(done(&ledger).is_empty());
        fs::remove_file(&film).unwrap();
        assert!(done(&ledger).is_empty());
    }
}
