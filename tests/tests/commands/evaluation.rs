//! Models asked about the samples of a run, by files of answers whose scores are known beforehand.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use counterpoint_servers::{ModelServer, Reply};
use counterpoint_tests::{
    out::{number, text},
    program::{Ended, Program, until},
    workplace::{CLASSES, Workplace, video},
};
use serde_json::{Value, json};

use crate::desk::{Desk, truth};

fn sees_only(sample: &Value, _: &str) -> Value {
    truth(sample, "visual")
}

fn share(score: &Value, name: &str) -> f64 {
    score[name].as_f64().unwrap_or_else(|| panic!("{name} in {score}"))
}

#[test]
fn a_model_that_only_looks_is_told_from_one_that_listens_and_the_change_is_listed() {
    let desk = Desk::new();
    let looks = desk.model("looks", sees_only);
    let knows = desk.model("knows", truth);
    let scores = desk.evaluate(&looks, "looks").with(["--json"]).run().done().json();
    let written: Value =
        serde_json::from_str(&fs::read_to_string(desk.path("looks/scores.json")).unwrap()).unwrap();
    assert_eq!(scores, written);
    let misaligned = desk.samples("eval", &["misaligned"]).len() as u64;
    assert!(misaligned >= 6, "{misaligned}");
    for (condition, question, right) in [
        ("aligned", "visual", 1.0),
        ("aligned", "audio", 1.0),
        ("misaligned", "visual", 1.0),
        ("misaligned", "audio", 0.0),
        ("audio_removed", "visual", 1.0),
        ("frames_zeroed", "audio", 1.0),
    ] {
        let score = &scores[condition][question];
        for measure in ["accuracy_strict", "accuracy_lenient", "accuracy_first_mentioned", "macro", "micro"] {
            assert_eq!(share(score, measure), right, "{condition} {question} {measure}");
        }
        assert_eq!(score["baselines"]["chance"], 0.25);
        assert_eq!(score["constant_answer"], Value::Null);
        let interval = &score["interval"];
        assert!(
            interval[0].as_f64().unwrap() <= right && right <= interval[1].as_f64().unwrap(),
            "{interval}"
        );
    }
    let heard = &scores["misaligned"]["audio"];
    assert_eq!(heard["n"], misaligned);
    assert_eq!((share(&heard["selection"], "visual"), share(&heard["selection"], "audio")), (1.0, 0.0));
    assert_eq!(heard["baselines"]["single_stream"], 1.0);
    assert_eq!(scores["evaluation"]["unanswered"], 0);
    let page = fs::read_to_string(desk.path("looks/scores.html")).unwrap();
    assert!(page.contains("misaligned, audio") && page.contains("<svg class=\"plot\""));

    // What was answered is a model itself.
    let again = format!("file:{}", desk.path("looks/answers.jsonl").display());
    let same = desk.evaluate(&again, "again").with(["--json"]).run().done().json();
    assert_eq!(same["misaligned"], scores["misaligned"]);

    // The newest model before was the one read from answers; its answers are those of the first.
    let told = desk.replay(&knows).with(["--json"]).run().done().json();
    assert_eq!(text(&told["previous"]), again);
    assert_eq!(told["flips"], misaligned);
    let compared = &told["comparisons"]["misaligned"]["audio"];
    assert_eq!(
        (&compared["gained"], &compared["lost"], &compared["n"]),
        (&json!(misaligned), &json!(0), &json!(misaligned))
    );
    assert_eq!((share(compared, "before"), share(compared, "after")), (0.0, 1.0));
    let flips = fs::read_to_string(desk.path("out/flips.csv")).unwrap();
    let mut rows = flips.lines();
    assert_eq!(rows.next(), Some("sample,condition,question,expected,before,after,right_before,right_after"));
    for row in rows.by_ref() {
        let fields: Vec<_> = row.split(',').collect();
        assert_eq!((&fields[1..3], &fields[6..]), (&["misaligned", "audio"][..], &["false", "true"][..]));
        assert_eq!(fields[3], fields[5]);
    }
    assert_eq!(flips.lines().count() as u64, 1 + misaligned);
    let table = desk.replay(&knows).run().done().stdout;
    assert!(table.contains("misaligned") && table.contains("flips.csv"), "{table}");

    // The run's own records are none the worse for it.
    desk.out().audit();
}

