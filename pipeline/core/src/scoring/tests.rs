use counterpoint_messages::{AnswerGiven, Chosen, ContentHash, RecipeName, RecordId, Split, Tokens};
use proptest::prelude::*;

use super::*;

fn near(found: f64, wanted: f64) -> bool {
    (found - wanted).abs() < 1e-6
}

/// An answer to the sound question on a misaligned sample: seen, heard (which is right) and named.
fn answer(video: &str, seen: &str, heard: &str, named: Option<&str>) -> AnswerGiven {
    let named = named.map(str::to_owned);
    AnswerGiven {
        id: RecordId::default(),
        sample: RecordId::default(),
        video: video.to_owned(),
        split: Split::Eval,
        recipe: RecipeName::Misaligned,
        class_seen: Some(seen.to_owned()),
        classes_heard: vec![heard.to_owned()],
        condition: "misaligned".to_owned(),
        question: "audio".to_owned(),
        expected: heard.to_owned(),
        text: named.clone(),
        problem: None,
        chosen: Chosen { strict: named.clone(), first_mentioned: named.clone(), lenient: named },
        option_scores: None,
        yes_probability: None,
        tokens: Tokens::default(),
        latency_ms: 0,
        requests: 0,
        cost_usd: None,
        model: String::new(),
        identity: String::new(),
        evaluation: ContentHash([0; 32]),
        sample_trace: None,
        trace: None,
    }
}

fn only(answers: &[AnswerGiven]) -> Score {
    scores(answers, |_| 4)["misaligned"]["audio"].clone()
}

#[test]
fn accuracy_is_counted_by_each_measure_over_all_and_by_class() {
    let mut answers = vec![
        answer("a", "Cat", "Rain", Some("Rain")),
        answer("a", "Cat", "Door", Some("Cat")),
        answer("b", "Door", "Rain", Some("Rain")),
        answer("c", "Door", "Rain", Some("Door")),
        answer("d", "Cat", "Rain", None),
    ];
    // Words around it: right by the freer measures only.
    answers[2].chosen.strict = None;
    let score = only(&answers);
    assert_eq!((score.n, score.videos, score.missing), (5, 4, 1));
    assert!(near(score.accuracy_strict, 0.2) && near(score.micro, 0.2));
    assert!(near(score.accuracy_first_mentioned, 0.4) && near(score.accuracy_lenient, 0.4));
    // Rain 1 of 4, Door 0 of 1.
    assert!(near(score.macro_mean, 0.125), "{}", score.macro_mean);
    assert_eq!(score.per_class["Rain"], ClassScore { n: 4, accuracy: 0.25 });
    assert_eq!(score.confusion["Rain"]["-"], 1);
    assert_eq!(score.confusion["Rain"]["Rain"], 2);
    let selection = score.selection.unwrap();
    assert_eq!(selection.n, 5);
    assert!(near(selection.visual, 0.4) && near(selection.audio, 0.4) && near(selection.neither, 0.2));
    assert_eq!(score.constant_answer, None);
    assert_eq!(score.baselines, Baselines { chance: Some(0.25), constant: 0.8, single_stream: None });
}

#[test]
fn a_model_that_always_says_the_same_is_told() {
    let classes = ["Rain", "Door", "Cat", "Accordion"];
    let answers: Vec<_> =
        (0..20).map(|i| answer(&i.to_string(), "Bird", classes[i % 4], Some("Rain"))).collect();
    let score = only(&answers);
    assert_eq!(score.constant_answer, Some(ConstantAnswer { answer: "Rain".to_owned(), share: 1.0 }));
    assert!(near(score.accuracy_strict, 0.25));
    // One right answer leaves nothing to vary.
    let one: Vec<_> = (0..20).map(|i| answer(&i.to_string(), "Cat", "Rain", Some("Rain"))).collect();
    assert_eq!(only(&one).constant_answer, None);
    let silent: Vec<_> = (0..20).map(|i| answer(&i.to_string(), "Bird", classes[i % 4], None)).collect();
    assert_eq!(only(&silent).constant_answer.unwrap().answer, "-");
}

#[test]
fn the_same_question_with_one_stream_alone_stands_beside_it() {
    let mut answers = vec![answer("a", "Cat", "Rain", Some("Cat")), answer("b", "Cat", "Rain", Some("Rain"))];
    let alone = AnswerGiven { condition: "frames_zeroed".to_owned(), class_seen: None, ..answers[1].clone() };
    answers.push(alone);
    let scores = scores(&answers, |_| 4);
    assert_eq!(scores["misaligned"]["audio"].baselines.single_stream, Some(1.0));
    assert_eq!(scores["frames_zeroed"]["audio"].baselines.single_stream, None);
    assert_eq!(scores["frames_zeroed"]["audio"].selection, None);
}

#[test]
fn an_interval_of_independent_questions_is_wilsons() {
    // 8 of 10, each its own cluster: the robust variance is p (1 - p) / (n - 1), so 9 count.
    let observations: Vec<_> = (0..10).map(|i| (i.to_string(), i < 8)).collect();
    let [low, high] = interval(observations.iter().map(|(video, right)| (video.as_str(), *right)));
    // Wilson with p = 0.8, n = 9, computed by hand.
    assert!(near(low, 0.473_788_5) && near(high, 0.946_724_5), "{low} {high}");
    assert_eq!(interval([]), [0.0, 1.0]);
}

