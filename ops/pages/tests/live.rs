//! The live page as text: what stands in it for each state of a run, what must not, and which parts change.

#![allow(clippy::expect_used, reason = "a broken expectation is how a test fails")]

use counterpoint_messages::{RejectReason, Segment, StageName};
use counterpoint_pages::{
    live::{
        Accuracy, Counts, Evaluation, Fate, Live, MAX_CLIPS, NewClip, Part, Stage, State, Training, parts,
        render,
    },
    report::ExamPoint,
};
use scraper::{Html, Selector};

/// A name that would do harm on a page that obeyed it.
const HOSTILE: &str = "clips/<script>alert('x')</script>\" onload=\"alert(1).mp4";

fn page(live: &Live) -> (String, Html) {
    let text = render(live).expect("the page renders");
    let parsed = Html::parse_document(&text);
    assert!(parsed.errors.is_empty(), "{:?}", parsed.errors);
    (text, parsed)
}

fn texts(page: &Html, selector: &str) -> Vec<String> {
    let selector = Selector::parse(selector).expect("a selector");
    let words = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    page.select(&selector).map(|element| words(element.text().collect::<Vec<_>>().join(" "))).collect()
}

fn count(page: &Html, selector: &str) -> usize {
    page.select(&Selector::parse(selector).expect("a selector")).count()
}

fn stage(stage: StageName, written: u64, rate: f64) -> Stage {
    Stage {
        stage,
        written: Some(written),
        rate,
        to_read: Some(0),
        holder: Some("4711 on host-7".to_owned()),
        rejected: Vec::new(),
        dead_letters: 0,
    }
}

fn clip(number: u64, fate: Fate) -> NewClip {
    NewClip {
        id: format!("{number:032x}"),
        video: format!("video{number}"),
        segment: Some(Segment { start_ms: 30_000, end_ms: 40_000 }),
        class: Some("Utility_Liquid_Sounds".to_owned()),
        object: Some(format!("{number:064x}")),
        fate,
    }
}

fn accuracy(condition: &str, question: &str, answers: u64, right: u64) -> Accuracy {
    let course = (1..=answers).map(|answer| 100.0 * right.min(answer) as f64 / answer as f64).collect();
    Accuracy { condition: condition.to_owned(), question: question.to_owned(), answers, right, course }
}

/// What a model knew after so many steps of all parts.
fn exam(after: u64, (part, step): (u64, u64), asked: &str, right: u64) -> (u64, ExamPoint) {
    (after, ExamPoint { part, step, asked: asked.to_owned(), right, of: 8 })
}

fn full() -> Live {
    let mut decoder = stage(StageName::Decoder, 1_207, 2.25);
    decoder.rejected = vec![(RejectReason::NoSound, 2), (RejectReason::TooShort, 30)];
    decoder.dead_letters = 1;
    let idle = Stage { written: None, to_read: None, holder: None, ..stage(StageName::Reporter, 0, 0.0) };
    let rejected = Fate::Rejected {
        stage: StageName::Gate,
        reason: RejectReason::Static,
        detail: "motion 0.0001, at least 0.0005".to_owned(),
    };
    let given_up = Fate::GivenUp { stage: StageName::Decoder, reason: "signal 11".to_owned() };
    Live {
        out: "out/mine".to_owned(),
        engine: "embedded:out/mine/topics".to_owned(),
        revision: Some(2),
        state: State::GoingOn,
        problems: vec!["one & the same".to_owned()],
        counts: Counts { found: 2_041_789, decoded: 200, accepted: 150, samples: 1, ..Counts::default() },
        stages: vec![stage(StageName::Source, 20_000, 0.0), decoder, idle],
        trainings: vec![Training {
            name: "base".to_owned(),
            is_done: false,
            losses: [3.0, 2.0, 1.5].into_iter().collect(),
            breaks: vec![(2, "part 2".to_owned())],
            exams: vec![
                exam(0, (1, 0), "audio", 2),
                exam(0, (1, 0), "visual", 4),
                exam(3, (2, 2), "audio", 8),
                exam(3, (2, 2), "visual", 4),
            ],
        }],
        evaluations: vec![Evaluation {
            model: "out/models/base".to_owned(),
            identity: "5be1c0ffee5be1c0ffee".to_owned(),
            rows: vec![
                accuracy("audio_removed", "visual", 4, 4),
                accuracy("misaligned", "audio", 8, 1),
                accuracy("misaligned", "match", 2, 0),
                accuracy("misaligned", "visual", 8, 7),
            ],
        }],
        clips: vec![
            clip(1, Fate::Composed(12)),
            clip(2, Fate::Accepted),
            clip(3, rejected),
            NewClip { video: String::new(), segment: None, class: None, object: None, ..clip(4, given_up) },
            clip(5, Fate::Found),
        ],
    }
}

