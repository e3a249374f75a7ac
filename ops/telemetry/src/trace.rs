//! One trace a clip, across stages and processes: the span that writes a record puts its [`TraceParent`]
//! into the record's header, the span that works on the record continues from it.
//!
//! Parents are set on a span that was created and not yet entered: entering starts it, and a started span
//! keeps the parent it has.

use counterpoint_messages::TraceParent;
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, Status, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Trace context of the span that is entered now; `None` outside any span, or without [`crate::init`].
pub fn current() -> Option<TraceParent> {
    of(&Span::current())
}

/// Trace context of this span; `None` if it is disabled. Starts the span, so its parent is fixed from
/// here on.
pub fn of(span: &Span) -> Option<TraceParent> {
    let context = span.context();
    let span = context.span();
    let span = span.span_context();
    span.is_valid().then(|| TraceParent {
        trace_id: span.trace_id().to_bytes(),
        span_id: span.span_id().to_bytes(),
        sampled: span.is_sampled(),
    })
}

/// Makes a span that has not been entered a child of the span that wrote a record, in its trace.
pub fn continue_from(span: &Span, parent: TraceParent) {
    set_parent(span, Context::new().with_remote_span_context(remote(parent)));
}

/// Makes a span that has not been entered the root of a new trace, whatever span is entered now.
pub fn new_root(span: &Span) {
    set_parent(span, Context::new());
}

/// Links a span to one of another trace: a commit to the records in its batch, a pool to its clips.
pub fn link(span: &Span, to: TraceParent) {
    span.add_link(remote(to));
}

/// Marks what the span stands for as failed or turned away. `reason` is of a closed set: free text may
/// quote what it was given, and belongs into the log.
pub fn fail(span: &Span, reason: &'static str) {
    span.set_attribute("reason", reason);
    span.set_status(Status::error(reason));
}

fn set_parent(span: &Span, parent: Context) {
    if let Err(tracing_opentelemetry::SetParentError::AlreadyStarted) = span.set_parent(parent) {
        tracing::warn!("a span was entered before its parent was set, so its trace is torn");
    }
}

fn remote(parent: TraceParent) -> SpanContext {
    let flags = if parent.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
    SpanContext::new(
        TraceId::from_bytes(parent.trace_id),
        SpanId::from_bytes(parent.span_id),
        flags,
        true,
        TraceState::default(),
    )
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
    use tracing::info_span;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn spans_of(work: impl FnOnce()) -> Vec<SpanData> {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
        exporter.get_finished_spans().unwrap()
    }

    fn named<'a>(spans: &'a [SpanData], name: &str) -> &'a SpanData {
        spans.iter().find(|span| span.name == name).unwrap()
    }

    #[test]
    fn a_trace_goes_on_from_a_records_header() {
        let mut header = String::new();
        let spans = spans_of(|| {
            {
                let found = info_span!(crate::span::CLIP_FOUND);
                let _entered = found.enter();
                header = current().unwrap().to_string();
            }
            let work = info_span!(crate::span::STAGE_WORK);
            continue_from(&work, header.parse().unwrap());
            let _entered = work.enter();
            let _child = info_span!(crate::span::MEDIA_PREPARE).entered();
        });
        let (found, work) = (named(&spans, "clip.found"), named(&spans, "stage.work"));
        let prepare = named(&spans, "media.prepare");
        assert_eq!(work.parent_span_id, found.span_context.span_id());
        assert!(work.parent_span_is_remote);
        assert_eq!(prepare.parent_span_id, work.span_context.span_id());
        for span in [work, prepare] {
            assert_eq!(span.span_context.trace_id(), found.span_context.trace_id());
        }
    }

    #[test]
    fn a_new_root_has_a_trace_of_its_own_and_can_link_to_the_old_one() {
        let spans = spans_of(|| {
            let _outer = info_span!(crate::span::STAGE_WORK).entered();
            let seal = info_span!(crate::span::POOL_SEAL);
            new_root(&seal);
            link(&seal, current().unwrap());
            seal.in_scope(|| ());
        });
        let (outer, seal) = (named(&spans, "stage.work"), named(&spans, "pool.seal"));
        assert_ne!(seal.span_context.trace_id(), outer.span_context.trace_id());
        assert_eq!(seal.parent_span_id, SpanId::INVALID);
        assert_eq!(seal.links.links[0].span_context.span_id(), outer.span_context.span_id());
    }

    #[test]
    fn an_unsampled_parent_stays_unsampled() {
        let parent = TraceParent { trace_id: [1; 16], span_id: [2; 8], sampled: false };
        let mut header = None;
        let spans = spans_of(|| {
            let work = info_span!(crate::span::STAGE_WORK);
            continue_from(&work, parent);
            header = of(&work);
        });
        assert!(spans.is_empty());
        assert_eq!(header.map(|header| (header.trace_id, header.sampled)), Some(([1; 16], false)));
    }

    #[test]
    fn outside_any_span_there_is_no_header() {
        assert_eq!(current(), None);
    }
}
