use serde::Serialize;

use super::{
    models::{rank, titled},
    short,
};
use crate::{
    MAX_ROWS,
    format::{count, counted, interval, share, spaced},
    report::{Evaluation, Round, RoundOutcome, Rounds},
};

/// The rounds of training of a run.
#[derive(Debug, Serialize)]
pub(super) struct RoundsView {
    problems: Vec<String>,
    /// What was asked: conditions with their questions.
    columns: Vec<Column>,
    rows: Vec<Row>,
    /// Why some rows are missing, where they are.
    left_out: Option<String>,
}

#[derive(Debug, Serialize)]
struct Column {
    condition: String,
    question: String,
}

#[derive(Debug, Serialize)]
struct Row {
    number: u32,
    training: String,
    samples: String,
    /// Of the first step and of the last.
    losses: Option<String>,
    model: Option<String>,
    /// Why there is no checkpoint.
    detail: Option<String>,
    /// One a column, where the checkpoint was asked.
    accuracies: Option<Vec<Option<Accuracy>>>,
}

#[derive(Debug, Serialize)]
struct Accuracy {
    strict: String,
    interval: String,
    n: String,
}

impl RoundsView {
    /// `None` where no round has ended.
    pub(super) fn of(rounds: &Rounds) -> Option<Self> {
        let Rounds { ended, problems } = rounds;
        if ended.is_empty() && problems.is_empty() {
            return None;
        }
        let hidden = ended.len().saturating_sub(MAX_ROWS);
        let shown = ended.get(hidden..).unwrap_or_default();
        let rows = shown.iter().filter_map(evaluation).flat_map(|evaluation| &evaluation.rows);
        let mut keys: Vec<_> = rows.map(|row| (row.condition.as_str(), row.question.as_str())).collect();
        keys.sort_by_key(|(condition, question)| rank(condition, question));
        keys.dedup();
        Some(Self {
            problems: problems.clone(),
            columns: keys
                .iter()
                .map(|(condition, question)| Column {
                    condition: titled(condition),
                    question: spaced(question),
                })
                .collect(),
            rows: shown.iter().map(|round| row(round, &keys)).collect(),
            left_out: (hidden > 0)
                .then(|| format!("{} before these.", counted(hidden as u64, "round ended", "rounds ended"))),
        })
    }
}

fn evaluation(round: &Round) -> Option<&Evaluation> {
    match &round.outcome {
        RoundOutcome::Saved { evaluation, .. } => evaluation.as_deref(),
        RoundOutcome::Failed { .. } => None,
    }
}

fn row(round: &Round, keys: &[(&str, &str)]) -> Row {
    let (losses, model, detail) = match &round.outcome {
        RoundOutcome::Saved { model, losses: [first, last], .. } => {
            (Some(format!("{first:.2} \u{2192} {last:.2}")), Some(model.clone()), None)
        }
        RoundOutcome::Failed { detail } => (None, None, Some(detail.clone())),
    };
    let accuracies = evaluation(round).map(|evaluation| {
        keys.iter().map(|(condition, question)| accuracy(evaluation, condition, question)).collect()
    });
    Row {
        number: round.number,
        training: short(&round.training),
        samples: count(round.samples),
        losses,
        model,
        detail,
        accuracies,
    }
}

fn accuracy(evaluation: &Evaluation, condition: &str, question: &str) -> Option<Accuracy> {
    let row = evaluation.rows.iter().find(|row| row.condition == condition && row.question == question)?;
    Some(Accuracy { strict: share(row.strict), interval: interval(row.interval), n: count(row.n) })
}
