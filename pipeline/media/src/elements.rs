//! Which GStreamer elements the graphs may use, and where each comes from.

use counterpoint_core::media_job::ElementCheck;
use gstreamer::prelude::*;
use gstreamer::{
    CapsRef, ElementFactory, ElementFactoryType, EventView, Pad, PadProbeReturn, PadProbeType, Rank,
    TypeFindFactory,
};

use crate::{MediaError, budget};

/// Undecodable packets in a row after which a file counts as corrupt.
const DECODER_ERRORS: i32 = 10;

const CORE: &str = "libgstreamer1.0-0";
const BASE: &str = "gstreamer1.0-plugins-base";
const GOOD: &str = "gstreamer1.0-plugins-good";
const BAD: &str = "gstreamer1.0-plugins-bad";
const UGLY: &str = "gstreamer1.0-plugins-ugly";
const LIBAV: &str = "gstreamer1.0-libav";

/// Elements that `decodebin` may choose for an unknown file: the containers and codecs that are supported.
/// Everything else that could demux, parse or decode is out of its reach.
const DECODING: [(&str, &str); 17] = [
    ("qtdemux", GOOD),
    ("matroskademux", GOOD),
    ("avidemux", GOOD),
    ("h264parse", BAD),
    ("vp9parse", BAD),
    ("mpeg4videoparse", BAD),
    ("aacparse", GOOD),
    ("opusparse", BAD),
    ("mpegaudioparse", GOOD),
    ("avdec_h264", LIBAV),
    ("vp8dec", GOOD),
    ("vp9dec", GOOD),
    ("avdec_mpeg4", LIBAV),
    ("avdec_aac", LIBAV),
    ("opusdec", BASE),
    ("vorbisdec", BASE),
    ("mpg123audiodec", GOOD),
];

/// Elements that the graphs name themselves.
const NAMED: [(&str, &str); 12] = [
    ("fdsink", CORE),
    ("decodebin", BASE),
    ("appsrc", BASE),
    ("appsink", BASE),
    ("audioconvert", BASE),
    ("audioresample", BASE),
    ("capsfilter", CORE),
    ("x264enc", UGLY),
    ("avenc_aac", LIBAV),
    ("flacenc", GOOD),
    ("flacparse", GOOD),
    ("flacdec", GOOD),
];

/// Starts GStreamer in this process, takes every demuxer, parser and decoder that is not on the list out of
/// automatic choice, and loads whatever a graph may need, so that no file has to be opened later. Call it once,
/// before any graph is built.
///
/// # Errors
/// When GStreamer cannot start.
pub fn start() -> Result<(), MediaError> {
    gstreamer::init().map_err(|error| MediaError::graph("start", error))?;
    let automatic = ElementFactoryType::DECODABLE | ElementFactoryType::DEPAYLOADER;
    for factory in ElementFactory::factories_with_type(automatic, Rank::NONE) {
        if !DECODING.iter().any(|(name, _)| *name == factory.name()) {
            factory.set_rank(Rank::NONE);
        }
    }
    for (name, _) in NAMED.iter().chain(&DECODING) {
        // What is missing is named when a graph asks for it, or by `check`.
        let _ = ElementFactory::find(name).map(|factory| factory.load());
    }
    for factory in TypeFindFactory::factories() {
        let _ = factory.load();
    }
    budget::resident_bytes();
    Ok(())
}

/// Every element the graphs need: whether it is installed, and what brings it.
pub fn check() -> Vec<ElementCheck> {
    NAMED
        .iter()
        .chain(&DECODING)
        .map(|(element, package)| ElementCheck {
            element: (*element).to_owned(),
            found: ElementFactory::find(element).is_some(),
            package: (*package).to_owned(),
        })
        .collect()
}

/// A new element, or the package that is missing.
pub(crate) fn make(element: &str) -> Result<gstreamer::Element, MediaError> {
    ElementFactory::make(element).build().map_err(|_| missing(element))
}

/// Sets what all decoders of untrusted media share: one thread, and no broken frames.
pub(crate) fn restrain(element: &gstreamer::Element) {
    if element.has_property("output-corrupt") {
        element.set_property("output-corrupt", false);
    }
    if element.has_property("max-errors") {
        element.set_property("max-errors", DECODER_ERRORS);
    }
    // Our sinks take no padded frames, so each is copied out of where it was decoded in any case: lending the
    // decoder memory of a pool costs time and saves nothing.
    if element.has_property("direct-rendering") {
        element.set_property("direct-rendering", false);
    }
    for threads in ["max-threads", "threads"] {
        match element.find_property(threads).map(|property| property.value_type()) {
            Some(kind) if kind == i32::static_type() => element.set_property(threads, 1_i32),
            Some(kind) if kind == u32::static_type() => element.set_property(threads, 1_u32),
            _ => {}
        }
    }
}

/// Keeps every format that is not `allowed` from the decoder behind `pad`.
pub(crate) fn judge_formats(pad: &Pad, allowed: impl Fn(&CapsRef) -> bool + Send + Sync + 'static) {
    pad.add_probe(PadProbeType::EVENT_DOWNSTREAM, move |_, probe| {
        match probe.event().map(|event| event.view()) {
            Some(EventView::Caps(event)) if !allowed(event.caps()) => PadProbeReturn::Drop,
            _ => PadProbeReturn::Ok,
        }
    });
}

/// The error for an element that is not installed.
pub(crate) fn missing(element: &str) -> MediaError {
    let package = NAMED.iter().chain(&DECODING).find(|(name, _)| *name == element).map_or(GOOD, |(_, p)| p);
    MediaError::MissingElement { element: element.to_owned(), package: package.to_owned() }
}
