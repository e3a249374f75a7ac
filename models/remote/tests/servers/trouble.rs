use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, SystemTime},
};

use counterpoint_models::{Ask, Fault, ModelThread};
use counterpoint_servers::{ModelServer, Reply};
use serde_json::json;

use super::{
    openai::{completion, name_of},
    *,
};

/// What comes of one question to a server with this script, and how many requests it took.
fn ask(desk: &Desk, replies: Vec<Reply>) -> (Result<Answer, AskError>, usize) {
    let server = ModelServer::scripted(replies);
    let answer = desk.ask(&mut *desk.model(&name_of(&server)), free());
    (answer, server.requests().len())
}

#[test]
fn errors_of_the_server_pass_and_are_counted() {
    let replies = vec![Reply::new(500, "oops"), Reply::new(503, ""), completion("A cat.")];
    let (answer, requests) = ask(&Desk::new(), replies);
    let answer = answer.unwrap();
    assert_eq!((answer.text.as_str(), answer.requests, requests), ("A cat.", 3, 3));
}

#[test]
fn a_server_that_says_when_to_come_again_is_not_asked_before() {
    for in_seconds in [true, false] {
        let times = Arc::<Mutex<Vec<SystemTime>>>::default();
        let seen = Arc::clone(&times);
        let server = ModelServer::start(move |number, _| {
            let now = SystemTime::now();
            if number > 0 {
                seen.lock().unwrap().push(now);
                return completion("A cat.");
            }
            let date = httpdate::fmt_http_date(now + Duration::from_secs(2));
            // A date has whole seconds only.
            let (value, due) = match in_seconds {
                true => ("1".to_owned(), now + Duration::from_secs(1)),
                false => (date.clone(), httpdate::parse_http_date(&date).unwrap()),
            };
            seen.lock().unwrap().push(due);
            Reply::new(429, "").with(format!("retry-after: {value}"))
        });
        let desk = Desk::new();
        let answer = desk.ask(&mut *desk.model(&name_of(&server)), free()).unwrap();
        assert_eq!(answer.requests, 2);
        let times = times.lock().unwrap();
        assert!(times[1] >= times[0], "due at {:?}, came at {:?}", times[0], times[1]);
    }
}

