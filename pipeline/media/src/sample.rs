use std::fs::File;
use std::io::{Seek, Write};
use std::sync::Arc;

use counterpoint_core::media_job::{SampleOutcome, SampleRequest};
use counterpoint_messages::RejectReason;
use gstreamer_video::{VideoFormat, VideoOrientationMethod};

use crate::frame_clock::FrameClock;
use crate::normal_form::NormalForm;
use crate::picture::Squarer;
use crate::reader::{Frame, Reader};
use crate::skipping::Skipping;
use crate::sound_track::PACKET_SECONDS;
use crate::tables::read_tables;
use crate::{Budget, MediaError, SoundTrack, rgb};

/// Writes what a model is given of `input`: RGB frames, then mono sound as little-endian f32.
///
/// Frame i is the one displayed at i over the rate; there is a frame for each such moment before the
/// picture ends. A file without sound gives no samples. Of an H.264 picture in mp4 only what these frames
/// need is decoded; the others may be damaged and nobody finds out.
///
/// # Errors
/// A reject when the file has no picture, cannot be decoded or breaks a limit.
pub fn sample(
    input: &File,
    request: &SampleRequest,
    budget: &mut Budget,
    out: &mut File,
) -> Result<SampleOutcome, MediaError> {
    let rate = request.frames_per_second;
    if !(rate.is_finite() && rate > 0.0) || request.size == 0 || request.size > 8192 || request.rate == 0 {
        return Err(MediaError::graph("sample", format!("settings out of range: {request:?}")));
    }
    let most_sound = budget.limits().sound_seconds.saturating_mul(u64::from(request.rate));
    let most_sound = usize::try_from(most_sound).unwrap_or(usize::MAX);
    let track = || SoundTrack::new(request.rate, 1, 0, most_sound);
    let tables = read_tables(input);
    let skipping = tables.as_ref().and_then(|tables| Skipping::plan(tables, input, rate)).map(Arc::new);
    let clip = tables.and_then(|tables| NormalForm::open(input, &tables, skipping.clone(), budget.limits()));
    if let Some(clip) = clip {
        match sample_normal(clip, track(), request, budget, out) {
            // Its packets are not what we make: whoever reads any file says what is wrong with them, if anything is.
            Err(MediaError::Graph { .. }) => {}
            done => return done,
        }
    }
    sample_any(input, track(), skipping, request, budget, out)
}

/// Samples a file of any form.
fn sample_any(
    input: &File,
    sound: SoundTrack,
    skipping: Option<Arc<Skipping>>,
    request: &SampleRequest,
    budget: &mut Budget,
    out: &mut File,
) -> Result<SampleOutcome, MediaError> {
    let mut reader = Reader::open_skipping(input, sound, skipping.clone(), budget)?;
    reader.require(true, false)?;
    let mut frames = FrameWriter::new(request, reader.orientation(), budget, out)?;
    reader.play(u64::MAX)?;
    let mut span = (0_u64, 0_u64);
    let mut end = 0;
    while let Some(frame) = reader.next_frame(budget)? {
        span = (span.0 + 1, frame.time);
        // The last frame of a file that gives no lengths is taken to be as long as the others.
        let length = frame.duration.unwrap_or(frame.time / span.0.saturating_sub(1).max(1));
        end = frame.time.saturating_add(length).max(end);
        frames.take(frame)?;
    }
    let end = skipping.map_or(end, |skipping| skipping.end().max(end));
    frames.finish(reader.into_sound(), end, request)
}

/// Samples a clip in the normal form.
fn sample_normal(
    mut clip: NormalForm,
    mut sound: SoundTrack,
    request: &SampleRequest,
    budget: &mut Budget,
    out: &mut File,
) -> Result<SampleOutcome, MediaError> {
    let mut frames = FrameWriter::new(request, VideoOrientationMethod::Identity, budget, out)?;
    while let Some(frame) = clip.next_frame(budget)? {
        frames.take(frame)?;
    }
    clip.read_sound(&mut sound, budget)?;
    frames.finish(sound, clip.end(), request)
}

/// Samples to give: where the sound ends within a packet of the picture, as many as the picture is long.
/// (GStreamer's mp4 demuxer keeps the last packet of a track with an edit list back.)
fn heard(sound: &SoundTrack, picture_end: u64, rate: u32) -> usize {
    let picture = (picture_end as f64 / 1e9 * f64::from(rate)).round() as usize;
    let lacking = picture.saturating_sub(sound.frames());
    let rounding = PACKET_SECONDS * f64::from(rate);
    if sound.frames() > 0 && (lacking as f64) < rounding {
        picture.max(sound.frames())
    } else {
        sound.frames()
    }
}

