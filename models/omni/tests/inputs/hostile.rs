//! Files that lie: every one is an error that names the file, and none is a panic.

use std::{fs, path::Path};

use counterpoint_omni::weights::{WeightsError, shard::Shard};
use proptest::prelude::*;
use tempfile::TempDir;

/// A safetensors file with this header and so many bytes of data.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

fn open(folder: &TempDir, bytes: &[u8]) -> Result<Shard, WeightsError> {
    let path = folder.path().join("model.safetensors");
    fs::write(&path, bytes).unwrap();
    let opened = Shard::open(&path);
    if let Err(error) = &opened {
        assert!(error.to_string().contains("model.safetensors"), "{error}");
    }
    opened
}

fn refusal(bytes: &[u8]) -> WeightsError {
    open(&tempfile::tempdir().unwrap(), bytes).err().expect("a refusal")
}

const TWO: &str = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},
"b":{"dtype":"BF16","shape":[3],"data_offsets":[16,22]}}"#;

#[test]
fn an_honest_file_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let shard = open(&folder, &file(TWO, 22)).unwrap();
    assert_eq!(shard.names().collect::<Vec<_>>(), ["a", "b"]);
    let view = shard.get("b").unwrap();
    assert_eq!((view.shape, view.bytes.len(), view.to_f32().unwrap()), (&[3_usize][..], 6, vec![0.0; 3]));
}

#[test]
fn a_link_is_followed_and_a_pipe_or_folder_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    open(&folder, &file(TWO, 22)).unwrap();
    let link = folder.path().join("link.safetensors");
    std::os::unix::fs::symlink("model.safetensors", &link).unwrap();
    assert!(Shard::open(&link).is_ok());
    for path in [folder.path(), Path::new("/dev/null")] {
        assert!(matches!(Shard::open(path), Err(WeightsError::NoFile { .. })), "{}", path.display());
    }
    assert!(matches!(Shard::open(&folder.path().join("absent")), Err(WeightsError::Read { .. })));
}

#[test]
fn lengths_that_cannot_be_are_refused() {
    assert!(matches!(refusal(b""), WeightsError::Truncated { has: 0, needs: 8, .. }));
    assert!(matches!(refusal(&[1, 0, 0]), WeightsError::Truncated { has: 3, .. }));
    assert!(matches!(refusal(&u64::MAX.to_le_bytes()), WeightsError::HeaderTooLong { length: u64::MAX, .. }));
    assert!(matches!(refusal(&1000_u64.to_le_bytes()), WeightsError::Truncated { needs: 1008, .. }));
    let whole = file(TWO, 22);
    assert!(matches!(refusal(&whole[..whole.len() - 1]), WeightsError::Truncated { .. }));
    assert!(matches!(refusal(&file(TWO, 23)), WeightsError::Trailing { .. }));
}

#[test]
fn headers_that_are_no_list_of_tensors_are_refused() {
    for header in
        ["", "[]", " {}", "{", r#"{"a":1}"#, r#"{"a":{"dtype":"F99","shape":[],"data_offsets":[0,4]}}"#]
    {
        assert!(matches!(refusal(&file(header, 4)), WeightsError::Damaged { .. }), "{header}");
    }
    let deep = format!("{{\"a\":{}", "[".repeat(1_000_000));
    assert!(matches!(refusal(&file(&deep, 0)), WeightsError::Damaged { .. }));
}

#[test]
fn claims_that_cannot_be_are_refused_with_the_tensor() {
    let claim = |name: &str, shape: &str, from: u64, to: u64| {
        format!(r#""{name}":{{"dtype":"F32","shape":{shape},"data_offsets":[{from},{to}]}}"#)
    };
    let impossible = |claims: &[String], data| {
        let error = refusal(&file(&format!("{{{}}}", claims.join(",")), data));
        match error {
            WeightsError::Impossible { tensor, .. } => tensor,
            other => panic!("{other}"),
        }
    };
    // Too few bytes, too many, backwards, and shapes whose size overflows.
    assert_eq!(impossible(&[claim("a", "[2]", 0, 4)], 4), "a");
    assert_eq!(impossible(&[claim("a", "[2]", 0, 12)], 12), "a");
    assert_eq!(impossible(&[claim("a", "[2]", 8, 0)], 8), "a");
    assert_eq!(impossible(&[claim("a", "[9223372036854775807,4]", 0, 8)], 8), "a");
    assert_eq!(impossible(&[claim("a", "[18446744073709551615,0]", 0, 0)], 0), "a");
    assert_eq!(impossible(&[claim("a", "[1]", u64::MAX - 4, u64::MAX)], 0), "a");
    // An overlap, a gap between two, and a gap before the first.
    assert_eq!(impossible(&[claim("a", "[2]", 0, 8), claim("b", "[2]", 4, 12)], 12), "b");
    assert_eq!(impossible(&[claim("a", "[2]", 0, 8), claim("b", "[2]", 12, 20)], 20), "b");
    assert_eq!(impossible(&[claim("a", "[1]", 4, 8)], 8), "a");
    let twice = [claim("a", "[1]", 0, 4), claim("a", "[1]", 4, 8)];
    let error = refusal(&file(&format!("{{{}}}", twice.join(",")), 8));
    assert!(matches!(&error, WeightsError::Twice { tensor, .. } if tensor == "a"), "{error}");
}

proptest! {
    #[test]
    fn no_damage_panics_and_what_is_accepted_lies_within_the_file(
        changes in prop::collection::vec((0_usize..220, any::<u8>()), 1..6),
        cut in 0_usize..40,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = file(TWO, 22);
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        bytes.truncate(bytes.len() - cut);
        if let Ok(shard) = open(&folder, &bytes) {
            let mut all = 0;
            for name in shard.names() {
                let view = shard.get(name).unwrap();
                all += view.bytes.len();
                prop_assert_eq!(view.bytes.len() * 8, view.elements() * view.dtype.bitsize());
            }
            prop_assert!(all < bytes.len());
        }
    }

    #[test]
    fn headers_of_any_numbers_never_panic(
        claims in prop::collection::vec((prop::collection::vec(any::<u64>(), 0..4), any::<u64>(), any::<u64>()), 0..4),
        small in any::<bool>(),
    ) {
        let limit = |number: u64| if small { number % 5 } else { number };
        let claims = claims.iter().enumerate().map(|(number, (shape, from, to))| {
            let shape: Vec<_> = shape.iter().map(|&side| limit(side)).collect();
            format!(r#""t{number}":{{"dtype":"U8","shape":{shape:?},"data_offsets":[{},{}]}}"#, limit(*from), limit(*to))
        });
        let header = format!("{{{}}}", claims.collect::<Vec<_>>().join(","));
        let _ = open(&tempfile::tempdir().unwrap(), &file(&header, 8));
    }
}
