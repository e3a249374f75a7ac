//! OpenAI's chat completions, as vLLM, SGLang and others serve them for models that see and hear.
//!
//! One user message: the clip's file as `video_url` (a data URL of `video/mp4`), its sound as `input_audio` or
//! `audio_url` (WAV), then the prompt. A server shows the model the pictures of the file alone, so sound goes
//! apart; without a file or without sound that part is left out. (vLLM: Multimodal Inputs, Online Serving;
//! SGLang: OpenAI APIs, Vision.)

use std::borrow::Cow;

use counterpoint_models::{AskError, Clip, Decoding, ModelInput, Question, QuestionKind, TokenCounts};
use reqwest::header::{AUTHORIZATION, HeaderMap};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use url::Url;

use crate::{
    AudioPart, Constraint, OpenAiSettings, Secret,
    likelihood::Candidate,
    media,
    served::{Protocol, Said, Unusable},
};

pub(crate) struct OpenAi {
    url: Url,
    model: String,
    settings: OpenAiSettings,
}

impl OpenAi {
    pub(crate) fn new(url: &Url, model: &str, settings: &OpenAiSettings) -> Self {
        let mut url = url.clone();
        let path = format!("{}/chat/completions", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Self { url, model: model.to_owned(), settings: settings.clone() }
    }

    /// What holds an answer to the options.
    fn constraint(&self, question: &Question) -> Map<String, Value> {
        let QuestionKind::Options(options) = question.kind() else { return Map::new() };
        let member = match self.settings.constraint {
            Constraint::None => None,
            Constraint::StructuredOutputs => Some(("structured_outputs", json!({ "choice": options }))),
            Constraint::GuidedChoice => Some(("guided_choice", json!(options))),
            Constraint::Regex => Some(("regex", Value::String(any_of(options)))),
        };
        member.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
    }
}

/// A regular expression for exactly one of the texts.
fn any_of(options: &[String]) -> String {
    let escape = |option: &String| {
        let mut escaped = String::new();
        for letter in option.chars() {
            if letter.is_ascii_punctuation() && letter != '_' {
                escaped.push('\\');
            }
            escaped.push(letter);
        }
        escaped
    };
    format!("({})", options.iter().map(escape).collect::<Vec<_>>().join("|"))
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    messages: [Message<'a>; 1],
    max_tokens: u32,
    temperature: f32,
    top_p: f32,
    seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u8>,
    #[serde(flatten)]
    constraint: Map<String, Value>,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Vec<Cow<'a, Value>>,
}

#[derive(Deserialize)]
struct Response {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    message: Option<Reply>,
    logprobs: Option<Logprobs>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Reply {
    content: Option<String>,
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct Logprobs {
    content: Option<Vec<Place>>,
}

#[derive(Deserialize)]
struct Place {
    token: String,
    logprob: f64,
    #[serde(default)]
    top_logprobs: Vec<Likely>,
}

#[derive(Deserialize)]
struct Likely {
    token: String,
    logprob: f64,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: Option<u32>,
    completion_tokens: Option<u32>,
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize, Default)]
struct Details {
    text_tokens: Option<u32>,
    video_tokens: Option<u32>,
    audio_tokens: Option<u32>,
}

impl Protocol for OpenAi {
    const INPUT: ModelInput = ModelInput::FileAndSound;

    fn url(&self) -> &Url {
        &self.url
    }

    fn header(&self, key: &Secret) -> Option<HeaderMap> {
        Some([(AUTHORIZATION, key.header("Bearer ")?)].into_iter().collect())
    }

    fn fingerprint(&self) -> serde_json::Result<Vec<u8>> {
        let OpenAiSettings { audio_part, constraint, top_logprobs, extra_body, .. } = &self.settings;
        serde_json::to_vec(&(audio_part, constraint, top_logprobs, extra_body))
    }

    fn media(&self, model: &str, clip: &Clip, max_bytes: usize) -> Result<Vec<Value>, AskError> {
        let mut parts = Vec::new();
        if let Some(path) = clip.file() {
            let data = media::file(model, path, max_bytes)?;
            let url = format!("data:video/mp4;base64,{data}");
            parts.push(json!({ "type": "video_url", "video_url": { "url": url } }));
        }
        if let Some(sound) = clip.sound() {
            let data = media::wav(sound);
            parts.push(match self.settings.audio_part {
                AudioPart::InputAudio => {
                    json!({ "type": "input_audio", "input_audio": { "data": data, "format": "wav" } })
                }
                AudioPart::AudioUrl => {
                    let url = format!("data:audio/wav;base64,{data}");
                    json!({ "type": "audio_url", "audio_url": { "url": url } })
                }
            });
        }
        if parts.is_empty() {
            return Err(AskError::Misconfigured {
                model: model.to_owned(),
                problem: "the clip has neither file nor sound to send".to_owned(),
                remedy: "give it in the form that ModelFacts::input says".to_owned(),
            });
        }
        Ok(parts)
    }

    fn request(
        &self,
        media: &[Value],
        question: &Question,
        decoding: &Decoding,
    ) -> serde_json::Result<Vec<u8>> {
        let prompt = json!({ "type": "text", "text": question.text() });
        let content = media.iter().map(Cow::Borrowed).chain([Cow::Owned(prompt)]).collect();
        let wants = *question.kind() != QuestionKind::Free && self.settings.top_logprobs > 0;
        serde_json::to_vec(&Request {
            model: &self.model,
            messages: [Message { role: "user", content }],
            max_tokens: decoding.max_new_tokens,
            temperature: decoding.temperature,
            top_p: decoding.top_p,
            // Servers take signed numbers.
            seed: decoding.seed & (u64::MAX >> 1),
            logprobs: wants.then_some(true),
            top_logprobs: wants.then_some(self.settings.top_logprobs),
            constraint: self.constraint(question),
            extra: &self.settings.extra_body,
        })
    }

    fn read(&self, body: &[u8]) -> Result<Said, Unusable> {
        let response: Response = serde_json::from_slice(body)
            .map_err(|error| Unusable::Garbled(format!("its answer is no chat completion: {error}")))?;
        let choice = response.choices.into_iter().next();
        let choice = choice.ok_or_else(|| Unusable::NoAnswer("its answer has no choices".to_owned()))?;
        let reply = choice.message.unwrap_or(Reply { content: None, refusal: None });
        let Some(text) = reply.content else {
            let reason = choice.finish_reason.unwrap_or_else(|| "no reason".to_owned());
            let said = reply.refusal.unwrap_or_else(|| format!("its answer has no content ({reason})"));
            return Err(Unusable::NoAnswer(said));
        };
        let places = choice.logprobs.and_then(|logprobs| logprobs.content).unwrap_or_default();
        let first = places.into_iter().find(|place| !place.token.trim().is_empty());
        Ok(Said { text, first: first.map(candidates).unwrap_or_default(), tokens: counts(response.usage) })
    }
}

/// The token that was taken, and the others.
fn candidates(place: Place) -> Vec<Candidate> {
    let others = place.top_logprobs.into_iter().filter(|likely| likely.token != place.token);
    let others = others.map(|likely| Candidate { token: likely.token, logprob: likely.logprob });
    let taken = Candidate { token: place.token.clone(), logprob: place.logprob };
    [taken].into_iter().chain(others).collect()
}

fn counts(usage: Option<Usage>) -> TokenCounts {
    let Some(usage) = usage else { return TokenCounts::default() };
    let Details { text_tokens, video_tokens, audio_tokens } = usage.prompt_tokens_details.unwrap_or_default();
    let rest = || usage.prompt_tokens?.checked_sub(video_tokens?)?.checked_sub(audio_tokens?);
    TokenCounts {
        prompt: usage.prompt_tokens,
        text: text_tokens.or_else(rest),
        video: video_tokens,
        audio: audio_tokens,
        answer: usage.completion_tokens,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protocol(settings: OpenAiSettings) -> OpenAi {
        OpenAi::new(&Url::parse("http://h:1/v1").unwrap(), "org/m", &settings)
    }

    fn request(settings: OpenAiSettings, question: &Question) -> Value {
        let body = protocol(settings).request(&[], question, &Decoding::default()).unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    fn which() -> Question {
        Question::options("Which?", vec!["Cat".to_owned(), "Hi-hat (open)".to_owned()]).unwrap()
    }

    #[test]
    fn answers_are_held_to_the_options_as_the_server_understands_it() {
        let with = |constraint| request(OpenAiSettings { constraint, ..OpenAiSettings::default() }, &which());
        let choices = json!(["Cat", "Hi-hat (open)"]);
        assert_eq!(with(Constraint::StructuredOutputs)["structured_outputs"], json!({ "choice": choices }));
        assert_eq!(with(Constraint::GuidedChoice)["guided_choice"], choices);
        assert_eq!(with(Constraint::Regex)["regex"], json!("(Cat|Hi\\-hat \\(open\\))"));
        let none = with(Constraint::None);
        assert!(none.get("regex").is_none() && none.get("guided_choice").is_none(), "{none}");
    }

    #[test]
    fn probabilities_are_asked_for_only_where_a_question_needs_them() {
        let free = request(OpenAiSettings::default(), &Question::free("What?").unwrap());
        assert!(free.get("logprobs").is_none());
        assert_eq!(request(OpenAiSettings::default(), &which())["top_logprobs"], json!(20));
        let never = OpenAiSettings { top_logprobs: 0, ..OpenAiSettings::default() };
        assert!(request(never, &which()).get("logprobs").is_none());
    }

    #[test]
    fn what_the_server_does_not_count_is_unknown() {
        let read = |usage: Value| {
            let body = json!({ "choices": [{ "message": { "content": "x" } }], "usage": usage }).to_string();
            protocol(OpenAiSettings::default()).read(body.as_bytes()).unwrap().tokens
        };
        assert_eq!(read(Value::Null), TokenCounts::default());
        let total =
            read(json!({ "prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": null }));
        assert_eq!(total, TokenCounts { prompt: Some(9), answer: Some(2), ..TokenCounts::default() });
        let details =
            json!({ "prompt_tokens": 9, "prompt_tokens_details": { "audio_tokens": 4, "video_tokens": 3 } });
        let split = read(details);
        assert_eq!((split.text, split.video, split.audio), (Some(2), Some(3), Some(4)));
    }
}
