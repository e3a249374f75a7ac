//! The valid films that everything hostile is made from, a second long and a few kilobytes each.

use std::{fs, path::Path, process::Command};

use counterpoint_core::corpus::{ClipFormat, ClipScript, ToyClass};
use counterpoint_worker::WorkerPool;

/// Seconds of each film.
pub const SECONDS: u16 = 1;

/// Frames of each film.
pub(super) const FRAMES: u32 = 15;

/// Films by container, as bytes.
#[derive(Debug)]
pub struct Films {
    /// mp4 whose index stands in front: the pipeline's own.
    pub(super) early: Vec<u8>,
    /// mp4 whose index stands behind, with frames out of order and an edit list.
    pub(super) late: Vec<u8>,
    /// The same in another size, with another kind of sound.
    pub(super) other: Vec<u8>,
    /// mp4 in fragments.
    pub(super) fragments: Vec<u8>,
    /// QuickTime with PCM.
    pub(super) mov: Vec<u8>,
    /// Eight channels at 192 kHz.
    pub(super) wide: Vec<u8>,
    /// Matroska with H.264 and AAC.
    pub(super) mkv: Vec<u8>,
    /// WebM with VP8 and Vorbis.
    pub(super) webm: Vec<u8>,
    /// WebM as it is streamed: no lengths, no index.
    pub(super) streamed: Vec<u8>,
    /// AVI.
    pub(super) avi: Vec<u8>,
    /// No sound.
    pub(super) mute: Vec<u8>,
    /// No picture.
    pub(super) blind: Vec<u8>,
    /// One frame of 4096x2304 black pixels.
    pub(super) vast: Vec<u8>,
    /// A png, a wav and an ogg: media, but no films.
    pub(super) strangers: Vec<(&'static str, Vec<u8>)>,
}

impl Films {
    /// Makes them in `folder`, and takes them out again.
    ///
    /// # Panics
    /// If GStreamer or the pipeline cannot.
    pub fn make(pool: &WorkerPool, folder: &Path) -> Self {
        let path = |name: &str| folder.join(name).display().to_string();
        let picture = |width: u32, height: u32| {
            format!(
                "videotestsrc pattern=ball num-buffers={FRAMES} ! \
                 video/x-raw,format=I420,width={width},height={height},framerate={FRAMES}/{SECONDS} !"
            )
        };
        let sound = |rate: u32, channels: u32| {
            format!(
                "audiotestsrc freq=440 volume=0.3 samplesperbuffer={} num-buffers=10 ! \
                 audio/x-raw,format=S16LE,rate={rate},channels={channels} ! audioconvert !",
                rate / 10
            )
        };
        let h264 = "x264enc speed-preset=ultrafast threads=1 bframes=2 key-int-max=8 ! h264parse ! queue !";
        let aac = "avenc_aac ! aacparse ! queue !";
        let (small, mono) = (picture(64, 48), sound(16_000, 1));
        let film = |name: &str, muxer: &str, streams: &[(&str, &str)]| {
            let streams = streams.iter().map(|(raw, coder)| format!("{raw} {coder} {name}. "));
            format!("{muxer} name={name} ! filesink location={} {} ", path(name), streams.collect::<String>())
        };
        let eight = "audiotestsrc freq=440 volume=0.3 samplesperbuffer=19200 num-buffers=10 ! \
                     audio/x-raw,format=S16LE,rate=192000,channels=8,channel-mask=(bitmask)0xc3f !";
        let graphs = [
            film("late", "mp4mux", &[(&small, h264), (&mono, aac)]),
            film("other", "mp4mux", &[(&picture(96, 32), h264), (&sound(44_100, 2), aac)]),
            film("fragments", "mp4mux fragment-duration=250", &[(&small, h264), (&mono, aac)]),
            film("mov", "qtmux", &[(&small, h264), (&mono, "queue !")]),
            film("wide", "matroskamux", &[(&small, h264), (eight, "queue !")]),
            film("mkv", "matroskamux", &[(&small, h264), (&mono, aac)]),
            film(
                "webm",
                "webmmux",
                &[(&small, "vp8enc deadline=1 ! queue !"), (&mono, "vorbisenc ! queue !")],
            ),
            film(
                "streamed",
                "webmmux streamable=true",
                &[(&small, "vp8enc deadline=1 ! queue !"), (&mono, "vorbisenc ! queue !")],
            ),
            film("avi", "avimux", &[(&small, "avenc_mpeg4 ! queue !"), (&mono, "queue !")]),
            film("mute", "mp4mux", &[(&small, h264)]),
            film("blind", "mp4mux", &[(&mono, aac)]),
            film(
                "vast",
                "mp4mux",
                &[
                    (
                        "videotestsrc pattern=black num-buffers=1 ! \
                         video/x-raw,format=I420,width=4096,height=2304,framerate=1/1 !",
                        "x264enc speed-preset=ultrafast threads=1 ! h264parse ! queue !",
                    ),
                    (&mono, aac),
                ],
            ),
            format!(
                "videotestsrc num-buffers=1 ! video/x-raw,width=64,height=48 ! pngenc ! filesink location={} ",
                path("png")
            ),
            format!("{mono} wavenc ! filesink location={} ", path("wav")),
            format!("{mono} vorbisenc ! oggmux ! filesink location={} ", path("ogg")),
        ];
        let made = Command::new("gst-launch-1.0").arg("-q").args(graphs.concat().split_whitespace()).output();
        match made {
            Ok(made) if made.status.success() => {}
            other => panic!("gst-launch-1.0 (package gstreamer1.0-tools) made no films: {other:?}"),
        }
        let format = ClipFormat { size: 48, frame_rate: 10, seconds: SECONDS, ..ClipFormat::default() };
        let script =
            ClipScript { picture: ToyClass::ALL[0], sound: ToyClass::ALL[0], fault: None, seed: 1, format };
        if let Err(fault) = pool.synthesize(&script, &folder.join("early")) {
            panic!("the pipeline made no film: {fault}");
        }
        let read = |name: &str| {
            let bytes = fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
            let _ = fs::remove_file(folder.join(name));
            bytes
        };
        Self {
            early: read("early"),
            late: read("late"),
            other: read("other"),
            fragments: read("fragments"),
            mov: read("mov"),
            wide: read("wide"),
            mkv: read("mkv"),
            webm: read("webm"),
            streamed: read("streamed"),
            avi: read("avi"),
            mute: read("mute"),
            blind: read("blind"),
            vast: read("vast"),
            strangers: ["png", "wav", "ogg"].map(|name| (name, read(name))).to_vec(),
        }
    }
}
