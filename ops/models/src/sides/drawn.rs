//! A clip that looks and sounds like something, the same in every process: stripes that move, and a tone for each
//! variant, both in noise.

use std::f32::consts::TAU;

use counterpoint_cli::Scale;
use counterpoint_models::{Clip, ClipError, Frames, Sound};
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::SEED;

/// Frames a second.
const FPS: usize = 2;

/// Samples a second.
const RATE: usize = 16_000;

/// Pitch of the first variant's tone, hertz; that of variant n is n + 1 times as high.
const PITCH: f32 = 220.0;

/// The clip's picture, from which its variants are made.
pub struct Drawn {
    scale: Scale,
    rgb: Vec<u8>,
}

impl Drawn {
    pub fn new(scale: Scale) -> Self {
        let Scale { pixels, seconds, .. } = scale;
        let mut chance = ChaCha8Rng::seed_from_u64(SEED);
        let mut rgb = vec![0; seconds * FPS * pixels * pixels * 3];
        chance.fill_bytes(&mut rgb);
        for (place, value) in rgb.iter_mut().enumerate() {
            let (colour, column) = (place % 3, place / 3 % pixels);
            let (row, frame) = (place / 3 / pixels % pixels, place / 3 / pixels / pixels);
            let stripe = (column * (colour + 1) + row + frame * 40) / 16 % 2 * 128;
            *value = (stripe + usize::from(*value) / 2) as u8;
        }
        Self { scale, rgb }
    }

    /// The picture.
    pub fn frames(&self) -> Result<Frames, ClipError> {
        let Scale { pixels, seconds, .. } = self.scale;
        Frames::new(self.rgb.clone(), [seconds * FPS, pixels, pixels], FPS as f64)
    }

    /// The sound of a variant.
    pub fn sound(&self, variant: usize) -> Result<Sound, ClipError> {
        let mut chance = ChaCha8Rng::seed_from_u64(SEED);
        chance.set_stream(1 + variant as u64);
        let pitch = PITCH * (1 + variant) as f32;
        let sample = |index: usize| {
            let tone = 0.4 * (TAU * pitch * index as f32 / RATE as f32).sin();
            tone + chance.random_range(-0.1_f32..0.1)
        };
        Sound::new((0..self.scale.seconds * RATE).map(sample).collect(), RATE as u32)
    }

    /// A variant: the picture with one of the sounds.
    pub fn clip(&self, variant: usize) -> anyhow::Result<Clip> {
        let clip = Clip::new(format!("{variant:064x}").parse()?);
        Ok(clip.with_frames(self.frames()?).with_sound(self.sound(variant)?))
    }
}
