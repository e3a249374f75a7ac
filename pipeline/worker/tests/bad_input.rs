//! Every bad file ends in a reject with its reason, and the next good file still works.
#![allow(clippy::unwrap_used, reason = "a test fails where its helpers do")]

mod common;

use std::path::{Path, PathBuf};

use common::*;
use counterpoint_core::media_job::Limits;
use counterpoint_messages::RejectReason;

/// Bytes that look like nothing, the same on every run.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn good_clip(folder: &Path) -> (PathBuf, Vec<u8>) {
    let path = folder.join("good.mp4");
    plain_clip(&path);
    let bytes = std::fs::read(&path).unwrap();
    (path, bytes)
}

#[test]
fn empty_random_and_text_files_are_no_media() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool();
    let (good, _) = good_clip(folder.path());
    let empty = write(folder.path(), "empty.mp4", b"");
    assert_eq!(rejected(&pool, &empty, &small()).reason, RejectReason::EmptyFile);
    let random = write(folder.path(), "random.mp4", &noise(200_000));
    let text = write(folder.path(), "text.mp4", "this is no film\n".repeat(500).as_bytes());
    let line = write(folder.path(), "line.mp4", b"x");
    for file in [random, text, line] {
        assert_eq!(rejected(&pool, &file, &small()).reason, RejectReason::NotMedia, "{}", file.display());
    }
    let picture = folder.path().join("picture.mp4");
    launch(&format!("videotestsrc num-buffers=1 ! pngenc ! filesink location={}", picture.display()));
    assert_eq!(rejected(&pool, &picture, &small()).reason, RejectReason::NotMedia);
    prepared(&pool, &good, &small(), folder.path());
}

#[test]
fn a_file_that_ends_early_is_corrupt_wherever_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool();
    let (good, bytes) = good_clip(folder.path());
    // The index at the end, as GStreamer writes it, is lost with any cut.
    for share in [20, 50, 99] {
        let cut = write(folder.path(), &format!("{share}.mp4"), &bytes[..bytes.len() * share / 100]);
        assert_eq!(rejected(&pool, &cut, &small()).reason, RejectReason::CorruptMedia, "{share} %");
    }
    // The index in front stays, and promises more than is there.
    let normal = prepared(&pool, &good, &small(), folder.path());
    let bytes = std::fs::read(&normal.video).unwrap();
    for share in [20, 50, 90] {
        let cut = write(folder.path(), &format!("front-{share}.mp4"), &bytes[..bytes.len() * share / 100]);
        assert_eq!(rejected(&pool, &cut, &small()).reason, RejectReason::CorruptMedia, "front, {share} %");
    }
    let matroska = folder.path().join("whole.mkv");
    clip(&ball(96, 64, "15/1", 150), H264, &tone(440, 2, 44_100, 10), AAC, "matroskamux", &matroska);
    let bytes = std::fs::read(&matroska).unwrap();
    let cut = write(folder.path(), "cut.mkv", &bytes[..bytes.len() / 2]);
    assert_eq!(rejected(&pool, &cut, &small()).reason, RejectReason::CorruptMedia);
    prepared(&pool, &good, &small(), folder.path());
}

#[test]
fn a_file_with_broken_packets_is_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool();
    let (good, _) = good_clip(folder.path());
    let normal = prepared(&pool, &good, &small(), folder.path());
    let mut bytes = std::fs::read(&normal.video).unwrap();
    let data = bytes.windows(4).position(|name| name == b"mdat").unwrap() + 4;
    let rest = noise(bytes.len() - data);
    bytes[data..].copy_from_slice(&rest);
    let broken = write(folder.path(), "broken.mp4", &bytes);
    assert_eq!(rejected(&pool, &broken, &small()).reason, RejectReason::CorruptMedia);
    prepared(&pool, &good, &small(), folder.path());
}

#[test]
fn a_missing_stream_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool();
    let mute = folder.path().join("mute.mp4");
    let picture = ball(96, 64, "15/1", 150);
    launch(&format!("{picture} ! {H264} ! mp4mux ! filesink location={}", mute.display()));
    assert_eq!(rejected(&pool, &mute, &small()).reason, RejectReason::NoSound);
    let blind = folder.path().join("blind.m4v");
    launch(&format!("{} ! {AAC} ! mp4mux ! filesink location={}", tone(440, 2, 44_100, 10), blind.display()));
    assert_eq!(rejected(&pool, &blind, &small()).reason, RejectReason::NoPicture);
    let seen = sampled(&pool, &mute, &tiny_sample(2.0));
    assert_eq!((seen.time.len(), seen.pcm.len()), (20, 0));
}

#[test]
fn codecs_off_the_list_are_unsupported() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool();
    let sound = tone(440, 2, 44_100, 10);
    let picture = ball(96, 64, "15/1", 150);
    let jpeg = folder.path().join("jpeg.avi");
    clip(&picture, "jpegenc", &sound, "audio/x-raw,format=S16LE", "avimux", &jpeg);
    let flac = folder.path().join("flac.mkv");
    clip(&picture, H264, &sound, "flacenc", "matroskamux", &flac);
    for file in [jpeg, flac] {
        let reject = rejected(&pool, &file, &small());
        assert_eq!(reject.reason, RejectReason::UnsupportedCodec, "{reject:?}");
    }
}

