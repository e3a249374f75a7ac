//! The section on experiments as text: tables laid out like the paper's, with its figures marked as published.

#![allow(clippy::expect_used, reason = "a broken expectation is how a test fails")]

mod fixture;

use counterpoint_core::experiments::ExperimentName;
use counterpoint_pages::{Report, render, report::Experiments};
use scraper::{Html, Selector};

fn page(experiments: Experiments) -> Html {
    let text = render(&Report { experiments, ..Report::default() }).expect("the report renders");
    let parsed = Html::parse_document(&text);
    assert!(parsed.errors.is_empty(), "{:?}", parsed.errors);
    parsed
}

fn full() -> Experiments {
    fixture::report(&[]).experiments
}

/// One of them alone.
fn only(name: ExperimentName) -> Html {
    let made = full().made.into_iter().filter(|made| made.experiment == name).collect();
    page(Experiments { made, problems: Vec::new() })
}

fn texts(page: &Html, selector: &str) -> Vec<String> {
    let selector = Selector::parse(selector).expect("a selector");
    let words = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    page.select(&selector).map(|element| words(element.text().collect::<Vec<_>>().join(" "))).collect()
}

const HEAD: &str = ".experiment thead tr";
const ROWS: &str = ".experiment tbody tr";

#[test]
fn only_experiments_that_were_made_have_a_section() {
    let none = page(Experiments::default());
    assert!(texts(&none, "#experiments, a[href='#experiments']").is_empty());
    let all = page(full());
    assert_eq!(texts(&all, "a[href='#experiments']"), ["Experiments"]);
    let titles = texts(&all, "#experiments h3");
    assert_eq!(titles.len(), 4);
    assert!(titles[2].ends_with("(Table 3)"), "{titles:?}");
    assert_eq!(texts(&all, ".experiment").len(), 4);
    let told = texts(&all, ".finding");
    assert_eq!(told[3], "What mixup came to.");
}

#[test]
fn classes_seen_and_unseen_are_laid_out_as_in_table_3() {
    let page = only(ExperimentName::CrossClass);
    assert_eq!(
        texts(&page, HEAD),
        [
            "Picture question Sound question",
            "Base Tuned on the seen Tuned on all Base Tuned on the seen Tuned on all"
        ]
    );
    let rows = texts(&page, ROWS);
    assert_eq!(rows[0], "Classes seen in tuning");
    assert_eq!(
        rows[1],
        "Aligned 50.0 % 47.0 to 53.0 % n = 120 45.0 % 42.0 to 48.0 % n = 120 \u{2212}5.0 (\u{2212}7.0 to \u{2212}3.0) \
         95.0 % 92.0 to 98.0 % n = 120 50.0 % 47.0 to 53.0 % n = 120 90.0 % 87.0 to 93.0 % n = 120 +40.0 (+38.0 to \
         +42.0) 95.0 % 92.0 to 98.0 % n = 120"
    );
    assert_eq!(rows[2], "published, Table 3: Qwen2.5-Omni-7B 76.3 % 96.3 % \u{2013} 41.4 % 43.2 % \u{2013}");
    assert!(rows[3].starts_with("Misaligned 50.0 %"), "{}", rows[3]);
    assert_eq!(rows[5], "Classes unseen in tuning");
    assert_eq!(rows[9], "published, Table 3: Qwen2.5-Omni-7B 60.9 % 92.0 % \u{2013} 24.6 % 55.1 % \u{2013}");
    assert_eq!(rows[10], "Of one class seen and one unseen");
    assert_eq!(rows.len(), 12, "samples of two classes are in conflict, and the paper has no such row");
    let notes = texts(&page, "#experiments .aside").join(" ");
    assert!(
        notes.contains("Seen in tuning: Bird and Cat. Unseen: Door and Utility Liquid Sounds."),
        "{notes}"
    );
}

#[test]
fn streams_that_are_taken_away_are_laid_out_as_in_table_5() {
    let page = only(ExperimentName::NoneOfTheAbove);
    assert_eq!(
        texts(&page, HEAD)[1],
        "Aligned Audio removed Frames zeroed Aligned Frames zeroed Audio removed"
    );
    let rows = texts(&page, ROWS);
    assert!(rows[0].starts_with("Base 50.0 %") && rows[1].starts_with("Tuned 45.0 %"), "{rows:?}");
    assert_eq!(rows.len(), 2 + 7);
    assert_eq!(
        rows[8],
        "published, Table 5: Qwen2.5-Omni-7B, tuned 94.7 % 94.4 % 90.3 % 88.1 % 79.8 % 0.0 %"
    );
    let forced = texts(&only(ExperimentName::Ablations), ROWS);
    assert_eq!(forced.len(), 2 + 3);
    assert_eq!(
        forced[2],
        "published, text on Fig. 12: Gemini-2.5-Pro 97.9 % 97.2 % \u{2013} 60.4 % \u{2013} 95.5 %"
    );
}

#[test]
fn a_second_sound_is_told_with_how_often_it_is_named() {
    let page = only(ExperimentName::Mixup);
    assert_eq!(texts(&page, HEAD)[0], "Right Names the added sound");
    let rows = texts(&page, ROWS);
    assert_eq!(rows[3], "published, Table 4: Qwen2.5-Omni-7B 46.6 % 88.1 % \u{2013} \u{2013}");
    assert!(
        rows[6].starts_with("Mixup, sound question 50.0 %") && rows[6].ends_with("20.0 % 20.0 %"),
        "{}",
        rows[6]
    );
    assert_eq!(rows[7], "published, Fig. 16: Qwen2.5-Omni-7B 3.2 % 20.1 % \u{2013} \u{2013}");
    let marked = texts(&page, "tr.published").len();
    assert_eq!(marked, rows.iter().filter(|row| row.starts_with("published, ")).count());
}

#[test]
fn what_was_not_measured_is_left_open_and_what_could_not_be_read_is_told() {
    let mut experiments = full();
    experiments.made.truncate(1);
    experiments.made[0].lines.retain(|line| line.condition.as_str() == "audio_removed");
    experiments.made[0].findings.clear();
    experiments.problems.push("The experiment `mixup` is damaged.".to_owned());
    let page = page(experiments);
    let rows = texts(&page, ROWS);
    assert!(
        rows[0].starts_with("Base \u{2013} 50.0 %")
            && rows[0].contains("n = 120 \u{2013} \u{2013} \u{2013} 50.0"),
        "{}",
        rows[0]
    );
    assert_eq!(texts(&page, ".problem"), ["The experiment `mixup` is damaged."]);
    assert!(texts(&page, "#experiments .empty").iter().any(|said| said.starts_with("No answer tells")));
}

#[test]
fn names_that_hold_markup_are_shown_and_not_obeyed() {
    let mut experiments = full();
    let hostile = fixture::HOSTILE.to_owned();
    let made = &mut experiments.made[2];
    made.findings[0].clone_from(&hostile);
    made.notes[0].clone_from(&hostile);
    made.models[0].model.clone_from(&hostile);
    made.models[0].role.clone_from(&hostile);
    if let Some(halves) = &mut made.halves {
        halves.seen.insert(hostile);
    }
    let page = page(experiments);
    assert!(texts(&page, "[onload]").is_empty());
    assert_eq!(texts(&page, "script").len(), 1);
    assert!(texts(&page, "#experiments .finding")[2].contains("<script>alert('x')</script>"));
}
