//! The trace of a clip in a real Jaeger, when its stages are split over two processes.

use std::collections::BTreeSet;

use counterpoint_servers::{JaegerServer, JaegerSpan, Trace};
use counterpoint_telemetry::span;
use counterpoint_tests::{
    film::{self, Film, Streams},
    out::{Out, text},
    program::Program,
    workplace::{CLASSES, Workplace, video},
};

const SILENT: &str = "silentfilm1";
const UNLABELLED: &str = "unlabelled1";
const AMBIGUOUS: &str = "ambiguous01";

/// All that a span may say: names, ids and reasons of closed sets, so no path, key or free text.
const ATTRIBUTES: [&str; 15] = [
    "target",
    "stage",
    "clip",
    "video",
    "recipe",
    "id",
    "reason",
    "pool",
    "members",
    "error",
    "otel.status_code",
    "otel.status_description",
    "otel.scope.name",
    "span.kind",
    "internal.span.format",
];

/// A step of a clip's way as `status` tells it.
struct Step {
    topic: String,
    what: String,
    trace: String,
    span: String,
}

fn way_of(out: &Out, video: &str) -> Vec<Step> {
    let way = out.way_of(video).into_iter();
    way.map(|step| {
        let (trace, span) = ids(&text(&step["trace"]));
        Step { topic: text(&step["topic"]), what: text(&step["what"]), trace, span }
    })
    .collect()
}

fn one<'a>(spans: &[&'a JaegerSpan]) -> &'a JaegerSpan {
    assert_eq!(spans.len(), 1, "{spans:#?}");
    spans[0]
}

fn assert_child(child: &JaegerSpan, parent: &JaegerSpan) {
    assert_eq!(child.parent.as_ref(), Some(&parent.id), "{child:#?}\nis no child of\n{parent:#?}");
}

/// One root, no orphan, known names, and the same clip wherever a clip is named.
fn assert_whole(trace: &Trace) -> String {
    let root = one(&trace.roots());
    assert_eq!((root.name.as_str(), root.tag("stage")), (span::CLIP_FOUND, Some("source")));
    assert!(trace.orphans().is_empty(), "{trace:#?}");
    for span in &trace.spans {
        assert!(span::ALL.contains(&span.name.as_str()), "{span:?}");
        assert_eq!(span.service, "counterpoint");
        let others: Vec<_> = span.tags.keys().filter(|key| !ATTRIBUTES.contains(&key.as_str())).collect();
        assert!(others.is_empty(), "{others:?} of {span:#?}");
    }
    let clips: BTreeSet<_> = trace.spans.iter().filter_map(|span| span.tag("clip")).collect();
    assert_eq!(clips.len(), 1, "{clips:?}");
    clips.into_iter().next().unwrap().to_owned()
}

/// The trace that `status` names, once every span is there that the log's records name, and this many at the
/// coordinator.
fn trace_of(jaeger: &JaegerServer, way: &[Step]) -> Trace {
    let ids: BTreeSet<_> = way.iter().map(|step| step.trace.as_str()).collect();
    assert_eq!(ids.len(), 1, "status tells one trace from the first step to the last");
    jaeger.trace(&way[0].trace, |trace| {
        let has = |id: &String| trace.spans.iter().any(|span| span.id == *id);
        way.iter().all(|step| has(&step.span)) && !trace.at(span::STAGE_WORK, "coordinator").is_empty()
    })
}

#[test]
fn jaeger_tells_the_way_of_each_clip_across_processes() {
    let workplace = Workplace::with_clips(4);
    film::make(&[
        Film { path: workplace.clip(SILENT), number: 20, streams: Streams::Picture },
        Film::new(&workplace.clip(UNLABELLED), 21),
        Film::new(&workplace.clip(AMBIGUOUS), 22),
    ]);
    workplace.label(SILENT, "train", CLASSES[0].1);
    let both = format!("{},{}", CLASSES[0].1, CLASSES[2].1);
    workplace.label(AMBIGUOUS, "train", &both);
    let jaeger = JaegerServer::start().unwrap();
    let part = |stages: &str| workplace.run().with(["--otlp", &jaeger.url(), "--stages", stages]).start();
    let first = part("source,curator");
    let second = part("decoder,gate,coordinator,composer,reporter");
    for process in [first, second] {
        let ended = process.wait().done();
        // Jaeger takes traces alone, which is no reason to complain.
        assert!(ended.stderr.contains("; none are sent"), "{}", ended.stderr);
        assert!(!ended.stderr.contains("WARN"), "{}", ended.stderr);
    }

    let out = workplace.out();
    let pools: Vec<_> = (0..4).map(|number| accepted(&jaeger, &way_of(&out, &video(number)))).collect();
    assert_eq!(pools.iter().collect::<BTreeSet<_>>().len(), 2, "one pool a split: {pools:?}");
    for pool in pools {
        let trace = jaeger.trace(&pool, |trace| !trace.at(span::STAGE_WORK, "composer").is_empty());
        let root = one(&trace.roots());
        assert_eq!((root.name.as_str(), root.tag("stage")), (span::POOL_SEAL, Some("coordinator")));
        assert!(trace.orphans().is_empty(), "{trace:#?}");
        assert!(trace.spans.iter().any(|span| span.name == span::POOL_COMPOSE), "{trace:#?}");
    }
    rejected(&jaeger, &way_of(&out, SILENT), "decoder");
    rejected(&jaeger, &way_of(&out, AMBIGUOUS), "curator");
    rejected(&jaeger, &way_of(&out, UNLABELLED), "source");
    assert_eq!(jaeger.services(), ["counterpoint"]);
    let told = jaeger.find("counterpoint", span::REPORT_WRITE, &[]);
    assert_eq!(told.len(), 1, "the report was written in one trace: {told:?}");
    let end = jaeger.trace(&told[0], |_| true);
    assert_eq!(one(&end.roots()).name, span::RUN_FINISHED, "{end:#?}");

    let model = workplace.model("looks", |sample, _| sample["lineage"]["host"]["class"].clone());
    Program::counterpoint(["evaluate", "--model", &model, "--otlp", &jaeger.url(), "--samples"])
        .with([workplace.path("out")])
        .with(["--out".into(), workplace.path("scores")])
        .run()
        .done();
    answered(&jaeger, &out);
}

