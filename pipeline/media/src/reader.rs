//! The graph that reads untrusted media of any form.
//!
//! ```text
//!            ┌───────────┐ picture as decoded           ┌─────────┐
//!     file ─▶│ decodebin ├─────────────────────────────▶│ appsink │─▶ events (bounded)
//!            │ (allowed  │ sound  ┌────────────┐ ┌─────────────┐ ┌─────────┐
//!            │  elements)├───────▶│audioconvert├▶│audioresample├▶│ appsink │─▶ sound track
//!            └───────────┘        └────────────┘ └─────────────┘ └─────────┘
//! ```
//!
//! Frames come out one at a time and wait for their reader; sound is placed on its track as it comes.
//! Every time is a stream time: a position in the file after edit lists and codec delays.

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use counterpoint_messages::{ContainerFacts, RejectReason};
use gstreamer::prelude::*;
use gstreamer::{
    Caps, ClockTime, FlowError, FlowSuccess, MessageView, Pipeline, SeekFlags, State, TaskState,
};
use gstreamer_app::{AppSink, AppSinkCallbacks};
use gstreamer_video::{VideoInfo, VideoOrientationMethod};
use parking_lot::Mutex;

use crate::file_source::FileSource;
pub use crate::frame::Frame;
use crate::graph::Running;
use crate::skipping::Skipping;
use crate::source_facts::{SourceFacts, reject_of};
use crate::stillness::Stillness;
use crate::{Budget, MediaError, SoundTrack, elements};

/// How long the reader waits before it looks at its budget and at the bus again.
const POLL: Duration = Duration::from_millis(100);

/// Decoded frames that may wait between decoder and reader.
const FRAMES_IN_FLIGHT: usize = 4;

/// What comes out of a reader.
#[derive(Debug)]
enum Event {
    Frame(Box<Frame>),
    PictureEnded,
    SoundEnded,
}

/// A media file being decoded.
#[derive(Debug)]
pub struct Reader {
    running: Running,
    source: FileSource,
    events: Option<Receiver<Event>>,
    shared: Arc<Shared>,
    still: Stillness,
    picture_open: bool,
    sound_open: bool,
}

/// What the callbacks of the graph write.
#[derive(Debug)]
pub(crate) struct Shared {
    facts: Mutex<SourceFacts>,
    sound: Mutex<SoundTrack>,
    events: Mutex<Option<SyncSender<Event>>>,
    until: AtomicU64,
    demuxer: Mutex<Option<gstreamer::Element>>,
    skipping: Option<Arc<Skipping>>,
}

impl Reader {
    /// Decodes the beginning of `file`; its sound will be placed on `sound`.
    ///
    /// # Errors
    /// A reject for anything that is no supported media file or breaks a limit.
    pub fn open(file: &File, sound: SoundTrack, budget: &Budget) -> Result<Self, MediaError> {
        Self::open_skipping(file, sound, None, budget)
    }

    /// Opens the file like [`Reader::open`], and leaves out what need not be decoded.
    pub(crate) fn open_skipping(
        file: &File,
        sound: SoundTrack,
        skipping: Option<Arc<Skipping>>,
        budget: &Budget,
    ) -> Result<Self, MediaError> {
        let length = file.metadata().map_err(|error| {
            MediaError::reject(RejectReason::UnreadableFile, format!("{error}; check its permissions"))
        })?;
        if length.len() == 0 {
            let detail = "the file has 0 bytes; fetch it again";
            return Err(MediaError::reject(RejectReason::EmptyFile, detail));
        }
        let source = FileSource::new(file).map_err(|error| MediaError::graph("reader", error))?;
        let decodebin = elements::make("decodebin")?;
        let pipeline = Pipeline::new();
        pipeline
            .add_many([source.upcast_ref(), &decodebin])
            .map_err(|error| MediaError::graph("reader", error))?;
        source.link(&decodebin).map_err(|error| MediaError::graph("reader", error))?;

        let (sender, receiver) = sync_channel(FRAMES_IN_FLIGHT);
        let shared = Arc::new(Shared {
            facts: Mutex::new(SourceFacts::new(budget.limits().clone())),
            sound: Mutex::new(sound),
            events: Mutex::new(Some(sender)),
            until: AtomicU64::new(u64::MAX),
            demuxer: Mutex::new(None),
            skipping,
        });
        connect(&pipeline, &decodebin, &shared);
        let mut reader = Self {
            running: Running(pipeline),
            source,
            events: Some(receiver),
            shared,
            still: Stillness::new(length.len()),
            picture_open: false,
            sound_open: false,
        };
        reader.preroll(budget)?;
        let facts = reader.shared.facts.lock();
        (reader.picture_open, reader.sound_open) = (facts.has_picture, facts.has_sound);
        drop(facts);
        // From here on the sinks alone hold senders, so a graph that died cannot leave its reader waiting.
        reader.shared.events.lock().take();
        Ok(reader)
    }

