use std::fs::File;
use std::io::Write as _;

use counterpoint_core::media_job::{PrepareOutcome, PrepareRequest, SOUND_RATE};
use counterpoint_messages::{RejectReason, SignalStatistics};
use gstreamer_video::{VideoFormat, VideoFrameRef, VideoInfo};

use crate::frame_clock::FrameClock;
use crate::picture::{Colours, Squarer};
use crate::reader::{Frame, Reader};
use crate::statistics::PictureStatistics;
use crate::window::Window;
use crate::{Budget, H264Encoder, MediaError, Mp4, Pcm, PictureTrack, SoundTrack, encode_aac, write_flac};

/// Channels of a normalised clip.
const CHANNELS: u32 = 2;

/// Samples in the longest packet of a supported sound codec that is not raw (MP3).
const LONGEST_AUDIO_PACKET: u64 = 1152;

/// Brings `input` to the normal form of `request`: an mp4 to `mp4_out`, its sound as FLAC to `flac_out`.
///
/// The picture is decoded, squared and encoded frame by frame; the sound is held whole, as its loudness
/// must be known before its gain. The same input gives the same bytes.
///
/// # Errors
/// A reject when the file is not what the request needs or breaks a limit; otherwise a fault of ours.
pub fn prepare(
    input: &File,
    request: &PrepareRequest,
    budget: &mut Budget,
    mp4_out: &mut File,
    flac_out: &File,
) -> Result<PrepareOutcome, MediaError> {
    let side = u16::try_from(request.size).ok().filter(|side| *side >= 16 && side % 2 == 0);
    let side =
        side.ok_or_else(|| MediaError::graph("prepare", format!("size {} is not even", request.size)))?;
    let sound_frames = (request.seconds as usize).saturating_mul(SOUND_RATE as usize);
    let mut reader = Reader::open(input, SoundTrack::new(SOUND_RATE, CHANNELS, 0, sound_frames), budget)?;
    reader.require(true, true)?;
    let header_ms = reader.duration().map(|duration| duration / 1_000_000);
    let (window, length_ms) = match header_ms.map(|length_ms| (Window::choose(request, length_ms), length_ms))
    {
        Some((Ok(window), length_ms)) => (window, length_ms),
        // A header that says nothing, or too little, may be that of a stream that was written as it came.
        Some((Err(_), _)) | None => {
            let length_ms = measured_duration(input, budget)?;
            (Window::choose(request, length_ms)?, length_ms)
        }
    };
    if window.start_ms > 0 {
        reader.seek(window.start_ms.saturating_mul(1_000_000), budget)?;
    }

    let most = u64::from(request.seconds).saturating_mul(u64::from(request.frame_rate));
    let clock =
        FrameClock::new(window.start_ms.saturating_mul(1_000_000), f64::from(request.frame_rate), most);
    let mut picture = PictureMaker {
        squarer: Squarer::new(request.size, VideoFormat::I420, reader.orientation()),
        side,
        frame_rate: request.frame_rate,
        encoder: None,
        statistics: PictureStatistics::default(),
        clock,
        shown: None,
        seen: 0,
        first: None,
        end: 0,
    };
    reader.play(window.end_ms.saturating_mul(1_000_000))?;
    while let Some(frame) = reader.next_frame(budget)? {
        picture.take(frame)?;
    }
    let mut container = reader.facts();
    let sound = reader.into_sound();

    if sound.frames() == 0 {
        return Err(MediaError::reject(
            RejectReason::NoSound,
            "the sound stream holds no sound; use a clip with picture and sound",
        ));
    }
    let start = window.start_ms.saturating_mul(1_000_000);
    let reached = picture.end.max(start.saturating_add(sound.duration()));
    window.require_whole(reached / 1_000_000, length_ms)?;
    let packet_ms = LONGEST_AUDIO_PACKET * 1000 / u64::from(container.sample_rate.max(1));
    let slack_ms = packet_ms.max(picture.frame_duration() / 1_000_000) + 1;
    let covered_ms = (reached.saturating_sub(start)) / 1_000_000;
    let padded_ms = window.padding(request, covered_ms, slack_ms)?;
    container.frame_rate = picture.frame_rate();
    container.duration_ms = length_ms.max(reached / 1_000_000);

    let (track, seen) = picture.finish()?;
    let samples = sound.into_seamless_samples(sound_frames);
    let (pcm, loudness) = Pcm::normalised(&samples, CHANNELS, SOUND_RATE, request.loudness_lufs)?;
    let mp4 = Mp4 { picture: track, sound: Some(encode_aac(&pcm)?) };
    mp4_out.write_all(&mp4.to_bytes()?).map_err(MediaError::Output)?;
    write_flac(&pcm, flac_out)?;
    Ok(PrepareOutcome {
        container,
        statistics: SignalStatistics {
            loudness_lufs: loudness.integrated_lufs,
            silent_share: pcm.silent_share(),
            black_share: seen.black_share(),
            motion: seen.motion(),
            cuts: seen.cuts(),
        },
        duration_ms: mp4.duration_ms(),
        padded_ms,
    })
}

