//! What a run tells a collector of telemetry, and that a collector which says nothing does no harm.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

use std::collections::BTreeSet;

use counterpoint_servers::{Collector, attribute};
use counterpoint_tests::{
    out::{Out, text},
    workplace::{Workplace, video},
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_spans_of_a_clip_bear_the_trace_that_status_shows_and_metrics_and_logs_come_as_well() {
    let workplace = Workplace::with_clips(4);
    let collector = Collector::start();
    workplace.run().with(["--otlp", &collector.url()]).failing("gate::plan=1*return(panic:)").run().done();

    let spans = collector.spans();
    let mut traces = BTreeSet::new();
    for number in 0..4 {
        let way = workplace.out().way_of(&video(number));
        let parents: Vec<_> = way.iter().map(|step| text(&step["trace"])).collect();
        let trace = parents[0].split('-').nth(1).unwrap().to_owned();
        let id = clip_id(&workplace.out(), &video(number));
        let of_clip = |name: &str| -> Vec<_> {
            spans
                .iter()
                .filter(|span| span.name == name && attribute(span, "clip") == Some(id.clone()))
                .collect()
        };
        let stages: BTreeSet<_> =
            of_clip("stage.work").iter().filter_map(|span| attribute(span, "stage")).collect();
        for stage in ["curator", "decoder", "gate"] {
            assert!(stages.contains(stage), "{stage} works on {}: {stages:?}", video(number));
        }
        assert_eq!(of_clip("clip.found").len(), 1, "the root of the trace");
        for span in of_clip("clip.found").into_iter().chain(of_clip("stage.work")) {
            assert_eq!(hex(&span.trace_id), trace, "{span:?}");
        }
        let ids: BTreeSet<_> = spans.iter().map(|span| hex(&span.span_id)).collect();
        for parent in parents.iter().take(4).map(|parent| parent.split('-').nth(2).unwrap()) {
            assert!(ids.contains(parent), "the span that a record names was sent: {parent}");
        }
        traces.insert(trace);
    }
    assert_eq!(traces.len(), 4, "each clip has a trace of its own");
    for name in ["pool.seal", "pool.compose", "report.write"] {
        assert!(spans.iter().any(|span| span.name == name), "{name}");
    }

    let metrics = collector.metrics();
    for name in ["counterpoint_records_read_total", "counterpoint_records_committed_total"] {
        assert!(metrics.iter().any(|metric| metric == name), "{name} in {metrics:?}");
    }
    let logs = collector.logs();
    assert!(logs.iter().any(|log| log == "attempt failed"), "{logs:?}");
}

/// Id of the one clip of a source video.
fn clip_id(out: &Out, video: &str) -> String {
    let told = out.ask(["status", video]);
    told["clips"].as_object().unwrap().keys().next().unwrap().clone()
}

#[test]
fn a_collector_that_never_answers_or_is_not_there_changes_nothing_about_a_run() {
    let workplace = Workplace::with_clips(4);
    workplace.run().run().done();
    let silent = Collector::silent();
    for (name, url) in [("silent", silent.url()), ("absent", "http://127.0.0.1:9".to_owned())] {
        let out = Out::at(&workplace.path(name));
        workplace.run_into(&out.path("")).with(["--otlp", &url]).run().done();
        assert_eq!(out.manifest(), workplace.out().manifest(), "{name}");
    }
    workplace.run().with(["--otlp", "nowhere"]).run().ended_with(2, &["nowhere"]);
}