    /// Rejects a file that lacks one of the streams asked for.
    ///
    /// # Errors
    /// No picture, no sound, or a codec that is not supported in the place of one of them.
    pub fn require(&self, picture: bool, sound: bool) -> Result<(), MediaError> {
        Ok(self.shared.facts.lock().require(picture, sound)?)
    }

    /// Length of the longest stream in nanoseconds as the header gives it. Only the demuxer is asked:
    /// parsers would guess it from the bit rate.
    pub fn duration(&self) -> Option<u64> {
        let demuxer = self.shared.demuxer.lock().clone()?;
        let lengths = demuxer.src_pads().into_iter().filter_map(|pad| pad.query_duration::<ClockTime>());
        lengths.map(ClockTime::nseconds).filter(|length| *length > 0).max()
    }

    /// What the file is; complete once it was read.
    pub fn facts(&self) -> ContainerFacts {
        self.shared.facts.lock().displayed()
    }

    /// How the picture has to be turned to be seen upright.
    pub fn orientation(&self) -> VideoOrientationMethod {
        self.shared.facts.lock().orientation
    }

    /// Goes to `start` nanoseconds before anything was read; the sound track begins there, too.
    ///
    /// # Errors
    /// A reject when the file cannot be read from there.
    pub fn seek(&mut self, start: u64, budget: &Budget) -> Result<(), MediaError> {
        self.shared.sound.lock().set_origin(start);
        let flags = SeekFlags::FLUSH | SeekFlags::ACCURATE;
        self.running.0.seek_simple(flags, ClockTime::from_nseconds(start)).map_err(|_| {
            MediaError::reject(
                RejectReason::CorruptMedia,
                format!(
                    "the file cannot be read from {:.3} s on; remux it with an index",
                    start as f64 / 1e9
                ),
            )
        })?;
        self.wait_until_ready(budget)
    }

    /// Starts to read; the picture ends with the first frame at or after `until` nanoseconds, the sound
    /// where its track is full.
    ///
    /// # Errors
    /// A reject when the graph breaks on the file.
    pub fn play(&self, until: u64) -> Result<(), MediaError> {
        self.shared.until.store(until, Ordering::Release);
        match self.running.0.set_state(State::Playing) {
            Ok(_) => Ok(()),
            Err(_) => Err(self.fault().unwrap_or_else(|| MediaError::graph("reader", "it does not start"))),
        }
    }

