use counterpoint_models::{ModelInput, TokenCounts};
use counterpoint_servers::{ModelServer, Reply};
use serde_json::json;

use super::*;

fn desk_of(server: &ModelServer) -> Desk {
    let mut desk = Desk::new();
    desk.settings.gemini.url = format!("{}/v1beta", server.url());
    desk
}

#[test]
fn a_question_goes_out_as_documented_and_its_answer_is_understood() {
    let body = json!({
        "candidates": [{
            "content": { "parts": [{ "text": "I think", "thought": true }, { "text": "Y" }, { "text": "es" }] },
            "finishReason": "STOP",
            "logprobsResult": {
                "chosenCandidates": [{ "token": "Yes", "logProbability": -0.1 }],
                "topCandidates": [{ "candidates": [
                    { "token": "Yes", "logProbability": 0.9_f64.ln() },
                    { "token": "No", "logProbability": 0.1_f64.ln() },
                ] }],
            },
        }],
        "usageMetadata": {
            "promptTokenCount": 3000, "candidatesTokenCount": 2, "thoughtsTokenCount": 5,
            "promptTokensDetails": [
                { "modality": "TEXT", "tokenCount": 20 }, { "modality": "VIDEO", "tokenCount": 2660 },
                { "modality": "AUDIO", "tokenCount": 320 },
            ],
        },
    });
    let server = ModelServer::scripted(vec![Reply::new(200, body.to_string())]);
    let mut desk = desk_of(&server);
    desk.settings.gemini.top_logprobs = 5;
    desk.settings.gemini.generation =
        json!({ "thinkingConfig": { "thinkingBudget": 0 } }).as_object().unwrap().clone();
    let mut model = desk.model("gemini:gemini-2.0-flash");
    assert_eq!(model.facts().input, ModelInput::File);
    let answer = desk.ask(&mut *model, yes_no()).unwrap();
    assert_eq!(answer.text, "Yes");
    assert!((answer.yes_probability.unwrap() - 0.9).abs() < 1e-5, "{answer:?}");
    let tokens = TokenCounts {
        prompt: Some(3000),
        text: Some(20),
        video: Some(2660),
        audio: Some(320),
        answer: Some(7),
    };
    assert_eq!((answer.tokens, answer.cost_usd), (tokens, None));

    let request = &server.requests()[0];
    assert_eq!(request.path, "/v1beta/models/gemini-2.0-flash:generateContent");
    assert_eq!(request.header("x-goog-api-key"), Some(KEY));
    let body = json(request);
    let parts = json!([
        { "inline_data": { "mime_type": "video/mp4", "data": STANDARD.encode(MP4) } },
        { "text": "Do the audio and video match?" },
    ]);
    assert_eq!(body["contents"], json!([{ "role": "user", "parts": parts }]));
    let generation = json!({
        "maxOutputTokens": 64, "temperature": 0.0, "topP": 1.0, "seed": 0,
        "responseLogprobs": true, "logprobs": 5, "thinkingConfig": { "thinkingBudget": 0 },
    });
    assert_eq!(body["generationConfig"], generation);
}

#[test]
fn options_become_an_enum_where_the_settings_say_so() {
    let body = json!({ "candidates": [{ "content": { "parts": [{ "text": "Cat" }] } }] }).to_string();
    let server = ModelServer::scripted(vec![Reply::new(200, body)]);
    let mut desk = desk_of(&server);
    desk.settings.gemini.constrained = true;
    let question = Question::options("Which?", vec!["Cat".to_owned(), "Door".to_owned()]).unwrap();
    let answer = desk.ask(&mut *desk.model("gemini:m"), question).unwrap();
    assert_eq!((answer.text.as_str(), answer.option_scores), ("Cat", None));
    let generation = json(&server.requests()[0])["generationConfig"].clone();
    assert_eq!(generation["responseMimeType"], "text/x.enum");
    assert_eq!(generation["responseSchema"], json!({ "type": "STRING", "enum": ["Cat", "Door"] }));
    assert!(generation.get("responseLogprobs").is_none(), "{generation}");
}

#[test]
fn a_blocked_prompt_or_answer_is_the_questions_fault_and_says_why() {
    for (body, reason) in [
        (json!({ "promptFeedback": { "blockReason": "PROHIBITED_CONTENT" } }), "PROHIBITED_CONTENT"),
        (json!({ "candidates": [{ "finishReason": "SAFETY" }] }), "SAFETY"),
        (json!({}), "no candidates"),
    ] {
        let server = ModelServer::scripted(vec![Reply::new(200, body.to_string())]);
        let desk = desk_of(&server);
        let error = desk.ask(&mut *desk.model("gemini:m"), free()).unwrap_err();
        assert!(matches!(error, AskError::Refused { .. }) && error.to_string().contains(reason), "{error}");
        assert_eq!(server.requests().len(), 1);
    }
}

#[test]
fn the_models_own_way_to_say_too_many_requests_is_understood() {
    let wait = json!({ "error": { "code": 429, "status": "RESOURCE_EXHAUSTED", "message": "slow down",
        "details": [{ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "4000s" }] } });
    let server = ModelServer::scripted(vec![Reply::new(429, wait.to_string())]);
    let desk = desk_of(&server);
    let error = desk.ask(&mut *desk.model("gemini:m"), free()).unwrap_err();
    let AskError::Unavailable { retry_after, problem, .. } = error else { panic!("{error}") };
    assert_eq!(retry_after, Some(std::time::Duration::from_secs(4000)));
    assert!(problem.contains("slow down"), "{problem}");
}
