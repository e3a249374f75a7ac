//! The section on models as text: what stands in it, and what is left out where nothing is known.

#![allow(clippy::expect_used, reason = "a broken expectation is how a test fails")]

mod fixture;

use counterpoint_pages::{
    Report, render,
    report::{Evaluation, MAX_CONFLICTS, Models},
};
use scraper::{Html, Selector};

fn page(models: Option<Models>) -> Html {
    let text = render(&Report { models, ..Report::default() }).expect("the report renders");
    let parsed = Html::parse_document(&text);
    assert!(parsed.errors.is_empty(), "{:?}", parsed.errors);
    parsed
}

fn full() -> Models {
    fixture::report(&[]).models.expect("the fixture has models")
}

fn texts(page: &Html, selector: &str) -> Vec<String> {
    let selector = Selector::parse(selector).expect("a selector");
    let words = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    page.select(&selector).map(|element| words(element.text().collect::<Vec<_>>().join(" "))).collect()
}

#[test]
fn a_page_without_models_has_no_such_section_and_one_with_them_has_it_first() {
    let without = page(None);
    assert!(texts(&without, "#models, a[href='#models']").is_empty());
    let with = page(Some(full()));
    assert_eq!(texts(&with, "nav li:first-child"), ["Models"]);
    let selector = Selector::parse("main > section").expect("a selector");
    let first = with.select(&selector).next().and_then(|section| section.value().id());
    assert_eq!(first, Some("models"));
}

#[test]
fn every_condition_and_question_has_a_row_with_both_models_and_their_baselines() {
    let page = page(Some(full()));
    let rows = texts(&page, ".leaderboard tbody tr:not(.published)");
    assert_eq!(
        rows,
        [
            "Aligned visual 500 25.0 % 25.1 % 95.1 % 99.8 % 97.3 to 100.0 % 99.6 % 97.1 to 100.0 % \u{2212}0.2 \
             \u{2212}2.2 to +1.8",
            "Aligned audio 500 25.0 % 25.1 % 95.1 % 99.0 % 96.5 to 100.0 % 98.5 % 96.0 to 100.0 % \u{2212}0.5 \
             \u{2212}2.5 to +1.5",
            "Misaligned visual 500 25.0 % 25.1 % 95.1 % 91.2 % 88.7 to 93.7 % 98.8 % 96.3 to 100.0 % +7.6 +5.6 to \
             +9.6",
            "Misaligned audio 500 25.0 % 25.1 % 95.1 % 14.6 % 12.1 to 17.1 % 97.0 % 94.5 to 99.5 % +82.4 +80.4 to \
             +84.4",
            "Audio removed visual 500 25.0 % 25.1 % 99.4 % 96.9 to 100.0 % 99.2 % 96.7 to 100.0 % \u{2212}0.2 \
             \u{2212}2.2 to +1.8",
            "Frames zeroed audio 500 25.0 % 25.1 % 95.1 % 92.6 to 97.6 % 94.8 % 92.3 to 97.3 % \u{2212}0.3 \
             \u{2212}2.3 to +1.7",
        ]
    );
    let emphasised = texts(&page, ".leaderboard tr.conflict th");
    assert_eq!(emphasised, ["Misaligned", "Misaligned"]);
    let published = texts(&page, ".leaderboard tr.published");
    assert_eq!(published.len(), 4);
    assert!(published.contains(&"published, Table 4 audio 25.2 % 79.8 % +54.6".to_owned()), "{published:?}");
}