#[test]
fn a_server_that_asks_for_more_time_than_there_is_is_left_alone_and_the_caller_told() {
    let busy = Reply::new(429, r#"{"error": {"message": "busy"}}"#).with("retry-after: 4000");
    let (answer, requests) = ask(&Desk::new(), vec![busy]);
    let error = answer.unwrap_err();
    assert_eq!(error.fault(), Fault::Passing { retry_after: Some(Duration::from_secs(4000)) });
    assert!(error.to_string().contains("429") && error.to_string().contains("busy"), "{error}");
    assert_eq!(requests, 1);
}

#[test]
fn what_does_not_pass_ends_after_so_many_requests() {
    let mut desk = Desk::new();
    desk.settings.max_attempts = 3;
    for (reply, words) in [
        (Reply::new(500, "<html>no</html>"), "500"),
        (Reply::new(200, "no json at all"), "no chat completion"),
        (completion("A cat that is cut in half").broken_off(), "broke off"),
    ] {
        let (answer, requests) = ask(&desk, vec![reply]);
        let error = answer.unwrap_err();
        assert_eq!(error.fault(), Fault::Passing { retry_after: None }, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(requests, 3, "{error}");
    }
}

#[test]
fn an_answer_that_broke_off_may_come_whole_the_next_time() {
    let (answer, _) = ask(&Desk::new(), vec![completion("A cat.").broken_off(), completion("A cat.")]);
    assert_eq!(answer.unwrap().text, "A cat.");
}

#[test]
fn a_server_that_does_not_answer_in_time_is_given_up_on() {
    let mut desk = Desk::new();
    desk.settings.timeout_seconds = 1;
    desk.settings.max_attempts = 1;
    for reply in [Reply::never(), completion(&"slow".repeat(1000)).dripping()] {
        let (answer, requests) = ask(&desk, vec![reply]);
        let error = answer.unwrap_err();
        assert!(error.to_string().contains("within 1 s"), "{error}");
        assert_eq!((error.fault(), requests), (Fault::Passing { retry_after: None }, 1));
    }
}

#[test]
fn all_requests_for_a_question_share_its_deadline() {
    let mut desk = Desk::new();
    desk.settings.deadline_seconds = 1;
    desk.settings.retry_seconds = 0.05;
    desk.settings.retry_max_seconds = 0.05;
    desk.settings.max_attempts = 100;
    let (answer, requests) = ask(&desk, vec![Reply::new(500, "")]);
    let error = answer.unwrap_err();
    let AskError::Deadline { after, problem, .. } = &error else { panic!("{error}") };
    assert_eq!(*after, Duration::from_secs(1));
    assert!(problem.contains("500"), "{problem}");
    // A wait is at least 25 ms.
    assert!((2..=41).contains(&requests), "{requests}");
}

#[test]
fn a_server_that_is_not_there_is_our_fault() {
    let mut desk = Desk::new();
    desk.settings.max_attempts = 2;
    let mut model = desk.model("openai:http://127.0.0.1:1/v1#m");
    let error = desk.ask(&mut *model, free()).unwrap_err();
    assert_eq!(error.fault(), Fault::Passing { retry_after: None });
    assert!(error.to_string().contains("cannot be connected to"), "{error}");
}

#[test]
fn what_nobody_answers_as_things_stand_stops_at_once() {
    for (reply, words) in [
        (Reply::new(401, "who are you"), "OPENAI_API_KEY"),
        (Reply::new(403, "not you"), "OPENAI_API_KEY"),
        (Reply::new(404, r#"{"message": "The model `org/omni` does not exist."}"#), "does not exist"),
        (Reply::new(307, "").with("location: http://127.0.0.1:1/"), "address"),
        (Reply::new(400, r#"{"error": {"message": "unknown member x"}}"#), "unknown member x"),
        (Reply::new(429, r#"{"error": {"message": "pay", "code": "insufficient_quota"}}"#), "quota"),
        (completion(&"x".repeat(5 << 20)), "max_response_bytes"),
    ] {
        let (answer, requests) = ask(&Desk::new(), vec![reply]);
        let error = answer.unwrap_err();
        assert_eq!(error.fault(), Fault::Settings, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(requests, 1, "{error}");
    }
}

#[test]
fn what_is_wrong_with_one_question_or_clip_is_a_missing_answer() {
    let no_content = json!({ "choices": [{ "message": {}, "finish_reason": "content_filter" }] }).to_string();
    let too_long =
        json!({ "error": { "message": "too much", "code": "context_length_exceeded" } }).to_string();
    for (reply, words) in [
        (Reply::new(413, ""), "413"),
        (Reply::new(400, too_long), "too much"),
        (Reply::new(200, r#"{"choices": []}"#), "no choices"),
        (Reply::new(200, "{}"), "no choices"),
        (Reply::new(200, no_content), "content_filter"),
    ] {
        let (answer, requests) = ask(&Desk::new(), vec![reply]);
        let error = answer.unwrap_err();
        assert_eq!(error.fault(), Fault::Question, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(requests, 1, "{error}");
    }
}

#[test]
fn a_bad_request_is_the_clips_fault_once_the_like_was_answered() {
    let bad = || Reply::new(400, "cannot decode the video");
    let (desk, server) = (Desk::new(), ModelServer::scripted(vec![completion("A cat."), bad()]));
    let mut model = desk.model(&name_of(&server));
    desk.ask(&mut *model, free()).unwrap();
    assert_eq!(desk.ask(&mut *model, free()).unwrap_err().fault(), Fault::Question);
    // Another kind of question makes another request, which may be what is wrong.
    assert_eq!(desk.ask(&mut *model, yes_no()).unwrap_err().fault(), Fault::Settings);
}

#[test]
fn one_question_that_fails_leaves_the_others_their_answers() {
    let server = ModelServer::start(|_, request| {
        if request.body.windows(3).any(|part| part == b"bad") {
            Reply::new(413, "")
        } else {
            completion("A cat.")
        }
    });
    let desk = Desk::new();
    let questions = ["good", "bad", "good again"].map(|text| Question::free(text).unwrap());
    let answers = desk.model(&name_of(&server)).ask(&desk.clip(), &questions, &Decoding::default());
    let is_there: Vec<_> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(is_there, [true, false, true]);
}

#[test]
fn a_clip_too_large_for_a_request_is_not_sent() {
    let mut desk = Desk::new();
    desk.settings.max_request_bytes = 1 << 10;
    fs::write(&desk.file, vec![7; 1000]).unwrap();
    let (answer, requests) = ask(&desk, vec![completion("x")]);
    let error = answer.unwrap_err();
    assert_eq!((error.fault(), requests), (Fault::Question, 0));
    assert!(error.to_string().contains("max_request_bytes"), "{error}");
}

#[test]
fn a_clip_whose_file_is_gone_is_our_fault() {
    let desk = Desk::new();
    fs::remove_file(&desk.file).unwrap();
    let (answer, requests) = ask(&desk, vec![completion("x")]);
    let error = answer.unwrap_err();
    assert_eq!((error.fault(), requests), (Fault::Passing { retry_after: None }, 0));
    assert!(error.to_string().contains("clip.mp4"), "{error}");
}

#[test]
fn stopping_ends_a_wait_between_requests() {
    let mut desk = Desk::new();
    (desk.settings.retry_seconds, desk.settings.retry_max_seconds) = (3600.0, 3600.0);
    desk.settings.deadline_seconds = 86_400;
    let server = ModelServer::scripted(vec![Reply::new(500, "")]);
    let ModelName::Remote(name) = name_of(&server).parse().unwrap() else { panic!("not remote") };
    let settings = desk.settings.clone();
    let model = ModelThread::start(NonZeroUsize::MIN, move |stop| open(&name, &settings, stop)).unwrap();
    let ask = Ask { clip: Arc::new(desk.clip()), questions: vec![free()], decoding: Decoding::default() };
    thread::scope(|scope| {
        let asker = scope.spawn(|| model.ask_blocking(ask));
        while server.requests().is_empty() {
            thread::yield_now();
        }
        model.stop();
        assert_eq!(asker.join().unwrap().unwrap(), [Err(AskError::Stopped)]);
    });
}

#[test]
fn what_cannot_work_is_told_before_anything_is_asked() {
    let mut desk = Desk::new();
    let error = |desk: &Desk, name: &str| desk.try_model(name).err().unwrap().to_string();
    assert!(error(&desk, "openai:http://models.example/v1#m").contains("key_over_http"));
    desk.settings.openai.key_file = Some("no/such/key".into());
    assert!(error(&desk, "openai:http://localhost:1/v1#m").contains("no/such/key"));
    assert!(error(&desk, "file:no/such/predictions.jsonl").contains("no/such/predictions.jsonl"));
    desk.settings.concurrency = 0;
    assert!(error(&desk, "gemini:m").contains("remote.concurrency is 0"));
}
