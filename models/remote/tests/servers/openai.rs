use counterpoint_models::{ModelInput, TokenCounts};
use counterpoint_remote::{AudioPart, Price};
use counterpoint_servers::{ModelServer, Reply};
use serde_json::json;

use super::*;

pub(crate) fn completion(text: &str) -> Reply {
    Reply::new(200, json!({ "choices": [{ "message": { "content": text } }] }).to_string())
}

pub(crate) fn name_of(server: &ModelServer) -> String {
    format!("openai:{}/v1#org/omni", server.url())
}

#[test]
fn a_question_goes_out_as_documented() {
    let (desk, server) = (Desk::new(), ModelServer::scripted(vec![completion("A cat.")]));
    let mut model = desk.model(&name_of(&server));
    assert_eq!(model.facts().name, name_of(&server));
    assert_eq!(model.facts().input, ModelInput::FileAndSound);
    let decoding = Decoding { max_new_tokens: 7, temperature: 0.5, top_p: 0.25, seed: u64::MAX };
    let answers = model.ask(&desk.clip(), &[free()], &decoding);
    assert_eq!(answers[0].as_ref().unwrap().text, "A cat.");

    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].path, "/v1/chat/completions");
    assert_eq!(requests[0].header("authorization"), Some(&*format!("Bearer {KEY}")));
    assert_eq!(requests[0].header("content-type"), Some("application/json"));
    let body = json(&requests[0]);
    assert_eq!(body["model"], "org/omni");
    assert_eq!(
        (&body["max_tokens"], &body["temperature"], &body["top_p"], &body["seed"]),
        (&json!(7), &json!(0.5), &json!(0.25), &json!(i64::MAX))
    );
    assert!(body.get("logprobs").is_none(), "{body}");
    let messages = body["messages"].as_array().unwrap();
    assert_eq!((messages.len(), &messages[0]["role"]), (1, &json!("user")));
    let [video, audio, text] = &messages[0]["content"].as_array().unwrap()[..] else {
        panic!("{messages:?}")
    };
    let url = format!("data:video/mp4;base64,{}", STANDARD.encode(MP4));
    assert_eq!(video, &json!({ "type": "video_url", "video_url": { "url": url } }));
    assert_eq!((&audio["type"], &audio["input_audio"]["format"]), (&json!("input_audio"), &json!("wav")));
    assert_eq!(read_wav(&audio["input_audio"]["data"]), (16_000, SAMPLES.to_vec()));
    assert_eq!(text, &json!({ "type": "text", "text": "Describe what you hear in the video" }));
}

