use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use counterpoint_models::ModelError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

use crate::Price;

/// How models behind a network are asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RemoteSettings {
    /// Seconds that a question may take, with all repetitions and waits.
    pub deadline_seconds: u64,
    /// Seconds that one request may take.
    pub timeout_seconds: u64,
    /// Requests for one question.
    pub max_attempts: u32,
    /// Seconds before the second request; each further one waits twice as long, less up to a half by chance.
    pub retry_seconds: f64,
    /// Longest such wait in seconds. A server that asks for more is given more.
    pub retry_max_seconds: f64,
    /// Most requests that are begun in a minute, evenly spread; 0 for no limit.
    pub requests_per_minute: u32,
    /// Questions on one clip that are asked at a time.
    pub concurrency: usize,
    /// Largest request in bytes; the clip is in it.
    pub max_request_bytes: usize,
    /// Largest answer in bytes.
    pub max_response_bytes: usize,
    /// `openai:` models.
    pub openai: OpenAiSettings,
    /// `gemini:` models.
    pub gemini: GeminiSettings,
    /// What tokens cost, by the model's name (what stands after `#` or `gemini:`).
    pub prices: BTreeMap<String, Price>,
}

/// Servers that speak OpenAI's chat completions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpenAiSettings {
    /// A file that holds the key; the variable `OPENAI_API_KEY` if not given. Without either no key is sent.
    pub key_file: Option<PathBuf>,
    /// Whether the key may go over plain http to another host.
    pub key_over_http: bool,
    /// How sound is sent.
    pub audio_part: AudioPart,
    /// How answers are held to the options.
    pub constraint: Constraint,
    /// Likeliest tokens that the server is asked for where a question needs them; 0 to never ask.
    pub top_logprobs: u8,
    /// Further members of the request, e.g. `mm_processor_kwargs = { use_audio_in_video = true }` for vLLM.
    pub extra_body: Map<String, Value>,
}

/// How sound is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AudioPart {
    /// As an `input_audio` part (OpenAI, vLLM).
    InputAudio,
    /// As an `audio_url` part with a data URL (SGLang, vLLM).
    AudioUrl,
}

/// How a server holds answers to the options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Constraint {
    /// Not at all: the prompt alone asks for one of them.
    None,
    /// By `structured_outputs` (vLLM from 0.12).
    StructuredOutputs,
    /// By `guided_choice` (vLLM before 0.12).
    GuidedChoice,
    /// By `regex` (SGLang).
    Regex,
}

/// The Gemini API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GeminiSettings {
    /// Address below which `models/NAME:generateContent` lies.
    pub url: String,
    /// A file that holds the key; the variable `GEMINI_API_KEY` if not given.
    pub key_file: Option<PathBuf>,
    /// Whether answers are held to the options, by an enum as response schema.
    pub constrained: bool,
    /// Likeliest tokens that are asked for where a question needs them; 0 to never ask, as some models refuse.
    pub top_logprobs: u8,
    /// Further members of `generationConfig`, e.g. `thinkingConfig = { thinkingBudget = 0 }`.
    pub generation: Map<String, Value>,
}

impl Default for RemoteSettings {
    fn default() -> Self {
        Self {
            deadline_seconds: 300,
            timeout_seconds: 120,
            max_attempts: 6,
            retry_seconds: 1.0,
            retry_max_seconds: 60.0,
            requests_per_minute: 0,
            concurrency: 4,
            max_request_bytes: 20_000_000,
            max_response_bytes: 4 << 20,
            openai: OpenAiSettings::default(),
            gemini: GeminiSettings::default(),
            prices: BTreeMap::new(),
        }
    }
}

impl Default for OpenAiSettings {
    fn default() -> Self {
        Self {
            key_file: None,
            key_over_http: false,
            audio_part: AudioPart::InputAudio,
            constraint: Constraint::None,
            top_logprobs: 20,
            extra_body: Map::new(),
        }
    }
}

impl Default for GeminiSettings {
    fn default() -> Self {
        Self {
            url: "https://generativelanguage.googleapis.com/v1beta".to_owned(),
            key_file: None,
            constrained: false,
            top_logprobs: 0,
            generation: Map::new(),
        }
    }
}

/// Members of a request that are written from the question.
const OURS: [&str; 8] =
    ["model", "messages", "max_tokens", "temperature", "top_p", "seed", "logprobs", "top_logprobs"];

/// The same of `generationConfig`.
const OURS_OF_GEMINI: [&str; 6] =
    ["maxOutputTokens", "temperature", "topP", "seed", "responseLogprobs", "logprobs"];

