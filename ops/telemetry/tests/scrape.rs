//! What Prometheus reads: every metric of the catalogue under its own name, in the text format, by bounded
//! means.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use counterpoint_messages::{RejectReason, StageName};
use counterpoint_servers::get;
use counterpoint_telemetry::{
    Event, TelemetrySettings, build,
    events::{BatchCommitted, BytesInFlight, ClipRejected},
    init,
};

fn settings(metrics: &str) -> TelemetrySettings {
    TelemetrySettings {
        metrics: Some(metrics.to_owned()),
        filter: Some("off".to_owned()),
        instance: "host-7".to_owned(),
        ..Default::default()
    }
}

#[test]
fn metrics_are_read_under_the_names_of_the_catalogue_while_others_dawdle() {
    let [port] = counterpoint_servers::free_ports().unwrap();
    let address = format!("127.0.0.1:{port}");
    let telemetry = init(&settings(&address)).unwrap();
    let error = build(&settings(&address)).err().unwrap().to_string();
    assert!(error.contains(&address) && error.contains("free port"), "{error}");

    let stage = StageName::Gate;
    ClipRejected { stage, reason: RejectReason::Silent }.emit();
    ClipRejected { stage, reason: RejectReason::Silent }.emit();
    BytesInFlight { stage, bytes: 4096 }.emit();
    BatchCommitted { stage, records: 3, outputs: 2, duration: Duration::from_millis(20) }.emit();

    // Readers that say nothing keep others waiting no longer than their own patience.
    let mut dawdlers: Vec<_> = (0..12).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let answer = get(&format!("http://{address}/metrics")).unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.headers.iter().any(|line| line.contains("text/plain; version=0.0.4")), "{answer:?}");
    let lines: Vec<_> = answer.body.lines().collect();
    for line in [
        "# TYPE counterpoint_clips_rejected_total counter",
        "counterpoint_clips_rejected_total{reason=\"silent\",stage=\"gate\"} 2",
        "# TYPE counterpoint_in_flight_bytes gauge",
        "counterpoint_in_flight_bytes{stage=\"gate\"} 4096",
        "# TYPE counterpoint_commit_duration_seconds histogram",
        "counterpoint_commit_duration_seconds_bucket{stage=\"gate\",le=\"0.025\"} 1",
        "counterpoint_commit_duration_seconds_count{stage=\"gate\"} 1",
    ] {
        assert!(lines.contains(&line), "{line} in\n{}", answer.body);
    }
    let target = lines.iter().find(|line| line.starts_with("target_info{")).unwrap();
    assert!(target.contains("host-7"), "{target}");

    assert_eq!(get(&format!("http://{address}/")).unwrap().status, 404);
    let mut post = TcpStream::connect(&address).unwrap();
    post.write_all(b"POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").unwrap();
    let mut told = String::new();
    post.read_to_string(&mut told).unwrap();
    assert!(told.starts_with("HTTP/1.1 405"), "{told}");
    for dawdler in &mut dawdlers {
        // They were let go of: the end of the connection comes without an answer.
        dawdler.read_to_end(&mut Vec::new()).unwrap();
    }

    telemetry.shutdown(Duration::from_secs(10));
    let mut looks = 0;
    while TcpStream::connect(&address).is_ok() {
        looks += 1;
        assert!(looks < 1000, "the address is still open");
        std::thread::sleep(Duration::from_millis(10));
    }
}
