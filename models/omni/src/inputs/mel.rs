//! Log-mel of 16 kHz mono PCM, as `WhisperFeatureExtractor` makes it for Qwen2.5-Omni
//! (`transformers/models/whisper/feature_extraction_whisper.py`, `audio_utils.py`): Hann window of 400 samples,
//! hop 160, reflected edges, power spectrum, Slaney mel filters up to 8 kHz, `log10`, a floor 8 below the loudest
//! value, `(x + 4) / 4`, the last frame dropped.
//!
//! The sound is taken as long as it is (`padding="longest"` of one sound), so the last frames see its reflection
//! and no silence. The spectrum is computed in double precision, which keeps quiet bands beside a loud pure tone
//! exact; the reference computes it in single precision.

use std::{f32::consts::LOG10_2, f64::consts::PI, sync::Arc};

use realfft::{RealFftPlanner, RealToComplex};
use thiserror::Error;

/// Samples a second that the features are defined for.
pub const SAMPLE_RATE: usize = 16_000;
/// Samples from one frame to the next: 100 frames a second.
pub const HOP: usize = 160;
/// Samples of one analysis window.
const WINDOW: usize = 400;
/// Frequencies of a spectrum, 40 Hz apart.
const BINS: usize = WINDOW / 2 + 1;
/// Samples that the first and last window reach over the edge.
const EDGE: usize = WINDOW / 2;
/// Least power that the logarithm sees.
const FLOOR: f32 = 1e-10;
/// How far below the loudest value everything is cut off, in powers of ten.
const RANGE: f32 = 8.0;
/// Frames filtered side by side.
const LANES: usize = 16;

/// A sound that has no log-mel.
#[derive(Debug, Error, PartialEq)]
pub enum MelError {
    /// Reflecting the edge needs more samples than that.
    #[error("a sound of {samples} samples is too short: at least {} at 16 kHz are needed", EDGE + 1)]
    TooShort {
        /// Samples there are.
        samples: usize,
    },
    /// A NaN or an infinity.
    #[error("sample {index} of the sound is {value}: decode it again, samples are finite numbers")]
    NotFinite {
        /// Where.
        index: usize,
        /// What.
        value: f32,
    },
}

/// Features of one sound.
#[derive(Clone, Debug, PartialEq)]
pub struct Mel {
    /// Mel bands.
    pub bins: usize,
    /// Frames: one for every 160 whole samples.
    pub frames: usize,
    /// `[bins, frames]`, the reference's `input_features` of one sound. Every frame counts: the mask is all ones.
    pub values: Vec<f32>,
}

/// One mel filter: a triangle over a few neighbouring frequencies.
struct Band {
    first: usize,
    weights: Vec<f64>,
}

/// The transform, its tables made once.
pub struct LogMel {
    fourier: Arc<dyn RealToComplex<f64>>,
    window: Vec<f64>,
    bands: Vec<Band>,
}

impl LogMel {
    /// With so many mel bands (`num_mel_bins` of the configuration, 128 in the published one).
    pub fn new(bins: usize) -> Self {
        let window = (0..WINDOW).map(|i| 0.5 - 0.5 * (2.0 * PI * i as f64 / WINDOW as f64).cos());
        Self {
            fourier: RealFftPlanner::new().plan_fft_forward(WINDOW),
            window: window.collect(),
            bands: bands(bins),
        }
    }

    /// Mel bands.
    pub fn bins(&self) -> usize {
        self.bands.len()
    }

