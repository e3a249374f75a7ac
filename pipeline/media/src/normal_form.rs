//! Reading a clip in the normal form.
//!
//! ```text
//!  picture packets ─▶ h264parse ─▶ avdec_h264 ─▶ frames
//!  sound packets ─▶ avdec_aac ─▶ audioconvert ─▶ audioresample ─▶ sound track
//! ```
//!
//! Where a file is to the byte what [`Mp4`] writes, all is known before anything is decoded: which streams it has,
//! where their packets lie and when each is shown. Packets then go to the decoders in the caller's thread, those of
//! no use not at all. What they hold may still be anybody's: the same elements decode it within the same limits as
//! in [`crate::Reader`], and give the same frames and sound. What they stumble over is left to the reader, which
//! can say what is wrong.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use counterpoint_core::media_job::Limits;
use gstreamer::prelude::*;
use gstreamer::{Buffer, Caps, ClockTime, FormattedSegment, Fraction};
use mp4_atom::{Atom, Moov};
use parking_lot::Mutex;

use crate::chain::Chain;
use crate::mp4::{AAC_FRAME, AAC_PRIMING, AacTrack, PicturePacket, PictureTrack};
use crate::reader::{Frame, frame_of, stream_time};
use crate::skipping::Skipping;
use crate::source_facts::SourceFacts;
use crate::{Budget, MediaError, Mp4, SoundTrack, elements};

/// Longest file that is looked at, in bytes: ten seconds at the encoder's highest rate, and some more.
const MOST_BYTES: u64 = 32 << 20;

/// Sound packets between two looks at the budget.
const PACKETS_A_LOOK: usize = 32;

/// A clip in the normal form being decoded.
#[derive(Debug)]
pub(crate) struct NormalForm {
    picture: Chain,
    packets: std::vec::IntoIter<PicturePacket>,
    frame_rate: u32,
    /// Packets that were taken from the file, that were decoded, and frames that came of them.
    taken: u64,
    pushed: u64,
    shown: u64,
    ended: bool,
    sound: Option<AacTrack>,
    skipping: Option<Arc<Skipping>>,
}

impl NormalForm {
    /// Opens a file with these tables; `None` of a file in any other form.
    pub(crate) fn open(
        file: &File,
        tables: &Moov,
        skipping: Option<Arc<Skipping>>,
        limits: &Limits,
    ) -> Option<Self> {
        let length = file.metadata().ok()?.len();
        if length > MOST_BYTES {
            return None;
        }
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        file.read_exact_at(&mut bytes, 0).ok()?;
        let clip = Mp4::read_exact(tables, &bytes)?;
        Some(Self {
            picture: picture_chain(&clip.picture, limits.clone()).ok()?,
            frame_rate: clip.picture.frame_rate,
            packets: clip.picture.packets.into_iter(),
            taken: 0,
            pushed: 0,
            shown: 0,
            ended: false,
            sound: clip.sound,
            skipping,
        })
    }

    /// The next frame in the order in which they are shown; `None` once the picture has ended.
    ///
    /// # Errors
    /// A reject when the budget is spent; a fault of the graph when the packets are not what they should be.
    pub(crate) fn next_frame(&mut self, budget: &mut Budget) -> Result<Option<Frame>, MediaError> {
        loop {
            budget.check()?;
            if let Some(sample) = self.picture.take() {
                let frame = frame_of(&sample).ok_or_else(|| odd("a frame without a time"))?;
                self.shown = self.shown.saturating_add(1);
                budget.count_frame(frame.buffer.size())?;
                return Ok(Some(frame));
            }
            match self.next_packet() {
                Some(packet) => {
                    self.pushed = self.pushed.saturating_add(1);
                    self.picture.push(packet)?;
                }
                None if !self.ended => {
                    self.ended = true;
                    self.picture.end()?;
                }
                None if self.shown == self.pushed => return Ok(None),
                None => return Err(odd("not every packet is a frame")),
            }
        }
    }

    /// Where the picture ends, in nanoseconds; known once every frame was read.
    pub(crate) fn end(&self) -> u64 {
        time_of(self.taken, 1, self.frame_rate)
    }

    /// Places the sound on `track`.
    ///
    /// # Errors
    /// As [`NormalForm::next_frame`].
    pub(crate) fn read_sound(&mut self, track: &mut SoundTrack, budget: &Budget) -> Result<(), MediaError> {
        let Some(sound) = self.sound.take() else { return Ok(()) };
        let chain = sound_chain(&sound, track.caps())?;
        // GStreamer's demuxer keeps the last packet of a track with an edit list back, and a clip sounds the same
        // whichever way it is read.
        let heard = sound.packets.len().saturating_sub(1);
        for (index, packet) in sound.packets.into_iter().take(heard).enumerate() {
            if index.is_multiple_of(PACKETS_A_LOOK) {
                budget.check()?;
            }
            chain.push(stamped(packet, index as u64, AAC_FRAME, sound.rate))?;
            if !place(&chain, track) {
                return Ok(());
            }
        }
        chain.end()?;
        place(&chain, track);
        Ok(())
    }