#[test]
fn questions_on_one_video_count_for_less_than_on_many() {
    let of = |videos: usize| {
        let all: Vec<_> =
            (0..40).map(|i| ((i % videos).to_string(), (i % videos).is_multiple_of(2))).collect();
        let [low, high] = interval(all.iter().map(|(video, right)| (video.as_str(), *right)));
        high - low
    };
    assert!(of(4) > 2.0 * of(40), "{} {}", of(4), of(40));
    // All alike: as wide as one observation a video.
    let alike = |videos: usize| {
        let all: Vec<_> = (0..40).map(|i| (i % videos).to_string()).collect();
        interval(all.iter().map(|video| (video.as_str(), true)))[0]
    };
    // Wilson's lower end with every observation right is n / (n + z²).
    assert!(near(alike(4), 4.0 / (4.0 + 3.841_458_8)) && near(alike(40), 40.0 / (40.0 + 3.841_458_8)));
}

#[test]
fn two_models_are_compared_question_by_question() {
    let pair = |video, before, after| Pair { video, before, after };
    let pairs = [
        pair("a", true, true),
        pair("b", false, true),
        pair("c", false, true),
        pair("d", false, true),
        pair("e", true, false),
        pair("f", false, false),
    ];
    let found = paired(pairs);
    assert_eq!((found.n, found.gained, found.lost), (6, 3, 1));
    assert!(
        near(found.before, 2.0 / 6.0) && near(found.after, 4.0 / 6.0) && near(found.difference, 2.0 / 6.0)
    );
    // 2 * (C(4,0) + C(4,1)) / 2^4.
    assert!(near(found.p_value, 0.625));
    // Changes 0 1 1 1 -1 0, mean 1/3: squares about it sum to 10/3; times 6/5 over 36 is 1/9.
    assert!(near(found.interval[0], 1.0 / 3.0 - 1.959_963_984_5 / 3.0), "{:?}", found.interval);
    let same = paired([pair("a", true, true)]);
    assert_eq!((same.difference, same.interval, same.p_value), (0.0, [0.0, 0.0], 1.0));
    assert_eq!(paired([]).interval, [-1.0, 1.0]);
    let many = paired((0..3000).map(|_| pair("a", false, true)));
    assert!(many.p_value < 1e-300 && many.p_value >= 0.0);
}

fn qa(predictions: &str, matching: Match) -> Result<QaScores, QaError> {
    let items = r#"
{"qid": 1, "video": "v", "type": "audio", "prompt": "?", "answer": "Cat", "injected_target": "Dog"}
{"qid": 2, "video": "v", "type": "visual", "prompt": "?", "answer": "Cat", "typography": "Dog"}
{"qid": 3, "video": "w", "type": "audio", "prompt": "?", "answer": "Singing_bowl", "injected_target": "Rain"}

{"qid": 4, "video": "w", "type": "visual", "prompt": "?", "answer": "Singing_bowl", "injected_target": "Rain"}
"#;
    score_qa(&read_jsonl(items, "qa")?, &read_jsonl(predictions, "predictions")?, matching)
}

#[test]
fn a_question_file_is_scored_overall_and_by_stream() {
    let predictions = r#"
{"qid": 1, "prediction": "dog"}
{"qid": 2, "model_answer": "It is a cat."}
{"qid": 3, "prediction": "Singing bowl"}
"#;
    let lenient = qa(predictions, Match::Lenient).unwrap();
    assert_eq!(lenient.overall.n, 4);
    assert_eq!((lenient.overall.missing, lenient.overall.attacked), (1, 4));
    assert!(near(lenient.overall.accuracy, 0.5) && near(lenient.overall.attack_success_rate.unwrap(), 0.25));
    assert!(near(lenient.audio.accuracy, 0.5) && near(lenient.audio.attack_success_rate.unwrap(), 0.5));
    assert!(near(lenient.visual.accuracy, 0.5) && near(lenient.visual.attack_success_rate.unwrap(), 0.0));
    let strict = qa(predictions, Match::Strict).unwrap();
    assert!(near(strict.overall.accuracy, 0.25) && near(strict.visual.accuracy, 0.0));
}

#[test]
fn question_files_that_cannot_be_scored_say_why() {
    let error = |predictions| qa(predictions, Match::Strict).unwrap_err().to_string();
    assert!(error("{\"qid\": 9, \"prediction\": \"x\"}").contains("qid 9 is unknown"));
    let twice = "{\"qid\": 1, \"prediction\": \"x\"}\n{\"qid\": 1, \"prediction\": \"y\"}";
    assert_eq!(error(twice), "qid 1 stands twice in the predictions: each question has one line");
    assert!(error("{\"qid\": 1, \"prediction\": \"x\"}\nno").starts_with("predictions line 2: "));
    assert!(score_qa(&[], &[], Match::Strict).unwrap_err().to_string().contains("holds no question"));
    assert!(read_jsonl::<QaItem>("{\"qid\": 1, \"type\": \"smell\", \"answer\": \"x\"}", "qa").is_err());
    // Nothing predicted is all wrong, not an error.
    let none = qa("", Match::Lenient).unwrap();
    assert_eq!((none.overall.missing, none.overall.accuracy), (4, 0.0));
}

proptest! {
    #[test]
    fn an_interval_holds_its_share_and_lies_in_0_to_1(
        observations in prop::collection::vec((0_u8..6, any::<bool>()), 1..60),
    ) {
        let named: Vec<_> = observations.iter().map(|(video, right)| (video.to_string(), *right)).collect();
        let [low, high] = interval(named.iter().map(|(video, right)| (video.as_str(), *right)));
        let share = named.iter().filter(|(_, right)| *right).count() as f64 / named.len() as f64;
        prop_assert!(0.0 <= low && low <= share + 1e-12 && share - 1e-12 <= high && high <= 1.0, "{} {} {}", low, share, high);
    }
}
