//! The paper's experiments, each laid out like the table or figure that it repeats.

mod layout;

use counterpoint_core::experiments::{AskedModel, Experiment, ExperimentName, Halves};
use serde::Serialize;

use crate::{
    format::{listed, share, spaced},
    report::Experiments,
};
use layout::Table;

/// Experiments on the models of a run.
#[derive(Debug, Serialize)]
pub(super) struct ExperimentsView {
    shown: Vec<ExperimentView>,
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ExperimentView {
    id: String,
    title: &'static str,
    place: &'static str,
    about: String,
    findings: Vec<String>,
    notes: Vec<String>,
    table: Table,
    models: Vec<ModelRow>,
}

#[derive(Debug, Serialize)]
struct ModelRow {
    role: String,
    model: String,
    identity: String,
    inquiry: String,
}

impl ExperimentsView {
    /// Nothing where no experiment was made.
    pub(super) fn of(experiments: &Experiments) -> Option<Self> {
        let Experiments { made, problems } = experiments;
        if made.is_empty() && problems.is_empty() {
            return None;
        }
        Some(Self { shown: made.iter().map(experiment).collect(), problems: problems.clone() })
    }
}

fn experiment(made: &Experiment) -> ExperimentView {
    let (title, place, about) = words(made.experiment);
    let chance = made.lines.first().map(|line| format!(" Chance is {}.", share(line.chance)));
    ExperimentView {
        id: format!("experiment-{}", made.experiment),
        title,
        place,
        about: format!("{about}{}", chance.unwrap_or_default()),
        findings: made.findings.clone(),
        notes: made.notes.iter().cloned().chain(made.halves.as_ref().map(halves)).collect(),
        table: Table::of(made),
        models: made.models.iter().map(model).collect(),
    }
}

/// Title, place in the paper, and what is done.
fn words(experiment: ExperimentName) -> (&'static str, &'static str, &'static str) {
    match experiment {
        ExperimentName::Ablations => (
            "A stream taken away",
            "Fig. 12",
            "Sound or picture is taken away and both are asked about, with nothing but the classes on offer. Of a \
             stream that is gone the class of the clip counts as right: that is what the other stream suggests. The \
             published figures are those that the text on Fig. 12 names, of other models.",
        ),
        ExperimentName::NoneOfTheAbove => (
            "A stream taken away, and a way to say so",
            "Table 5",
            "The same with \u{201c}None of the above\u{201d} among the options: right where the stream that is asked \
             about is gone, wrong where it is there. The published columns of the stream that is there repeat the \
             misaligned values of Table 4.",
        ),
        ExperimentName::CrossClass => (
            "Classes that tuning never showed",
            "Table 3",
            "The base model is tuned on half of the classes and asked about all of them, with all of them on offer.",
        ),
        ExperimentName::Mixup => (
            "Another sound over the clip\u{2019}s own",
            "Fig. 16",
            "The picture keeps its own sound, with that of a clip of another class over it.",
        ),
    }
}

fn halves(halves: &Halves) -> String {
    let names = |classes: &std::collections::BTreeSet<String>| {
        listed(&classes.iter().map(|class| spaced(class)).collect::<Vec<_>>())
    };
    format!("Seen in tuning: {}. Unseen: {}.", names(&halves.seen), names(&halves.unseen))
}

fn model(asked: &AskedModel) -> ModelRow {
    let short = |id: &str| super::short(id);
    ModelRow {
        role: asked.role.replace('-', " "),
        model: asked.model.clone(),
        identity: short(&asked.identity),
        inquiry: short(&asked.inquiry),
    }
}
