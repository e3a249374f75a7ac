use serde::Serialize;

use crate::{format::count, report::CoverageRow};

/// What the label lists want and what there is of it.
#[derive(Debug, Serialize)]
pub(super) struct CoverageView {
    rows: Vec<ClassRow>,
    wanted: u64,
    on_hand: u64,
    accepted: u64,
}

#[derive(Debug, Serialize)]
struct ClassRow {
    class: String,
    wanted: u64,
    on_hand: u64,
    accepted: u64,
    missing: String,
}

impl CoverageView {
    pub(super) fn of(coverage: &[CoverageRow]) -> Self {
        let sum = |of: fn(&CoverageRow) -> u64| coverage.iter().map(of).fold(0, u64::saturating_add);
        Self {
            wanted: sum(|row| row.wanted),
            on_hand: sum(|row| row.on_hand),
            accepted: sum(|row| row.accepted),
            rows: coverage.iter().map(class_row).collect(),
        }
    }
}

fn class_row(row: &CoverageRow) -> ClassRow {
    let reasons =
        row.missing.iter().map(|(reason, rows)| format!("{} {}", count(*rows), reason.replace('_', " ")));
    ClassRow {
        class: row.class.replace('_', " "),
        wanted: row.wanted,
        on_hand: row.on_hand,
        accepted: row.accepted,
        missing: reasons.collect::<Vec<_>>().join(", "),
    }
}
