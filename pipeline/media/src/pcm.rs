use counterpoint_messages::RejectReason;

use crate::MediaError;
use crate::loudness::Loudness;

/// Length in seconds over which the seam of a moved sound fades out and in again.
const SEAM_SECONDS: f64 = 0.005;

/// Sound as it is stored: interleaved 16-bit samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pcm {
    /// Samples a second and channel.
    pub rate: u32,
    /// Channels.
    pub channels: u32,
    /// Interleaved samples.
    pub samples: Vec<i16>,
}

impl Pcm {
    /// Brings interleaved f32 samples to `target_lufs` with one gain and rounds them to 16 bits; also
    /// gives the loudness they had before.
    ///
    /// # Errors
    /// When the meter does not take the rate or the channels.
    pub fn normalised(
        samples: &[f32],
        channels: u32,
        rate: u32,
        target_lufs: f64,
    ) -> Result<(Self, Loudness), MediaError> {
        let loudness = Loudness::of(samples, channels, rate)?;
        let gain = loudness.gain_to(target_lufs);
        let samples = samples.iter().map(|sample| quantised(sample * gain)).collect();
        Ok((Self { rate, channels, samples }, loudness))
    }

    /// Mono f32 samples, rounded to 16 bits.
    pub fn from_mono(samples: &[f32], rate: u32) -> Self {
        Self { rate, channels: 1, samples: samples.iter().copied().map(quantised).collect() }
    }

    /// Samples of each channel.
    pub fn frames(&self) -> usize {
        self.samples.len() / self.channels.max(1) as usize
    }

    /// Interleaved samples, -1 to 1.
    pub fn to_f32(&self) -> Vec<f32> {
        self.samples.iter().map(|sample| f32::from(*sample) / 32768.0).collect()
    }

    /// The samples as one buffer of little-endian bytes.
    pub(crate) fn to_buffer(&self) -> gstreamer::Buffer {
        let bytes: Vec<u8> = self.samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let mut buffer = gstreamer::Buffer::from_mut_slice(bytes);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(gstreamer::ClockTime::ZERO);
        }
        buffer
    }

    /// Share of 100 ms windows whose RMS over all channels is below -60 dBFS, 0 to 1.
    pub fn silent_share(&self) -> f64 {
        let window = (self.rate as usize / 10).saturating_mul(self.channels as usize).max(1);
        let windows: Vec<bool> = self
            .samples
            .chunks(window)
            .map(|chunk| power(chunk.iter().map(|sample| f64::from(*sample) / 32768.0), chunk.len()) < 1e-6)
            .collect();
        windows.iter().filter(|silent| **silent).count() as f64 / windows.len().max(1) as f64
    }

    /// The sound with `donors` laid over it: each donor brought to the same power, and their sum scaled
    /// until this sound's power stands `snr_db` over it; the whole then at `target_lufs`.
    ///
    /// # Errors
    /// A reject when this sound or all donors are silent, or when their formats or lengths differ.
    pub fn mixed(&self, donors: &[Self], snr_db: f64, target_lufs: f64) -> Result<Self, MediaError> {
        let host = self.to_f32();
        let host_power = power_of(&host);
        let mut sum = vec![0.0_f32; host.len()];
        for donor in donors {
            self.require_same_form(donor)?;
            let sound = donor.to_f32();
            let power = power_of(&sound);
            if power > 0.0 {
                let scale = (1.0 / power.sqrt()) as f32;
                sum.iter_mut().zip(&sound).for_each(|(mixed, sample)| *mixed += sample * scale);
            }
        }
        let sum_power = power_of(&sum);
        if host_power <= 0.0 || sum_power <= 0.0 || !snr_db.is_finite() {
            return Err(MediaError::reject(
                RejectReason::Silent,
                format!(
                    "no mix at {snr_db} dB: power {host_power:.1e} under power {sum_power:.1e}; use clips with sound"
                ),
            ));
        }
        let scale = (host_power / sum_power / 10.0_f64.powf(snr_db / 10.0)).sqrt() as f32;
        let mixed: Vec<f32> = host.iter().zip(&sum).map(|(host, donor)| host + donor * scale).collect();
        Ok(Self::normalised(&mixed, self.channels, self.rate, target_lufs)?.0)
    }

    /// The sound rotated by `offset_ms` (positive: it comes later), what leaves at one end entering at the
    /// other, at `target_lufs`.
    ///
    /// Rotating keeps every moment of the sound, its loudness and its length; silence in the place of what
    /// was moved away would stand at a known spot and tell a shifted clip from an aligned one without
    /// listening. Around the seam the sound fades out and in over a few milliseconds, so that no click
    /// marks it.
    ///
    /// # Errors
    /// When the meter does not take the rate or the channels.
    pub fn shifted(&self, offset_ms: i64, target_lufs: f64) -> Result<Self, MediaError> {
        let channels = self.channels.max(1) as usize;
        let frames = self.frames();
        let mut samples = self.to_f32();
        if frames > 0 {
            let offset = i128::from(offset_ms) * i128::from(self.rate) / 1000;
            let seam = usize::try_from(offset.rem_euclid(frames as i128)).unwrap_or(0);
            samples.rotate_right(seam.saturating_mul(channels));
            if seam > 0 {
                fade_around(&mut samples, seam, channels, (SEAM_SECONDS * f64::from(self.rate)) as usize);
            }
        }
        Ok(Self::normalised(&samples, self.channels, self.rate, target_lufs)?.0)
    }

    fn require_same_form(&self, other: &Self) -> Result<(), MediaError> {
        let form = |pcm: &Self| (pcm.rate, pcm.channels, pcm.frames());
        if form(self) == form(other) {
            return Ok(());
        }
        let (rate, channels, frames) = form(self);
        let (other_rate, other_channels, other_frames) = form(other);
        Err(MediaError::reject(
            RejectReason::CorruptMedia,
            format!(
                "a donor's sound is {other_frames} frames of {other_channels} channels at {other_rate} Hz, the \
                 host's {frames} of {channels} at {rate}; prepare both with the same settings"
            ),
        ))
    }
}

