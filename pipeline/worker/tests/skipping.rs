//! Sampling decodes only the frames it needs, and gives the same pixels as decoding all of them.
#![allow(clippy::unwrap_used, reason = "a test fails where its helpers do")]

mod common;

use std::path::Path;

use common::*;
use counterpoint_core::media_job::Limits;
use counterpoint_messages::RejectReason;
use counterpoint_worker::WorkerPool;

/// A rate at which every frame of every clip here is wanted, so that none is left out.
const EVERY_FRAME: f64 = 50.0;

/// Compares what is sampled at `rate`, which divides [`EVERY_FRAME`], with the same moments of a decoding that leaves
/// out nothing.
fn assert_same_pixels(pool: &WorkerPool, file: &Path, rate: f64) {
    let (some, all) =
        (sampled(pool, file, &tiny_sample(rate)), sampled(pool, file, &tiny_sample(EVERY_FRAME)));
    let step = (EVERY_FRAME / rate).round() as usize;
    let frame = |rgb: &[u8], index: usize| rgb[index * 16 * 16 * 3..(index + 1) * 16 * 16 * 3].to_vec();
    assert_eq!(some.time.len(), all.time.len().div_ceil(step), "{}", file.display());
    for index in 0..some.time.len() {
        assert_eq!(
            frame(&some.rgb, index),
            frame(&all.rgb, index * step),
            "{} frame {index}",
            file.display()
        );
    }
    assert!(some.pcm == all.pcm, "{}: the sound differs", file.display());
}

#[test]
fn frames_nobody_samples_change_nothing_in_those_that_are() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool();
    let sound = tone(440, 1, 44_100, 10);
    // Frames in decoding order; frames that nothing refers to; those that other such frames refer to; key frames
    // before which later ones are shown; few key frames; fields of x264's own choice.
    let coders = [
        ("plain", "bframes=0 key-int-max=25"),
        ("bidirectional", "bframes=3 b-adapt=false b-pyramid=false key-int-max=30"),
        ("pyramid", "bframes=4 b-pyramid=true key-int-max=40"),
        ("open", "bframes=3 b-pyramid=true key-int-max=20 option-string=open-gop=1"),
        ("long", "bframes=2 key-int-max=250"),
    ];
    for (name, coder) in coders {
        let video = format!("x264enc speed-preset=veryfast threads=1 {coder} ! h264parse");
        let picture = ball(96, 64, "30/1", 300);
        for muxer in ["mp4mux", "qtmux faststart=true", "matroskamux"] {
            let file = folder.path().join(format!("{name}-{}.bin", &muxer[..3]));
            clip(&picture, &video, &sound, AAC, muxer, &file);
            for rate in [2.0, 5.0] {
                assert_same_pixels(&pool, &file, rate);
            }
        }
    }
    let irregular = folder.path().join("irregular.mp4");
    let times: Vec<u64> = (0..120).map(|frame| frame * 80 + frame * frame % 37).collect();
    gray_frames(&irregular, &times, 10_000, None, "mp4mux");
    assert_same_pixels(&pool, &irregular, 2.0);
}

#[test]
fn the_normal_form_is_sampled_by_decoding_about_half_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clip.mp4");
    plain_clip(&file);
    let clip = prepared(&pool(), &file, &small(), folder.path());
    assert_same_pixels(&pool(), &clip.video, 2.0);
    let few = pool_with(Limits { frames: 150, ..Limits::default() });
    assert_eq!(sampled(&few, &clip.video, &tiny_sample(2.0)).time.len(), 20);
    let reject = few.sample(&clip.video, &tiny_sample(25.0)).unwrap().unwrap_err();
    assert_eq!(reject.reason, RejectReason::TooLarge, "all 250 frames are decoded where all are wanted");
}

#[test]
fn real_clips_and_their_normal_forms_keep_their_pixels() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool();
    let clips = std::fs::read_dir(real_clips()).unwrap().map(|entry| entry.unwrap().path());
    let mut clips: Vec<_> =
        clips.filter(|path| path.extension().is_some_and(|ending| ending == "mp4")).collect();
    clips.sort();
    assert!(!clips.is_empty());
    for file in clips {
        assert_same_pixels(&pool, &file, 2.0);
        let clip = prepared(&pool, &file, &padded(), folder.path());
        assert_same_pixels(&pool, &clip.video, 2.0);
    }
}
