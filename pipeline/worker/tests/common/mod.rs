//! What the tests of the worker share: a pool on the program that cargo just built, and inputs made by
//! GStreamer on the fly.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use counterpoint_core::media_job::{Limits, MediaReject, PrepareRequest, SampleRequest, ShortClips};
use counterpoint_worker::{Prepared, Sampled, WorkerPool, WorkerSettings};
use gstreamer::prelude::*;

/// A pool of two workers under `limits`.
pub fn pool_with(limits: Limits) -> WorkerPool {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_counterpoint-worker"));
    WorkerPool::new(WorkerSettings { program, workers: 2, limits, wall: Duration::from_secs(120) }).unwrap()
}

/// A pool of two workers under the default limits.
pub fn pool() -> WorkerPool {
    pool_with(Limits::default())
}

/// Small normal form, so that the suite is quick.
pub fn small() -> PrepareRequest {
    PrepareRequest { size: 64, ..PrepareRequest::default() }
}

/// Small normal form that pads.
pub fn padded() -> PrepareRequest {
    PrepareRequest { short: ShortClips::Pad, ..small() }
}

/// Frames of 16 pixels.
pub fn tiny_sample(frames_per_second: f64) -> SampleRequest {
    SampleRequest { frames_per_second, size: 16, rate: 16_000 }
}

/// Prepares a clip that must be accepted.
pub fn prepared(pool: &WorkerPool, input: &Path, request: &PrepareRequest, scratch: &Path) -> Prepared {
    match pool.prepare(input, request, scratch).unwrap() {
        Ok(prepared) => prepared,
        Err(reject) => panic!("{} was rejected: {reject:?}", input.display()),
    }
}

/// Prepares a file that must be rejected.
pub fn rejected(pool: &WorkerPool, input: &Path, request: &PrepareRequest) -> MediaReject {
    let scratch = tempfile::tempdir().unwrap();
    match pool.prepare(input, request, scratch.path()).unwrap() {
        Ok(prepared) => panic!("{} was accepted: {prepared:?}", input.display()),
        Err(reject) => {
            assert!(reject.detail.contains(';'), "no remedy in {:?}", reject.detail);
            reject
        }
    }
}

/// Samples a file that must be accepted.
pub fn sampled(pool: &WorkerPool, input: &Path, request: &SampleRequest) -> Sampled {
    match pool.sample(input, request).unwrap() {
        Ok(sampled) => sampled,
        Err(reject) => panic!("{} was rejected: {reject:?}", input.display()),
    }
}

/// Runs a pipeline of `gst-launch` syntax to its end.
pub fn launch(line: &str) {
    gstreamer::init().unwrap();
    let pipeline = gstreamer::parse::launch(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    pipeline.set_state(gstreamer::State::Playing).unwrap_or_else(|error| panic!("{line}: {error}"));
    let wanted = [gstreamer::MessageType::Eos, gstreamer::MessageType::Error];
    let message = pipeline.bus().unwrap().timed_pop_filtered(gstreamer::ClockTime::from_seconds(60), &wanted);
    pipeline.set_state(gstreamer::State::Null).unwrap();
    match message.as_ref().map(|message| message.view()) {
        Some(gstreamer::MessageView::Eos(_)) => {}
        Some(gstreamer::MessageView::Error(error)) => panic!("{line}: {} {:?}", error.error(), error.debug()),
        _ => panic!("{line}: no end within a minute"),
    }
}

/// The picture part of a test clip: a moving ball.
pub fn ball(width: u32, height: u32, rate: &str, frames: u32) -> String {
    format!(
        "videotestsrc pattern=ball num-buffers={frames} ! \
         video/x-raw,format=I420,width={width},height={height},framerate={rate}"
    )
}

/// The sound part of a test clip: a tone for so many seconds.
pub fn tone(hertz: u32, channels: u32, rate: u32, seconds: u32) -> String {
    let (buffer, buffers) = (rate / 10, seconds * 10);
    format!(
        "audiotestsrc freq={hertz} volume=0.3 samplesperbuffer={buffer} num-buffers={buffers} ! \
         audio/x-raw,rate={rate},channels={channels} ! audioconvert"
    )
}

/// Writes a clip: picture, its coder, sound, its coder, container, file.
pub fn clip(picture: &str, video: &str, sound: &str, audio: &str, muxer: &str, file: &Path) {
    launch(&format!(
        "{muxer} name=mux ! filesink location={} {picture} ! {video} ! queue max-size-time=0 max-size-buffers=0 \
         max-size-bytes=0 ! mux. {sound} ! {audio} ! queue max-size-time=0 max-size-buffers=0 max-size-bytes=0 ! mux.",
        file.display()
    ));
}

/// H.264 as fast as it goes.
pub const H264: &str = "x264enc speed-preset=ultrafast threads=1 key-int-max=25 ! h264parse";

/// AAC.
pub const AAC: &str = "avenc_aac ! aacparse";

/// A common clip of ten seconds.
pub fn plain_clip(file: &Path) {
    clip(&ball(128, 96, "25/1", 250), H264, &tone(440, 2, 44_100, 10), AAC, "mp4mux", file);
}

/// Folder of the real clips, beside the workspace.
pub fn real_clips() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/clips")
}