#[test]
fn every_state_is_told_in_one_sentence_that_is_read_out_when_it_changes() {
    let state = |state: State| {
        let (_, parsed) = page(&Live { state, ..full() });
        assert_eq!(count(&parsed, "[aria-live='polite'][role='status']"), 1);
        texts(&parsed, "#now .lead").join(" ")
    };
    assert_eq!(state(State::GoingOn), "The run is going on.");
    assert_eq!(state(State::Finished), "The run is at its end, and nobody is at work on it.");
    assert!(state(State::Stopped).contains("it is not at its end"));
    assert!(state(State::Reading).contains("is being read"));
    let (_, parsed) = page(&Live {
        out: "out/mine".to_owned(),
        state: State::NotBegun { why: "nothing has been run on it yet".to_owned() },
        ..Live::default()
    });
    let said = texts(&parsed, "#now").join(" ");
    assert!(said.contains("There is no run to show yet") && said.contains("nothing has been run"), "{said}");
    assert_eq!(count(&parsed, "table, .facts, video, svg.plot"), 0);
    assert_eq!(count(&parsed, "section .empty"), 3, "every section says why it is empty");
}

#[test]
fn stages_stand_with_what_they_wrote_how_fast_and_what_is_left() {
    let (_, parsed) = page(&full());
    let rows = texts(&parsed, ".stages-live tbody tr");
    assert!(
        rows[0].starts_with("source reads label lists and folders 20,000 \u{2013} 0 4711"),
        "{}",
        rows[0]
    );
    assert!(rows[1].ends_with("1,207 2.25 0 4711 on host-7"), "{}", rows[1]);
    assert!(rows[2].ends_with("\u{2013} \u{2013} not begun nobody"), "{}", rows[2]);
    let reasons = texts(&parsed, ".turned-away tbody tr");
    assert_eq!(
        reasons,
        [
            "It is shorter than the clip length. too_short decoder 30",
            "The file has no audio stream. no_sound decoder 2",
            "The stage gave up on the record. dead letters decoder 1",
        ]
    );
    let facts = texts(&parsed, ".facts > div");
    assert_eq!(facts[0], "files found 2,041,789 0 on no list");
    assert_eq!(facts[2], "accepted 150 75 % of those decoded");
}

#[test]
fn losses_and_accuracies_are_curves_and_figures() {
    let (_, parsed) = page(&full());
    let titles = texts(&parsed, "#models figure h3");
    assert_eq!(
        titles,
        [
            "Loss of the base model, not at its end",
            "The sound of conflicts, base model, not at its end",
            "The picture of conflicts, base model, not at its end",
            "Misaligned",
            "Audio removed",
        ]
    );
    let notes = texts(&parsed, "#models figure figcaption p");
    assert!(notes[0].contains("over 3 steps: from 3 to 1.5"), "{}", notes[0]);
    assert!(
        notes[1].starts_with("Share of 8 questions about the sound")
            && notes[1].contains("from 25.0 % to 100.0 %"),
        "{}",
        notes[1]
    );
    assert!(notes[2].contains("from 50.0 % to 50.0 %"), "{}", notes[2]);
    let parts = "#models svg[id^='plot-exams-0-'] text";
    let parts = texts(&parsed, parts).into_iter().filter(|words| words == "part 2").count();
    assert_eq!(parts, 2, "where the second part begins stands in both");
    assert_eq!(
        notes[3],
        "Share that is right so far, in percent: 87.5 % of 8 answers about the picture, 12.5 % of 8 answers about \
         the sound."
    );
    let rows = texts(&parsed, ".accuracies tbody tr");
    assert_eq!(rows[0], "Misaligned visual 8 7 87.5 %");
    assert_eq!(rows.len(), 4);
    assert!(texts(&parsed, "#models h3").contains(&"Answers of out/models/base".to_owned()));
}

#[test]
fn clips_stand_with_what_became_of_them_and_play_where_they_can() {
    let mut live = full();
    let (_, parsed) = page(&live);
    let cards = texts(&parsed, ".cards li");
    assert_eq!(cards[0], "Utility Liquid Sounds \u{2713} host of 12 samples video1 , 30\u{2013}40 s");
    assert!(cards[2].contains("\u{2717} turned away by the gate static"), "{}", cards[2]);
    assert!(cards[2].contains("motion 0.0001"), "{}", cards[2]);
    assert_eq!(
        cards[3],
        "not in its normal form no class \u{2717} given up on by the decoder signal 11 0000000000000000"
    );
    let source = format!("video[src='clips/{:064x}#t=0.001'][aria-label][controls]", 1);
    assert_eq!((count(&parsed, &source), count(&parsed, ".cards video")), (1, 4));
    live.clips = (0..100).map(|number| clip(number, Fate::Found)).collect();
    assert_eq!(count(&page(&live).1, ".cards li"), MAX_CLIPS);
}