/// Length in milliseconds of a file, decoded to its end.
fn measured_duration(input: &File, budget: &mut Budget) -> Result<u64, MediaError> {
    let most = budget.limits().sound_seconds.saturating_mul(u64::from(SOUND_RATE));
    let track = SoundTrack::new(SOUND_RATE, 1, 0, usize::try_from(most).unwrap_or(usize::MAX));
    let mut reader = Reader::open(input, track, budget)?;
    reader.play(u64::MAX)?;
    let mut end = 0;
    while let Some(frame) = reader.next_frame(budget)? {
        end = frame.time.saturating_add(frame.duration.unwrap_or(0)).max(end);
    }
    Ok(end.max(reader.into_sound().duration()) / 1_000_000)
}

/// Turns decoded frames at any times into coded squares at a steady rate.
struct PictureMaker {
    squarer: Squarer,
    side: u16,
    frame_rate: u32,
    /// Begun with the first frame, whose colours are those of the clip.
    encoder: Option<H264Encoder>,
    statistics: PictureStatistics,
    clock: FrameClock,
    shown: Option<Frame>,
    seen: u64,
    first: Option<u64>,
    end: u64,
}

impl PictureMaker {
    fn take(&mut self, frame: Frame) -> Result<(), MediaError> {
        // Decoders keep order; a file whose times run backwards is shown in the order it is stored.
        let time = frame.time.max(self.shown.as_ref().map_or(0, |shown| shown.time));
        if self.shown.is_some() {
            let ticks = self.clock.ticks_before(time);
            self.show(ticks)?;
        }
        self.first.get_or_insert(time);
        self.seen += 1;
        self.end = time.saturating_add(frame.duration.unwrap_or(0));
        self.shown = Some(Frame { time, ..frame });
        Ok(())
    }

    fn show(&mut self, ticks: u64) -> Result<(), MediaError> {
        let Some(frame) = self.shown.as_ref().filter(|_| ticks > 0) else { return Ok(()) };
        let square = self.squarer.square(frame)?;
        let encoder = match self.encoder.take() {
            Some(encoder) => encoder,
            None => H264Encoder::new(self.side, self.side, self.frame_rate, Colours::of(&frame.info))?,
        };
        let encoder = self.encoder.insert(encoder);
        let info = VideoInfo::builder(VideoFormat::I420, u32::from(self.side), u32::from(self.side)).build();
        let info = info.map_err(|error| MediaError::graph("prepare", error))?;
        if let Ok(view) = VideoFrameRef::from_buffer_ref_readable(&square, &info)
            && let Ok(luma) = view.plane_data(0)
        {
            let stride = usize::try_from(info.stride()[0]).unwrap_or(0);
            let (width, height) = (info.width() as usize, info.height() as usize);
            self.statistics.add(luma, stride, width, height, ticks);
        }
        encoder.push(&square, ticks)
    }

    /// Mean length of a frame in nanoseconds.
    fn frame_duration(&self) -> u64 {
        let last = self.shown.as_ref().map_or(0, |frame| frame.time);
        let span = last.saturating_sub(self.first.unwrap_or(last));
        if self.seen > 1 { span / (self.seen - 1) } else { 0 }
    }

    fn frame_rate(&self) -> f64 {
        match self.frame_duration() {
            0 => 0.0,
            duration => 1e9 / duration as f64,
        }
    }

    fn finish(mut self) -> Result<(PictureTrack, PictureStatistics), MediaError> {
        let ticks = self.clock.ticks_left();
        self.show(ticks)?;
        let encoder = self.encoder.ok_or_else(|| {
            MediaError::reject(
                RejectReason::CorruptMedia,
                "no frame of the picture could be decoded; fetch the file again or re-encode it",
            )
        })?;
        Ok((encoder.finish()?, self.statistics))
    }
}