    /// The next frame in the order in which they are shown; `None` once both streams have ended.
    ///
    /// # Errors
    /// A reject when the file breaks or its budget is spent.
    pub fn next_frame(&mut self, budget: &mut Budget) -> Result<Option<Frame>, MediaError> {
        while self.picture_open || self.sound_open {
            budget.check()?;
            if let Some(fault) = self.fault() {
                return Err(fault);
            }
            let event = match &self.events {
                Some(events) => events.recv_timeout(POLL),
                None => return Ok(None),
            };
            match event {
                Ok(Event::Frame(frame)) => {
                    self.still.moved(&self.source);
                    budget.count_frame(frame.buffer.size())?;
                    return Ok(Some(*frame));
                }
                Ok(Event::PictureEnded) => self.picture_open = false,
                Ok(Event::SoundEnded) => self.sound_open = false,
                Err(RecvTimeoutError::Timeout) => self.still.look(&self.source)?,
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.fault().map_or(Ok(None), Err)
    }

    /// The sound that was read.
    pub fn into_sound(mut self) -> SoundTrack {
        self.close();
        let mut sound = self.shared.sound.lock();
        sound.take()
    }

    /// Lets blocked callbacks go, so that the graph can stop.
    fn close(&mut self) {
        self.events.take();
        self.shared.demuxer.lock().take();
        let _ = self.running.0.set_state(State::Null);
    }

    fn preroll(&mut self, budget: &Budget) -> Result<(), MediaError> {
        if self.running.0.set_state(State::Paused).is_err() {
            return Err(self.fault().unwrap_or_else(|| MediaError::graph("reader", "it does not open")));
        }
        self.wait_until_ready(budget)
    }

    fn wait_until_ready(&mut self, budget: &Budget) -> Result<(), MediaError> {
        let bus = self.running.0.bus().ok_or_else(|| MediaError::graph("reader", "no bus"))?;
        let wanted = [gstreamer::MessageType::AsyncDone, gstreamer::MessageType::Error];
        loop {
            budget.check()?;
            if let Some(reject) = self.shared.facts.lock().too_large.take() {
                return Err(MediaError::Reject(reject));
            }
            let timeout = ClockTime::from_mseconds(POLL.as_millis() as u64);
            let message = bus.timed_pop_filtered(timeout, &wanted);
            if message.is_none() && self.demuxer_gave_up() {
                return Err(MediaError::reject(
                    RejectReason::CorruptMedia,
                    "the file ends before its first stream begins; fetch it again",
                ));
            }
            if message.is_none() {
                self.still.look(&self.source)?;
            }
            if let Some(message) = message {
                return match message.view() {
                    MessageView::Error(error) => Err(self.reject(error)),
                    _ => self.shared.facts.lock().too_large.take().map_or(Ok(()), |r| Err(r.into())),
                };
            }
        }
    }

    /// Whether the demuxer has stopped without a stream. Its error message gets lost when it comes while
    /// decodebin is still plugging it in (decodebin drops what it hears until then).
    fn demuxer_gave_up(&self) -> bool {
        let Some(demuxer) = self.shared.demuxer.lock().clone() else { return false };
        let stopped = demuxer.static_pad("sink").is_some_and(|pad| pad.task_state() == TaskState::Paused);
        stopped && demuxer.num_src_pads() == 0
    }

    /// What went wrong in the streaming threads, if anything has.
    fn fault(&self) -> Option<MediaError> {
        if let Some(reject) = self.shared.facts.lock().too_large.take() {
            return Some(MediaError::Reject(reject));
        }
        let message = self.running.0.bus()?.pop_filtered(&[gstreamer::MessageType::Error])?;
        match message.view() {
            MessageView::Error(error) => Some(self.reject(error)),
            _ => None,
        }
    }

    fn reject(&self, error: &gstreamer::message::Error) -> MediaError {
        let mut facts = self.shared.facts.lock();
        facts.too_large.take().unwrap_or_else(|| reject_of(error, &facts)).into()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.close();
    }
}

/// Connects the decoder's signals: what was found, what it may decode, and where its streams go.
fn connect(pipeline: &Pipeline, decodebin: &gstreamer::Element, shared: &Arc<Shared>) {
    let weak = Arc::downgrade(shared);
    decodebin.connect("autoplug-continue", false, move |values| {
        let caps = values.get(2).and_then(|value| value.get::<Caps>().ok());
        let go_on = match (weak.upgrade(), caps) {
            (Some(shared), Some(caps)) => shared.facts.lock().found(&caps),
            _ => true,
        };
        Some(go_on.to_value())
    });

    let weak = Arc::downgrade(shared);
    decodebin.connect("unknown-type", false, move |values| {
        let caps = values.get(2).and_then(|value| value.get::<Caps>().ok());
        if let (Some(shared), Some(caps)) = (weak.upgrade(), caps) {
            shared.facts.lock().unknown(&caps);
        }
        None
    });

    let weak = Arc::downgrade(shared);
    pipeline.connect_deep_element_added(move |_, _, element| configure(element, &weak));

    let weak = Arc::downgrade(shared);
    let pipeline = pipeline.downgrade();
    decodebin.connect_pad_added(move |_, pad| {
        if let (Some(shared), Some(pipeline)) = (weak.upgrade(), pipeline.upgrade())
            && let Err(error) = attach(&pipeline, pad, &shared)
        {
            gstreamer::element_error!(pipeline, gstreamer::CoreError::Pad, ("{error}"));
        }
    });
}

/// Sets what the decoders share, and joins them to what is known of the file.
fn configure(element: &gstreamer::Element, shared: &Weak<Shared>) {
    elements::restrain(element);
    let is_demuxer =
        element.factory().is_some_and(|factory| factory.has_type(gstreamer::ElementFactoryType::DEMUXER));
    if let Some(shared) = shared.upgrade().filter(|_| is_demuxer) {
        shared.demuxer.lock().replace(element.clone());
    }
    let decodes = element.factory().is_some_and(|factory| {
        factory.has_type(gstreamer::ElementFactoryType::DECODER)
            && factory.has_type(gstreamer::ElementFactoryType::MEDIA_VIDEO)
    });
    let Some(pad) = element.static_pad("sink").filter(|_| decodes) else { return };
    if let Some(skipping) = shared.upgrade().and_then(|shared| shared.skipping.clone()) {
        skipping.watch(&pad);
    }
    let shared = shared.clone();
    elements::judge_formats(&pad, move |caps| {
        shared.upgrade().is_none_or(|shared| shared.facts.lock().size_allowed(caps))
    });
}

/// Leads the first picture and the first sound stream to their sinks; further ones stay unread.
fn attach(pipeline: &Pipeline, pad: &gstreamer::Pad, shared: &Arc<Shared>) -> Result<(), MediaError> {
    let Some(caps) = pad.current_caps() else { return Ok(()) };
    let kind = caps.structure(0).map(|structure| structure.name().to_string()).unwrap_or_default();
    let first = shared.facts.lock().claim(&kind, &caps);
    match (first, kind.as_str()) {
        (true, "video/x-raw") => {
            let weak = Arc::downgrade(shared);
            pad.add_probe(gstreamer::PadProbeType::EVENT_DOWNSTREAM, move |_, probe| {
                if let Some(gstreamer::EventView::Tag(event)) = probe.event().map(|event| event.view())
                    && let Some(shared) = weak.upgrade()
                {
                    shared.facts.lock().tags(event.tag());
                }
                gstreamer::PadProbeReturn::Ok
            });
            join(pipeline, pad, &[sink(picture_callbacks(shared), None)?.upcast()])
        }
        (true, "audio/x-raw") => {
            let format = shared.sound.lock().caps();
            let chain = [
                elements::make("audioconvert")?,
                elements::make("audioresample")?,
                sink(sound_callbacks(shared), Some(&format))?.upcast(),
            ];
            join(pipeline, pad, &chain)
        }
        _ => Ok(()),
    }
}

/// An appsink that never drops, never waits for a clock, and holds one buffer at a time.
fn sink(callbacks: AppSinkCallbacks, caps: Option<&Caps>) -> Result<AppSink, MediaError> {
    let sink = AppSink::builder().sync(false).max_buffers(1).drop(false).wait_on_eos(false);
    let sink = match caps {
        Some(caps) => sink.caps(caps),
        None => sink,
    };
    Ok(sink.callbacks(callbacks).build())
}

fn join(pipeline: &Pipeline, pad: &gstreamer::Pad, chain: &[gstreamer::Element]) -> Result<(), MediaError> {
    let fault = |error: &dyn std::fmt::Display| MediaError::graph("reader", error);
    pipeline.add_many(chain).map_err(|error| fault(&error))?;
    gstreamer::Element::link_many(chain).map_err(|error| fault(&error))?;
    for element in chain {
        element.sync_state_with_parent().map_err(|error| fault(&error))?;
    }
    let target = chain.first().and_then(|element| element.static_pad("sink"));
    let target = target.ok_or_else(|| MediaError::graph("reader", "no sink pad"))?;
    pad.link(&target).map(|_| ()).map_err(|error| fault(&error))
}

fn picture_callbacks(shared: &Arc<Shared>) -> AppSinkCallbacks {
    let sender = shared.events.lock().clone();
    let ended = sender.clone();
    let shared = Arc::downgrade(shared);
    AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| FlowError::Eos)?;
            let Some(frame) = frame_of(&sample) else { return Ok(FlowSuccess::Ok) };
            let (shared, sender) = shared.upgrade().zip(sender.as_ref()).ok_or(FlowError::Eos)?;
            let last = frame.time >= shared.until.load(Ordering::Acquire);
            // A reader that went away has seen all it wants.
            sender.send(Event::Frame(Box::new(frame))).map_err(|_| FlowError::Eos)?;
            if last {
                let _ = sender.send(Event::PictureEnded);
                return Err(FlowError::Eos);
            }
            Ok(FlowSuccess::Ok)
        })
        .eos(move |_| {
            let _ = ended.as_ref().map(|sender| sender.send(Event::PictureEnded));
        })
        .build()
}