/// Checks that answers lead back to where their clips came from: an answer names the span in which it was asked for, in
/// the trace of the evaluation, and that span links to the trace of the clip.
fn answered(jaeger: &JaegerServer, out: &Out) {
    let told = out.ask(["topics", "tail", "answers"]);
    let answers = told["records"].as_array().unwrap().iter().map(|record| &record["message"]);
    let asked: Vec<_> =
        answers.map(|answer| (ids(&text(&answer["trace"])), text(&answer["video"]))).collect();
    assert!(!asked.is_empty());
    let traces: BTreeSet<_> = asked.iter().map(|((trace, _), _)| trace).collect();
    assert_eq!(traces.len(), 1, "{asked:?}");
    let wrote = |trace: &Trace, id: &str| trace.spans.iter().any(|span| span.id == id);
    let evaluation =
        jaeger.trace(traces.first().unwrap(), |trace| asked.iter().all(|((_, span), _)| wrote(trace, span)));
    assert_eq!(one(&evaluation.roots()).name, span::EVALUATION, "{evaluation:#?}");
    assert!(evaluation.orphans().is_empty(), "{evaluation:#?}");
    for ((_, id), video) in &asked {
        let span = evaluation.spans.iter().find(|span| span.id == *id).unwrap();
        assert_eq!(span.name, span::MODEL_ASK);
        assert_eq!(span.links, [way_of(out, video)[0].trace.clone()], "{span:#?}");
    }
}

/// Ids of trace and span in a `traceparent` header.
fn ids(header: &str) -> (String, String) {
    let mut parts = header.split('-').skip(1).map(str::to_owned);
    (parts.next().unwrap(), parts.next().unwrap())
}

/// Checks the trace of an accepted clip; the trace of the pool that its samples came from.
fn accepted(jaeger: &JaegerServer, way: &[Step]) -> String {
    let trace = trace_of(jaeger, way);
    let clip = assert_whole(&trace);
    assert!(!clip.is_empty() && trace.spans.iter().all(|span| !span.is_error()), "{trace:#?}");
    let found = one(&trace.roots());
    let [curator, decoder, gate, coordinator] =
        ["curator", "decoder", "gate", "coordinator"].map(|stage| one(&trace.at(span::STAGE_WORK, stage)));
    for (child, parent) in [(curator, found), (decoder, curator), (gate, decoder), (coordinator, gate)] {
        assert_child(child, parent);
    }
    let named = |name: &str| trace.spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let prepare = one(&named(span::MEDIA_PREPARE));
    assert_child(prepare, decoder);
    assert!(prepare.duration_us <= decoder.duration_us && prepare.duration_us > 0, "{trace:#?}");

    let composed = named(span::SAMPLE_COMPOSE);
    let steps: Vec<_> =
        way.iter().filter(|step| ["samples", "skipped"].contains(&step.topic.as_str())).collect();
    assert_eq!(composed.len(), steps.len(), "{trace:#?}");
    assert!(composed.iter().any(|span| span.tag("recipe") == Some("aligned")), "{trace:#?}");
    for span in &composed {
        assert_child(span, gate);
        assert!(steps.iter().any(|step| step.span == span.id), "the record names the span that wrote it");
    }
    let first: BTreeSet<_> = [found, curator].map(|span| span.instance.as_str()).into();
    let second: BTreeSet<_> =
        [decoder, prepare, gate, coordinator, composed[0]].map(|span| span.instance.as_str()).into();
    assert_eq!((first.len(), second.len()), (1, 1), "{trace:#?}");
    assert!(first.is_disjoint(&second), "two processes: {trace:#?}");
    let pools: BTreeSet<_> = composed.iter().flat_map(|span| span.links.clone()).collect();
    assert_eq!(pools.len(), 1, "{trace:#?}");
    pools.into_iter().next().unwrap()
}

/// Checks the trace of a clip that this stage turned away.
fn rejected(jaeger: &JaegerServer, way: &[Step], by: &str) {
    let trace = trace_of(jaeger, way);
    assert_whole(&trace);
    let last = way.iter().find(|step| step.topic == "rejected").unwrap();
    let wrote = trace.spans.iter().find(|span| span.id == last.span).unwrap();
    assert_eq!(wrote.tag("stage"), Some(by));
    assert!(wrote.is_error(), "{wrote:#?}");
    let reason = wrote.tag("reason").unwrap();
    assert!(last.what.starts_with(&format!("rejected by {by} as {reason}:")), "{}", last.what);
    assert_eq!(wrote.tag("otel.status_description"), Some(reason));
    let is_next =
        |span: &&JaegerSpan| span.parent.as_ref() == Some(&wrote.id) && span.name == span::STAGE_WORK;
    // The coordinator counts the clip as ended; the source remembers that its file may come again.
    let after: BTreeSet<_> =
        trace.spans.iter().filter(is_next).filter_map(|span| span.tag("stage")).collect();
    assert_eq!(after, BTreeSet::from(["coordinator", "source"]), "{trace:#?}");
    assert!(!trace.spans.iter().any(|span| span.name == span::SAMPLE_COMPOSE), "{trace:#?}");
}