#[test]
fn a_training_without_exams_has_its_losses_alone_and_one_at_its_end_says_so_of_none() {
    let mut live = full();
    live.evaluations.clear();
    live.trainings[0].is_done = true;
    live.trainings[0].exams.retain(|(_, exam)| exam.asked == "visual");
    let mut told = live.trainings[0].clone();
    told.exams.clear();
    live.trainings.push(Training { name: "tuned".to_owned(), ..told });
    let titles = texts(&page(&live).1, "#models figure h3");
    assert_eq!(
        titles,
        ["Loss of the base model", "The picture of conflicts, base model", "Loss of the tuned model"]
    );
}

#[test]
fn names_that_hold_markup_are_shown_and_not_obeyed() {
    let hostile = || HOSTILE.to_owned();
    let mut live = full();
    live.out = hostile();
    live.engine = hostile();
    live.problems = vec![hostile()];
    live.stages[0].holder = Some(hostile());
    live.trainings[0].name = hostile();
    live.trainings[0].breaks = vec![(1, hostile())];
    live.evaluations[0].model = hostile();
    live.evaluations[0].identity = hostile();
    live.evaluations[0].rows[1].condition = hostile();
    live.evaluations[0].rows[1].question = "audio".to_owned();
    live.evaluations[0].rows[2].question = hostile();
    live.clips[0] =
        NewClip { id: hostile(), video: hostile(), class: Some(hostile()), ..clip(0, Fate::Found) };
    live.clips[3].fate = Fate::GivenUp { stage: StageName::Decoder, reason: hostile() };
    live.clips[2].fate =
        Fate::Rejected { stage: StageName::Gate, reason: RejectReason::Static, detail: hostile() };
    let (text, parsed) = page(&live);
    let whole: String = parts(&live).expect("parts").into_iter().map(|part| part.html).collect();
    for html in [&text, &whole] {
        assert!(!html.contains("<script>alert"), "{html}");
    }
    assert_eq!((count(&parsed, "script"), count(&parsed, "[onload], [onerror]")), (1, 0));
    assert_eq!(texts(&parsed, "h1"), [HOSTILE]);
    assert!(texts(&parsed, ".cards li")[0].contains(HOSTILE));
    let state = State::NotBegun { why: hostile() };
    assert!(!render(&Live { state, ..Live::default() }).expect("renders").contains("<script>alert"));
}

#[test]
fn the_page_is_one_file_that_asks_its_own_server_and_nobody_else() {
    let (text, parsed) = page(&full());
    assert!(!text.contains("http://") && !text.contains("https://"));
    assert_eq!(count(&parsed, "script[src], img, iframe, object, embed"), 0);
    assert_eq!(count(&parsed, "link"), count(&parsed, "link[href='data:,']"));
    assert_eq!(count(&parsed, "video[src]"), count(&parsed, "video[src^='clips/']"));
    assert!(text.contains("default-src 'none'") && text.contains("connect-src 'self'"));
    assert_eq!(
        count(&parsed, "table"),
        count(&parsed, ".scroll[role='region'][aria-label][tabindex='0'] > table")
    );
    assert_eq!(
        count(&parsed, "table"),
        count(&parsed, "table:has(thead th[scope='col']):has(tbody th[scope='row'])")
    );
    assert_eq!(count(&parsed, "svg.plot"), count(&parsed, "svg.plot[role='img'] > title"));
}

#[test]
fn only_what_changed_is_another_part() {
    let live = full();
    let before = parts(&live).expect("parts");
    let (text, parsed) = page(&live);
    for Part { name, html } in &before {
        assert_eq!(count(&parsed, &format!("[id='{name}']")), 1, "{name}");
        assert!(text.contains(html.trim()), "{name} is not what stands in the page");
    }
    let mut later = live;
    later.stages[1].rate = 0.0;
    let after = parts(&later).expect("parts");
    let changed: Vec<_> = before
        .iter()
        .zip(&after)
        .filter(|(before, after)| before != after)
        .map(|(part, _)| part.name)
        .collect();
    assert_eq!(changed, ["stages-now"]);
    assert_eq!(parts(&later).expect("parts"), after, "the same run gives the same bytes");
}
