use std::fs::File;
use std::io::Write as _;

use gstreamer_video::{VideoConverter, VideoFormat, VideoFrame, VideoFrameRef, VideoInfo};

use crate::picture::Colours;
use crate::{H264Encoder, MediaError, Mp4, Pcm, encode_aac};

/// Encodes `frames` of packed RGB and `pcm` as an mp4 to `out`; gives the length of the file in bytes.
///
/// Width and height are even; each frame holds `width * height * 3` bytes.
///
/// # Errors
/// When a frame has another size, the encoders break or the file cannot be written.
pub fn encode_clip(
    width: u16,
    height: u16,
    frame_rate: u32,
    frames: impl Iterator<Item = Vec<u8>>,
    pcm: Option<&Pcm>,
    out: &mut File,
) -> Result<u64, MediaError> {
    let fault = |error: &dyn std::fmt::Display| MediaError::graph("synthesize", error);
    let rgb = VideoInfo::builder(VideoFormat::Rgb, u32::from(width), u32::from(height));
    // Rows are packed, where GStreamer would pad each to four bytes.
    let row = i32::from(width) * 3;
    let rgb = rgb.stride(&[row]).offset(&[0]).build().map_err(|error| fault(&error))?;
    let colorimetry = Colours::Bt601.colorimetry()?;
    let yuv = VideoInfo::builder(VideoFormat::I420, u32::from(width), u32::from(height));
    let yuv = yuv.colorimetry(&colorimetry).build().map_err(|error| fault(&error))?;
    let converter = VideoConverter::new(&rgb, &yuv, None).map_err(|error| fault(&error))?;
    let packed = usize::from(width) * usize::from(height) * 3;
    let mut encoder = H264Encoder::new(width, height, frame_rate, Colours::Bt601)?;
    for frame in frames {
        if frame.len() != packed {
            return Err(MediaError::graph(
                "synthesize",
                format!("a frame has {} bytes instead of {packed}", frame.len()),
            ));
        }
        let source = gstreamer::Buffer::from_slice(frame);
        let unusable = |_| MediaError::graph("synthesize", "a frame cannot be read");
        let source = VideoFrameRef::from_buffer_ref_readable(&source, &rgb).map_err(unusable)?;
        let buffer = gstreamer::Buffer::with_size(yuv.size()).map_err(|error| fault(&error))?;
        let mut target = VideoFrame::from_buffer_writable(buffer, &yuv)
            .map_err(|_| MediaError::graph("synthesize", "a new frame cannot be written"))?;
        converter.frame_ref(&source, &mut target.as_mut_video_frame_ref());
        encoder.push(&target.into_buffer(), 1)?;
    }
    let clip = Mp4 { picture: encoder.finish()?, sound: pcm.map(encode_aac).transpose()? };
    let bytes = clip.to_bytes()?;
    out.write_all(&bytes).map_err(MediaError::Output)?;
    Ok(bytes.len() as u64)
}
