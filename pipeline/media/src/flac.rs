//! Sound without loss.
//!
//! ```text
//!  appsrc (S16) ─▶ audioconvert ─▶ flacenc ─▶ fdsink
//!  file ─▶ flacparse ─▶ flacdec ─▶ audioconvert ─▶ appsink (S16)
//! ```

use std::fs::File;
use std::os::fd::AsRawFd;

use counterpoint_messages::RejectReason;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};

use crate::file_source::FileSource;
use crate::graph::Running;
use crate::{MediaError, Pcm};

const WRITER: &str = "flac writer";
const READER: &str = "flac reader";

/// Writes `pcm` to `file`, which is empty.
///
/// # Errors
/// When the file cannot be written or the elements are missing.
pub fn write_flac(pcm: &Pcm, file: &File) -> Result<(), MediaError> {
    let (rate, channels) = (pcm.rate, pcm.channels);
    let running = Running::launch(
        WRITER,
        &format!(
            "appsrc name=source format=time max-bytes=0 \
             caps=audio/x-raw,format=S16LE,layout=interleaved,rate={rate},channels={channels} \
             ! audioconvert ! flacenc ! fdsink name=sink"
        ),
    )?;
    running.element::<gstreamer::Element>(WRITER, "sink")?.set_property("fd", file.as_raw_fd());
    let source: AppSrc = running.element(WRITER, "source")?;
    running.play(WRITER)?;
    running.push(WRITER, &source, pcm.to_buffer())?;
    source.end_of_stream().map_err(|flow| MediaError::graph(WRITER, format!("{flow:?}")))?;
    running.wait_for_end(WRITER)
}

/// Reads `file`.
///
/// # Errors
/// A reject when it is no FLAC.
pub fn read_flac(file: &File) -> Result<Pcm, MediaError> {
    let running = Running::launch(
        READER,
        "flacparse name=first ! flacdec ! audioconvert \
         ! audio/x-raw,format=S16LE,layout=interleaved ! appsink name=sink sync=false max-buffers=16",
    )?;
    let source = FileSource::new(file).map_err(|error| MediaError::graph(READER, error))?;
    let first: gstreamer::Element = running.element(READER, "first")?;
    running.0.add(&source).map_err(|error| MediaError::graph(READER, error))?;
    source.link(&first).map_err(|error| MediaError::graph(READER, error))?;
    let sink: AppSink = running.element(READER, "sink")?;
    running.play(READER)?;
    let mut pcm = Pcm { rate: 0, channels: 0, samples: Vec::new() };
    while let Ok(sample) = sink.pull_sample() {
        if let Some(structure) = sample.caps().and_then(|caps| caps.structure(0)) {
            let number = |name| structure.get::<i32>(name).map_or(0, |value| value.max(0).unsigned_abs());
            (pcm.rate, pcm.channels) = (number("rate"), number("channels"));
        }
        if let Some(buffer) = sample.buffer() {
            let bytes = buffer.map_readable().map_err(|error| MediaError::graph(READER, error))?;
            pcm.samples.extend(bytes.as_chunks::<2>().0.iter().map(|sample| i16::from_le_bytes(*sample)));
        }
    }
    if let Some(fault) = running.pending_error(READER) {
        return Err(MediaError::reject(
            RejectReason::CorruptMedia,
            format!("the sound cannot be read ({fault}); prepare the clip again"),
        ));
    }
    Ok(pcm)
}
