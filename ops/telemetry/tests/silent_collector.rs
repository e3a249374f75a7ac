//! A collector that takes connections and never answers must cost the pipeline nothing but the telemetry.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use counterpoint_messages::StageName;
use counterpoint_telemetry::{Event, Telemetry, TelemetrySettings, build, events::WorkDone, init, span};

const EVENTS: u64 = 50_000;
const DEADLINE: Duration = Duration::from_secs(1);

fn settings(otlp: Option<String>) -> TelemetrySettings {
    TelemetrySettings { otlp, filter: Some("off".to_owned()), ..Default::default() }
}

/// Time to emit a span, a log record and two metrics, [`EVENTS`] times.
fn emit() -> Duration {
    let start = Instant::now();
    for clip in 0..EVENTS {
        let _work =
            tracing::info_span!(target: "counterpoint", span::STAGE_WORK, stage = "decoder", clip).entered();
        tracing::info!(target: "counterpoint", clip, "prepared");
        WorkDone { stage: StageName::Decoder, duration: Duration::from_millis(5), media_seconds: 10.0 }
            .emit();
    }
    start.elapsed()
}

fn shut_down(telemetry: Telemetry) -> (counterpoint_telemetry::Flushed, Duration) {
    let start = Instant::now();
    (telemetry.shutdown(DEADLINE), start.elapsed())
}

#[test]
fn a_collector_that_never_answers_neither_slows_emission_nor_holds_up_the_end() {
    let (quiet, dispatch) = build(&settings(None)).unwrap();
    let alone = tracing::dispatcher::with_default(&dispatch, emit);
    quiet.shutdown(DEADLINE);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let _held = std::thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    let telemetry = init(&settings(Some(format!("http://{address}")))).unwrap();
    let exporting = emit();
    let (flushed, end) = shut_down(telemetry);

    // One request alone waits for seconds, and the queue holds a sixth of the events: an emission that waited
    // for the collector at all would be slower by more than a hundred times.
    assert!(exporting < alone * 25, "{exporting:?} with a silent collector, {alone:?} without one");
    assert!(end < DEADLINE * 5, "the end took {end:?}");
    assert!(!flushed.in_time);
    assert!((2 * EVENTS..2 * EVENTS + 100).contains(&flushed.lost), "{} lost", flushed.lost);
}
