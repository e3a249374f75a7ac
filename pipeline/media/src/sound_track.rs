use counterpoint_messages::RejectReason;
use gstreamer::Caps;
use gstreamer_audio::{AudioCapsBuilder, AudioFormat, AudioLayout};

use crate::MediaError;

/// Distance in seconds up to which a chunk's time is taken for rounding and the chunk joins the one before.
const JITTER_SECONDS: f64 = 0.04;

/// Length in seconds of the longest packet of a supported sound codec (1152 samples at 22.05 kHz).
pub(crate) const PACKET_SECONDS: f64 = 0.053;

/// Decoded sound on a time line: gaps are silent, overlaps are heard once.
///
/// Samples are interleaved f32; a sample *frame* is one sample of each channel.
#[derive(Debug, Default)]
pub struct SoundTrack {
    rate: u32,
    channels: u32,
    origin_ns: u64,
    most_frames: usize,
    overflowed: bool,
    lead: usize,
    samples: Vec<f32>,
}

impl SoundTrack {
    /// An empty track that begins `origin_ns` into the file and takes at most `most_frames` sample frames.
    pub fn new(rate: u32, channels: u32, origin_ns: u64, most_frames: usize) -> Self {
        Self { rate, channels, origin_ns, most_frames, overflowed: false, lead: 0, samples: Vec::new() }
    }

    /// Moves the beginning of a track that is still empty.
    pub(crate) fn set_origin(&mut self, origin_ns: u64) {
        self.origin_ns = origin_ns;
    }

    /// Format in which the track wants its chunks.
    pub(crate) fn caps(&self) -> Caps {
        AudioCapsBuilder::new()
            .format(AudioFormat::F32le)
            .layout(AudioLayout::Interleaved)
            .rate(i32::try_from(self.rate).unwrap_or(i32::MAX))
            .channels(i32::try_from(self.channels).unwrap_or(i32::MAX))
            .build()
    }

    /// Places a chunk that begins `time_ns` into the file; false once the track is full.
    pub(crate) fn place(&mut self, time_ns: u64, bytes: &[u8]) -> bool {
        let channels = self.channels.max(1) as usize;
        let offset = (time_ns as f64 - self.origin_ns as f64) / 1e9 * f64::from(self.rate);
        let held = self.frames();
        let jitter = JITTER_SECONDS * f64::from(self.rate);
        let at = if held > 0 && (offset - held as f64).abs() < jitter { held as f64 } else { offset.round() };
        // Sound from before the origin, or already heard, is left out.
        let skipped = (held as f64 - at).max(0.0) as usize;
        if at > held as f64 {
            let silent = (at as usize).min(self.most_frames);
            self.samples.resize(silent.saturating_mul(channels), 0.0);
            if held == 0 {
                self.lead = silent;
            }
        }
        let room = self.most_frames.saturating_sub(self.frames());
        let chunk = bytes.len() / (4 * channels);
        let taken = chunk.saturating_sub(skipped).min(room);
        self.overflowed |= chunk.saturating_sub(skipped) > room || at > self.most_frames as f64;
        let values = bytes.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value));
        self.samples
            .extend(values.skip(skipped.saturating_mul(channels)).take(taken.saturating_mul(channels)));
        self.frames() < self.most_frames
    }

    /// Sample frames held.
    pub fn frames(&self) -> usize {
        self.samples.len() / self.channels.max(1) as usize
    }

    /// Length in nanoseconds.
    pub fn duration(&self) -> u64 {
        (self.frames() as u64).saturating_mul(1_000_000_000) / u64::from(self.rate.max(1))
    }

    /// Interleaved samples, -1 to 1.
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// Interleaved samples, cut or continued by silence to `frames` sample frames.
    pub fn into_samples(mut self, frames: usize) -> Vec<f32> {
        self.samples.resize(frames.saturating_mul(self.channels.max(1) as usize), 0.0);
        self.samples
    }

    /// Like [`SoundTrack::into_samples`], but a lack of at most one packet, at either end, is filled with the
    /// sound beside it backwards. A few milliseconds of silence there would show, once the sound is moved or
    /// mixed, how a clip was made.
    pub fn into_seamless_samples(mut self, frames: usize) -> Vec<f32> {
        let channels = self.channels.max(1) as usize;
        let packet = (PACKET_SECONDS * f64::from(self.rate)) as usize;
        let held = self.frames();
        if (1..=packet).contains(&self.lead) && held >= 2 * self.lead {
            for distance in 0..self.lead {
                let from = (self.lead + distance) * channels;
                let to = (self.lead - 1 - distance) * channels;
                self.samples.copy_within(from..from + channels, to);
            }
        }
        let lack = frames.saturating_sub(held);
        if (1..=packet).contains(&lack) && held >= lack {
            self.samples.resize(frames.saturating_mul(channels), 0.0);
            for distance in 0..lack {
                let from = (held - 1 - distance) * channels;
                let to = (held + distance) * channels;
                self.samples.copy_within(from..from + channels, to);
            }
        }
        self.into_samples(frames)
    }

    /// Rejects a file whose sound did not fit.
    ///
    /// # Errors
    /// Too large, with the limit.
    pub fn require_room(&self) -> Result<(), MediaError> {
        if !self.overflowed {
            return Ok(());
        }
        let seconds = self.most_frames as u64 / u64::from(self.rate.max(1));
        Err(MediaError::reject(
            RejectReason::TooLarge,
            format!("more than {seconds} s of sound; cut the file first"),
        ))
    }

    /// The track, leaving an empty one.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn a_gap_at_the_start_is_silent() {
        let mut track = SoundTrack::new(1000, 1, 0, 100);
        track.place(3_000_000, &bytes(&[0.5, 0.25]));
        assert_eq!(track.samples(), [0.0, 0.0, 0.0, 0.5, 0.25]);
    }

    #[test]
    fn sound_from_before_the_origin_is_left_out() {
        let mut track = SoundTrack::new(1000, 2, 2_000_000, 100);
        track.place(1_000_000, &bytes(&[0.1, 0.2, 0.3, 0.4]));
        assert_eq!(track.samples(), [0.3, 0.4]);
    }

    #[test]
    fn a_rounded_time_joins_the_chunk_before() {
        let mut track = SoundTrack::new(1000, 1, 0, 100);
        track.place(0, &bytes(&[0.1, 0.2]));
        track.place(5_000_000, &bytes(&[0.3]));
        assert_eq!(track.samples(), [0.1, 0.2, 0.3]);
    }

    #[test]
    fn a_lack_of_a_packet_is_filled_and_a_longer_one_is_silent() {
        let mut track = SoundTrack::new(1000, 1, 0, 100);
        track.place(2_000_000, &bytes(&[0.1, 0.2, 0.3]));
        assert_eq!(track.into_seamless_samples(7), [0.2, 0.1, 0.1, 0.2, 0.3, 0.3, 0.2]);
        let mut track = SoundTrack::new(1000, 1, 0, 200);
        track.place(0, &bytes(&[0.5; 60]));
        assert_eq!(track.into_seamless_samples(160)[60..], [0.0; 100]);
    }

    #[test]
    fn a_time_far_ahead_fills_the_track_and_no_more() {
        let mut track = SoundTrack::new(1000, 1, 0, 10);
        assert!(!track.place(u64::MAX, &bytes(&[0.1])));
        assert_eq!(track.frames(), 10);
        assert!(track.require_room().is_err());
    }
}
