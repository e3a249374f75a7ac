//! What a server means that does not answer with 200.

use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use serde_json::Value;

/// Longest that a server may ask to be left alone and be believed.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Longest part of a server's words that is repeated.
const MAX_WORDS: usize = 300;

/// What follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Ask again, not before so long.
    Later(Option<Duration>),
    /// Not this question, or not this clip.
    NotThis,
    /// Nothing at all until somebody does this.
    Nothing(&'static str),
}

/// A server's answer that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) meaning: Meaning,
    /// Status and what the server says, as far as it may be repeated.
    pub(crate) words: String,
}

const CHECK_KEY: &str = "check the key (OPENAI_API_KEY or GEMINI_API_KEY, or the key_file of the settings)";
const CHECK_ADDRESS: &str = "check address and name of the model; an OpenAI address mostly ends with /v1";
const CHECK_ACCOUNT: &str = "check the account and its quota";
const CHECK_SETTINGS: &str = "change what it names (constraint, top_logprobs, extra_body and generation of the remote settings add to a request)";

/// Ways in which servers say that a prompt is too long: OpenAI, vLLM, SGLang, Gemini.
const TOO_LONG: [&str; 6] = [
    "context_length_exceeded",
    "context length",
    "maximum model length",
    "max_model_len",
    "exceeds the maximum number of tokens",
    "prompt is too long",
];

/// Reads a refusal. `has_answered`: whether the same kind of question was answered before, which shows that the
/// request as such is right, and so that a bad request is one for this question or clip.
pub(crate) fn read(
    status: StatusCode,
    retry_after: Option<&str>,
    body: &[u8],
    has_answered: bool,
    hide: impl Fn(&str) -> String,
) -> Refusal {
    let told = Told::read(body);
    let meaning = told.meaning(status, has_answered).unwrap_or_else(|| {
        Meaning::Later(retry_after.and_then(|value| delay(value, SystemTime::now())).or(told.retry_delay))
    });
    // A server may repeat the very key that it refuses, in ways that nobody thought of.
    let words =
        if matches!(status.as_u16(), 401 | 407) { String::new() } else { presentable(&hide(&told.message)) };
    let parted = if words.is_empty() { "" } else { ": " };
    Refusal { meaning, words: format!("{status}{parted}{words}") }
}

/// What the body of a refusal says.
struct Told {
    message: String,
    // All codes, types and reasons, one a line.
    codes: String,
    retry_delay: Option<Duration>,
}

impl Told {
    fn read(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let Ok(value) = serde_json::from_str::<Value>(&text) else {
            return Self { message: text.into_owned(), codes: String::new(), retry_delay: None };
        };
        let value = value.get(0).unwrap_or(&value);
        let error = value.get("error").unwrap_or(value);
        let message = ["message", "detail", "msg"].iter().find_map(|name| error.get(name)).unwrap_or(error);
        let message = message.as_str().map_or_else(|| message.to_string(), str::to_owned);
        let details = error.get("details").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let named = ["code", "type", "status"].into_iter().filter_map(|name| error.get(name)?.as_str());
        let reasons = details.iter().filter_map(|detail| detail.get("reason")?.as_str());
        let codes: Vec<_> = named.chain(reasons).collect();
        let retry_delay = details.iter().find_map(|detail| {
            let seconds = detail.get("retryDelay")?.as_str()?.strip_suffix('s')?;
            bounded(seconds.parse().ok()?)
        });
        Self { message, codes: codes.join("\n"), retry_delay }
    }

    /// `None` if it passes.
    fn meaning(&self, status: StatusCode, has_answered: bool) -> Option<Meaning> {
        let says = |part: &str| self.codes.contains(part) || self.message.to_lowercase().contains(part);
        Some(match status.as_u16() {
            _ if ["insufficient_quota", "billing_hard_limit"]
                .iter()
                .any(|code| self.codes.contains(code)) =>
            {
                Meaning::Nothing(CHECK_ACCOUNT)
            }
            _ if self.codes.contains("API_KEY_INVALID") => Meaning::Nothing(CHECK_KEY),
            408 | 425 | 429 | 500 | 502..=504 | 506.. => return None,
            401 | 403 | 407 => Meaning::Nothing(CHECK_KEY),
            402 => Meaning::Nothing(CHECK_ACCOUNT),
            ..=399 | 404 | 405 | 410 | 501 | 505 => Meaning::Nothing(CHECK_ADDRESS),
            413 => Meaning::NotThis,
            _ if has_answered || TOO_LONG.iter().any(|part| says(part)) => Meaning::NotThis,
            _ => Meaning::Nothing(CHECK_SETTINGS),
        })
    }
}

/// `Retry-After`: seconds, or a date (RFC 9110, 10.2.3).
fn delay(value: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return bounded(seconds);
    }
    let date = httpdate::parse_http_date(value.trim()).ok()?;
    Some(date.duration_since(now).unwrap_or_default().min(LONGEST))
}

