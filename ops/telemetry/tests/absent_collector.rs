//! Where nobody listens, the human log says so once.

use std::{
    net::TcpListener,
    sync::{Arc, Mutex},
    time::Duration,
};

use counterpoint_telemetry::{LogSink, TelemetrySettings, init, span};

#[test]
fn a_refused_connection_is_logged_once_and_the_losses_are_summed_up_at_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = lines.clone();
    let telemetry = init(&TelemetrySettings {
        otlp: Some(format!("http://{address}")),
        sink: LogSink::new(move |line| kept.lock().unwrap().push(String::from_utf8_lossy(line).into_owned())),
        ..Default::default()
    })
    .unwrap();

    // Several batches of spans, so several refused requests.
    for clip in 0..3000 {
        let _work = tracing::info_span!(target: "counterpoint", span::STAGE_WORK, clip).entered();
    }
    assert!(init(&TelemetrySettings::default()).is_err_and(|error| error.to_string().contains("already")));
    let flushed = telemetry.shutdown(Duration::from_secs(60));

    assert!(flushed.in_time);
    assert!(flushed.lost >= 3000, "{} lost", flushed.lost);
    let lines = lines.lock().unwrap();
    let complaints: Vec<_> = lines.iter().filter(|line| line.contains("cannot be delivered")).collect();
    assert_eq!(complaints.len(), 1, "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("did not reach the collector")), "{lines:?}");
    assert!(lines.iter().all(|line| !line.contains("opentelemetry")), "{lines:?}");
}
