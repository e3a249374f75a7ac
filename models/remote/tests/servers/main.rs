//! Remote models against a real HTTP server: what is sent, what is understood, and what becomes of trouble.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

mod gemini;
mod openai;
mod trouble;

use std::{fs, path::PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use counterpoint_models::{
    Answer, AskError, Clip, Decoding, Model, ModelError, ModelName, Question, Sound, Stop,
};
use counterpoint_remote::{RemoteSettings, open};
use counterpoint_servers::Request;
use serde_json::Value;
use tempfile::TempDir;

const KEY: &str = "sk-test-5fG7hI9jK1mN3oP5";

/// Not a video: no server here looks into it.
const MP4: &[u8] = b"\0\0\0\x20ftypisom and so on \xff\xfe";

/// A folder with a clip's file and a key's, and settings that lose no time.
struct Desk {
    _folder: TempDir,
    file: PathBuf,
    settings: RemoteSettings,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (file, key_file) = (folder.path().join("clip.mp4"), folder.path().join("key"));
        fs::write(&file, MP4).unwrap();
        fs::write(&key_file, format!("{KEY}\n")).unwrap();
        let mut settings =
            RemoteSettings { retry_seconds: 0.001, retry_max_seconds: 0.002, ..RemoteSettings::default() };
        settings.openai.key_file = Some(key_file.clone());
        settings.gemini.key_file = Some(key_file);
        Self { _folder: folder, file, settings }
    }

    fn clip(&self) -> Clip {
        let sound = Sound::new(vec![0.0, 0.25, -0.25, 1.0], 16_000).unwrap();
        Clip::new("0".repeat(64).parse().unwrap()).with_file(&self.file).with_sound(sound)
    }

    fn model(&self, name: &str) -> Box<dyn Model> {
        self.try_model(name).unwrap()
    }

    fn try_model(&self, name: &str) -> Result<Box<dyn Model>, ModelError> {
        let ModelName::Remote(name) = name.parse()? else { panic!("{name} is not remote") };
        open(&name, &self.settings, &Stop::new())
    }

    fn ask(&self, model: &mut dyn Model, question: Question) -> Result<Answer, AskError> {
        model.ask(&self.clip(), &[question], &Decoding::default()).remove(0)
    }
}

fn free() -> Question {
    Question::free("Describe what you hear in the video").unwrap()
}

fn yes_no() -> Question {
    Question::yes_no("Do the audio and video match?").unwrap()
}

fn json(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

/// Rate and samples of a WAV file in base64.
fn read_wav(base64: &Value) -> (u32, Vec<i16>) {
    let wav = STANDARD.decode(base64.as_str().unwrap()).unwrap();
    assert_eq!((&wav[..4], &wav[8..16], &wav[36..40]), (&b"RIFF"[..], &b"WAVEfmt "[..], &b"data"[..]));
    let samples = wav[44..].chunks(2).map(|pair| i16::from_le_bytes(pair.try_into().unwrap())).collect();
    (u32::from_le_bytes(wav[24..28].try_into().unwrap()), samples)
}

const SAMPLES: [i16; 4] = [0, 8192, -8192, 32_767];
