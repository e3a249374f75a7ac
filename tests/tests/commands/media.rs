//! `prepare` and `sample`.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use counterpoint_messages::ContentHash;
use counterpoint_tests::{
    film::{self, Film, Streams},
    out::{json_lines, number, text},
    program::Program,
};
use safetensors::{Dtype, SafeTensors};
use tempfile::TempDir;

fn prepare(clips: &Path, to: &Path) -> Program {
    let command = Program::counterpoint(["prepare", "--size", "56", "--seconds", "4", "--json", "--out"]);
    command.with([to, clips])
}

#[test]
fn every_input_of_prepare_has_its_line_and_namesakes_have_files_of_their_own() {
    let folder = TempDir::new().unwrap();
    let (clips, to) = (folder.path().join("clips"), folder.path().join("prepared"));
    let film = |name: &str, number, streams| {
        let path = clips.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        Film { path, number, streams }
    };
    film::make(&[
        film("a/same.mp4", 1, Streams::Both),
        film("b/same.mp4", 2, Streams::Both),
        film("b/same.m4v", 3, Streams::Both),
        film("mute.mp4", 4, Streams::Picture),
    ]);
    fs::write(clips.join("text.mkv"), "this is no film").unwrap();
    fs::write(clips.join("notes.txt"), "this is no media file").unwrap();

    let told = prepare(&clips, &to).run().done().json();
    assert_eq!((number(&told["ok"]), number(&told["rejected"])), (3, 2));
    let manifest = to.join("manifest.jsonl");
    let lines = json_lines(&manifest);
    assert_eq!(lines.len(), 5);
    let mut files: BTreeSet<PathBuf> = BTreeSet::new();
    for line in &lines {
        let source = text(&line["source"]);
        match text(&line["outcome"]).as_str() {
            "ok" => {
                let path = to.join(text(&line["path"]));
                assert_eq!(ContentHash::of(&fs::read(&path).unwrap()).to_string(), text(&line["blake3"]));
                assert_eq!((number(&line["width"]), number(&line["height"])), (56, 56));
                assert_eq!(line["duration"], 4.0);
                assert!(
                    line["statistics"]["loudness_lufs"].is_number() && line["reason"].is_null(),
                    "{line}"
                );
                files.insert(path);
            }
            "rejected" => {
                let reason = if source.ends_with("mute.mp4") { "no_sound" } else { "not_media" };
                assert_eq!(text(&line["reason"]), reason, "{source}");
                assert!(line["path"].is_null() && line["blake3"].is_null(), "{line}");
            }
            outcome => panic!("{outcome}"),
        }
    }
    assert_eq!(files.len(), 3);

    let inodes = |files: &BTreeSet<PathBuf>| -> Vec<u64> {
        files.iter().map(|file| fs::metadata(file).unwrap().ino()).collect()
    };
    let before = inodes(&files);
    prepare(&clips, &to).run().done();
    assert_eq!(inodes(&files), before, "nothing is made twice");
    assert_eq!(json_lines(&manifest), lines, "and the manifest stays what it was");
}

#[test]
fn a_clip_that_is_too_short_is_rejected_or_padded_as_asked() {
    let folder = TempDir::new().unwrap();
    let (clip, to) = (folder.path().join("short.mp4"), folder.path().join("prepared"));
    film::make(&[Film::new(&clip, 1)]);
    let line = |short: &str| {
        let command =
            Program::counterpoint(["prepare", "--size", "56", "--seconds", "5", "--short", short, "--out"]);
        command.with([&to, &clip]).run().done();
        json_lines(&to.join("manifest.jsonl")).remove(0)
    };
    assert_eq!(text(&line("reject")["reason"]), "too_short");
    let padded = line("pad");
    assert_eq!((&padded["outcome"], &padded["duration"]), (&"ok".into(), &5.0.into()));
    assert!(padded["padded"].as_f64().unwrap() > 0.5, "{padded}");
}

/// A tensor file in memory.
struct Sampled(Vec<u8>);

impl Sampled {
    fn read(clip: &Path, to: &Path, fps: &str) -> Self {
        let command =
            Program::counterpoint(["sample", "--fps", fps, "--size", "28", "--rate", "8000", "--out"]);
        command.with([to, clip]).run().done();
        Self(fs::read(to.join("ball.safetensors")).unwrap())
    }

    fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.0).unwrap()
    }

    fn frames(&self) -> Vec<Vec<u8>> {
        self.tensors().tensor("rgb").unwrap().data().chunks(28 * 28 * 3).map(<[u8]>::to_vec).collect()
    }
}

#[test]
fn frame_i_of_a_sample_is_the_one_displayed_at_i_over_fps() {
    let folder = TempDir::new().unwrap();
    let clip = folder.path().join("ball.mp4");
    film::make(&[Film::new(&clip, 1)]);
    let (all, two) = (Sampled::read(&clip, folder.path(), "25"), Sampled::read(&clip, folder.path(), "2"));

    let tensors = two.tensors();
    let shape = |name: &str| {
        let tensor = tensors.tensor(name).unwrap();
        (tensor.dtype(), tensor.shape().to_vec())
    };
    assert_eq!(shape("rgb"), (Dtype::U8, vec![8, 28, 28, 3]));
    assert_eq!(shape("time"), (Dtype::F64, vec![8]));
    let (kind, samples) = shape("pcm");
    assert_eq!((kind, samples.len()), (Dtype::F32, 1));
    assert!(samples[0].abs_diff(4 * 8000) <= 8000 / 25, "four seconds of sound: {samples:?}");
    let loudest = tensors
        .tensor("pcm")
        .unwrap()
        .data()
        .chunks(4)
        .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()).abs());
    let loudest = loudest.fold(0.0, f32::max);
    assert!((0.1..=1.0).contains(&loudest), "{loudest}");

    let every = all.frames();
    assert_eq!(every.len(), 100);
    assert!(every.windows(2).all(|pair| pair[0] != pair[1]), "the ball never rests");
    for (i, frame) in two.frames().iter().enumerate() {
        assert_eq!(frame, &every[i * 25 / 2], "frame {i}");
    }
}
