//! Coded sound from PCM.
//!
//! ```text
//!  appsrc (S16) ─▶ audioconvert ─▶ avenc_aac ─▶ appsink ─▶ packets
//! ```

use gstreamer_app::{AppSink, AppSrc};

use crate::graph::Running;
use crate::h264::codec_data;
use crate::mp4::AacTrack;
use crate::{MediaError, Pcm};

const GRAPH: &str = "aac encoder";

/// Bits a second.
const BITRATE: u32 = 128_000;

/// Encodes `pcm` from its first sample to its last.
///
/// The encoder's fast search (`aac-coder=fast`) takes half the time and comes no less close, but the sizes of its packets
/// tell a moved or mixed sound from a clip's own.
///
/// # Errors
/// When the elements are missing or the encoder breaks.
pub fn encode_aac(pcm: &Pcm) -> Result<AacTrack, MediaError> {
    let (rate, channels) = (pcm.rate, pcm.channels);
    let running = Running::launch(
        GRAPH,
        &format!(
            "appsrc name=source format=time max-bytes=0 \
             caps=audio/x-raw,format=S16LE,layout=interleaved,rate={rate},channels={channels} \
             ! audioconvert ! avenc_aac bitrate={BITRATE} ! audio/mpeg,stream-format=raw \
             ! appsink name=sink sync=false"
        ),
    )?;
    let source: AppSrc = running.element(GRAPH, "source")?;
    let sink: AppSink = running.element(GRAPH, "sink")?;
    running.play(GRAPH)?;
    running.push(GRAPH, &source, pcm.to_buffer())?;
    source.end_of_stream().map_err(|flow| MediaError::graph(GRAPH, format!("{flow:?}")))?;
    let mut packets = Vec::new();
    let mut config = None;
    while let Ok(sample) = sink.pull_sample() {
        if config.is_none() {
            config = codec_data(&sample);
        }
        if let Some(buffer) = sample.buffer() {
            let bytes = buffer.map_readable().map_err(|error| MediaError::graph(GRAPH, error))?;
            packets.push(bytes.to_vec());
        }
    }
    running.wait_for_end(GRAPH)?;
    Ok(AacTrack {
        rate,
        channels: u16::try_from(channels).map_err(|error| MediaError::graph(GRAPH, error))?,
        frames: pcm.frames() as u64,
        bitrate: BITRATE,
        packets,
        config: config.ok_or_else(|| MediaError::graph(GRAPH, "no decoder configuration"))?,
    })
}
