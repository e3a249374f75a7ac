//! The section on rounds of training as text.

#![allow(clippy::expect_used, reason = "a broken expectation is how a test fails")]

use counterpoint_pages::{
    MAX_ROWS, Report, render,
    report::{Evaluation, Round, RoundOutcome, Rounds},
    scores::ScoreRow,
};
use scraper::{Html, Selector};

fn page(ended: Vec<Round>) -> Html {
    let rounds = Rounds { ended, problems: Vec::new() };
    let text = render(&Report { rounds, ..Report::default() }).expect("the report renders");
    let parsed = Html::parse_document(&text);
    assert!(parsed.errors.is_empty(), "{:?}", parsed.errors);
    parsed
}

fn texts(page: &Html, selector: &str) -> Vec<String> {
    let selector = Selector::parse(selector).expect("a selector");
    let words = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    page.select(&selector).map(|element| words(element.text().collect::<Vec<_>>().join(" "))).collect()
}

fn round(number: u32, outcome: RoundOutcome) -> Round {
    Round { number, training: format!("{number:032x}"), samples: 1000 * u64::from(number), outcome }
}

/// A checkpoint that was asked about the sound of samples of these conditions.
fn saved(number: u32, asked: &[(&str, f64)]) -> Round {
    let row = |(condition, strict): &(&str, f64)| ScoreRow {
        condition: (*condition).to_owned(),
        question: "audio".to_owned(),
        n: 40,
        strict: *strict,
        interval: [strict - 0.1, strict + 0.1],
        ..ScoreRow::default()
    };
    let rows = asked.iter().map(row).collect();
    let evaluation = (!asked.is_empty()).then(|| Box::new(Evaluation { rows, ..Evaluation::default() }));
    let model = format!("base+out/checkpoints/{number}");
    round(number, RoundOutcome::Saved { model, losses: [2.5, 0.25], evaluation })
}

#[test]
fn a_run_without_rounds_has_no_such_section() {
    assert!(texts(&page(vec![]), "#rounds, a[href='#rounds']").is_empty());
}

#[test]
fn every_round_has_a_row_with_what_its_checkpoint_answers_or_why_there_is_none() {
    let failed = RoundOutcome::Failed { detail: "step 3 has the loss <NaN>".to_owned() };
    let page = page(vec![
        saved(1, &[("misaligned", 0.25)]),
        round(2, failed),
        saved(3, &[("misaligned", 0.75), ("aligned", 0.875)]),
        saved(4, &[]),
    ]);
    assert_eq!(
        texts(&page, ".rounds thead th"),
        ["Round", "Samples", "Loss", "Aligned audio", "Misaligned audio", "Checkpoint"]
    );
    assert_eq!(
        texts(&page, ".rounds tbody tr"),
        [
            "1 1,000 2.50 \u{2192} 0.25 not asked 25.0 % 15.0 to 35.0 %, of 40 base+out/checkpoints/1 training \
             0000000000000000",
            "2 2,000 none not asked not asked none: step 3 has the loss <NaN> training 0000000000000000",
            "3 3,000 2.50 \u{2192} 0.25 87.5 % 77.5 to 97.5 %, of 40 75.0 % 65.0 to 85.0 %, of 40 \
             base+out/checkpoints/3 training 0000000000000000",
            "4 4,000 2.50 \u{2192} 0.25 not asked not asked base+out/checkpoints/4 training 0000000000000000",
        ]
    );
}

#[test]
fn of_very_many_rounds_the_last_are_shown_and_the_others_are_counted() {
    let many = (1..).take(MAX_ROWS + 7).map(|number| saved(number, &[])).collect();
    let page = page(many);
    let rows = texts(&page, ".rounds tbody th");
    assert_eq!((rows.len(), rows[0].as_str()), (MAX_ROWS, "8"));
    assert!(texts(&page, "#rounds .aside").contains(&"7 rounds ended before these.".to_owned()));
}