fn bounded(seconds: f64) -> Option<Duration> {
    // Not a number stays none.
    let is_delay = seconds >= 0.0;
    is_delay.then(|| Duration::try_from_secs_f64(seconds).map_or(LONGEST, |delay| delay.min(LONGEST)))
}

/// One line, not too long.
pub(crate) fn presentable(text: &str) -> String {
    let plain = text.split(|letter: char| letter.is_control() || letter.is_whitespace());
    let line = plain.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let cut: String = line.chars().take(MAX_WORDS).collect();
    if cut.len() < line.len() { format!("{cut}…") } else { cut }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(status: u16, body: &str, has_answered: bool) -> Meaning {
        let status = StatusCode::from_u16(status).unwrap();
        read(status, None, body.as_bytes(), has_answered, str::to_owned).meaning
    }

    #[test]
    fn each_refusal_is_somebodys() {
        let open_ai = |code: &str, message: &str| {
            format!(r#"{{"error": {{"message": "{message}", "type": "t", "code": "{code}"}}}}"#)
        };
        let google = |reason: &str| {
            format!(r#"{{"error": {{"code": 400, "message": "no", "details": [{{"reason": "{reason}"}}]}}}}"#)
        };
        for (status, body, expected) in [
            (429, String::new(), Meaning::Later(None)),
            (503, "<html>".to_owned(), Meaning::Later(None)),
            (529, String::new(), Meaning::Later(None)),
            (401, String::new(), Meaning::Nothing(CHECK_KEY)),
            (400, google("API_KEY_INVALID"), Meaning::Nothing(CHECK_KEY)),
            (429, open_ai("insufficient_quota", "pay"), Meaning::Nothing(CHECK_ACCOUNT)),
            (404, open_ai("model_not_found", "no model m"), Meaning::Nothing(CHECK_ADDRESS)),
            (302, String::new(), Meaning::Nothing(CHECK_ADDRESS)),
            (413, String::new(), Meaning::NotThis),
            (400, open_ai("context_length_exceeded", "too much"), Meaning::NotThis),
            (
                400,
                r#"{"object":"error","message":"This model's maximum context length is 10 tokens","type":"BadRequestError","code":400}"#.to_owned(),
                Meaning::NotThis,
            ),
            (
                400,
                r#"[{"error": {"code": 400, "message": "The input token count (9) exceeds the maximum number of tokens allowed (8)."}}]"#.to_owned(),
                Meaning::NotThis,
            ),
            (400, open_ai("", "unknown field top_logprobs"), Meaning::Nothing(CHECK_SETTINGS)),
        ] {
            assert_eq!(meaning(status, &body, false), expected, "{status} {body}");
        }
    }

    #[test]
    fn a_bad_request_is_the_clips_fault_once_such_requests_were_answered() {
        assert_eq!(meaning(400, "cannot decode video", false), Meaning::Nothing(CHECK_SETTINGS));
        assert_eq!(meaning(400, "cannot decode video", true), Meaning::NotThis);
        assert_eq!(meaning(401, "", true), Meaning::Nothing(CHECK_KEY));
    }

    #[test]
    fn a_server_may_say_how_long_in_seconds_by_date_or_in_its_body() {
        let now = httpdate::parse_http_date("Wed, 21 Oct 2026 07:28:00 GMT").unwrap();
        for (value, expected) in [
            ("7", Some(Duration::from_secs(7))),
            (" 1.5 ", Some(Duration::from_millis(1500))),
            ("Wed, 21 Oct 2026 07:28:30 GMT", Some(Duration::from_secs(30))),
            ("Wed, 21 Oct 2020 07:28:30 GMT", Some(Duration::ZERO)),
            ("99999999999999999999", Some(LONGEST)),
            ("-3", None),
            ("NaN", None),
            ("soon", None),
        ] {
            assert_eq!(delay(value, now), expected, "{value}");
        }
        let body = r#"{"error": {"code": 429, "details": [{"@type": "x"}, {"retryDelay": "34.5s"}]}}"#;
        assert_eq!(meaning(429, body, false), Meaning::Later(Some(Duration::from_millis(34_500))));
    }

    #[test]
    fn words_are_one_line_and_not_too_long() {
        let refusal = read(
            StatusCode::BAD_REQUEST,
            None,
            format!("a\r\n\u{1b}[2J b{}", "x".repeat(1000)).as_bytes(),
            false,
            str::to_owned,
        );
        assert!(refusal.words.starts_with("400 Bad Request: a [2J bxxx"), "{}", refusal.words);
        assert!(refusal.words.chars().count() < 350);
        let told = read(StatusCode::UNAUTHORIZED, None, b"your key is k", false, str::to_owned);
        assert_eq!(told.words, "401 Unauthorized");
    }
}
