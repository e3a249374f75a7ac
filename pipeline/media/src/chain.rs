//! Elements that work in the thread of whoever pushes.
//!
//! ```text
//!           ┌─────┐   ┌──────────┐   ┌─────┐
//!  push ─▶  │ pad ├──▶│ elements ├──▶│ pad ├─▶ what came out, to be taken
//!           └─────┘   └──────────┘   └─────┘
//! ```
//!
//! Where the packets of a stream are at hand, a graph that finds streams by itself and gives each a thread and a
//! queue costs more than decoding a simple picture does.

use std::collections::VecDeque;
use std::sync::Arc;

use gstreamer::prelude::*;
use gstreamer::query::{Allocation, Caps as CapsQuery};
use gstreamer::{
    Buffer, Caps, ClockTime, Element, FlowSuccess, FormattedSegment, Pad, PadDirection, Pipeline,
    QueryViewMut, Sample, State, event,
};
use parking_lot::Mutex;

use crate::MediaError;
use crate::graph::Running;

/// A row of elements between two pads of ours.
#[derive(Debug)]
pub(crate) struct Chain {
    name: &'static str,
    running: Running,
    head: Pad,
    tail: Pad,
    out: Arc<Mutex<VecDeque<Sample>>>,
}

impl Chain {
    /// Links `elements` in a row and tells them what will be pushed: buffers of the format `from` in `segment`.
    /// What comes out is of the format `to`, where one is given.
    ///
    /// # Errors
    /// When the elements do not go together.
    pub(crate) fn new(
        name: &'static str,
        elements: &[Element],
        from: &Caps,
        segment: &FormattedSegment<ClockTime>,
        to: Option<Caps>,
    ) -> Result<Self, MediaError> {
        let fault = |error: &dyn std::fmt::Display| MediaError::graph(name, error);
        let pipeline = Pipeline::new();
        pipeline.add_many(elements).map_err(|error| fault(&error))?;
        Element::link_many(elements).map_err(|error| fault(&error))?;
        let first = elements.first().and_then(|element| element.static_pad("sink"));
        let last = elements.last().and_then(|element| element.static_pad("src"));
        let (first, last) = first.zip(last).ok_or_else(|| fault(&"no pads to link"))?;
        let head = Pad::builder(PadDirection::Src).build();
        let out = Arc::new(Mutex::new(VecDeque::new()));
        let tail = tail(Arc::clone(&out), to);
        let chain = Self { name, running: Running(pipeline), head, tail, out };
        for pad in [&chain.head, &chain.tail] {
            pad.set_active(true).map_err(|error| fault(&error))?;
        }
        chain.head.link(&first).map_err(|error| fault(&error))?;
        last.link(&chain.tail).map_err(|error| fault(&error))?;
        chain.running.play(name)?;
        let begun = [event::StreamStart::new(name), event::Caps::new(from), event::Segment::new(segment)];
        if begun.into_iter().all(|event| chain.head.push_event(event)) {
            Ok(chain)
        } else {
            Err(chain.fault("its format is refused"))
        }
    }

    /// Has the elements work on `buffer`.
    ///
    /// # Errors
    /// What the elements say when they cannot.
    pub(crate) fn push(&self, buffer: Buffer) -> Result<(), MediaError> {
        self.head.push(buffer).map(|_| ()).map_err(|flow| self.fault(&format!("{flow:?}")))
    }

    /// Has the elements give what they held back; nothing can be pushed afterwards.
    ///
    /// # Errors
    /// What the elements say when they cannot.
    pub(crate) fn end(&self) -> Result<(), MediaError> {
        let taken = self.head.push_event(event::Eos::new());
        if taken { Ok(()) } else { Err(self.fault("its end is refused")) }
    }

    /// The oldest of what came out and was not yet taken.
    pub(crate) fn take(&self) -> Option<Sample> {
        self.out.lock().pop_front()
    }

    fn fault(&self, otherwise: &str) -> MediaError {
        self.running.pending_error(self.name).unwrap_or_else(|| MediaError::graph(self.name, otherwise))
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        // The elements stop first, as they may still push. Neither can fail in a way that anybody could act on.
        let _ = self.running.0.set_state(State::Null);
        let _ = self.head.set_active(false);
        let _ = self.tail.set_active(false);
    }
}

/// The pad behind the last element.
fn tail(out: Arc<Mutex<VecDeque<Sample>>>, to: Option<Caps>) -> Pad {
    Pad::builder(PadDirection::Sink)
        .chain_function(move |pad, _, buffer| {
            let (caps, segment) = (pad.current_caps(), pad.sticky_event::<event::Segment>(0));
            let mut sample = Sample::builder().buffer(&buffer);
            if let Some(caps) = &caps {
                sample = sample.caps(caps);
            }
            if let Some(segment) = &segment {
                sample = sample.segment(segment.segment());
            }
            out.lock().push_back(sample.build());
            Ok(FlowSuccess::Ok)
        })
        .event_function(|_, _, _| true)
        .query_function(move |pad, parent, query| match (query.view_mut(), &to) {
            (QueryViewMut::Caps(query), Some(to)) => answer(query, to),
            (QueryViewMut::Allocation(query), _) => needs_nothing(query),
            _ => Pad::query_default(pad, parent, query),
        })
        .build()
}

fn answer(query: &mut CapsQuery, to: &Caps) -> bool {
    let result = query.filter().map(|filter| filter.intersect(to));
    query.set_result(result.as_ref().unwrap_or(to));
    true
}

fn needs_nothing(_: &mut Allocation) -> bool {
    true
}