#[test]
fn the_finding_is_told_in_words_that_follow_the_numbers() {
    let told = texts(&page(Some(full())), ".finding").join(" ");
    for part in [
        "Asked about the sound of clips whose sound was swapped, the base model is right in 14.6 %; after tuning in \
         97.0 %; on untouched clips 99.0 % and 98.5 %.",
        "The conflict costs the base model 84.4 points. Tuning wins back 82.4 points",
        "Asked about the picture of clips whose sound was swapped, the base model is right in 91.2 %",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let mut swapped = full();
    std::mem::swap(&mut swapped.before, &mut swapped.after);
    swapped.changes.clear();
    let told = texts(&page(Some(swapped)), ".finding").join(" ");
    assert!(told.contains("Tuning makes it worse, by 82.4 points."), "{told}");
}

#[test]
fn answers_are_marked_by_words_and_not_by_colour_alone() {
    let page = page(Some(full()));
    let rows = texts(&page, ".answers tbody tr");
    assert_eq!(rows.len(), MAX_CONFLICTS);
    assert_eq!(
        rows[0],
        "000000004be27a33 trace 00000000000000000000000000000001 Bird Cat audio Bird \u{2717} wrong Cat \u{2713} right"
    );
    assert!(rows[1].starts_with("000000014be27a33 Cat Door audio"), "{}", rows[1]);
    assert_eq!(texts(&page, ".answers .mark.wrong").len(), MAX_CONFLICTS);
}

#[test]
fn curves_confusions_judge_and_origins_are_shown() {
    let page = page(Some(full()));
    let titles = texts(&page, "#models figure h3");
    assert_eq!(
        titles,
        [
            "The sound, before tuning",
            "The sound, after tuning",
            "The picture, before tuning",
            "The picture, after tuning",
            "Loss of the judge model",
            "Loss of the base model",
            "Loss of the tuned model",
            "The sound of conflicts, tuned model",
            "The picture of conflicts, tuned model",
        ]
    );
    assert_eq!(
        texts(&page, ".judged tbody tr"),
        ["without a fault 96 94 98 %", "silent sound 8 0 0 %", "other sound 12 1 8.3 %"]
    );
    let told = texts(&page, "#models").join(" ");
    assert!(
        told.contains(
            "Of 96 clips without a fault 94 come through (98 %), of 20 with a planted fault 1 (5.0 %)."
        ),
        "{told}"
    );
    assert!(!told.contains("fewer than half"), "{told}");
    let trainings = texts(&page, ".trainings tbody tr");
    assert!(
        trainings[1].ends_with("1,800 7 da7a5e7da7a5e7da 1,640 3,280 0.1.0 0000000000000000000000000000ba5e"),
        "{trainings:?}"
    );
    assert!(trainings[0].ends_with("not recorded"), "{trainings:?}");
    assert!(trainings[2].starts_with("tuned from out/models/base c0ffee5be1c0ffee"), "{trainings:?}");
    assert!(texts(&page, ".evaluations tbody tr")[0].ends_with(
        "5be1c0ffee5be1c0 0a57ab1e0a57ab1e eval 2,000 3,000 1,204,800 00000000000000000000000000000ea1"
    ),);
}

#[test]
fn a_judge_that_loses_most_good_clips_is_told() {
    for (accepted, is_told) in [(0, true), (47, true), (48, false), (96, false)] {
        let mut models = full();
        let judged = models.judged.as_mut().expect("the fixture has a judge");
        judged.good.accepted = accepted;
        assert_eq!(judged.good.of, 96);
        let told = texts(&page(Some(models)), "#models").join(" ");
        assert_eq!(told.contains("Those are fewer than half"), is_told, "{accepted}: {told}");
    }
}

#[test]
fn half_of_a_demo_shows_what_there_is_and_says_what_could_not_be_read() {
    let whole = full();
    let before = Models {
        before: whole.before.clone(),
        problems: vec!["The training of `base` is not told.".to_owned()],
        ..Models::default()
    };
    let half = page(Some(before));
    assert_eq!(texts(&half, ".leaderboard .nil").len(), 6);
    assert_eq!(texts(&half, ".problem"), ["The training of `base` is not told."]);
    assert!(texts(&half, ".answers, .judged, .trainings").is_empty());

    let nothing = page(Some(Models { problems: vec!["It is damaged.".to_owned()], ..Models::default() }));
    assert!(texts(&nothing, "#models .leaderboard").is_empty());
    assert!(texts(&nothing, "#models").join(" ").contains("There are no answers to count"));
}

#[test]
fn what_is_wrong_with_an_evaluation_stands_above_its_numbers() {
    let mut models = full();
    if let Some(after) = &mut models.after {
        after.unanswered = 3;
        after.warnings =
            vec!["misaligned, audio: 97 % of the answers are `Cat`, whatever is right".to_owned()];
    }
    assert_eq!(
        texts(&page(Some(models)), ".problem"),
        [
            "3 questions have no answer after tuning and stand in no score.",
            "after tuning, misaligned, audio: 97 % of the answers are `Cat`, whatever is right"
        ]
    );
}

#[test]
fn names_that_hold_markup_are_shown_and_not_obeyed() {
    let hostile = fixture::HOSTILE.to_owned();
    let mut models = full();
    models.problems.push(hostile.clone());
    models.conflicts[0].class_seen = hostile.clone();
    models.conflicts[0].question = hostile.clone();
    models.trainings[1].name = hostile.clone();
    models.trainings[1].recipe = vec![hostile.clone()];
    models.before.as_mut().expect("it is there").model = hostile.clone();
    let mut odd = models.before.clone().unwrap_or_default().rows[0].clone();
    odd.condition = hostile.clone();
    models.after = Some(Evaluation { rows: vec![odd], ..Evaluation::default() });
    if let Some(answer) = &mut models.conflicts[0].before {
        answer.words = Some(hostile.clone());
    }
    let page = page(Some(models));
    assert!(texts(&page, "[onload]").is_empty());
    assert_eq!(texts(&page, "script").len(), 1);
    for place in [".leaderboard", ".answers", ".trainings", ".evaluations", ".problem"] {
        assert!(texts(&page, place).join(" ").contains("<script>alert('x')</script>"), "{place}");
    }
}
