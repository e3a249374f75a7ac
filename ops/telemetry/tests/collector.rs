//! A collector that answers gets all three signals, each on its own path.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::Duration,
};

use counterpoint_messages::{RejectReason, StageName};
use counterpoint_telemetry::{
    Event, Flushed, TelemetrySettings,
    events::{ClipRejected, StageResumed},
    init, span,
};

/// Path and body of a request.
type Post = (String, Vec<u8>);

/// Answers 200 to every request on the connection and hands it on.
fn serve(stream: TcpStream, posts: &mpsc::Sender<Post>) -> io::Result<()> {
    let mut requests = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if requests.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut length = 0;
        while line.trim() != "" {
            line.clear();
            requests.read_line(&mut line)?;
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut body = vec![0; length];
        requests.read_exact(&mut body)?;
        posts.send((path, body)).map_err(io::Error::other)?;
        requests.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
    }
}

fn contains(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn spans_metrics_and_logs_reach_their_paths_and_nothing_is_lost() {
    let (sender, posts) = mpsc::channel();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let sender = sender.clone();
            std::thread::spawn(move || serve(stream, &sender));
        }
    });
    let telemetry = init(&TelemetrySettings {
        otlp: Some(format!("http://{address}/")),
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

    let mut bodies = BTreeMap::<_, Vec<u8>>::new();
    for (path, body) in posts.try_iter() {
        bodies.entry(path).or_default().extend(body);
    }
    assert_eq!(bodies.keys().collect::<Vec<_>>(), ["/v1/logs", "/v1/metrics", "/v1/traces"]);
    for body in bodies.values() {
        assert!(contains(body, "counterpoint") && contains(body, "host-7"));
    }
    assert!(contains(&bodies["/v1/traces"], "stage.work"));
    assert!(contains(&bodies["/v1/metrics"], "counterpoint_clips_rejected_total"));
    assert!(contains(&bodies["/v1/metrics"], "silent"));
    assert!(contains(&bodies["/v1/logs"], "stage resumed"));
}