fn sound_callbacks(shared: &Arc<Shared>) -> AppSinkCallbacks {
    let sender = shared.events.lock().clone();
    let ended = sender.clone();
    let shared = Arc::downgrade(shared);
    AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| FlowError::Eos)?;
            let shared = shared.upgrade().ok_or(FlowError::Eos)?;
            let Some((buffer, time)) = sample.buffer().zip(stream_time(&sample)) else {
                return Ok(FlowSuccess::Ok);
            };
            let bytes = buffer.map_readable().map_err(|_| FlowError::Error)?;
            if shared.sound.lock().place(time, bytes.as_slice()) {
                return Ok(FlowSuccess::Ok);
            }
            let _ = sender.as_ref().map(|sender| sender.send(Event::SoundEnded));
            Err(FlowError::Eos)
        })
        .eos(move |_| {
            let _ = ended.as_ref().map(|sender| sender.send(Event::SoundEnded));
        })
        .build()
}

pub(crate) fn frame_of(sample: &gstreamer::Sample) -> Option<Frame> {
    let buffer = sample.buffer_owned()?;
    let info = VideoInfo::from_caps(sample.caps()?).ok()?;
    let time = stream_time(sample)?;
    let duration = buffer.duration().map(ClockTime::nseconds);
    Some(Frame { buffer, info, time, duration })
}

/// Where in the file a sample stands; `None` outside of what the file says to show.
pub(crate) fn stream_time(sample: &gstreamer::Sample) -> Option<u64> {
    let segment = sample.segment()?.downcast_ref::<ClockTime>()?;
    segment.to_stream_time(sample.buffer()?.pts()?).map(ClockTime::nseconds)
}