    /// Features of `pcm`, 16 kHz mono.
    pub fn features(&self, pcm: &[f32]) -> Result<Mel, MelError> {
        if pcm.len() <= EDGE {
            return Err(MelError::TooShort { samples: pcm.len() });
        }
        if let Some((index, &value)) = pcm.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            return Err(MelError::NotFinite { index, value });
        }
        let (bins, frames) = (self.bands.len(), pcm.len() / HOP);
        let mut values = vec![0.0; bins * frames];
        let mut input = self.fourier.make_input_vec();
        let mut spectrum = self.fourier.make_output_vec();
        let mut scratch = self.fourier.make_scratch_vec();
        let mut powers = [[0.0; LANES]; BINS];
        let mut loudest = f32::MIN;
        for start in (0..frames).step_by(LANES) {
            let lanes = LANES.min(frames - start);
            for lane in 0..lanes {
                cut(pcm, (start + lane) * HOP, &self.window, &mut input);
                // The buffers come from the plan itself, so their lengths are right and this cannot fail.
                let done = self.fourier.process_with_scratch(&mut input, &mut spectrum, &mut scratch);
                debug_assert!(done.is_ok());
                for (power, value) in powers.iter_mut().zip(&spectrum) {
                    power[lane] = value.norm_sqr();
                }
            }
            for (band, row) in self.bands.iter().zip(values.chunks_exact_mut(frames)) {
                let logs = band.logs(&powers);
                loudest = logs[..lanes].iter().copied().fold(loudest, f32::max);
                row[start..start + lanes].copy_from_slice(&logs[..lanes]);
            }
        }
        for value in &mut values {
            *value = (value.max(loudest - RANGE) + 4.0) / 4.0;
        }
        Ok(Mel { bins, frames, values })
    }
}

impl Band {
    /// Logarithms of the energy in this band, of several frames side by side.
    fn logs(&self, powers: &[[f64; LANES]; BINS]) -> [f32; LANES] {
        let mut energies = [0.0; LANES];
        for (weight, powers) in self.weights.iter().zip(&powers[self.first..]) {
            for (energy, power) in energies.iter_mut().zip(powers) {
                *energy += weight * power;
            }
        }
        energies.map(|energy| (energy as f32).max(FLOOR).log2() * LOG10_2)
    }
}

/// The windowed samples around `centre`, reflected at both ends without repeating the edge.
fn cut(pcm: &[f32], centre: usize, window: &[f64], out: &mut [f64]) {
    let last = pcm.len() - 1;
    if centre >= EDGE && centre + EDGE <= pcm.len() {
        let samples = &pcm[centre - EDGE..centre + EDGE];
        for ((out, &sample), weight) in out.iter_mut().zip(samples).zip(window) {
            *out = f64::from(sample) * weight;
        }
        return;
    }
    for (i, (out, weight)) in out.iter_mut().zip(window).enumerate() {
        let at = centre + i;
        let index = EDGE.abs_diff(at);
        let index = if index > last { 2 * last - index } else { index };
        *out = f64::from(pcm[index]) * weight;
    }
}

/// Slaney's mel scale: linear up to 1 kHz, then logarithmic.
fn mel_to_hertz(mel: f64) -> f64 {
    if mel < 15.0 { 200.0 * mel / 3.0 } else { 1000.0 * ((6.4_f64.ln() / 27.0) * (mel - 15.0)).exp() }
}

/// The mel of 8 kHz, the upper end of the last filter.
fn highest_mel() -> f64 {
    15.0 + 8.0_f64.ln() * 27.0 / 6.4_f64.ln()
}

