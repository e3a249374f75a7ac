//! Bytes of every published version of every message, which are read for ever.
//!
//! `tests/golden/KIND.VERSION.hex` holds one envelope a line, in hexadecimal digits. A new kind, version or
//! sample gets its line from `COUNTERPOINT_WRITE_GOLDEN=1 cargo test -p counterpoint-messages --test golden`,
//! which writes what is missing and changes nothing that is there.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

mod samples;

use std::{fs, path::PathBuf};

use counterpoint_messages::{Message, MessageKind};

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
}

fn file(kind: MessageKind, version: u16) -> PathBuf {
    folder().join(format!("{kind:?}.{version}.hex"))
}

fn read(path: &PathBuf) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| {
        panic!("{}: {error}; COUNTERPOINT_WRITE_GOLDEN=1 writes what is missing", path.display())
    });
    text.lines().map(|line| hex::decode(line).unwrap()).collect()
}

#[test]
fn every_kind_is_written_and_read_as_its_version_was_published() {
    for kind in MessageKind::ALL.iter().copied() {
        let written: Vec<_> = samples::of(kind).iter().map(|message| message.encode().unwrap()).collect();
        let path = file(kind, kind.version());
        if std::env::var_os("COUNTERPOINT_WRITE_GOLDEN").is_some() {
            let published = if path.exists() { read(&path) } else { vec![] };
            if written.starts_with(&published) {
                let lines: String = written.iter().map(|bytes| hex::encode(bytes) + "\n").collect();
                fs::write(&path, lines).unwrap();
            }
        }
        assert_eq!(read(&path), written, "{kind:?}: a change of its bytes needs a new version");
        let read: Vec<_> = written.iter().map(|bytes| Message::decode(bytes).unwrap()).collect();
        assert_eq!(read, samples::of(kind));
    }
}

#[test]
fn every_published_version_is_read_as_its_kind() {
    for kind in MessageKind::ALL.iter().copied() {
        for version in 1..=kind.version() {
            for bytes in read(&file(kind, version)) {
                assert_eq!(bytes[6..8], version.to_le_bytes());
                assert_eq!(Message::decode(&bytes).unwrap().kind(), kind);
            }
        }
    }
}

#[test]
fn no_golden_file_belongs_to_nothing() {
    let known: Vec<_> = MessageKind::ALL
        .iter()
        .flat_map(|kind| (1..=kind.version()).map(|version| file(*kind, version)))
        .collect();
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        assert!(known.contains(&path), "{}: which message is it?", path.display());
    }
}