/// Pixels on a side of a clip of [`gray_frames`], in quarters of which a frame's number is written.
const GRAY_SIDE: u32 = 64;

/// A clip of grey frames that begin at `times` milliseconds and end at `end`. Frame `i` carries its number in
/// base 6: four quarters, each with a grey for its digit. With a rate, times are its exact multiples.
pub fn gray_frames(file: &Path, times: &[u64], end: u64, rate: Option<u64>, muxer: &str) {
    gstreamer::init().unwrap();
    let caps_rate = rate.map_or("0/1".to_owned(), |rate| format!("{rate}/1"));
    let seconds = u32::try_from(end / 1000).unwrap();
    let line = format!(
        "{muxer} name=mux ! filesink location={} \
         appsrc name=source format=time max-bytes=0 caps=video/x-raw,format=I420,width={GRAY_SIDE},\
         height={GRAY_SIDE},framerate={caps_rate} ! x264enc speed-preset=ultrafast threads=1 bframes=0 \
         key-int-max=10 ! h264parse ! queue max-size-time=0 max-size-buffers=0 max-size-bytes=0 ! mux. {} ! {AAC} ! queue \
         max-size-time=0 max-size-buffers=0 max-size-bytes=0 ! mux.",
        file.display(),
        tone(440, 1, 16_000, seconds)
    );
    let pipeline = gstreamer::parse::launch(&line).unwrap().downcast::<gstreamer::Pipeline>().unwrap();
    let source = pipeline.by_name("source").unwrap();
    pipeline.set_state(gstreamer::State::Playing).unwrap();
    let side = GRAY_SIDE as usize;
    for (index, time) in times.iter().enumerate() {
        let mut pixels = vec![128_u8; side * side * 3 / 2];
        for row in 0..side {
            for column in 0..side {
                let quarter = row / (side / 2) * 2 + column / (side / 2);
                let digit = index / 6_usize.pow(quarter as u32) % 6;
                pixels[row * side + column] = 40 + 30 * digit as u8;
            }
        }
        let exact = |index: usize, time: u64| match rate {
            Some(rate) => index as u64 * 1_000_000_000 / rate,
            None => time * 1_000_000,
        };
        let start = exact(index, *time);
        let stop = times.get(index + 1).map_or(end * 1_000_000, |next| exact(index + 1, *next));
        let mut buffer = gstreamer::Buffer::from_mut_slice(pixels);
        {
            let buffer = buffer.get_mut().unwrap();
            buffer.set_pts(gstreamer::ClockTime::from_nseconds(start));
            buffer.set_duration(gstreamer::ClockTime::from_nseconds(stop.saturating_sub(start)));
        }
        let flow: gstreamer::FlowReturn = source.emit_by_name("push-buffer", &[&buffer]);
        assert_eq!(flow, gstreamer::FlowReturn::Ok);
    }
    let _: gstreamer::FlowReturn = source.emit_by_name("end-of-stream", &[]);
    let wanted = [gstreamer::MessageType::Eos, gstreamer::MessageType::Error];
    let message = pipeline.bus().unwrap().timed_pop_filtered(gstreamer::ClockTime::from_seconds(60), &wanted);
    pipeline.set_state(gstreamer::State::Null).unwrap();
    match message.as_ref().map(|message| message.view()) {
        Some(gstreamer::MessageView::Eos(_)) => {}
        other => panic!("{line}: {other:?}"),
    }
}

/// The number that frame `frame` of 16 x 16 pixels carries.
pub fn index_of(rgb: &[u8], frame: usize) -> u32 {
    let at = |row: usize, column: usize| f64::from(rgb[((frame * 16 + row) * 16 + column) * 3 + 1]);
    let digit = |row: usize, column: usize| {
        let mean = (0..4).map(|index| at(row + index / 2, column + index % 2)).sum::<f64>() / 4.0;
        // Limited-range luma, as RGB decoding stretched it.
        let luma = mean * 219.0 / 255.0 + 16.0;
        ((luma - 40.0) / 30.0).round() as u32
    };
    digit(3, 3) + 6 * digit(3, 11) + 36 * digit(11, 3) + 216 * digit(11, 11)
}
