use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Arc;

use counterpoint_core::media_job::{SampleOutcome, SampleRequest};
use counterpoint_messages::RejectReason;
use gstreamer_video::{VideoFormat, VideoFrameRef, VideoInfo};

use crate::frame_clock::FrameClock;
use crate::picture::Squarer;
use crate::reader::{Frame, Reader};
use crate::skipping::Skipping;
use crate::sound_track::PACKET_SECONDS;
use crate::{Budget, MediaError, SoundTrack};

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
    let skipping = Skipping::plan(input, rate).map(Arc::new);
    let track = SoundTrack::new(request.rate, 1, 0, most_sound);
    let mut reader = Reader::open_skipping(input, track, skipping.clone(), budget)?;
    reader.require(true, false)?;
    let frame_bytes = u64::from(request.size).pow(2) * 3;
    let most = budget.limits().sampled_bytes / frame_bytes;
    let mut frames = FrameWriter {
        squarer: Squarer::new(request.size, VideoFormat::Rgb, reader.orientation()),
        clock: FrameClock::new(0, rate, most),
        shown: None,
        size: request.size,
        written: 0,
        out: BufWriter::new(out),
    };
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
    let sound = reader.into_sound();
    sound.require_room()?;
    frames.finish(end)?;
    let written = frames.written;
    let samples = heard(&sound, end, request.rate);
    for value in sound.into_samples(samples) {
        frames.out.write_all(&value.to_le_bytes()).map_err(MediaError::Output)?;
    }
    frames.out.flush().map_err(MediaError::Output)?;
    Ok(SampleOutcome { frames: written, size: request.size, samples: samples as u64 })
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
    clock: FrameClock,
    shown: Option<Frame>,
    size: u32,
    written: u64,
    out: BufWriter<&'a mut File>,
}

impl FrameWriter<'_> {
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
        let square = self.squarer.square(frame)?;
        let fault = |error: &dyn std::fmt::Display| MediaError::graph("sample", error);
        let info = VideoInfo::builder(VideoFormat::Rgb, self.size, self.size).build();
        let info = info.map_err(|error| fault(&error))?;
        let view = VideoFrameRef::from_buffer_ref_readable(&square, &info).map_err(|error| fault(&error))?;
        let pixels = view.plane_data(0).map_err(|error| fault(&error))?;
        let stride = usize::try_from(info.stride()[0]).unwrap_or(0);
        let row = self.size as usize * 3;
        for _ in 0..ticks {
            if stride == row {
                let frame = pixels.get(..row * self.size as usize).ok_or_else(|| fault(&"a frame is cut"))?;
                self.out.write_all(frame).map_err(MediaError::Output)?;
                continue;
            }
            for line in pixels.chunks(stride.max(1)).take(self.size as usize) {
                self.out.write_all(&line[..row]).map_err(MediaError::Output)?;
            }
        }
        self.written += ticks;
        Ok(())
    }

    fn finish(&mut self, end: u64) -> Result<(), MediaError> {
        if self.shown.is_none() {
            return Err(MediaError::reject(
                RejectReason::CorruptMedia,
                "no frame of the picture could be decoded; fetch the file again or re-encode it",
            ));
        }
        let ticks = self.clock.ticks_before(end);
        self.show(ticks)
    }
}
