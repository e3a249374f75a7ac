//! Small films, made by GStreamer in a fraction of a second.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Length of a film in seconds.
pub const SECONDS: u32 = 4;

/// Pixels on a side.
pub const SIZE: u32 = 56;

/// Streams of a film.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streams {
    /// A picture and a sound.
    Both,
    /// No sound.
    Picture,
    /// No picture.
    Sound,
}

/// A film to be made: a ball in a colour of its own that rolls about, and a tone of its own.
#[derive(Debug, Clone)]
pub struct Film {
    /// File to be written, as mp4 (H.264, AAC).
    pub path: PathBuf,
    /// Tells its colour and its tone from those of other films.
    pub number: u32,
    /// What is in it.
    pub streams: Streams,
}

impl Film {
    /// A film with picture and sound.
    pub fn new(path: &Path, number: u32) -> Self {
        Self { path: path.to_owned(), number, streams: Streams::Both }
    }

    fn graph(&self) -> String {
        let Self { path, number, streams } = self;
        let mux = format!("mux{number}");
        let mut graph = format!(" mp4mux name={mux} ! filesink location={} ", path.display());
        if *streams != Streams::Sound {
            let colour = 0xff40_4040 + number.wrapping_mul(0x0033_1507) % 0x00bf_bfbf;
            let frames = SECONDS * 25;
            graph.push_str(&format!(
                "videotestsrc pattern=ball foreground-color={colour} num-buffers={frames} ! \
                 video/x-raw,format=I420,width={SIZE},height={SIZE},framerate=25/1 ! \
                 x264enc speed-preset=ultrafast threads=1 ! h264parse ! queue ! {mux}. "
            ));
        }
        if *streams != Streams::Picture {
            let (hertz, buffers) = (200 + 70 * number, SECONDS * 10);
            graph.push_str(&format!(
                "audiotestsrc freq={hertz} volume=0.3 samplesperbuffer=4800 num-buffers={buffers} ! \
                 audio/x-raw,rate=48000,channels=1 ! avenc_aac ! aacparse ! queue ! {mux}. "
            ));
        }
        graph
    }
}

/// Makes films, all in one go; their numbers must differ.
///
/// # Panics
/// If GStreamer cannot.
pub fn make(films: &[Film]) {
    if films.is_empty() {
        return;
    }
    let graphs: String = films.iter().map(Film::graph).collect();
    let made = Command::new("gst-launch-1.0").arg("-q").args(graphs.split_whitespace()).output();
    match made {
        Ok(made) if made.status.success() => {}
        other => panic!("gst-launch-1.0 (package gstreamer1.0-tools) made no films: {other:?}"),
    }
}
