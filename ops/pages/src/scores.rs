//! The page of an evaluation: what a model's answers come to, question by question.

use serde::{Deserialize, Serialize};

use crate::{
    PageError,
    format::{count, interval, share, spaced},
    page,
    plot::{Caption, Matrix, matrix},
};

/// One evaluation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScoresReport {
    /// The model, as it was named.
    pub model: String,
    /// Facts about the evaluation, by name.
    pub facts: Vec<(String, String)>,
    /// What is wrong with it, as sentences.
    pub warnings: Vec<String>,
    /// A row a condition and question.
    pub rows: Vec<ScoreRow>,
}

/// Answers to one question under one condition. Shares are from 0 to 1.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ScoreRow {
    /// Condition.
    pub condition: String,
    /// Question.
    pub question: String,
    /// Questions asked.
    pub n: u64,
    /// Questions without an answer.
    pub missing: u64,
    /// Strict accuracy.
    pub strict: f64,
    /// Its 95 % interval.
    pub interval: [f64; 2],
    /// Accuracy by the option mentioned first.
    pub first_mentioned: f64,
    /// Accuracy by the longest option mentioned.
    pub lenient: f64,
    /// Mean of the classes' accuracies.
    pub macro_mean: f64,
    /// Of a fair choice.
    pub chance: Option<f64>,
    /// Of the best constant answer.
    pub constant: f64,
    /// With the other stream taken away.
    pub single_stream: Option<f64>,
    /// Share that names what is seen, and what is heard, where they differ.
    pub selection: Option<[f64; 2]>,
    /// Answers by right answer.
    pub confusion: Matrix,
}

#[derive(Serialize)]
struct Page<'a> {
    title: String,
    facts: &'a [(String, String)],
    warnings: &'a [String],
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    condition: String,
    question: String,
    n: String,
    missing: String,
    strict: String,
    interval: String,
    first_mentioned: String,
    lenient: String,
    macro_mean: String,
    chance: String,
    constant: String,
    single_stream: String,
    seen: String,
    heard: String,
    plot: String,
}

/// Makes the page: the same report gives the same bytes.
///
/// # Errors
/// See [`PageError`].
pub fn render(report: &ScoresReport) -> Result<String, PageError> {
    let rows = report.rows.iter().enumerate().map(|(place, row)| row_of(place, row));
    let shown = Page {
        title: format!("Answers of {}", report.model),
        facts: &report.facts,
        warnings: &report.warnings,
        rows: rows.collect::<Result<_, _>>()?,
    };
    page("scores.html", &shown)
}

fn row_of(place: usize, row: &ScoreRow) -> Result<Row, PageError> {
    let (condition, question) = (spaced(&row.condition), spaced(&row.question));
    let title = format!("{condition}, {question}");
    let description = format!(
        "Right answers as rows, answers given as columns: of {} answers {} are right.",
        count(row.n),
        share(row.strict)
    );
    let id = format!("confusion-{place}");
    let plot = matrix(Caption { id: &id, title: &title, description: &description }, &row.confusion)?;
    let maybe = |value: Option<f64>| value.map_or_else(String::new, share);
    Ok(Row {
        n: count(row.n),
        missing: count(row.missing),
        strict: share(row.strict),
        interval: interval(row.interval),
        first_mentioned: share(row.first_mentioned),
        lenient: share(row.lenient),
        macro_mean: share(row.macro_mean),
        chance: maybe(row.chance),
        constant: share(row.constant),
        single_stream: maybe(row.single_stream),
        seen: maybe(row.selection.map(|[seen, _]| seen)),
        heard: maybe(row.selection.map(|[_, heard]| heard)),
        plot,
        condition,
        question,
    })
}

#[cfg(test)]
mod tests {
    use scraper::Html;

    use super::*;

    #[test]
    fn the_page_is_well_formed_shows_every_row_and_names_no_address() {
        let confusion = Matrix {
            names: vec!["Cat".to_owned(), "<Dog>".to_owned()],
            counts: vec![vec![3, 1], vec![0, 4]],
        };
        let row = ScoreRow {
            condition: "audio_removed".to_owned(),
            question: "visual".to_owned(),
            n: 8,
            strict: 0.875,
            interval: [0.5, 1.0],
            chance: Some(0.5),
            selection: Some([0.25, 0.75]),
            confusion,
            ..ScoreRow::default()
        };
        let report = ScoresReport {
            model: "<b>".to_owned(),
            facts: vec![("Samples".to_owned(), "4".to_owned())],
            warnings: vec!["one & the same".to_owned()],
            rows: vec![row.clone(), row],
        };
        let page = render(&report).unwrap();
        let parsed = Html::parse_document(&page);
        assert!(parsed.errors.is_empty(), "{:?}", parsed.errors);
        for words in
            ["audio removed", "87.5\u{a0}%", "50.0 to 100.0", "Answers of &lt;b&gt;", "one &amp; the same"]
        {
            assert!(page.contains(words), "{words}");
        }
        assert!(!page.contains("http://") && page.contains("id=\"confusion-1\""));
        assert_eq!(render(&report).unwrap(), page);
        assert!(Html::parse_document(&render(&ScoresReport::default()).unwrap()).errors.is_empty());
    }
}
