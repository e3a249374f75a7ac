use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// BLAKE3 of what a model is to see and hear, as 64 lower-case hexadecimal digits.
///
/// Clips of one id hold the same frames and the same sound: what a model computes of them once may serve again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentId(String);

impl ContentId {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ContentId {
    type Error = ClipError;

    fn try_from(text: String) -> Result<Self, ClipError> {
        let is_digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        if text.len() == 64 && text.bytes().all(is_digit) {
            Ok(Self(text))
        } else {
            Err(ClipError::Id { given: text.chars().take(80).collect() })
        }
    }
}

impl FromStr for ContentId {
    type Err = ClipError;

    fn from_str(text: &str) -> Result<Self, ClipError> {
        text.to_owned().try_into()
    }
}

impl From<ContentId> for String {
    fn from(id: ContentId) -> Self {
        id.0
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Pictures at an even pace: frame `i` is the one displayed at `i / fps` seconds.
#[derive(Clone, PartialEq)]
pub struct Frames {
    rgb: Vec<u8>,
    shape: [usize; 3],
    fps: f64,
}

impl Frames {
    /// Takes `rgb` with shape `[count, height, width, 3]`, row by row, at `fps` frames a second.
    ///
    /// # Errors
    /// [`ClipError::Shape`] if an extent is zero or the bytes are not exactly so many, [`ClipError::Rate`] if
    /// `fps` is no positive number.
    pub fn new(rgb: Vec<u8>, [count, height, width]: [usize; 3], fps: f64) -> Result<Self, ClipError> {
        let shape = [count, height, width];
        let bytes = shape.iter().try_fold(3_usize, |bytes, extent| bytes.checked_mul(*extent));
        if shape.contains(&0) || bytes != Some(rgb.len()) {
            return Err(ClipError::Shape { bytes: rgb.len(), shape });
        }
        if !fps.is_finite() || fps <= 0.0 {
            return Err(ClipError::Rate { what: "frames", given: fps.to_string() });
        }
        Ok(Self { rgb, shape, fps })
    }

    /// Bytes with shape `[count, height, width, 3]`.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// Number of frames.
    pub fn count(&self) -> usize {
        self.shape[0]
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.shape[1]
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.shape[2]
    }

    /// Frames a second.
    pub fn fps(&self) -> f64 {
        self.fps
    }
}

impl fmt::Debug for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [count, height, width] = self.shape;
        write!(f, "Frames({count} of {width}x{height} at {} fps)", self.fps)
    }
}

/// One channel of sound.
#[derive(Clone, PartialEq)]
pub struct Sound {
    pcm: Vec<f32>,
    rate: u32,
}

impl Sound {
    /// Samples a second that are believed.
    const RATES: std::ops::RangeInclusive<u32> = 1000..=384_000;

    /// Takes samples, full scale from -1 to 1, at `rate` samples a second.
    ///
    /// # Errors
    /// [`ClipError::Silent`] if there are none, [`ClipError::Rate`] if the rate is none of sound,
    /// [`ClipError::NotFinite`] if a sample is no number.
    pub fn new(pcm: Vec<f32>, rate: u32) -> Result<Self, ClipError> {
        if pcm.is_empty() {
            return Err(ClipError::Silent);
        }
        if !Self::RATES.contains(&rate) {
            return Err(ClipError::Rate { what: "samples", given: rate.to_string() });
        }
        if let Some(index) = pcm.iter().position(|sample| !sample.is_finite()) {
            return Err(ClipError::NotFinite { index });
        }
        Ok(Self { pcm, rate })
    }

    /// Samples.
    pub fn pcm(&self) -> &[f32] {
        &self.pcm
    }

    /// Samples a second.
    pub fn rate(&self) -> u32 {
        self.rate
    }
}

impl fmt::Debug for Sound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sound({} samples at {} Hz)", self.pcm.len(), self.rate)
    }
}

/// What a model is shown and played.
///
/// A clip holds it in the forms that the model reads ([`ModelInput`](crate::ModelInput)); a form that it does
/// not read may be left out. A form that is there holds exactly what the model is to see and hear: a clip whose
/// sound was removed has no [`Sound`], and its file no sound track.
#[derive(Debug, Clone, PartialEq)]
pub struct Clip {
    content: ContentId,
    sample: Option<String>,
    frames: Option<Frames>,
    sound: Option<Sound>,
    file: Option<PathBuf>,
}

impl Clip {
    /// A clip of which only the id is known: enough for answers given earlier.
    pub fn new(content: ContentId) -> Self {
        Self { content, sample: None, frames: None, sound: None, file: None }
    }

