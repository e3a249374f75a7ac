//! Coded picture from raw frames.
//!
//! ```text
//!  appsrc (I420) ─▶ x264enc (one thread) ─▶ appsink ─▶ packets
//! ```

use std::sync::Arc;

use gstreamer::ClockTime;
use gstreamer_app::{AppSink, AppSinkCallbacks, AppSrc};
use mp4_atom::{Atom, Avcc};
use parking_lot::Mutex;

use crate::MediaError;
use crate::graph::Running;
use crate::mp4::{PicturePacket, PictureTrack};
use crate::picture::Colours;

const GRAPH: &str = "h264 encoder";

/// Raw frames that may wait before the encoder.
const FRAMES_IN_FLIGHT: u32 = 4;

/// Encodes I420 frames of one size at one rate.
///
/// Constant quality; every frame is shown in the order in which it is coded (no B frames), a key frame at
/// each full second and nowhere else, so that sampling a few frames a second decodes little more than half
/// of them. One thread, as the bytes depend on their number. The rate cap, far above what these sizes need,
/// keeps x264's own default from starving a busy picture.
#[derive(Debug)]
pub struct H264Encoder {
    running: Running,
    source: AppSrc,
    coded: Arc<Mutex<Coded>>,
    settings: (u16, u16, u32),
    pushed: u64,
}

#[derive(Debug, Default)]
struct Coded {
    packets: Vec<PicturePacket>,
    config: Option<Vec<u8>>,
}

impl H264Encoder {
    /// An encoder of `width` x `height` pixels, both even, at `frame_rate` a second.
    ///
    /// # Errors
    /// When the elements are missing or do not take the size.
    pub fn new(width: u16, height: u16, frame_rate: u32, colours: Colours) -> Result<Self, MediaError> {
        let colours = colours.name();
        let rate = frame_rate.max(1);
        let tree = has_deterministic_tree(width);
        let running = Running::launch(
            GRAPH,
            &format!(
                "appsrc name=source format=time block=true max-buffers={FRAMES_IN_FLIGHT} max-bytes=0 \
                 caps=video/x-raw,format=I420,width={width},height={height},framerate={rate}/1,\
                 colorimetry={colours},pixel-aspect-ratio=1/1,interlace-mode=progressive \
                 ! x264enc threads=1 sync-lookahead=0 speed-preset=veryfast pass=qual quantizer=19 mb-tree={tree} \
                 bitrate=20000 vbv-buf-capacity=1000 bframes=0 key-int-max={rate} option-string=scenecut=0 \
                 ! video/x-h264,stream-format=avc,alignment=au,profile=high \
                 ! appsink name=sink sync=false"
            ),
        )?;
        let source: AppSrc = running.element(GRAPH, "source")?;
        let sink: AppSink = running.element(GRAPH, "sink")?;
        let coded = Arc::new(Mutex::new(Coded::default()));
        let collected = Arc::clone(&coded);
        sink.set_callbacks(
            AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_| gstreamer::FlowError::Eos)?;
                    let mut coded = collected.lock();
                    if coded.config.is_none() {
                        coded.config = codec_data(&sample);
                    }
                    if let Some(buffer) = sample.buffer() {
                        let data = buffer.map_readable().map_err(|_| gstreamer::FlowError::Error)?.to_vec();
                        let key = !buffer.flags().contains(gstreamer::BufferFlags::DELTA_UNIT);
                        coded.packets.push(PicturePacket { data, key });
                    }
                    Ok(gstreamer::FlowSuccess::Ok)
                })
                .build(),
        );
        running.play(GRAPH)?;
        Ok(Self { running, source, coded, settings: (width, height, rate), pushed: 0 })
    }

    /// Encodes `frame` `times` times in a row.
    ///
    /// # Errors
    /// When the encoder broke.
    pub fn push(&mut self, frame: &gstreamer::Buffer, times: u64) -> Result<(), MediaError> {
        let rate = u64::from(self.settings.2);
        for _ in 0..times {
            let at = |frame: u64| ClockTime::from_nseconds(frame.saturating_mul(1_000_000_000) / rate);
            // The pixels are shared, only the times are this buffer's own.
            let mut stamped = frame.copy();
            {
                let stamped = stamped.make_mut();
                stamped.set_pts(at(self.pushed));
                stamped.set_dts(ClockTime::NONE);
                stamped.set_duration(at(self.pushed + 1).saturating_sub(at(self.pushed)));
            }
            self.running.push(GRAPH, &self.source, stamped)?;
            self.pushed += 1;
        }
        Ok(())
    }

    /// Ends the stream and gives its packets, one for each frame pushed.
    ///
    /// # Errors
    /// When the encoder broke.
    pub fn finish(self) -> Result<PictureTrack, MediaError> {
        self.source.end_of_stream().map_err(|flow| MediaError::graph(GRAPH, format!("{flow:?}")))?;
        self.running.wait_for_end(GRAPH)?;
        let coded = std::mem::take(&mut *self.coded.lock());
        let config = coded.config.ok_or_else(|| MediaError::graph(GRAPH, "no decoder configuration"))?;
        let avcc =
            Avcc::decode_body(&mut config.as_slice()).map_err(|error| MediaError::graph(GRAPH, error))?;
        if coded.packets.len() as u64 != self.pushed {
            let (packets, frames) = (coded.packets.len(), self.pushed);
            return Err(MediaError::graph(GRAPH, format!("{packets} packets for {frames} frames")));
        }
        let (width, height, frame_rate) = self.settings;
        Ok(PictureTrack { width, height, frame_rate, packets: coded.packets, avcc })
    }
}

/// Whether x264's macroblock tree gives the same bytes each time at this width in pixels.
///
/// Its vectors of 16 macroblocks read beyond the end of a row that they do not fill (x264 r3095 with AVX-512),
/// so what memory held before gets into the quantizers. The tree saves a few per cent of the bytes.
fn has_deterministic_tree(width: u16) -> bool {
    width.div_ceil(16).is_multiple_of(16)
}

/// The decoder configuration that a sample's format carries.
pub(crate) fn codec_data(sample: &gstreamer::Sample) -> Option<Vec<u8>> {
    let buffer = sample.caps()?.structure(0)?.get::<gstreamer::Buffer>("codec_data").ok()?;
    Some(buffer.map_readable().ok()?.to_vec())
}
