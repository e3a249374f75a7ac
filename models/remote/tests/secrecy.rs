//! No key is in an error, a log line or debug output, not even where a server repeats what it was sent.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    sync::{Arc, Mutex},
};

use counterpoint_models::{Clip, Decoding, ModelName, Question, Sound, Stop};
use counterpoint_remote::{RemoteSettings, open};
use counterpoint_servers::{ModelServer, Reply, Request};
use serde_json::json;

const KEY: &str = "sk-test-5fG7hI9jK1mN3oP5";

/// Everything that anybody logs, at every level, HTTP libraries included.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// All headers of a request, in each of the ways in which servers answer.
fn echo(number: usize, request: &Request) -> Reply {
    let headers = request.headers.join("\n");
    match number % 7 {
        0 => Reply::new(500, headers),
        1 => Reply::new(429, json!({ "error": { "message": headers, "code": KEY } }).to_string()),
        2 => Reply::new(200, headers),
        3 => Reply::new(200, json!({ "choices": headers, "candidates": headers }).to_string()),
        4 => Reply::new(400, format!("Incorrect key {}****{}", &KEY[..9], &KEY[14..])),
        5 => Reply::new(401, headers),
        _ => Reply::new(
            200,
            json!({
                "choices": [{ "message": { "content": headers } }],
                "candidates": [{ "content": { "parts": [{ "text": headers }] } }],
            })
            .to_string(),
        ),
    }
}

#[test]
fn no_key_comes_out_again() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .init();
    let folder = tempfile::tempdir().unwrap();
    let (file, key_file) = (folder.path().join("clip.mp4"), folder.path().join("key"));
    fs::write(&file, "clip").unwrap();
    fs::write(&key_file, KEY).unwrap();
    fs::set_permissions(&key_file, Permissions::from_mode(0o644)).unwrap();
    let server = ModelServer::start(echo);
    let mut settings = RemoteSettings { retry_seconds: 0.001, max_attempts: 1, ..RemoteSettings::default() };
    settings.openai.key_file = Some(key_file.clone());
    settings.gemini.key_file = Some(key_file);
    settings.gemini.url = server.url();
    let clip = Clip::new("0".repeat(64).parse().unwrap()).with_file(file);
    let clip = clip.with_sound(Sound::new(vec![0.0], 16_000).unwrap());

    let mut told = format!("{settings:?} {}", serde_json::to_string(&settings).unwrap());
    for name in [format!("openai:{}#m", server.url()), "gemini:m".to_owned()] {
        let ModelName::Remote(name) = name.parse().unwrap() else { panic!("{name} is not remote") };
        for attempts in [1, 1, 1, 1, 1, 1, 1, 7] {
            settings.max_attempts = attempts;
            let mut model = open(&name, &settings, &Stop::new()).unwrap();
            let questions = [Question::free("Describe what you hear in the video").unwrap()];
            let answers = model.ask(&clip, &questions, &Decoding::default());
            told.push_str(&format!("\n{:?} {answers:?}", model.facts()));
            if let Err(error) = &answers[0] {
                told.push_str(&format!(" {error}"));
            }
        }
    }

    // Without these the test could not fail.
    let requests = server.requests();
    let with_key = requests.iter().filter(|request| request.headers.iter().any(|line| line.contains(KEY)));
    assert_eq!(with_key.count(), requests.len());
    assert!(requests.len() >= 14 && told.contains("[secret]"), "{told}");
    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(
        log.contains("asking again") && log.contains("127.0.0.1") && log.contains("others can read this key")
    );
    for (what, text) in [("told", &told), ("log", &log)] {
        for start in 0..=KEY.len() - 8 {
            let part = &KEY[start..start + 8];
            let line = text.lines().find(|line| line.contains(part));
            assert_eq!(line, None, "{what} holds {part} of the key");
        }
    }
}