/// Writes the frame that is shown at each tick.
struct FrameWriter<'a> {
    squarer: Squarer,
    orientation: VideoOrientationMethod,
    clock: FrameClock,
    shown: Option<Frame>,
    size: u32,
    /// The pixels that were written last.
    rgb: Vec<u8>,
    written: u64,
    out: &'a mut File,
}

impl<'a> FrameWriter<'a> {
    /// Writes from the beginning of `out`, whatever that held before.
    fn new(
        request: &SampleRequest,
        orientation: VideoOrientationMethod,
        budget: &Budget,
        out: &'a mut File,
    ) -> Result<Self, MediaError> {
        let frame_bytes = u64::from(request.size).pow(2) * 3;
        let most = budget.limits().sampled_bytes / frame_bytes;
        out.rewind().map_err(MediaError::Output)?;
        Ok(Self {
            squarer: Squarer::new(request.size, VideoFormat::Rgb, orientation),
            orientation,
            clock: FrameClock::new(0, request.frames_per_second, most),
            shown: None,
            size: request.size,
            rgb: vec![0; usize::try_from(frame_bytes).unwrap_or(0)],
            written: 0,
            out,
        })
    }

    fn take(&mut self, frame: Frame) -> Result<(), MediaError> {
        let time = frame.time.max(self.shown.as_ref().map_or(0, |shown| shown.time));
        if self.shown.is_some() {
            let ticks = self.clock.ticks_before(time);
            self.show(ticks)?;
        }
        self.shown = Some(Frame { time, ..frame });
        Ok(())
    }

    fn show(&mut self, ticks: u64) -> Result<(), MediaError> {
        if self.clock.is_over() {
            return Err(MediaError::reject(
                RejectReason::TooLarge,
                format!("more than {} frames to sample; lower the rate or the size", self.written + ticks),
            ));
        }
        let Some(frame) = self.shown.as_ref().filter(|_| ticks > 0) else { return Ok(()) };
        if !rgb::write(frame, self.size, self.orientation, &mut self.rgb)? {
            self.squarer.write_rgb(frame, &mut self.rgb)?;
        }
        for _ in 0..ticks {
            self.out.write_all(&self.rgb).map_err(MediaError::Output)?;
        }
        self.written += ticks;
        Ok(())
    }

