//! The script of one clip, and the moments at which its picture and sound change together.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{ToyClass, picture, sound};

/// Everything that decides one clip's frames and samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipScript {
    /// Class of the picture, which the label lists name.
    pub picture: ToyClass,
    /// Class of the sound; another one only where the fault is [`Fault::WrongSound`].
    pub sound: ToyClass,
    /// What is wrong with the clip on purpose.
    pub fault: Option<Fault>,
    /// Decides all that is random in it.
    pub seed: u64,
    /// Size, rates and length.
    pub format: ClipFormat,
}

/// Size, rates and length of a clip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClipFormat {
    /// Width and height in pixels.
    pub size: u16,
    /// Frames a second.
    pub frame_rate: u16,
    /// Length in seconds.
    pub seconds: u16,
    /// Samples a second.
    pub sample_rate: u32,
    /// Amplitude of the white noise under the sound; 0.12 makes the sound as hard to tell as the picture.
    pub sound_noise: f32,
    /// Amplitude of the noise on the picture, of full scale.
    pub picture_noise: f32,
}

impl Default for ClipFormat {
    fn default() -> Self {
        Self {
            size: 168,
            frame_rate: 15,
            seconds: 10,
            sample_rate: 16_000,
            sound_noise: 0.02,
            picture_noise: 0.02,
        }
    }
}

/// What a clip can have wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// No sound at all.
    Silent,
    /// Black frames.
    Black,
    /// The first frame throughout.
    Static,
    /// The sound of another class, which only somebody who looks and listens can tell.
    WrongSound,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 4] = [Self::Silent, Self::Black, Self::Static, Self::WrongSound];

    /// Name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Black => "black",
            Self::Static => "static",
            Self::WrongSound => "wrong_sound",
        }
    }
}

impl ClipScript {
    /// Width in pixels.
    pub fn width(&self) -> u32 {
        u32::from(self.format.size)
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        u32::from(self.format.size)
    }

    /// Frames a second.
    pub fn frame_rate(&self) -> u32 {
        u32::from(self.format.frame_rate)
    }

    /// Number of frames.
    pub fn frame_count(&self) -> u32 {
        self.frame_rate() * u32::from(self.format.seconds)
    }

    /// Samples a second.
    pub fn sample_rate(&self) -> u32 {
        self.format.sample_rate
    }

    /// Frame `index`: RGB, one byte a channel, rows from the top, `height * width * 3` bytes.
    pub fn frame(&self, index: u32) -> Vec<u8> {
        match self.fault {
            Some(Fault::Black) => vec![0; self.width() as usize * self.height() as usize * 3],
            Some(Fault::Static) => picture::frame(self, 0),
            _ => picture::frame(self, index),
        }
    }

    /// The sound: mono, `sample_rate * seconds` samples between -1 and 1.
    pub fn pcm(&self) -> Vec<f32> {
        match self.fault {
            Some(Fault::Silent) => vec![0.0; self.sample_count()],
            _ => sound::pcm(self),
        }
    }

    /// Seconds from the start at which picture and sound change together.
    pub fn moments(&self) -> Vec<f32> {
        let mut rng = self.rng(Stream::Moments);
        let count = rng.random_range(3..=5);
        let share = f32::from(self.format.seconds) / count as f32;
        (0..count).map(|number| (number as f32 + rng.random_range(0.25..0.75)) * share).collect()
    }

    pub(super) fn sample_count(&self) -> usize {
        self.format.sample_rate as usize * usize::from(self.format.seconds)
    }

    pub(super) fn rng(&self, stream: Stream) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(stream as u64);
        rng
    }
}

/// What a clip's random numbers are for; each use has numbers of its own, so the picture of a script does not
/// depend on its sound.
#[derive(Clone, Copy)]
pub(super) enum Stream {
    Moments,
    Picture,
    Sound,
}

/// The moments before a time, as picture and sound use them.
pub(super) struct Beat {
    /// How many there were.
    pub(super) passed: usize,
    /// Seconds since the last one; `None` before the first.
    pub(super) since: Option<f32>,
}

impl Beat {
    pub(super) fn at(time: f32, moments: &[f32]) -> Self {
        let passed = moments.partition_point(|moment| *moment <= time);
        let since = passed.checked_sub(1).and_then(|last| moments.get(last)).map(|moment| time - moment);
        Self { passed, since }
    }

    /// 1 at a moment, then fading to 0 in about three times `seconds`.
    pub(super) fn fading(&self, seconds: f32) -> f32 {
        self.since.map_or(0.0, |since| (-since / seconds).exp())
    }
}
