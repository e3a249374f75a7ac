//! Every recipe: what it copies, what it encodes, and that nothing but content tells its files apart.
#![allow(clippy::unwrap_used, reason = "a test fails where its helpers do")]

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::*;
use counterpoint_core::media_job::{ComposeRequest, Limits, PrepareRequest};
use counterpoint_media::{Mp4, Pcm, read_flac};
use counterpoint_messages::{Recipe, RejectReason};
use counterpoint_worker::{ComposeOutcome, ParentPaths, Prepared, WorkerPool, WorkerSettings};

const SECONDS: u32 = 10;

fn request(recipe: Recipe) -> ComposeRequest {
    ComposeRequest { recipe, loudness_lufs: -23.0 }
}

fn parent(clip: &Prepared) -> ParentPaths<'_> {
    ParentPaths { video: &clip.video, sound: &clip.sound }
}

fn composed(
    pool: &WorkerPool,
    recipe: Recipe,
    host: &Prepared,
    donors: &[&Prepared],
    output: &Path,
) -> ComposeOutcome {
    let donors: Vec<ParentPaths<'_>> = donors.iter().map(|donor| parent(donor)).collect();
    pool.compose(&request(recipe), parent(host), &donors, output).unwrap().unwrap()
}

fn mp4(path: &Path) -> Mp4 {
    Mp4::read(&std::fs::read(path).unwrap()).unwrap()
}

/// A clip of its own tone and pattern, in the normal form.
fn normal_clip(pool: &WorkerPool, folder: &Path, pattern: &str, sound: &str) -> Prepared {
    let file = folder.join("source.mp4");
    let picture = format!(
        "videotestsrc pattern={pattern} num-buffers=250 ! \
         video/x-raw,format=I420,width=96,height=64,framerate=25/1"
    );
    clip(&picture, H264, sound, AAC, "mp4mux", &file);
    prepared(pool, &file, &small(), folder)
}

fn noise(wave: &str) -> String {
    format!(
        "audiotestsrc wave={wave} volume=0.3 samplesperbuffer=4800 num-buffers=100 ! audio/x-raw,rate=48000,channels=1 \
         ! audioconvert"
    )
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (pool(), pool());
    let file = folder.path().join("plain.mp4");
    plain_clip(&file);
    let read = |path: &Path| std::fs::read(path).unwrap();
    let a = prepared(&first, &file, &small(), folder.path());
    let b = prepared(&second, &file, &small(), folder.path());
    assert_eq!(read(&a.video), read(&b.video));
    assert_eq!(read(&a.sound), read(&b.sound));
    let recipes = [
        Recipe::Aligned,
        Recipe::Mixup { snr_db: 3.0 },
        Recipe::Shift { offset_ms: 2_000 },
        Recipe::FramesZeroed,
        Recipe::AudioRemoved,
    ];
    for recipe in recipes {
        let (one, two) = (folder.path().join("one.mp4"), folder.path().join("two.mp4"));
        composed(&first, recipe, &a, &[&b], &one);
        composed(&second, recipe, &b, &[&a], &two);
        assert_eq!(read(&one), read(&two), "{recipe:?}");
    }
}

/// Workers whose memory holds something else before it is written to.
fn pool_in_other_memory(folder: &Path, filling: u8) -> WorkerPool {
    let program = folder.join(format!("worker-{filling}"));
    let worker = env!("CARGO_BIN_EXE_counterpoint-worker");
    let script = format!("#!/bin/sh\nMALLOC_PERTURB_={filling} exec '{worker}' \"$@\"\n");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let wall = Duration::from_secs(120);
    WorkerPool::new(WorkerSettings { program, workers: 1, limits: Limits::default(), wall }).unwrap()
}

#[test]
fn what_memory_held_before_changes_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("waves.mp4");
    let waves = "videotestsrc pattern=zone-plate kx2=20 ky2=20 kt=1 num-buffers=50 ! \
                 video/x-raw,format=I420,width=320,height=240,framerate=25/1";
    clip(waves, H264, &tone(440, 2, 48_000, 2), AAC, "mp4mux", &file);
    let pools = [1, 60, 129, 255].map(|filling| pool_in_other_memory(folder.path(), filling));
    for size in [56, 168, 360, 504] {
        let request = PrepareRequest { size, seconds: 2, ..PrepareRequest::default() };
        let pictures = pools
            .each_ref()
            .map(|pool| std::fs::read(prepared(pool, &file, &request, folder.path()).video).unwrap());
        assert!(pictures.iter().all(|picture| *picture == pictures[0]), "{size} pixels");
    }
}

