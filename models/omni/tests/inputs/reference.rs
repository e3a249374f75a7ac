//! Log-mel, patches, sizes and layouts of the reference.

use std::convert::Infallible;

use counterpoint_omni::{
    inputs::{
        layout::{Media, Timing, audio_tokens, media_ids},
        mel::LogMel,
        patches::{Frames, PixelLimits, patches, smart_resize},
        tokenizer::{Special, SpecialIds},
    },
    weights::shard::Shard,
};
use serde::Deserialize;

use super::fixture;

/// The largest difference of two lists, which must be equally long.
fn furthest(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn log_mel_is_the_reference_s() {
    let file = Shard::open(&fixture("features.safetensors")).unwrap();
    let log_mel = LogMel::new(128);
    for name in ["second", "odd", "click"] {
        let pcm = file.get(&format!("{name}.pcm")).unwrap().to_f32().unwrap();
        let wanted = file.get(&format!("{name}.mel")).unwrap();
        let mel = log_mel.features(&pcm).unwrap();
        assert_eq!([mel.bins, mel.frames], wanted.shape, "{name}");
        let error = furthest(&mel.values, &wanted.to_f32().unwrap());
        assert!(error < 1e-4, "{name}: {error}");
    }
}

#[test]
fn patches_are_the_reference_s() {
    let file = Shard::open(&fixture("features.safetensors")).unwrap();
    for name in ["two", "three"] {
        let rgb = file.get(&format!("{name}.rgb")).unwrap();
        let &[count, height, width, 3] = rgb.shape else { panic!("{rgb:?}") };
        let ours = patches(Frames::new(rgb.bytes, count, height, width).unwrap());
        let grid = file.get(&format!("{name}.grid")).unwrap().to_i64().unwrap();
        assert_eq!(ours.grid.map(|side| side as i64).as_slice(), grid);
        let theirs = file.get(&format!("{name}.patches")).unwrap();
        assert_eq!(theirs.shape, [ours.grid.iter().product(), 1176]);
        let error = furthest(&ours.values, &theirs.to_f32().unwrap());
        assert!(error < 1e-5, "{name}: {error}");
    }
}

#[derive(Deserialize)]
struct Size {
    given: (usize, usize),
    fitting: (usize, usize),
}

#[test]
fn frames_would_be_scaled_as_the_reference_does() {
    let text = std::fs::read(fixture("sizes.json")).unwrap();
    for size in serde_json::from_slice::<Vec<Size>>(&text).unwrap() {
        let (height, width) = size.given;
        assert_eq!(smart_resize(height, width, PixelLimits::default()), Ok(size.fitting), "{height}x{width}");
    }
}

#[derive(Deserialize)]
struct Expansion {
    grid: [usize; 3],
    seconds_per_grid: f64,
    audio_tokens: usize,
    /// `a` and `e` around the sound, `A` and `V` for a token of sound and of picture.
    body: String,
}

#[test]
fn placeholders_expand_as_the_reference_s_do() {
    let Ok(special) = SpecialIds::try_new(|token| Ok::<_, Infallible>(token as u32));
    let letter = |id: &u32| match *id {
        id if id == Special::AudioStart as u32 => 'a',
        id if id == Special::AudioEnd as u32 => 'e',
        id if id == Special::Audio as u32 => 'A',
        _ => 'V',
    };
    let text = std::fs::read(fixture("layouts.json")).unwrap();
    for Expansion { grid, seconds_per_grid, audio_tokens: tokens, body } in
        serde_json::from_slice::<Vec<Expansion>>(&text).unwrap()
    {
        let frames = tokens * 4;
        assert_eq!(audio_tokens(frames), tokens);
        let media = Media::VideoWithAudio { grid, seconds_per_grid, frames };
        let ids = media_ids(&special, &Timing::default(), media).unwrap();
        assert_eq!(ids.iter().map(letter).collect::<String>(), body, "{grid:?} {seconds_per_grid} {tokens}");
    }
}