#[test]
fn a_killed_evaluation_goes_on_and_answers_each_question_once() {
    let desk = Desk::new();
    let knows = desk.model("knows", truth);
    let undisturbed = desk.model("undisturbed", truth);
    desk.evaluate(&undisturbed, "undisturbed").run().done();
    // So slow that it is killed in the middle.
    let points = "evaluator::work=sleep(1000)";
    let running = desk.evaluate(&knows, "knows").failing(points).start();
    until("some answers are there", || {
        desk.out().records()["answers"] > desk.answers("undisturbed").len() as u64
    });
    running.kill();
    running.wait();
    assert!(!desk.path("knows/answers.jsonl").exists());
    desk.evaluate(&knows, "knows").run().done();
    let told = |out: &str| -> BTreeMap<String, (Value, Value)> {
        let answers = desk.answers(out);
        let keyed: BTreeMap<_, _> = answers
            .iter()
            .map(|row| {
                let key = format!("{} {} {}", row["sample"], row["condition"], row["asked"]);
                (key, (row["answer"].clone(), row["right"].clone()))
            })
            .collect();
        assert_eq!(keyed.len(), answers.len(), "each once");
        keyed
    };
    assert_eq!(told("knows"), told("undisturbed"));
    assert_eq!(desk.out().records()["answers"], 2 * desk.answers("knows").len() as u64);
}

#[test]
fn what_cannot_be_asked_is_told_with_what_to_do() {
    let desk = Desk::new();
    let knows = desk.model("knows", truth);
    let expect =
        |program: Program, code: i32, words: &[&str]| -> Ended { program.run().ended_with(code, words) };
    let gone = format!("file:{}", desk.path("gone.jsonl").display());
    expect(desk.evaluate(&gone, "x"), 1, &["gone.jsonl", "cannot be read"]);
    expect(desk.evaluate(&knows, "x").with(["--conditions", "sideways"]), 2, &["sideways", "misaligned"]);
    let suite = |body: &str| {
        fs::write(desk.path("suite.toml"), body).unwrap();
        desk.evaluate(&knows, "x").with(["--suite".into(), desk.path("suite.toml")])
    };
    expect(suite("ask = []"), 2, &["the suite asks nothing"]);
    expect(
        suite("[[ask]]\nconditions = [\"mixup\"]\nquestions = [\"match\"]\n"),
        2,
        &["question `match` has no right answer under condition `mixup`"],
    );
    expect(
        suite("options = [\"Cat\"]\n[[ask]]\nconditions = [\"aligned\"]\nquestions = [\"visual\"]\n"),
        1,
        &["1 classes to choose from", "at least 2"],
    );
    let nowhere = Program::counterpoint(["evaluate", "--model", &knows, "--samples"])
        .with([desk.path("nowhere")])
        .with(["--out".into(), desk.path("x")]);
    expect(nowhere, 1, &["nowhere"]);
    // One line of the model is missing: that answer is, and is wrong.
    let lines = fs::read_to_string(desk.path("knows.jsonl")).unwrap();
    let misaligned = desk.samples("eval", &["misaligned"]);
    let victim = text(&misaligned[0]["sample"]);
    let kept: String =
        lines.lines().filter(|line| !line.contains(&victim)).map(|line| format!("{line}\n")).collect();
    fs::write(desk.path("lacking.jsonl"), kept).unwrap();
    let lacking = format!("file:{}", desk.path("lacking.jsonl").display());
    let scores =
        desk.evaluate(&lacking, "lacking").with(["--json", "--conditions", "misaligned"]).run().done().json();
    let score = &scores["misaligned"]["audio"];
    let n = misaligned.len() as f64;
    assert_eq!((score["missing"].as_u64(), share(score, "accuracy_strict")), (Some(1), (n - 1.0) / n));
    assert!(text(&scores["evaluation"]["warnings"][0]).contains("have no answer"));
}

#[test]
fn runs_without_samples_of_the_split_or_with_one_class_are_refused() {
    let workplace = Workplace::new();
    for number in [0, 8] {
        workplace.add_good(number);
    }
    workplace.run().run().done();
    let model = workplace.path("model.jsonl");
    fs::write(&model, "").unwrap();
    let evaluate = || {
        Program::counterpoint(["evaluate", "--model", &format!("file:{}", model.display()), "--samples"])
            .with([workplace.path("out")])
            .with(["--out".into(), workplace.path("x")])
    };
    // Both clips are of train, and both of one class.
    evaluate().run().ended_with(1, &["no samples of split eval", "--split"]);
    evaluate().with(["--split", "train"]).run().ended_with(1, &["1 classes to choose from"]);
}

