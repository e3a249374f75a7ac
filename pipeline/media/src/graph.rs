//! What every graph shares: waiting for its end, and what its bus says.

use gstreamer::prelude::*;
use gstreamer::{ClockTime, MessageView, Pipeline, State};
use gstreamer_app::AppSrc;

use crate::MediaError;

/// Stops a pipeline however its owner ends, so that no streaming thread outlives it.
#[derive(Debug)]
pub(crate) struct Running(pub(crate) Pipeline);

impl Drop for Running {
    fn drop(&mut self) {
        // A pipeline on its way to NULL cannot fail in a way that anybody could still act on.
        let _ = self.0.set_state(State::Null);
    }
}

impl Running {
    /// Builds a graph of ours from its launch line.
    pub(crate) fn launch(graph: &'static str, line: &str) -> Result<Self, MediaError> {
        let built = gstreamer::parse::launch(line).map_err(|error| {
            let text = error.message().to_owned();
            match text.split('"').nth(1) {
                Some(element) if error.matches(gstreamer::ParseError::NoSuchElement) => {
                    crate::elements::missing(element)
                }
                _ => MediaError::graph(graph, text),
            }
        })?;
        let pipeline = built.downcast::<Pipeline>().map_err(|_| MediaError::graph(graph, "no pipeline"))?;
        Ok(Self(pipeline))
    }

    /// An element of the graph by its name and type.
    pub(crate) fn element<T: IsA<gstreamer::Element>>(
        &self,
        graph: &'static str,
        name: &str,
    ) -> Result<T, MediaError> {
        self.0
            .by_name(name)
            .and_then(|element| element.downcast::<T>().ok())
            .ok_or_else(|| MediaError::graph(graph, format!("no element {name}")))
    }

    /// Sets the graph going.
    pub(crate) fn play(&self, graph: &'static str) -> Result<(), MediaError> {
        match self.0.set_state(State::Playing) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.pending_error(graph).unwrap_or_else(|| MediaError::graph(graph, error))),
        }
    }

    /// Waits until everything pushed into the graph has come out.
    pub(crate) fn wait_for_end(&self, graph: &'static str) -> Result<(), MediaError> {
        let bus = self.0.bus().ok_or_else(|| MediaError::graph(graph, "no bus"))?;
        let wanted = [gstreamer::MessageType::Eos, gstreamer::MessageType::Error];
        match bus.timed_pop_filtered(ClockTime::NONE, &wanted) {
            Some(message) => match message.view() {
                MessageView::Error(error) => Err(error_of(graph, error)),
                _ => Ok(()),
            },
            None => Err(MediaError::graph(graph, "its bus was shut")),
        }
    }

    /// The error on the bus, if one is there.
    pub(crate) fn pending_error(&self, graph: &'static str) -> Option<MediaError> {
        let message = self.0.bus()?.pop_filtered(&[gstreamer::MessageType::Error])?;
        match message.view() {
            MessageView::Error(error) => Some(error_of(graph, error)),
            _ => None,
        }
    }

    /// Hands `buffer` to the graph; says what the graph said when it no longer takes any.
    pub(crate) fn push(
        &self,
        graph: &'static str,
        source: &AppSrc,
        buffer: gstreamer::Buffer,
    ) -> Result<(), MediaError> {
        source.push_buffer(buffer).map(|_| ()).map_err(|flow| {
            self.pending_error(graph).unwrap_or_else(|| MediaError::graph(graph, format!("{flow:?}")))
        })
    }
}

/// An error of a graph that works on our own data: a full disk, or a fault of ours.
fn error_of(graph: &'static str, error: &gstreamer::message::Error) -> MediaError {
    let cause = error.error();
    if cause.matches(gstreamer::ResourceError::NoSpaceLeft) {
        return MediaError::Output(std::io::Error::from(std::io::ErrorKind::StorageFull));
    }
    if cause.matches(gstreamer::ResourceError::OpenWrite) || cause.matches(gstreamer::ResourceError::Write) {
        return MediaError::Output(std::io::Error::other(cause.message().to_owned()));
    }
    MediaError::graph(graph, describe(error))
}

/// What GStreamer said and where, in one line.
fn describe(error: &gstreamer::message::Error) -> String {
    let element = error.src().map(|source| source.name().to_string()).unwrap_or_default();
    let debug = error.debug().map(|text| text.lines().last().unwrap_or_default().to_owned());
    match debug {
        Some(debug) if !debug.is_empty() => format!("{element}: {} ({debug})", error.error().message()),
        _ => format!("{element}: {}", error.error().message()),
    }
}