#[test]
fn a_sound_swap_copies_packets_of_both_parents() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool();
    let host = normal_clip(&pool, folder.path(), "ball", &tone(440, 2, 48_000, SECONDS));
    let donor = normal_clip(&pool, folder.path(), "smpte", &noise("pink-noise"));
    let output = folder.path().join("out.mp4");
    for recipe in [Recipe::Misaligned, Recipe::Swapped] {
        composed(&pool, recipe, &host, &[&donor], &output);
        let made = mp4(&output);
        assert_eq!(made.picture, mp4(&host.video).picture);
        assert_eq!(made.sound, mp4(&donor.video).sound);
    }
    composed(&pool, Recipe::Aligned, &host, &[], &output);
    assert_eq!(std::fs::read(&output).unwrap(), std::fs::read(&host.video).unwrap());
}

#[test]
fn every_variant_with_picture_and_sound_has_the_same_form() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool();
    let host = normal_clip(&pool, folder.path(), "ball", &tone(440, 2, 48_000, SECONDS));
    let donor = normal_clip(&pool, folder.path(), "smpte", &noise("pink-noise"));
    let form = |path: &Path| {
        let made = mp4(path);
        let sound = made.sound.unwrap();
        let picture = (made.picture.width, made.picture.height, made.picture.frame_rate);
        let keys: Vec<bool> = made.picture.packets.iter().map(|packet| packet.key).collect();
        (picture, keys, sound.rate, sound.channels, sound.frames, sound.bitrate, sound.packets.len())
    };
    let header_length = |path: &Path| {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(4).position(|name| name == b"mdat").unwrap()
    };
    let expected = (form(&host.video), header_length(&host.video));
    let output = folder.path().join("out.mp4");
    let mut outcomes = Vec::new();
    for recipe in [
        Recipe::Aligned,
        Recipe::Misaligned,
        Recipe::Swapped,
        Recipe::Mixup { snr_db: 0.0 },
        Recipe::Shift { offset_ms: -2_500 },
    ] {
        let outcome = composed(&pool, recipe, &host, &[&donor], &output);
        assert_eq!((form(&output), header_length(&output)), expected, "{recipe:?}");
        outcomes.push((outcome.duration_ms, outcome.video_packets, outcome.audio_packets));
    }
    assert!(outcomes.iter().all(|outcome| *outcome == (10_000, 250, 470)), "{outcomes:?}");
}

#[test]
fn a_mix_has_the_power_ratio_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool();
    let host = normal_clip(&pool, folder.path(), "ball", &tone(440, 2, 48_000, SECONDS));
    let one = normal_clip(&pool, folder.path(), "smpte", &tone(1_500, 2, 48_000, SECONDS));
    let two = normal_clip(&pool, folder.path(), "smpte", &tone(3_000, 2, 48_000, SECONDS));
    let output = folder.path().join("mix.mp4");
    for snr_db in [-6.0, 0.0, 9.0] {
        composed(&pool, Recipe::Mixup { snr_db }, &host, &[&one, &two], &output);
        let heard = sound_of(&pool, &output);
        let donors = power_at(&heard, 1_500.0) + power_at(&heard, 3_000.0);
        let measured = 10.0 * (power_at(&heard, 440.0) / donors).log10();
        assert!((measured - snr_db).abs() < 0.5, "{measured} dB instead of {snr_db} dB");
    }
}

#[test]
fn a_shift_moves_the_sound_by_its_offset() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool();
    let host = normal_clip(&pool, folder.path(), "ball", &noise("pink-noise"));
    let output = folder.path().join("shift.mp4");
    let before = sound_of(&pool, &host.video);
    for offset_ms in [2_000_i64, -1_500, 37] {
        composed(&pool, Recipe::Shift { offset_ms }, &host, &[], &output);
        let after = sound_of(&pool, &output);
        // Around the offset asked for, the one at which both sounds agree best.
        let expected = offset_ms * 16;
        let best = (expected - 60..=expected + 60)
            .max_by(|a, b| agreement(&before, &after, *a).total_cmp(&agreement(&before, &after, *b)));
        let off = best.unwrap() - expected;
        assert!(off.abs() <= 16, "{offset_ms} ms: off by {off} samples");
        assert!(agreement(&before, &after, expected) > 0.9);
    }
}

