//! The Gemini API's `generateContent`.
//!
//! One user turn: the clip's file as inline data (`video/mp4`), whose sound track the model hears, then the
//! prompt. A clip without a file is sent as its sound alone. (Gemini API reference: models.generateContent,
//! `UsageMetadata`, `LogprobsResult`.)

use std::borrow::Cow;

use counterpoint_models::{AskError, Clip, Decoding, ModelInput, Question, QuestionKind, TokenCounts};
use reqwest::header::{HeaderMap, HeaderName};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use url::Url;

use crate::{
    GeminiSettings, Secret,
    likelihood::Candidate,
    media,
    served::{Protocol, Said, Unusable},
};

pub(crate) struct Gemini {
    url: Url,
    settings: GeminiSettings,
}

impl Gemini {
    pub(crate) fn new(url: &Url, model: &str, settings: &GeminiSettings) -> Self {
        let mut url = url.clone();
        let path = format!("{}/models/{model}:generateContent", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Self { url, settings: settings.clone() }
    }
}

#[derive(Serialize)]
struct Request<'a> {
    contents: [Turn<'a>; 1],
    #[serde(rename = "generationConfig")]
    generation: Generation<'a>,
}

#[derive(Serialize)]
struct Turn<'a> {
    role: &'static str,
    parts: Vec<Cow<'a, Value>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Generation<'a> {
    max_output_tokens: u32,
    temperature: f32,
    top_p: f32,
    seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<u8>,
    #[serde(flatten)]
    constraint: Map<String, Value>,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    #[serde(default)]
    candidates: Vec<Written>,
    prompt_feedback: Option<Feedback>,
    usage_metadata: Option<Usage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    block_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    content: Option<Content>,
    finish_reason: Option<String>,
    logprobs_result: Option<Logprobs>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    text: Option<String>,
    #[serde(default)]
    thought: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Logprobs {
    #[serde(default)]
    top_candidates: Vec<Place>,
    #[serde(default)]
    chosen_candidates: Vec<Likely>,
}

#[derive(Deserialize)]
struct Place {
    #[serde(default)]
    candidates: Vec<Likely>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Likely {
    #[serde(default)]
    token: String,
    #[serde(default)]
    log_probability: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Usage {
    prompt_token_count: Option<u32>,
    candidates_token_count: Option<u32>,
    thoughts_token_count: Option<u32>,
    prompt_tokens_details: Option<Vec<Detail>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    modality: String,
    #[serde(default)]
    token_count: u32,
}

impl Protocol for Gemini {
    const INPUT: ModelInput = ModelInput::File;

    fn url(&self) -> &Url {
        &self.url
    }

    fn header(&self, key: &Secret) -> Option<HeaderMap> {
        Some([(HeaderName::from_static("x-goog-api-key"), key.header("")?)].into_iter().collect())
    }

    fn fingerprint(&self) -> serde_json::Result<Vec<u8>> {
        let GeminiSettings { constrained, top_logprobs, generation, .. } = &self.settings;
        serde_json::to_vec(&(constrained, top_logprobs, generation))
    }

    fn media(&self, model: &str, clip: &Clip, max_bytes: usize) -> Result<Vec<Value>, AskError> {
        let (mime_type, data) = match (clip.file(), clip.sound()) {
            (Some(path), _) => ("video/mp4", media::file(model, path, max_bytes)?),
            (None, Some(sound)) => ("audio/wav", media::wav(sound)),
            (None, None) => {
                return Err(AskError::Misconfigured {
                    model: model.to_owned(),
                    problem: "the clip has neither file nor sound to send".to_owned(),
                    remedy: "give it in the form that ModelFacts::input says".to_owned(),
                });
            }
        };
        Ok(vec![json!({ "inline_data": { "mime_type": mime_type, "data": data } })])
    }

    fn request(
        &self,
        media: &[Value],
        question: &Question,
        decoding: &Decoding,
    ) -> serde_json::Result<Vec<u8>> {
        let prompt = json!({ "text": question.text() });
        let parts = media.iter().map(Cow::Borrowed).chain([Cow::Owned(prompt)]).collect();
        let wants = *question.kind() != QuestionKind::Free && self.settings.top_logprobs > 0;
        let constraint = match question.kind() {
            QuestionKind::Options(options) if self.settings.constrained => Map::from_iter([
                ("responseMimeType".to_owned(), json!("text/x.enum")),
                ("responseSchema".to_owned(), json!({ "type": "STRING", "enum": options })),
            ]),
            _ => Map::new(),
        };
        serde_json::to_vec(&Request {
            contents: [Turn { role: "user", parts }],
            generation: Generation {
                max_output_tokens: decoding.max_new_tokens,
                temperature: decoding.temperature,
                top_p: decoding.top_p,
                // A signed number of 32 bits.
                seed: decoding.seed & u64::from(u32::MAX >> 1),
                response_logprobs: wants.then_some(true),
                logprobs: wants.then_some(self.settings.top_logprobs),
                constraint,
                extra: &self.settings.generation,
            },
        })
    }

    fn read(&self, body: &[u8]) -> Result<Said, Unusable> {
        let response: Response = serde_json::from_slice(body)
            .map_err(|error| Unusable::Garbled(format!("its answer is no generated content: {error}")))?;
        let blocked = response.prompt_feedback.and_then(|feedback| feedback.block_reason);
        let candidate = response.candidates.into_iter().next().ok_or_else(|| {
            let reason = blocked.unwrap_or_else(|| "no reason".to_owned());
            Unusable::NoAnswer(format!("its answer has no candidates ({reason})"))
        })?;
        let parts = candidate.content.map(|content| content.parts).unwrap_or_default();
        let texts: Vec<_> =
            parts.into_iter().filter(|part| !part.thought).filter_map(|part| part.text).collect();
        if texts.is_empty() {
            let reason = candidate.finish_reason.unwrap_or_else(|| "no reason".to_owned());
            return Err(Unusable::NoAnswer(format!("its answer has no text ({reason})")));
        }
        Ok(Said {
            text: texts.concat(),
            first: candidate.logprobs_result.map(candidates).unwrap_or_default(),
            tokens: response.usage_metadata.map(counts).unwrap_or_default(),
        })
    }
}

fn candidates(logprobs: Logprobs) -> Vec<Candidate> {
    let is_word = |likely: &Likely| !likely.token.trim().is_empty();
    let place = logprobs.chosen_candidates.iter().position(is_word).unwrap_or(0);
    let likely = logprobs.top_candidates.into_iter().nth(place).map(|place| place.candidates);
    let candidate = |likely: Likely| Candidate { token: likely.token, logprob: likely.log_probability };
    likely.unwrap_or_default().into_iter().map(candidate).collect()
}

fn counts(usage: Usage) -> TokenCounts {
    // Listed by kind, a kind that is not listed had none.
    let of = |modality: &str| {
        let details = usage.prompt_tokens_details.as_ref()?;
        let counted = details.iter().filter(|detail| detail.modality == modality);
        Some(counted.fold(0_u32, |sum, detail| sum.saturating_add(detail.token_count)))
    };
    let written = usage.candidates_token_count;
    TokenCounts {
        prompt: usage.prompt_token_count,
        text: of("TEXT"),
        video: of("VIDEO"),
        audio: of("AUDIO"),
        answer: written.map(|count| count.saturating_add(usage.thoughts_token_count.unwrap_or(0))),
    }
}
