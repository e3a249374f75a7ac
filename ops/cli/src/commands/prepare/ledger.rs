//! What `prepare` has done, kept while it works, so that whatever ends it costs the files at work only.
//!
//! `manifest.jsonl` appears when all is done. Until then each line goes to `.manifest.part` as soon as its file is
//! whole; that holds the lines of earlier calls as well, and stays when a call is interrupted.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    sync::Mutex,
};

use anyhow::Context as _;
use counterpoint_actors::store::{hash_file, write_atomically};
use counterpoint_messages::ContentHash;

use super::Line;

const PART: &str = ".manifest.part";

pub struct Ledger {
    out: PathBuf,
    /// Lines of earlier calls, by source.
    known: HashMap<String, Line>,
    part: Mutex<File>,
}

impl Ledger {
    /// Takes up what earlier calls have left in `out`.
    pub fn open(out: &Path) -> anyhow::Result<Self> {
        let part = out.join(PART);
        let mut known = HashMap::new();
        for file in [&manifest(out), &part] {
            let text = fs::read_to_string(file).unwrap_or_default();
            // A call that was killed may have left half a line.
            let lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
            known.extend(lines.map(|line| (line.source.clone(), line)));
        }
        write_atomically(&part, text(known.values())?.as_bytes()).context("cannot note what was done")?;
        let file = File::options().append(true).open(&part);
        let file = file.with_context(|| format!("cannot open {}", part.display()))?;
        Ok(Self { out: out.to_owned(), known, part: Mutex::new(file) })
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

    /// Writes the manifest of the lines, and gives its path. Unless they are `complete` what was noted stays.
    pub fn publish(self, lines: &[Line], complete: bool) -> anyhow::Result<PathBuf> {
        let manifest = manifest(&self.out);
        write_atomically(&manifest, text(lines)?.as_bytes()).context("cannot write the manifest")?;
        if complete {
            // What stays is read again, and says the same.
            let _ = fs::remove_file(self.out.join(PART));
        }
        Ok(manifest)
    }
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
        let ledger = Ledger::open(out.path()).unwrap();
        ledger.note(&line("a", Some("film"))).unwrap();
        ledger.note(&line("b", None)).unwrap();
        drop(ledger);
        assert!(!manifest(out.path()).exists());
        // Killed in the middle of a line.
        let mut part = File::options().append(true).open(out.path().join(PART)).unwrap();
        part.write_all(br#"{"source":"c","outco"#).unwrap();

        let ledger = Ledger::open(out.path()).unwrap();
        assert_eq!(done(&ledger), ["a", "b"]);
        ledger.note(&line("c", None)).unwrap();
        drop(ledger);
        assert_eq!(done(&Ledger::open(out.path()).unwrap()), ["a", "b", "c"]);
    }

    #[test]
    fn an_interrupted_call_forgets_nothing_of_those_before_it() {
        let out = tempfile::tempdir().unwrap();
        let lines = ["a", "b", "c"].map(|source| line(source, None));
        let publish = |lines: &[Line], complete| {
            Ledger::open(out.path()).unwrap().publish(lines, complete).unwrap();
            fs::read_to_string(manifest(out.path())).unwrap().lines().count()
        };
        assert_eq!((publish(&lines, true), out.path().join(PART).exists()), (3, false));
        assert_eq!(publish(&lines[..1], false), 1);
        assert_eq!(done(&Ledger::open(out.path()).unwrap()), ["a", "b", "c"]);
    }

    #[test]
    fn a_file_that_is_not_what_was_made_is_made_again() {
        let out = tempfile::tempdir().unwrap();
        let film = out.path().join("a.mp4");
        fs::write(&film, "film").unwrap();
        Ledger::open(out.path()).unwrap().publish(&[line("a", Some("film"))], true).unwrap();
        let ledger = Ledger::open(out.path()).unwrap();
        assert_eq!(done(&ledger), ["a"]);
        assert!(ledger.done("a", ContentHash([8; 32])).is_none(), "it was asked for something else");
        fs::write(&film, "fiml").unwrap();
        assert!(done(&ledger).is_empty());
        fs::remove_file(&film).unwrap();
        assert!(done(&ledger).is_empty());
    }
}