#[test]
fn a_short_clip_is_rejected_or_padded_by_its_last_frame_and_silence() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool();
    let short = folder.path().join("short.mp4");
    clip(&ball(96, 64, "25/1", 175), H264, &tone(440, 2, 44_100, 7), AAC, "mp4mux", &short);
    let reject = rejected(&pool, &short, &small());
    assert_eq!(reject.reason, RejectReason::TooShort);
    assert!(reject.detail.contains("7.0"), "{}", reject.detail);
    let clip = prepared(&pool, &short, &padded(), folder.path());
    assert_eq!(clip.duration_ms, 10_000);
    assert!((2_900..=3_000).contains(&clip.padded_ms), "{}", clip.padded_ms);
    let seen = sampled(&pool, &clip.video, &tiny_sample(2.0));
    let frame = |index: usize| &seen.rgb[index * 768..(index + 1) * 768];
    let change = |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
    assert!(change(frame(15), frame(19)) < 12 && change(frame(2), frame(8)) > 40);
    let loudest = seen.pcm[7 * 16_000 + 2_000..].iter().fold(0.0_f32, |peak, value| peak.max(value.abs()));
    assert!(loudest < 0.001, "{loudest}");
    assert!((clip.statistics.silent_share - 0.3).abs() < 0.02, "{:?}", clip.statistics);
}

#[test]
fn a_vanished_file_and_a_folder_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool();
    let gone = rejected(&pool, &folder.path().join("gone.mp4"), &small());
    assert_eq!(gone.reason, RejectReason::MediaMissing);
    assert!(gone.detail.contains("gone.mp4"), "{}", gone.detail);
    assert_eq!(rejected(&pool, folder.path(), &small()).reason, RejectReason::UnreadableFile);
}

#[test]
fn a_huge_picture_is_too_large_before_it_is_decoded() {
    let folder = tempfile::tempdir().unwrap();
    let (good, bytes) = good_clip(folder.path());
    // Width and height of the sample entry, and the same of every sequence header once it is parsed.
    let pool = pool_with(Limits { frame_pixels: 1000, ..Limits::default() });
    let reject = rejected(&pool, &good, &small());
    assert_eq!(reject.reason, RejectReason::TooLarge);
    assert!(reject.detail.contains("128x96"), "{}", reject.detail);
    let mut huge = bytes;
    let entry = huge.windows(4).rposition(|name| name == b"avc1").unwrap();
    huge[entry + 28..entry + 32].fill(0xff);
    let huge = write(folder.path(), "huge.mp4", &huge);
    let reject = rejected(&common::pool(), &huge, &small());
    assert_eq!(reject.reason, RejectReason::TooLarge);
    assert!(reject.detail.contains("65535x65535"), "{}", reject.detail);
}

#[test]
fn more_streams_frames_or_memory_than_allowed_are_typed() {
    let folder = tempfile::tempdir().unwrap();
    let (good, _) = good_clip(folder.path());
    let reason = |limits: Limits| rejected(&pool_with(limits), &good, &small()).reason;
    let limits = Limits::default();
    assert_eq!(reason(Limits { streams: 1, ..limits.clone() }), RejectReason::TooLarge);
    assert_eq!(reason(Limits { frames: 20, ..limits.clone() }), RejectReason::TooLarge);
    assert_eq!(reason(Limits { cpu_seconds: 0, ..limits.clone() }), RejectReason::CpuLimit);
    assert_eq!(reason(Limits { file_bytes: 1000, ..limits }), RejectReason::TooLarge);
}

#[test]
fn statistics_tell_black_silent_and_still_clips() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool();
    let source = |pattern: &str| {
        format!(
            "videotestsrc pattern={pattern} num-buffers=250 ! \
             video/x-raw,format=I420,width=96,height=64,framerate=25/1"
        )
    };
    let silence =
        "audiotestsrc wave=silence samplesperbuffer=4410 num-buffers=100 ! audio/x-raw,rate=44100,channels=2";
    let black = folder.path().join("black.mp4");
    clip(&source("black"), H264, silence, AAC, "mp4mux", &black);
    let black = prepared(&pool, &black, &small(), folder.path()).statistics;
    assert_eq!((black.black_share, black.silent_share, black.loudness_lufs), (1.0, 1.0, -70.0));
    assert!(black.motion < 0.001 && black.cuts == 0, "{black:?}");
    let still = folder.path().join("still.mp4");
    clip(&source("smpte75"), H264, &tone(440, 2, 44_100, 10), AAC, "mp4mux", &still);
    let still = prepared(&pool, &still, &small(), folder.path()).statistics;
    assert!(still.motion < 0.001 && still.black_share == 0.0 && still.silent_share < 0.02, "{still:?}");
    let blinking = folder.path().join("blinking.mp4");
    clip(
        &format!("{} ! videorate ! video/x-raw,framerate=25/1", ball(96, 64, "25/1", 250)),
        H264,
        &tone(440, 2, 44_100, 10),
        AAC,
        "mp4mux",
        &blinking,
    );
    let moving = prepared(&pool, &blinking, &small(), folder.path()).statistics;
    assert!(moving.motion > 10.0 * still.motion.max(1e-6), "{moving:?}");
}

#[test]
fn a_file_without_a_length_in_its_header_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("streamed.webm");
    let vp8 = "vp8enc deadline=1 cpu-used=8";
    clip(
        &ball(96, 64, "15/1", 150),
        vp8,
        &tone(440, 1, 48_000, 10),
        "opusenc",
        "webmmux streamable=true",
        &file,
    );
    let clip = prepared(&pool(), &file, &small(), folder.path());
    assert!((9_900..=10_200).contains(&clip.container.duration_ms), "{:?}", clip.container);
}
