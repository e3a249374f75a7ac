use std::fs::File;
use std::io::{Read as _, Write as _};

use counterpoint_core::media_job::{ComposeOutcome, ComposeRequest};
use counterpoint_messages::{Recipe, RejectReason};
use gstreamer_video::{VideoFormat, VideoFrame, VideoInfo};

use crate::mp4::PictureTrack;
use crate::picture::Colours;
use crate::{AacTrack, H264Encoder, MediaError, Mp4, Pcm, encode_aac, read_flac};

/// A parent of a variant: its normalised mp4 and the FLAC of its sound.
#[derive(Debug, Clone, Copy)]
pub struct ParentFiles<'a> {
    /// The normalised mp4.
    pub video: &'a File,
    /// The FLAC.
    pub sound: &'a File,
}

/// Writes the variant of `host` that `request` asks for to `out`.
///
/// Packets are copied wherever the recipe leaves a stream as it is; a mixed or moved sound is encoded once,
/// from the FLACs, with the settings of every other clip. All variants leave through one writer, so those
/// with picture and sound differ in nothing but content.
///
/// # Errors
/// A reject when a parent is no normalised clip or does not fit the recipe; otherwise a fault of ours.
pub fn compose(
    request: &ComposeRequest,
    host: ParentFiles<'_>,
    donors: &[ParentFiles<'_>],
    out: &mut File,
) -> Result<ComposeOutcome, MediaError> {
    let mut clip = read_clip(host.video)?;
    match request.recipe {
        Recipe::Aligned => {}
        Recipe::Misaligned | Recipe::Swapped => {
            let donor = donors.first().ok_or_else(|| needs_donor(request.recipe))?;
            clip.sound = Some(fitting_sound(read_clip(donor.video)?, &clip)?);
        }
        Recipe::Mixup { snr_db } => {
            if donors.is_empty() {
                return Err(needs_donor(request.recipe));
            }
            let donors: Result<Vec<Pcm>, _> = donors.iter().map(|donor| read_flac(donor.sound)).collect();
            let mixed = read_flac(host.sound)?.mixed(&donors?, snr_db, request.loudness_lufs)?;
            clip.sound = Some(encode_aac(&mixed)?);
        }
        Recipe::Shift { offset_ms } => {
            let moved = read_flac(host.sound)?.shifted(offset_ms, request.loudness_lufs)?;
            clip.sound = Some(encode_aac(&moved)?);
        }
        Recipe::AudioRemoved => clip.sound = None,
        Recipe::FramesZeroed => clip.picture = black(&clip.picture)?,
    }
    let bytes = clip.to_bytes()?;
    out.write_all(&bytes).map_err(MediaError::Output)?;
    Ok(ComposeOutcome {
        duration_ms: clip.duration_ms(),
        bytes: bytes.len() as u64,
        video_packets: clip.picture.packets.len() as u64,
        audio_packets: clip.sound.map_or(0, |sound| sound.packets.len() as u64),
    })
}

fn read_clip(mut file: &File) -> Result<Mp4, MediaError> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| {
        MediaError::reject(RejectReason::UnreadableFile, format!("{error}; prepare the clip again"))
    })?;
    Mp4::read(&bytes)
}

/// The donor's sound, when it is as long as the host's own.
fn fitting_sound(donor: Mp4, host: &Mp4) -> Result<AacTrack, MediaError> {
    let form = |sound: &AacTrack| (sound.rate, sound.channels, sound.frames, sound.packets.len());
    let theirs = donor.sound.ok_or_else(|| {
        MediaError::reject(RejectReason::NoSound, "the donor has no sound; choose another donor")
    })?;
    match &host.sound {
        Some(ours) if form(ours) != form(&theirs) => Err(MediaError::reject(
            RejectReason::CorruptMedia,
            format!(
                "the donor's sound has {} packets, the host's {}; prepare both with the same settings",
                theirs.packets.len(),
                ours.packets.len()
            ),
        )),
        _ => Ok(theirs),
    }
}

fn needs_donor(recipe: Recipe) -> MediaError {
    MediaError::graph("compose", format!("{} needs a donor and was given none", recipe.name()))
}

/// As many black frames of the same size at the same rate.
fn black(picture: &PictureTrack) -> Result<PictureTrack, MediaError> {
    let fault = |error: &dyn std::fmt::Display| MediaError::graph("compose", error);
    let info = VideoInfo::builder(VideoFormat::I420, u32::from(picture.width), u32::from(picture.height))
        .build()
        .map_err(|error| fault(&error))?;
    let buffer = gstreamer::Buffer::with_size(info.size()).map_err(|error| fault(&error))?;
    let mut frame = VideoFrame::from_buffer_writable(buffer, &info)
        .map_err(|_| MediaError::graph("compose", "a new frame cannot be written"))?;
    for (plane, code) in [(0, 16), (1, 128), (2, 128)] {
        frame.plane_data_mut(plane).map_err(|error| fault(&error))?.fill(code);
    }
    let mut encoder = H264Encoder::new(picture.width, picture.height, picture.frame_rate, Colours::Bt601)?;
    encoder.push(&frame.into_buffer(), picture.packets.len() as u64)?;
    encoder.finish()
}