#[test]
fn the_mp4_sounds_like_its_flac_and_begins_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool();
    let host = normal_clip(&pool, folder.path(), "ball", &noise("pink-noise"));
    gstreamer::init().unwrap();
    let flac: Pcm = read_flac(&std::fs::File::open(&host.sound).unwrap()).unwrap();
    assert_eq!((flac.rate, flac.channels, flac.frames()), (48_000, 2, 480_000));
    let coded = sound_of(&pool, &host.video);
    // Every third sample of one channel is the sound at 16 kHz, as far as low notes go.
    let plain: Vec<f32> = flac.samples.iter().step_by(6).map(|sample| f32::from(*sample) / 32768.0).collect();
    let best =
        (-40..=40).max_by(|a, b| agreement(&plain, &coded, *a).total_cmp(&agreement(&plain, &coded, *b)));
    assert!(best.unwrap().abs() <= 1, "{best:?}");
}

#[test]
fn without_sound_there_is_no_track_and_without_picture_only_black() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool();
    let host = normal_clip(&pool, folder.path(), "ball", &tone(440, 2, 48_000, SECONDS));
    let output = folder.path().join("out.mp4");
    let outcome = composed(&pool, Recipe::AudioRemoved, &host, &[], &output);
    assert_eq!((outcome.video_packets, outcome.audio_packets, outcome.duration_ms), (250, 0, 10_000));
    assert_eq!(mp4(&output).picture, mp4(&host.video).picture);
    assert!(sound_of(&pool, &output).is_empty());
    let outcome = composed(&pool, Recipe::FramesZeroed, &host, &[], &output);
    assert_eq!((outcome.video_packets, outcome.audio_packets), (250, 470));
    assert_eq!(mp4(&output).sound, mp4(&host.video).sound);
    let seen = sampled(&pool, &output, &tiny_sample(5.0));
    assert_eq!(seen.time.len(), 50);
    assert_eq!(seen.rgb.iter().max(), Some(&0));
}

#[test]
fn parents_that_do_not_fit_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool();
    let host = normal_clip(&pool, folder.path(), "ball", &tone(440, 2, 48_000, SECONDS));
    let silence =
        "audiotestsrc wave=silence samplesperbuffer=4800 num-buffers=100 ! audio/x-raw,rate=48000,channels=2";
    let silent = normal_clip(&pool, folder.path(), "ball", silence);
    let output = folder.path().join("out.mp4");
    let compose = |recipe, host: ParentPaths<'_>, donors: &[ParentPaths<'_>]| {
        pool.compose(&request(recipe), host, donors, &output).unwrap().unwrap_err().reason
    };
    let mix = Recipe::Mixup { snr_db: 3.0 };
    assert_eq!(compose(mix, parent(&host), &[parent(&silent)]), RejectReason::Silent);
    let text = folder.path().join("text");
    std::fs::write(&text, "no clip").unwrap();
    let broken = ParentPaths { video: &text, sound: &text };
    assert_eq!(compose(Recipe::Aligned, broken, &[]), RejectReason::CorruptMedia);
    assert_eq!(compose(mix, parent(&host), &[broken]), RejectReason::CorruptMedia);
    let gone = ParentPaths { video: &host.video, sound: Path::new("/no/such/file") };
    assert_eq!(compose(Recipe::Aligned, gone, &[]), RejectReason::MediaMissing);
    assert!(!output.exists() && left_over(folder.path()).is_empty());
}

/// Temporary files of the worker's client in `folder`.
fn left_over(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "part")).collect()
}

fn sound_of(pool: &WorkerPool, path: &Path) -> Vec<f32> {
    sampled(pool, path, &tiny_sample(1.0)).pcm
}

/// Power of a tone in a sound at 16 kHz.
fn power_at(sound: &[f32], hertz: f64) -> f64 {
    let sound = &sound[1_600..sound.len() - 1_600];
    let (mut real, mut imaginary) = (0.0, 0.0);
    for (index, sample) in sound.iter().enumerate() {
        let angle = std::f64::consts::TAU * hertz * index as f64 / 16_000.0;
        real += f64::from(*sample) * angle.cos();
        imaginary += f64::from(*sample) * angle.sin();
    }
    (real * real + imaginary * imaginary) / (sound.len() as f64).powi(2)
}

/// Correlation of `after`, moved back by `offset` samples around the end, with `before`.
fn agreement(before: &[f32], after: &[f32], offset: i64) -> f64 {
    let length = before.len() as i64;
    let (mut both, mut one, mut two) = (0.0_f64, 0.0_f64, 0.0_f64);
    for index in (0..length).step_by(3) {
        let a = f64::from(before[index as usize]);
        let b = f64::from(after[(index + offset).rem_euclid(length) as usize]);
        both += a * b;
        one += a * a;
        two += b * b;
    }
    both / (one * two).sqrt().max(1e-12)
}
