//! Bytes of every published version of every message, which are read for ever.
//!
//! `tests/golden/KIND.VERSION.hex` holds one envelope a line, in hexadecimal digits. A new kind, version or
//! sample gets its line from `COUNTERPOINT_WRITE_GOLDEN=1 cargo test -p counterpoint-messages --test golden`,
//! which writes what is missing and changes nothing that is there.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

mod samples;

use std::{fs, path::PathBuf};

use counterpoint_messages::{EncodeError, FormatLevel, Message, MessageKind};

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
}

fn file(kind: MessageKind, version: u16) -> PathBuf {
    folder().join(format!("{kind:?}.{version}.hex"))
}

fn newest(messages: &[Message]) -> Vec<Vec<u8>> {
    messages.iter().map(|message| message.encode(FormatLevel::NEWEST).unwrap()).collect()
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
        let written: Vec<_> = newest(&samples::of(kind));
        let path = file(kind, kind.version());
        if std::env::var_os("COUNTERPOINT_WRITE_GOLDEN").is_some() {
            let published = if path.exists() { read(&path) } else { vec![] };
            if written != published && written.starts_with(&published) {
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
fn every_published_version_is_read_with_the_documented_defaults() {
    for kind in MessageKind::ALL.iter().copied() {
        for version in 1..=kind.version() {
            let golden = read(&file(kind, version));
            assert!(golden.iter().all(|bytes| bytes[6..8] == version.to_le_bytes()), "{kind:?}.{version}");
            let read: Vec<_> = golden.iter().map(|bytes| Message::decode(bytes).unwrap()).collect();
            assert_eq!(read, samples::published(kind, version), "{kind:?}.{version}");
        }
    }
}

#[test]
fn at_the_first_level_every_kind_of_release_0_1_is_written_to_the_byte_as_that_release_wrote_it() {
    let mut kinds = 0;
    for kind in MessageKind::ALL.iter().copied() {
        let Some(version) = kind.version_at(FormatLevel::FIRST) else { continue };
        assert_eq!(version, 1);
        let written: Vec<_> = samples::published(kind, 1)
            .iter()
            .map(|message| message.encode(FormatLevel::FIRST).unwrap())
            .collect();
        assert_eq!(written, read(&file(kind, 1)), "{kind:?}");
        kinds += 1;
    }
    assert_eq!(kinds, 15, "release 0.1 had so many kinds");
}

#[test]
fn at_the_levels_between_what_was_published_is_written_to_the_byte_as_then() {
    for level in [FormatLevel::up_to(2), FormatLevel::MODELS] {
        for kind in MessageKind::ALL.iter().copied() {
            let Some(version) = kind.version_at(level) else { continue };
            let published = samples::published(kind, version);
            let written: Vec<_> = published.iter().map(|message| message.encode(level).unwrap()).collect();
            assert_eq!(written, read(&file(kind, version)), "{kind:?}");
        }
    }
}

#[test]
fn what_an_older_version_can_say_is_written_in_it_and_the_rest_asks_for_an_upgrade() {
    let [timed, followed] = &samples::of(MessageKind::InputOffered)[..] else { panic!("two are published") };
    let (Message::InputOffered(timed), Message::InputOffered(followed)) = (timed, followed) else {
        panic!("they are inputs")
    };
    let first = |input: counterpoint_messages::InputOffered| Message::from(input).encode(FormatLevel::FIRST);
    let as_v1 = Message::decode(&first(timed.clone()).unwrap());
    assert_eq!(
        as_v1,
        Ok(samples::published(MessageKind::InputOffered, 1).remove(0)),
        "only the time is lost"
    );
    let fetched = counterpoint_messages::InputOffered { follow: None, ..followed.clone() };
    for (input, what) in [(followed.clone(), "followed"), (fetched, "fetched")] {
        let error = first(input).unwrap_err();
        assert!(error.is_mended_by_upgrade());
        let text = error.to_string();
        for word in ["InputOffered", what, "level 1", "`counterpoint topics upgrade`"] {
            assert!(text.contains(word), "{text}");
        }
    }
    for kind in [
        MessageKind::InputSealed,
        MessageKind::Rejected,
        MessageKind::DeadLetter,
        MessageKind::RevisionDeclared,
        MessageKind::RecordRequeued,
    ] {
        let newest = samples::of(kind).pop().unwrap();
        let error = newest.encode(FormatLevel::FIRST).unwrap_err();
        assert!(error.is_mended_by_upgrade(), "{kind:?}: {error}");
    }
    let second = FormatLevel::up_to(2);
    for kind in [
        MessageKind::Rejected,
        MessageKind::DeadLetter,
        MessageKind::RevisionDeclared,
        MessageKind::RecordRequeued,
        MessageKind::ClipProbed,
        MessageKind::AnswerGiven,
    ] {
        for level in [FormatLevel::FIRST, second] {
            let error = samples::of(kind).pop().unwrap().encode(level).unwrap_err();
            assert!(error.is_mended_by_upgrade(), "{kind:?}: {error}");
        }
    }
    for kind in [
        MessageKind::DeadLetter,
        MessageKind::RevisionDeclared,
        MessageKind::RecordRequeued,
        MessageKind::TrainingPlanned,
        MessageKind::CheckpointSaved,
        MessageKind::TrainingFailed,
    ] {
        for level in [FormatLevel::FIRST, second, FormatLevel::MODELS] {
            let error = samples::of(kind).pop().unwrap().encode(level).unwrap_err();
            assert!(error.is_mended_by_upgrade(), "{kind:?}: {error}");
        }
    }
    let kind = MessageKind::FormatDeclared;
    let unknown = samples::of(kind).remove(0).encode(FormatLevel::FIRST).unwrap_err();
    assert_eq!(unknown, EncodeError::LevelTooLow { kind, level: FormatLevel::FIRST, what: "something new" });
}

#[test]
fn a_level_of_a_later_release_is_written_as_the_newest_known_one() {
    assert_eq!(FormatLevel::up_to(u16::MAX), FormatLevel::NEWEST);
    assert_eq!(FormatLevel::up_to(0), FormatLevel::FIRST);
    for level in [FormatLevel::FIRST, FormatLevel::NEWEST] {
        assert_eq!(FormatLevel::up_to(level.number()), level);
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