impl RemoteSettings {
    /// Refuses what can never work.
    ///
    /// # Errors
    /// [`ModelError::Setting`] with the first setting that is out of range.
    pub fn check(&self) -> Result<(), ModelError> {
        let day = 1..=86_400;
        let wait = 0.001..=3600.0;
        let ours = |extra: &Map<String, Value>, ours: &[&str]| {
            extra.keys().find(|key| ours.contains(&key.as_str())).cloned()
        };
        let extra = ours(&self.openai.extra_body, &OURS);
        let generation = ours(&self.gemini.generation, &OURS_OF_GEMINI);
        let wrong_price = self.prices.iter().find(|(_, price)| !price.is_possible());
        let seconds = "from 1 second to a day";
        let (waits, logprobs) = ("from 0.001 to 3600 seconds", "from 0 to 20");
        let checks = [
            (
                "deadline_seconds",
                self.deadline_seconds.to_string(),
                day.contains(&self.deadline_seconds),
                seconds,
            ),
            (
                "timeout_seconds",
                self.timeout_seconds.to_string(),
                day.contains(&self.timeout_seconds),
                seconds,
            ),
            (
                "max_attempts",
                self.max_attempts.to_string(),
                (1..=100).contains(&self.max_attempts),
                "from 1 to 100 requests",
            ),
            ("retry_seconds", self.retry_seconds.to_string(), wait.contains(&self.retry_seconds), waits),
            (
                "retry_max_seconds",
                self.retry_max_seconds.to_string(),
                wait.contains(&self.retry_max_seconds) && self.retry_max_seconds >= self.retry_seconds,
                "from remote.retry_seconds to 3600 seconds",
            ),
            (
                "concurrency",
                self.concurrency.to_string(),
                (1..=64).contains(&self.concurrency),
                "from 1 to 64 questions",
            ),
            (
                "max_request_bytes",
                self.max_request_bytes.to_string(),
                (1 << 10..=1 << 30).contains(&self.max_request_bytes),
                "from 1 KiB to 1 GiB",
            ),
            (
                "max_response_bytes",
                self.max_response_bytes.to_string(),
                (1 << 10..=1 << 30).contains(&self.max_response_bytes),
                "from 1 KiB to 1 GiB",
            ),
            (
                "openai.top_logprobs",
                self.openai.top_logprobs.to_string(),
                self.openai.top_logprobs <= 20,
                logprobs,
            ),
            ("openai.extra_body", format!("{extra:?}"), extra.is_none(), "members that no question decides"),
            (
                "gemini.top_logprobs",
                self.gemini.top_logprobs.to_string(),
                self.gemini.top_logprobs <= 20,
                logprobs,
            ),
            (
                "gemini.generation",
                format!("{generation:?}"),
                generation.is_none(),
                "members that no question decides",
            ),
            (
                "prices",
                format!("{wrong_price:?}"),
                wrong_price.is_none(),
                "dollars per million tokens, from 0 to 100000",
            ),
        ];
        let named =
            checks.map(|(name, value, is_right, remedy)| (format!("remote.{name}"), value, is_right, remedy));
        ModelError::first_of(named)?;
        self.gemini_url().map(drop)
    }

    /// Where the Gemini API is.
    pub(crate) fn gemini_url(&self) -> Result<Url, ModelError> {
        let url = Url::parse(&self.gemini.url).ok().filter(|url| {
            let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
            is_plain && matches!(url.scheme(), "http" | "https") && url.host().is_some()
        });
        // Not repeated: an address may hold a key.
        url.ok_or_else(|| ModelError::Setting {
            name: "remote.gemini.url".to_owned(),
            value: "no plain address".to_owned(),
            remedy: "an http or https address without user, password and query",
        })
    }

    /// How long a question may take.
    pub(crate) fn deadline(&self) -> Duration {
        Duration::from_secs(self.deadline_seconds)
    }

    /// How long one request may take.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_range_and_what_is_not_is_named() {
        assert!(RemoteSettings::default().check().is_ok());
        let wrong = |change: &dyn Fn(&mut RemoteSettings)| {
            let mut settings = RemoteSettings::default();
            change(&mut settings);
            settings.check().unwrap_err().to_string()
        };
        let free = Price { text: -1.0, video: None, audio: None, answer: 0.0 };
        for (message, name) in [
            (wrong(&|settings| settings.deadline_seconds = 0), "remote.deadline_seconds is 0"),
            (wrong(&|settings| settings.retry_seconds = f64::NAN), "remote.retry_seconds is NaN"),
            (wrong(&|settings| settings.retry_max_seconds = 0.5), "remote.retry_max_seconds is 0.5"),
            (wrong(&|settings| settings.concurrency = 0), "remote.concurrency is 0"),
            (wrong(&|settings| settings.openai.top_logprobs = 21), "remote.openai.top_logprobs is 21"),
            (
                wrong(&|settings| drop(settings.openai.extra_body.insert("seed".to_owned(), 1.into()))),
                "remote.openai.extra_body is Some(\"seed\")",
            ),
            (
                wrong(&|settings| settings.prices = [("m".to_owned(), free.clone())].into()),
                "remote.prices is Some((\"m\"",
            ),
            (wrong(&|settings| settings.gemini.url = "ftp://h".to_owned()), "remote.gemini.url is"),
        ] {
            assert!(message.contains(name), "{message}");
        }
        let secret = wrong(&|settings| settings.gemini.url = "https://h/?key=hunter2".to_owned());
        assert!(!secret.contains("hunter2"), "{secret}");
    }

    #[test]
    fn unknown_settings_are_refused() {
        let read: Result<RemoteSettings, _> = serde_json::from_str(r#"{"max_atempts": 3}"#);
        assert!(read.unwrap_err().to_string().contains("max_atempts"));
    }
}