/// Linear fades of `length` sample frames that meet in silence at sample frame `seam`.
fn fade_around(samples: &mut [f32], seam: usize, channels: usize, length: usize) {
    let frames = samples.len() / channels;
    for distance in 0..length {
        let gain = distance as f32 / length as f32;
        let before = seam.checked_sub(distance + 1);
        let after = seam.checked_add(distance).filter(|frame| *frame < frames);
        for frame in before.into_iter().chain(after) {
            samples[frame * channels..(frame + 1) * channels].iter_mut().for_each(|sample| *sample *= gain);
        }
    }
}

/// The nearest 16-bit value.
pub(crate) fn quantised(sample: f32) -> i16 {
    (sample * 32768.0).round().clamp(-32768.0, 32767.0) as i16
}

fn power_of(samples: &[f32]) -> f64 {
    power(samples.iter().map(|sample| f64::from(*sample)), samples.len())
}

fn power(samples: impl Iterator<Item = f64>, count: usize) -> f64 {
    samples.map(|sample| sample * sample).sum::<f64>() / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f64, level: f64) -> Pcm {
        let samples = (0..96_000)
            .flat_map(|frame| {
                let value = (f64::from(frame) * hertz * std::f64::consts::TAU / 48_000.0).sin() * level;
                [(value * 32767.0) as i16; 2]
            })
            .collect();
        Pcm { rate: 48_000, channels: 2, samples }
    }

    #[test]
    fn a_mix_has_the_loudness_asked_for() {
        let mixed = tone(440.0, 0.2).mixed(&[tone(1000.0, 0.9)], 6.0, -23.0).unwrap();
        let loudness = Loudness::of(&mixed.to_f32(), 2, 48_000).unwrap();
        assert!((loudness.integrated_lufs + 23.0).abs() < 0.1, "{loudness:?}");
    }

    #[test]
    fn a_mix_with_silence_is_rejected() {
        let silence = Pcm { samples: vec![0; 192_000], ..tone(440.0, 0.2) };
        assert!(tone(440.0, 0.2).mixed(std::slice::from_ref(&silence), 6.0, -23.0).is_err());
        assert!(silence.mixed(&[tone(440.0, 0.2)], 6.0, -23.0).is_err());
    }

    #[test]
    fn a_shift_by_the_whole_length_changes_nothing_but_rounding() {
        let (sound, _) = Pcm::normalised(&tone(440.0, 0.3).to_f32(), 2, 48_000, -23.0).unwrap();
        let shifted = sound.shifted(2000, -23.0).unwrap();
        let worst = sound.samples.iter().zip(&shifted.samples).map(|(a, b)| (a - b).abs()).max();
        assert!(worst.unwrap() <= 1);
    }

    #[test]
    fn extreme_offsets_do_not_overflow() {
        assert_eq!(tone(440.0, 0.3).shifted(i64::MIN, -23.0).unwrap().frames(), 96_000);
        assert_eq!(tone(440.0, 0.3).shifted(i64::MAX, -23.0).unwrap().frames(), 96_000);
    }

    #[test]
    fn half_a_silent_sound_is_half_silent() {
        let mut sound = tone(440.0, 0.3);
        sound.samples[96_000..].fill(0);
        assert!((sound.silent_share() - 0.5).abs() < 0.01);
    }
}
