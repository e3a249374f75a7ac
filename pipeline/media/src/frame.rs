//! A frame on its way from the reader.

use gstreamer_video::VideoInfo;

/// One decoded frame.
#[derive(Debug)]
pub struct Frame {
    /// The pixels as decoded.
    pub buffer: gstreamer::Buffer,
    /// Their format and size.
    pub info: VideoInfo,
    /// When it is shown, in nanoseconds from the start of the file.
    pub time: u64,
    /// For how long, in nanoseconds, where the file says so.
    pub duration: Option<u64>,
}