    /// The next packet that has to be decoded.
    fn next_packet(&mut self) -> Option<Buffer> {
        loop {
            let packet = self.packets.next()?;
            let index = self.taken;
            self.taken = index.saturating_add(1);
            let time = time_of(index, 1, self.frame_rate);
            let needless =
                self.skipping.as_ref().is_some_and(|skipping| skipping.is_needless(time, &packet.data));
            if !needless {
                return Some(stamped(packet.data, index, 1, self.frame_rate));
            }
        }
    }
}

/// Puts what came out of `chain` on `track`; false once that is full.
fn place(chain: &Chain, track: &mut SoundTrack) -> bool {
    while let Some(sample) = chain.take() {
        let Some((buffer, time)) = sample.buffer().zip(stream_time(&sample)) else { continue };
        let Ok(bytes) = buffer.map_readable() else { continue };
        if !track.place(time, bytes.as_slice()) {
            return false;
        }
    }
    true
}

fn picture_chain(track: &PictureTrack, limits: Limits) -> Result<Chain, MediaError> {
    let mut config = Vec::new();
    track.avcc.encode_body(&mut config).map_err(|error| odd(&error.to_string()))?;
    let rate = i32::try_from(track.frame_rate).map_err(|error| odd(&error.to_string()))?;
    let format = Caps::builder("video/x-h264")
        .field("stream-format", "avc")
        .field("alignment", "au")
        .field("codec_data", Buffer::from_mut_slice(config))
        .field("width", i32::from(track.width))
        .field("height", i32::from(track.height))
        .field("framerate", Fraction::new(rate, 1))
        .field("pixel-aspect-ratio", Fraction::new(1, 1))
        .build();
    let (parser, decoder) = (elements::make("h264parse")?, elements::make("avdec_h264")?);
    elements::restrain(&decoder);
    let facts = Mutex::new(SourceFacts::new(limits));
    if let Some(pad) = decoder.static_pad("sink") {
        elements::judge_formats(&pad, move |caps| facts.lock().size_allowed(caps));
    }
    Chain::new("picture", &[parser, decoder], &format, &FormattedSegment::new(), None)
}

fn sound_chain(track: &AacTrack, to: Caps) -> Result<Chain, MediaError> {
    let rate = i32::try_from(track.rate).map_err(|error| odd(&error.to_string()))?;
    let format = Caps::builder("audio/mpeg")
        .field("mpegversion", 4)
        .field("framed", true)
        .field("stream-format", "raw")
        .field("codec_data", Buffer::from_mut_slice(track.config.clone()))
        .field("rate", rate)
        .field("channels", i32::from(track.channels))
        .build();
    let names = ["avdec_aac", "audioconvert", "audioresample"];
    let chain: Result<Vec<_>, _> = names.into_iter().map(elements::make).collect();
    let chain = chain?;
    chain.iter().for_each(elements::restrain);
    // What the encoder needed to begin is decoded and not heard.
    let mut segment = FormattedSegment::<ClockTime>::new();
    let start = time_of(u64::from(AAC_PRIMING), 1, track.rate);
    segment.set_start(ClockTime::from_nseconds(start));
    segment.set_stop(ClockTime::from_nseconds(start.saturating_add(time_of(track.frames, 1, track.rate))));
    segment.set_time(ClockTime::ZERO);
    Chain::new("sound", &chain, &format, &segment, Some(to))
}

/// The packet number `index` of a stream, each of which lasts `length` units of `rate` a second.
fn stamped(packet: Vec<u8>, index: u64, length: u32, rate: u32) -> Buffer {
    let (start, end) = (time_of(index, length, rate), time_of(index.saturating_add(1), length, rate));
    let mut buffer = Buffer::from_mut_slice(packet);
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_pts(ClockTime::from_nseconds(start));
        buffer.set_dts(ClockTime::from_nseconds(start));
        buffer.set_duration(ClockTime::from_nseconds(end.saturating_sub(start)));
    }
    buffer
}

/// Nanoseconds before the packet number `index`.
fn time_of(index: u64, length: u32, rate: u32) -> u64 {
    let units = u128::from(index).saturating_mul(u128::from(length));
    u64::try_from(units.saturating_mul(1_000_000_000) / u128::from(rate.max(1))).unwrap_or(u64::MAX)
}

/// The clip is in the normal form, and what its packets hold is not.
fn odd(detail: &str) -> MediaError {
    MediaError::graph("normal form", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_down_and_never_overflow() {
        assert_eq!(time_of(1, AAC_FRAME, 48_000), 21_333_333);
        assert_eq!(time_of(3, 1, 30), 100_000_000);
        assert_eq!(time_of(u64::MAX, u32::MAX, 0), u64::MAX);
    }
}
