//! Sound without loss.
//!
//! ```text
//!  appsrc (S16) ─▶ audioconvert ─▶ flacenc ─▶ filesink
//!  filesrc ─▶ flacparse ─▶ flacdec ─▶ audioconvert ─▶ appsink (S16)
//! ```

use std::path::Path;

use counterpoint_messages::RejectReason;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};

use crate::graph::Running;
use crate::{MediaError, Pcm};

const WRITER: &str = "flac writer";
const READER: &str = "flac reader";

/// Writes `pcm` to the file at `path`.
///
/// # Errors
/// When the file cannot be written or the elements are missing.
pub fn write_flac(pcm: &Pcm, path: &Path) -> Result<(), MediaError> {
    let (rate, channels) = (pcm.rate, pcm.channels);
    let running = Running::launch(
        WRITER,
        &format!(
            "appsrc name=source format=time max-bytes=0 \
             caps=audio/x-raw,format=S16LE,layout=interleaved,rate={rate},channels={channels} \
             ! audioconvert ! flacenc ! filesink name=sink"
        ),
    )?;
    running.element::<gstreamer::Element>(WRITER, "sink")?.set_property("location", path);
    let source: AppSrc = running.element(WRITER, "source")?;
    running.play(WRITER)?;
    running.push(WRITER, &source, pcm.to_buffer())?;
    source.end_of_stream().map_err(|flow| MediaError::graph(WRITER, format!("{flow:?}")))?;
    running.wait_for_end(WRITER)
}

/// Reads the file at `path`.
///
/// # Errors
/// A reject when it is no FLAC.
pub fn read_flac(path: &Path) -> Result<Pcm, MediaError> {
    let running = Running::launch(
        READER,
        "filesrc name=source ! flacparse ! flacdec ! audioconvert \
         ! audio/x-raw,format=S16LE,layout=interleaved ! appsink name=sink sync=false max-buffers=16",
    )?;
    running.element::<gstreamer::Element>(READER, "source")?.set_property("location", path);
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