/// Triangular filters of equal area, without the frequencies at which they are zero.
fn bands(bins: usize) -> Vec<Band> {
    let step = highest_mel() / (bins + 1) as f64;
    let edge = |i: usize| mel_to_hertz(step * i as f64);
    let spacing = SAMPLE_RATE as f64 / WINDOW as f64;
    let band = |bin: usize| {
        let (low, centre, high) = (edge(bin), edge(bin + 1), edge(bin + 2));
        let weight = |i: usize| {
            let hertz = spacing * i as f64;
            let triangle = ((hertz - low) / (centre - low)).min((high - hertz) / (high - centre));
            triangle.max(0.0) * 2.0 / (high - low)
        };
        let first = (0..BINS).find(|&i| weight(i) > 0.0).unwrap_or(0);
        Band { first, weights: (first..BINS).map(weight).take_while(|&weight| weight > 0.0).collect() }
    };
    (0..bins).map(band).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same features, computed from their definition: no tables, no fast transform, no skipping of zeros.
    fn slow(pcm: &[f32], bins: usize) -> Vec<f32> {
        let frames = pcm.len() / HOP;
        let reflect = |at: isize| {
            let last = pcm.len() as isize - 1;
            let at = at.abs();
            pcm[(if at > last { 2 * last - at } else { at }) as usize]
        };
        let hertz = |mel: f64| {
            if mel < 15.0 { mel * 200.0 / 3.0 } else { 1000.0 * 6.4_f64.powf((mel - 15.0) / 27.0) }
        };
        let top = 15.0 + 27.0 * 8.0_f64.ln() / 6.4_f64.ln();
        let mut logs = vec![0.0_f64; bins * frames];
        for frame in 0..frames {
            let power: Vec<f64> = (0..BINS)
                .map(|k| {
                    let (mut re, mut im) = (0.0, 0.0);
                    for n in 0..WINDOW {
                        let hann = (PI * n as f64 / WINDOW as f64).sin().powi(2);
                        let x = hann * f64::from(reflect((frame * HOP + n) as isize - EDGE as isize));
                        let angle = 2.0 * PI * (k * n % WINDOW) as f64 / WINDOW as f64;
                        re += x * angle.cos();
                        im -= x * angle.sin();
                    }
                    re * re + im * im
                })
                .collect();
            for bin in 0..bins {
                let [low, mid, high] = [0, 1, 2].map(|i| hertz(top * (bin + i) as f64 / (bins + 1) as f64));
                let energy: f64 = (0..BINS)
                    .map(|k| {
                        let f = 40.0 * k as f64;
                        let height =
                            if f <= mid { (f - low) / (mid - low) } else { (high - f) / (high - mid) };
                        power[k] * height.max(0.0) * 2.0 / (high - low)
                    })
                    .sum();
                logs[bin * frames + frame] = energy.max(1e-10).log10();
            }
        }
        let loudest = logs.iter().copied().fold(f64::MIN, f64::max);
        logs.iter().map(|&log| ((log.max(loudest - 8.0) + 4.0) / 4.0) as f32).collect()
    }

    fn tone(samples: usize, hertz: f32) -> Vec<f32> {
        (0..samples).map(|i| 0.4 * (2.0 * std::f32::consts::PI * hertz * i as f32 / 16_000.0).sin()).collect()
    }

    fn furthest(a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn features_are_those_of_the_definition_at_every_length_and_band_count() {
        for (samples, bins) in [(201, 128), (319, 128), (320, 80), (400, 16), (3_333, 128), (4_800, 128)] {
            let pcm = tone(samples, 440.0);
            let mel = LogMel::new(bins).features(&pcm).unwrap();
            assert_eq!((mel.bins, mel.frames), (bins, samples / 160));
            let error = furthest(&mel.values, &slow(&pcm, bins));
            assert!(error < 2e-6, "{samples} samples, {bins} bands: {error}");
        }
    }

    #[test]
    fn silence_is_flat_and_finite() {
        let mel = LogMel::new(128).features(&[0.0; 16_000]).unwrap();
        assert_eq!(mel.values, vec![-1.5; 128 * 100]);
    }

    #[test]
    fn what_has_no_features_is_refused_with_the_sample_that_is_wrong() {
        let mel = LogMel::new(128);
        assert_eq!(mel.features(&[0.1; 200]), Err(MelError::TooShort { samples: 200 }));
        let mut pcm = vec![0.0; 1000];
        pcm[77] = f32::INFINITY;
        assert_eq!(mel.features(&pcm), Err(MelError::NotFinite { index: 77, value: f32::INFINITY }));
    }
}