#[test]
fn what_a_clip_lacks_is_not_sent_and_settings_add_to_a_request() {
    let mut desk = Desk::new();
    desk.settings.openai.audio_part = AudioPart::AudioUrl;
    let extra = json!({ "mm_processor_kwargs": { "use_audio_in_video": true } });
    desk.settings.openai.extra_body = extra.as_object().unwrap().clone();
    let server = ModelServer::scripted(vec![completion("x")]);
    let mut model = desk.model(&name_of(&server));
    let bare = Clip::new("0".repeat(64).parse().unwrap());
    let sound = desk.clip().sound().unwrap().clone();
    let ask = |model: &mut dyn Model, clip: Clip| model.ask(&clip, &[free()], &Decoding::default()).remove(0);
    ask(&mut *model, bare.clone().with_file(&desk.file)).unwrap();
    ask(&mut *model, bare.clone().with_sound(sound)).unwrap();
    assert!(matches!(ask(&mut *model, bare), Err(AskError::Misconfigured { .. })));

    let requests = server.requests();
    let types = |index: usize| -> Vec<String> {
        let content = json(&requests[index])["messages"][0]["content"].as_array().unwrap().clone();
        content.iter().map(|part| part["type"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        (types(0), types(1)),
        (vec!["video_url".to_owned(), "text".to_owned()], vec!["audio_url".to_owned(), "text".to_owned()])
    );
    let url = json(&requests[1])["messages"][0]["content"][0]["audio_url"]["url"].clone();
    let wav = url.as_str().unwrap().strip_prefix("data:audio/wav;base64,").unwrap();
    assert_eq!(read_wav(&wav.into()).0, 16_000);
    assert_eq!(json(&requests[0])["mm_processor_kwargs"]["use_audio_in_video"], true);
}

#[test]
fn probabilities_tokens_and_cost_are_read_and_the_cost_is_that_of_the_price_table() {
    let mut desk = Desk::new();
    let price = Price { text: 1.0, video: Some(2.0), audio: Some(4.0), answer: 8.0 };
    desk.settings.prices.insert("org/omni".to_owned(), price);
    let body = json!({
        "choices": [{ "message": { "content": " Yes." }, "logprobs": { "content": [
            { "token": " ", "logprob": 0.0, "top_logprobs": [] },
            { "token": "Yes", "logprob": 0.6_f64.ln(), "top_logprobs": [
                { "token": "Yes", "logprob": 0.6_f64.ln() },
                { "token": "No", "logprob": 0.2_f64.ln() },
                { "token": "The", "logprob": 0.2_f64.ln() },
            ] },
        ] } }],
        "usage": {
            "prompt_tokens": 100, "completion_tokens": 2,
            "prompt_tokens_details": { "text_tokens": 10, "video_tokens": 60, "audio_tokens": 30 },
        },
    });
    let server = ModelServer::scripted(vec![Reply::new(200, body.to_string())]);
    let mut model = desk.model(&name_of(&server));
    let answer = desk.ask(&mut *model, yes_no()).unwrap();
    assert!((answer.yes_probability.unwrap() - 0.75).abs() < 1e-5, "{answer:?}");
    assert_eq!(answer.option_scores, None);
    let tokens =
        TokenCounts { prompt: Some(100), text: Some(10), video: Some(60), audio: Some(30), answer: Some(2) };
    assert_eq!(answer.tokens, tokens);
    assert_eq!(answer.cost_usd, Some((10.0 + 120.0 + 120.0 + 16.0) / 1e6));
    assert_eq!(answer.requests, 1);
    assert!(answer.latency > std::time::Duration::ZERO);
    let sent = json(&server.requests()[0]);
    assert_eq!((&sent["logprobs"], &sent["top_logprobs"]), (&json!(true), &json!(20)));

    // A server that tells nothing of it: nothing is made up.
    let server = ModelServer::scripted(vec![completion("Yes")]);
    let answer = desk.ask(&mut *desk.model(&name_of(&server)), yes_no()).unwrap();
    assert_eq!(
        (answer.yes_probability, answer.cost_usd, answer.tokens),
        (None, None, TokenCounts::default())
    );
}

#[test]
fn questions_on_one_clip_are_asked_side_by_side_and_answered_in_order() {
    use std::sync::Barrier;
    let mut desk = Desk::new();
    desk.settings.concurrency = 3;
    // Nobody is answered before three are there.
    let barrier = Barrier::new(3);
    let server = ModelServer::start(move |_, request| {
        barrier.wait();
        let content = json(request)["messages"][0]["content"].clone();
        let prompt = content.as_array().unwrap().last().unwrap()["text"].clone();
        completion(prompt.as_str().unwrap())
    });
    let mut model = desk.model(&name_of(&server));
    let texts: Vec<String> = (0..6).map(|number| format!("Question {number}")).collect();
    let questions: Vec<_> = texts.iter().map(|text| Question::free(text).unwrap()).collect();
    let answers = model.ask(&desk.clip(), &questions, &Decoding::default());
    let answered: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().text).collect();
    assert_eq!(answered, texts);
}

#[test]
fn what_answers_depend_on_is_in_the_identity_and_the_key_is_not() {
    let mut desk = Desk::new();
    let name = "openai:http://localhost:1/v1#m";
    let identity = |desk: &Desk| desk.model(name).facts().identity.clone();
    let plain = identity(&desk);
    desk.settings.openai.key_file = None;
    desk.settings.max_attempts = 2;
    assert_eq!(identity(&desk), plain);
    desk.settings.openai.audio_part = AudioPart::AudioUrl;
    assert_ne!(identity(&desk), plain);
}
