use counterpoint_messages::{RecipeName, Split};
use serde::Serialize;

use crate::{
    MAX_ROWS, Report,
    report::{Excerpt, Samples},
    words,
};

/// What was composed, skipped, turned away and given up on.
#[derive(Debug, Serialize)]
pub(super) struct SamplesView {
    rows: Vec<RecipeRow>,
    train: u64,
    eval: u64,
    total: u64,
    skips: Vec<SkipRow>,
    rejected: Table<RejectRow>,
    dead: Table<DeadRow>,
    /// Clips the funnel counts, so that an empty table can say why it is.
    found: u64,
}

#[derive(Debug, Serialize)]
struct RecipeRow {
    title: &'static str,
    does: &'static str,
    train: u64,
    eval: u64,
    total: u64,
    skipped: u64,
}

#[derive(Debug, Serialize)]
struct SkipRow {
    title: &'static str,
    reason: &'static str,
    sentence: &'static str,
    hosts: u64,
}

/// The first rows of a table and how many there are.
#[derive(Debug, Serialize)]
struct Table<Row> {
    rows: Vec<Row>,
    total: u64,
    shown: u64,
}

#[derive(Debug, Serialize)]
struct RejectRow {
    path: String,
    stage: &'static str,
    reason: &'static str,
    sentence: &'static str,
    detail: String,
}

#[derive(Debug, Serialize)]
struct DeadRow {
    stage: &'static str,
    record: String,
    attempts: u32,
    reason: String,
}

impl SamplesView {
    pub(super) fn of(report: &Report) -> Self {
        let samples = &report.samples;
        let rows: Vec<RecipeRow> =
            RecipeName::ALL.into_iter().map(|recipe| recipe_row(samples, recipe)).collect();
        let sum = |part: fn(&RecipeRow) -> u64| rows.iter().map(part).fold(0_u64, u64::saturating_add);
        let (train, eval, total) = (sum(|row| row.train), sum(|row| row.eval), sum(|row| row.total));
        let mut skipped: Vec<_> = samples.skipped.iter().filter(|row| row.hosts > 0).collect();
        skipped.sort_by_key(|row| (row.recipe, row.reason));
        Self {
            rows,
            train,
            eval,
            total,
            skips: skipped
                .into_iter()
                .map(|row| SkipRow {
                    title: words::recipe_title(row.recipe),
                    reason: row.reason.as_str(),
                    sentence: words::skip_reason(row.reason),
                    hosts: row.hosts,
                })
                .collect(),
            rejected: table(&report.rejected, |row| RejectRow {
                path: row.path.clone(),
                stage: row.stage.as_str(),
                reason: row.reason.as_str(),
                sentence: words::reject_reason(row.reason),
                detail: row.detail.clone(),
            }),
            dead: table(&report.dead_letters, |row| DeadRow {
                stage: row.stage.as_str(),
                record: format!("{}/{} @ {}", row.topic, row.partition, row.position),
                attempts: row.attempts,
                reason: row.reason.clone(),
            }),
            found: report.funnel.found,
        }
    }
}

fn recipe_row(samples: &Samples, recipe: RecipeName) -> RecipeRow {
    let made = |split: Split| {
        samples
            .composed
            .iter()
            .filter(|row| row.recipe == recipe && row.split == split)
            .fold(0_u64, |sum, row| sum.saturating_add(row.samples))
    };
    let (train, eval) = (made(Split::Train), made(Split::Eval));
    RecipeRow {
        title: words::recipe_title(recipe),
        does: words::recipe(recipe),
        train,
        eval,
        total: train.saturating_add(eval),
        skipped: samples
            .skipped
            .iter()
            .filter(|row| row.recipe == recipe)
            .fold(0_u64, |sum, row| sum.saturating_add(row.hosts)),
    }
}

fn table<From, To>(excerpt: &Excerpt<From>, row: impl Fn(&From) -> To) -> Table<To> {
    let rows: Vec<To> = excerpt.rows.iter().take(MAX_ROWS).map(row).collect();
    let shown = rows.len() as u64;
    Table { rows, total: excerpt.total.max(excerpt.rows.len() as u64), shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_table_is_cut_and_states_its_length() {
        let cut = table(&Excerpt { rows: vec![0; MAX_ROWS + 1], total: 9_000 }, |row| *row);
        assert_eq!((cut.shown, cut.total), (MAX_ROWS as u64, 9_000));
        let whole = table(&Excerpt { rows: vec![0; 3], total: 0 }, |row| *row);
        assert_eq!((whole.shown, whole.total), (3, 3));
    }
}
