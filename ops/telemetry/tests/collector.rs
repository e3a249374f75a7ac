//! A collector that answers gets all three signals, each on its own path.

use std::{collections::BTreeSet, time::Duration};

use counterpoint_messages::{RejectReason, StageName};
use counterpoint_servers::Collector;
use counterpoint_telemetry::{
    Event, Flushed, TelemetrySettings,
    events::{ClipRejected, StageResumed},
    init, span,
};

#[test]
fn spans_metrics_and_logs_reach_their_paths_and_nothing_is_lost() {
    let collector = Collector::start();
    let telemetry = init(&TelemetrySettings {
        otlp: Some(format!("{}/", collector.url())),
        instance: "host-7".to_owned(),
        filter: Some("off".to_owned()),
        ..Default::default()
    })
    .unwrap();

    {
        let _work = tracing::info_span!(target: "counterpoint", span::STAGE_WORK, clip = "abc").entered();
        ClipRejected { stage: StageName::Gate, reason: RejectReason::Silent }.emit();
        StageResumed { stage: StageName::Gate }.emit();
    }
    assert_eq!(telemetry.shutdown(Duration::from_secs(60)), Flushed { in_time: true, lost: 0 });

    let paths: BTreeSet<_> = collector.paths().into_iter().collect();
    assert_eq!(paths.into_iter().collect::<Vec<_>>(), ["/v1/logs", "/v1/metrics", "/v1/traces"]);
    let senders: BTreeSet<_> = collector.senders().into_iter().collect();
    let sender = ("counterpoint".to_owned(), "host-7".to_owned());
    assert_eq!(senders, [sender].into(), "all three signals bear the name of who sent them");
    assert!(collector.spans().iter().any(|span| span.name == "stage.work"));
    assert!(collector.metrics().iter().any(|name| name == "counterpoint_clips_rejected_total"));
    assert_eq!(collector.labels("counterpoint_clips_rejected_total")["reason"], ["silent".to_owned()].into());
    assert!(collector.logs().iter().any(|log| log == "stage resumed"));
}