#[test]
fn predictions_on_a_question_file_are_scored() {
    let folder = tempfile::tempdir().unwrap();
    let (qa, predictions) = (folder.path().join("qa.jsonl"), folder.path().join("predictions.jsonl"));
    let questions = [
        ("audio", "Cat", "Dog"),
        ("visual", "Cat", "Dog"),
        ("audio", "Rain", "Door"),
        ("visual", "Rain", "Door"),
    ];
    let lines = questions.iter().enumerate().map(|(number, (kind, answer, target))| {
        json!({"qid": number + 1, "video": "v.mp4", "type": kind, "prompt": "?", "answer": answer, "injected_target": target})
    });
    fs::write(&qa, lines.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let said = [
        json!({"qid": 1, "prediction": "dog"}),
        json!({"qid": 2, "prediction": "It is a cat."}),
        json!({"qid": 3, "prediction": "rain"}),
    ];
    fs::write(&predictions, said.map(|line| format!("{line}\n")).concat()).unwrap();
    let score =
        || Program::counterpoint(["score", "--qa"]).with([&qa]).with(["--predictions"]).with([&predictions]);
    let lenient = score().with(["--json"]).run().done().json();
    assert_eq!(
        (share(&lenient["overall"], "accuracy"), share(&lenient["overall"], "attack_success_rate")),
        (0.5, 0.25)
    );
    assert_eq!(
        (share(&lenient["audio"], "accuracy"), share(&lenient["audio"], "attack_success_rate")),
        (0.5, 0.5)
    );
    assert_eq!(
        (share(&lenient["visual"], "accuracy"), lenient["visual"]["missing"].as_u64()),
        (0.5, Some(1))
    );
    let strict = score().with(["--json", "--match", "strict"]).run().done().json();
    assert_eq!(share(&strict["visual"], "accuracy"), 0.0);
    let table = score().run().done().stdout;
    assert!(table.contains("50.00 %") && table.contains("25.00 %"), "{table}");
    fs::write(&predictions, "no json\n").unwrap();
    score().run().ended_with(1, &["predictions.jsonl line 1"]);
    fs::remove_file(&predictions).unwrap();
    score().run().ended_with(1, &["cannot read the file of predictions"]);
}

/// Writes what a judge says of every clip; its name as a model.
fn judge(workplace: &Workplace, clips: u32, say: impl Fn(u32, &str) -> Value) -> String {
    let mut lines = String::new();
    for number in 0..clips {
        let class = CLASSES[(number / 2) as usize % CLASSES.len()].0;
        let (seen, heard) = (
            format!("Is the {class} clearly visible in this video?"),
            format!("Is the sound of {class} clearly audible in this video?"),
        );
        for (recipe, question, probe) in [
            ("audio_removed", &seen, "visual_alone"),
            ("frames_zeroed", &heard, "audio_alone"),
            ("aligned", &seen, "visual_together"),
            ("aligned", &heard, "audio_together"),
        ] {
            let mut line =
                json!({"sample": format!("{}_30000/{recipe}", video(number)), "question": question});
            let said = say(number, probe);
            line.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
            lines.push_str(&format!("{line}\n"));
        }
    }
    let path = workplace.path("judge.jsonl");
    fs::write(&path, lines).unwrap();
    format!("file:{}", path.display())
}

#[test]
fn a_clip_on_which_the_judge_does_not_say_yes_four_times_is_turned_away_with_what_it_said() {
    let workplace = Workplace::with_clips(10);
    let yes = json!({"answer": "Yes", "yes_probability": 0.875});
    let judge = judge(&workplace, 10, |number, probe| match (number, probe) {
        (2, "visual_alone") => json!({"answer": "No", "yes_probability": 0.4375}),
        (3, "audio_alone") => json!({"answer": "purple monkey dishwasher"}),
        (5, "visual_together") => json!({"answer": "No."}),
        (7, "audio_together") => json!({"answer": null}),
        _ => yes.clone(),
    });
    let run = || workplace.run().env("COUNTERPOINT_PROBER__JUDGE", &judge);
    run().run().done();
    let (out, summary) = (workplace.out(), workplace.out().summary());
    assert_eq!((number(&summary["decoded"]), number(&summary["accepted"])), (10, 6), "{summary:#}");
    let reasons = ["not_visible_alone", "not_audible_alone", "not_visible_together", "not_audible_together"];
    for reason in reasons {
        assert_eq!(number(&summary["rejected"]["gate"][reason]), 1, "{reason}: {summary:#}");
    }
    let near = out.reject_of(&video(2));
    assert!(near.contains("visual_alone: no (44 % yes); audio_alone: yes (88 % yes)"), "{near}");
    assert!(out.reject_of(&video(3)).contains("neither yes nor no but \"purple monkey dishwasher\""));
    assert!(out.reject_of(&video(7)).contains("audio_together: nothing"));
    assert_eq!(out.records()["probed"], 10);
    let way: Vec<_> = out.way_of(&video(0)).iter().map(|step| text(&step["topic"])).collect();
    assert_eq!(way[..5], ["clips", "curated", "decoded", "probed", "accepted"], "{way:?}");
    out.audit();

    // Again, nothing is asked; without the judge, or with another one, it is another revision.
    run().run().done();
    assert_eq!(out.records()["probed"], 10);
    workplace.run().run().ended_with(2, &["prober.judge was", "is not set", "--new-revision"]);
    let path = workplace.path("judge.jsonl");
    let lines = fs::read_to_string(&path).unwrap();
    fs::write(&path, lines.replace("purple monkey dishwasher", "yes")).unwrap();
    run().run().ended_with(2, &["prober.identity was", "--new-revision"]);
    run().with(["--new-revision"]).run().done();
    let summary = out.summary();
    assert_eq!(number(&summary["accepted"]), 7, "{summary:#}");
    assert_eq!(out.records()["decoded"], 10, "what the judge does not touch is reused");
    out.audit();

    fs::remove_file(&path).unwrap();
    run().run().ended_with(1, &["judge.jsonl", "cannot be read"]);
    workplace
        .run()
        .env("COUNTERPOINT_PROBER__JUDGE", "smoke:x")
        .run()
        .ended_with(2, &["prober.judge", "smoke:"]);
}

#[test]
fn a_server_without_room_or_without_a_word_ends_the_evaluation_and_the_next_one_goes_on() {
    let desk = Desk::new();
    let mood = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&mood);
    let server = ModelServer::start(move |number, _| match seen.load(Ordering::SeqCst) {
        0 if number >= 6 => Reply::new(429, ""),
        1 => Reply::never(),
        _ => Reply::new(200, json!({"choices": [{"message": {"content": "Cat"}}]}).to_string()),
    });
    let name = format!("openai:{}/v1#omni", server.url());
    let evaluate = || {
        let settings = [
            ("REMOTE__MAX_ATTEMPTS", "2"),
            ("REMOTE__RETRY_SECONDS", "0.001"),
            ("REMOTE__RETRY_MAX_SECONDS", "0.002"),
            ("REMOTE__TIMEOUT_SECONDS", "1"),
            ("EFFORT__PATIENCE_SECONDS", "0"),
        ];
        let program = desk.evaluate(&name, "served").with(["--conditions", "misaligned"]);
        settings
            .iter()
            .fold(program, |program, (setting, value)| program.env(&format!("COUNTERPOINT_{setting}"), value))
    };
    evaluate().run().ended_with(1, &["evaluator", "429", "what was answered is kept"]);
    mood.store(1, Ordering::SeqCst);
    evaluate().run().ended_with(1, &["evaluator", "what was answered is kept"]);
    mood.store(2, Ordering::SeqCst);
    let before = server.requests().len();
    let scores = evaluate().with(["--json"]).run().done().json();
    let asked = server.requests().len() - before;
    let n = desk.samples("eval", &["misaligned"]).len();
    assert_eq!(scores["misaligned"]["visual"]["n"].as_u64(), Some(n as u64));
    assert!(asked <= 2 * n, "what was answered is not asked again: {asked} requests for {n} samples");
    assert_eq!(desk.out().records()["answers"], 2 * n as u64);
    // It says the same whatever it is shown, and that is told.
    for question in ["visual", "audio"] {
        let score = &scores["misaligned"][question];
        assert_eq!(score["constant_answer"]["answer"], "Cat", "{score}");
    }
    let warnings = scores["evaluation"]["warnings"].to_string();
    assert!(warnings.contains("whatever is right"), "{warnings}");
    // It was sent what it asked about: a film and its sound.
    let body: Value = serde_json::from_slice(&server.requests()[0].body).unwrap();
    assert!(body.to_string().contains("data:video/mp4;base64,"), "a film is sent");
}