    /// Names the sample or clip that this is, as predictions name it.
    #[must_use]
    pub fn with_sample(mut self, sample: impl Into<String>) -> Self {
        self.sample = Some(sample.into());
        self
    }

    /// Adds the picture.
    #[must_use]
    pub fn with_frames(mut self, frames: Frames) -> Self {
        self.frames = Some(frames);
        self
    }

    /// Adds the sound.
    #[must_use]
    pub fn with_sound(mut self, sound: Sound) -> Self {
        self.sound = Some(sound);
        self
    }

    /// Adds the path of an mp4 that holds picture and sound.
    #[must_use]
    pub fn with_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// Hash of what there is to see and hear.
    pub fn content(&self) -> &ContentId {
        &self.content
    }

    /// Name of the sample or clip.
    pub fn sample(&self) -> Option<&str> {
        self.sample.as_deref()
    }

    /// The picture.
    pub fn frames(&self) -> Option<&Frames> {
        self.frames.as_ref()
    }

    /// The sound.
    pub fn sound(&self) -> Option<&Sound> {
        self.sound.as_ref()
    }

    /// An mp4 of both.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

/// What no clip is made of.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ClipError {
    /// Not the right digits.
    #[error("`{given}` is no content id: 64 lower-case hexadecimal digits of a BLAKE3 hash are")]
    Id {
        /// The beginning of what was given.
        given: String,
    },
    /// Bytes and shape do not agree.
    #[error(
        "{bytes} bytes of rgb cannot be frames x height x width = {shape:?}: bytes are their product times 3, none of them 0"
    )]
    Shape {
        /// Bytes given.
        bytes: usize,
        /// Frames, height, width.
        shape: [usize; 3],
    },
    /// Not a rate.
    #[error("{given} {what} a second is no rate: frames need a positive number, sound 1000 to 384000")]
    Rate {
        /// Frames or samples.
        what: &'static str,
        /// What was given.
        given: String,
    },
    /// Sound without samples.
    #[error("sound of no samples: leave the sound out of the clip instead")]
    Silent,
    /// A sample that is NaN or infinite.
    #[error("sample {index} of the sound is no finite number: decode the clip again")]
    NotFinite {
        /// The first such sample.
        index: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_id_is_64_lower_case_digits() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(id.parse::<ContentId>().unwrap().to_string(), id);
        for wrong in ["", "abc", &id[1..], &id.to_uppercase(), &format!("{}g", &id[1..])] {
            assert!(wrong.parse::<ContentId>().is_err(), "{wrong}");
        }
        let read: Result<ContentId, _> = serde_json::from_str("\"abc\"");
        assert!(read.is_err());
    }

    #[test]
    fn frames_have_exactly_the_bytes_of_their_shape() {
        let frames = Frames::new(vec![7; 2 * 3 * 4 * 3], [2, 3, 4], 2.0).unwrap();
        assert_eq!((frames.count(), frames.height(), frames.width()), (2, 3, 4));
        assert!(Frames::new(vec![7; 71], [2, 3, 4], 2.0).is_err());
        assert!(Frames::new(vec![], [0, 3, 4], 2.0).is_err());
        assert!(Frames::new(vec![0; 3], [usize::MAX, usize::MAX, 3], 2.0).is_err());
        for fps in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Frames::new(vec![0; 3], [1, 1, 1], fps).is_err(), "{fps}");
        }
    }

    #[test]
    fn sound_is_finite_and_has_a_rate() {
        assert!(Sound::new(vec![0.0; 10], 16_000).is_ok());
        assert_eq!(Sound::new(vec![], 16_000), Err(ClipError::Silent));
        assert!(Sound::new(vec![0.0], 0).is_err());
        assert_eq!(Sound::new(vec![0.0, f32::NAN], 16_000), Err(ClipError::NotFinite { index: 1 }));
    }

    #[test]
    fn debug_prints_sizes_and_no_media() {
        let clip = Clip::new("0".repeat(64).parse().unwrap())
            .with_frames(Frames::new(vec![173; 3 * 3 * 64], [3, 8, 8], 2.0).unwrap())
            .with_sound(Sound::new(vec![0.171_875; 16_000], 16_000).unwrap());
        let debug = format!("{clip:?}");
        assert!(
            debug.contains("3 of 8x8 at 2 fps") && debug.contains("16000 samples at 16000 Hz"),
            "{debug}"
        );
        assert!(!debug.contains("173") && !debug.contains("0.171"), "{debug}");
    }
}