    /// Writes what is left of the picture, which ends at `end`, and the sound.
    fn finish(
        mut self,
        sound: SoundTrack,
        end: u64,
        request: &SampleRequest,
    ) -> Result<SampleOutcome, MediaError> {
        sound.require_room()?;
        if self.shown.is_none() {
            return Err(MediaError::reject(
                RejectReason::CorruptMedia,
                "no frame of the picture could be decoded; fetch the file again or re-encode it",
            ));
        }
        let ticks = self.clock.ticks_before(end);
        self.show(ticks)?;
        let samples = heard(&sound, end, request.rate);
        let sound: Vec<u8> = sound.into_samples(samples).into_iter().flat_map(f32::to_le_bytes).collect();
        self.out.write_all(&sound).map_err(MediaError::Output)?;
        let length = self.out.stream_position().map_err(MediaError::Output)?;
        self.out.set_len(length).map_err(MediaError::Output)?;
        Ok(SampleOutcome { frames: self.written, size: self.size, samples: samples as u64 })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use counterpoint_core::media_job::Limits;

    use super::*;
    use crate::{Mp4, Pcm, encode_clip, start};

    const SIDE: u16 = 56;

    /// A clip in the normal form: a moving gradient of three seconds, with two tones.
    fn clip() -> Vec<u8> {
        start().unwrap();
        let side = usize::from(SIDE);
        let frames = (0..75_usize).map(|frame| {
            (0..side * side)
                .flat_map(|at| {
                    [at % side * 4 + frame, at / side * 3, (at % side) * (at / side) / 16 + frame * 2]
                        .map(|value| (value % 256) as u8)
                })
                .collect()
        });
        let samples = (0..144_000).flat_map(|at| {
            let tone = |hertz: f64| (f64::from(at) * hertz * std::f64::consts::TAU / 48_000.0).sin() * 9000.0;
            [tone(440.0) as i16, tone(1234.0) as i16]
        });
        let pcm = Pcm { rate: 48_000, channels: 2, samples: samples.collect() };
        let mut file = tempfile::tempfile().unwrap();
        encode_clip(SIDE, SIDE, 25, frames, Some(&pcm), &mut file).unwrap();
        contents(&mut file)
    }

    fn contents(file: &mut File) -> Vec<u8> {
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn request(rate: f64) -> SampleRequest {
        SampleRequest { frames_per_second: rate, size: u32::from(SIDE), rate: 16_000 }
    }

    type Sampled = Result<(SampleOutcome, Vec<u8>), String>;

    fn sampled(bytes: &[u8], rate: f64, limits: Limits) -> Sampled {
        let (input, mut out) = (file(bytes), tempfile::tempfile().unwrap());
        let outcome = sample(&input, &request(rate), &mut Budget::new(limits, bytes.len() as u64), &mut out);
        outcome.map(|outcome| (outcome, contents(&mut out))).map_err(|error| error.to_string())
    }

    /// The same by the way of files in any form, every frame decoded.
    fn sampled_as_any(bytes: &[u8], rate: f64) -> Sampled {
        let (input, mut out) = (file(bytes), tempfile::tempfile().unwrap());
        let track = SoundTrack::new(16_000, 1, 0, 1 << 20);
        let mut budget = Budget::new(Limits::default(), bytes.len() as u64);
        let outcome = sample_any(&input, track, None, &request(rate), &mut budget, &mut out);
        outcome.map(|outcome| (outcome, contents(&mut out))).map_err(|error| error.to_string())
    }

    fn is_opened(bytes: &[u8]) -> bool {
        let file = file(bytes);
        let tables = read_tables(&file).unwrap();
        NormalForm::open(&file, &tables, None, &Limits::default()).is_some()
    }

    #[test]
    fn the_normal_form_gives_what_any_reader_makes_of_it() {
        let whole = clip();
        let silent = Mp4 { sound: None, ..Mp4::read(&whole).unwrap() }.to_bytes().unwrap();
        for bytes in [whole, silent] {
            assert!(is_opened(&bytes));
            for rate in [2.0, 3.0, 25.0, 50.0] {
                let (own, any) = (
                    sampled(&bytes, rate, Limits::default()).unwrap(),
                    sampled_as_any(&bytes, rate).unwrap(),
                );
                assert_eq!(own.0, any.0, "{rate}");
                assert!(own.1 == any.1, "{rate}: other pixels or samples");
            }
        }
    }

    #[test]
    fn a_file_that_is_not_to_the_byte_what_is_written_here_is_read_like_any_other() {
        let bytes = clip();
        let mut longer = bytes.clone();
        longer.extend([0, 0, 0, 8, b'f', b'r', b'e', b'e']);
        assert!(!is_opened(&longer));
        assert!(
            sampled(&longer, 2.0, Limits::default()).unwrap()
                == sampled(&bytes, 2.0, Limits::default()).unwrap()
        );
    }

    #[test]
    fn damaged_packets_end_as_they_would_in_any_file() {
        let bytes = clip();
        let tables = bytes.windows(4).position(|window| window == b"mdat").unwrap() + 4;
        for step in [bytes.len() / 400, bytes.len() / 40, bytes.len() / 4] {
            let mut damaged = bytes.clone();
            damaged.iter_mut().skip(tables + 100).step_by(step.max(1)).for_each(|byte| *byte ^= 0x55);
            assert!(is_opened(&damaged), "its tables are whole");
            let (own, any) = (sampled(&damaged, 25.0, Limits::default()), sampled_as_any(&damaged, 25.0));
            assert_eq!(own.is_ok(), any.is_ok(), "{step}: {:?}, {:?}", own.err(), any.err());
        }
    }

    #[test]
    fn limits_hold_in_the_normal_form_too() {
        let bytes = clip();
        for limits in [
            Limits { frames: 20, ..Limits::default() },
            Limits { frame_pixels: 1000, ..Limits::default() },
            Limits { sound_seconds: 1, ..Limits::default() },
            Limits { sampled_bytes: 20_000, ..Limits::default() },
        ] {
            let said = sampled(&bytes, 25.0, limits.clone()).unwrap_err();
            assert!(said.starts_with("too_large"), "{limits:?}: {said}");
        }
    }

    #[test]
    fn what_the_output_held_before_does_not_stay() {
        let bytes = clip();
        let mut out = file(&[7; 5_000_000]);
        let mut budget = Budget::new(Limits::default(), bytes.len() as u64);
        sample(&file(&bytes), &request(2.0), &mut budget, &mut out).unwrap();
        assert!(contents(&mut out) == sampled(&bytes, 2.0, Limits::default()).unwrap().1);
    }
}
