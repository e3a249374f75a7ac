mod curves;
mod finding;

use counterpoint_messages::RecipeName;
use serde::Serialize;

pub(super) use curves::{exams_of, losses_of};

use super::{Figure, published::published, short};
use crate::{
    PageError,
    format::{count, counted, interval, percent, points, share, spaced},
    plot::{Caption, matrix},
    report::{Conflict, Evaluation, Given, Judged, MAX_CONFLICTS, Models, Passed, TrainingFacts},
    scores::ScoreRow,
    words,
};
use finding::{CONFLICT, STREAMS, find};

/// What models make of the samples.
#[derive(Debug, Serialize)]
pub(super) struct ModelsView {
    findings: Vec<String>,
    problems: Vec<String>,
    rows: Vec<Row>,
    curves: Vec<Figure>,
    confusions: Vec<Figure>,
    judged: Vec<JudgedRow>,
    judged_note: String,
    conflicts: Vec<ConflictRow>,
    trainings: Vec<TrainingRow>,
    evaluations: Vec<EvaluationRow>,
}

/// A condition and question, before and after.
#[derive(Debug, Serialize)]
struct Row {
    condition: String,
    question: String,
    is_conflict: bool,
    n: String,
    chance: String,
    constant: String,
    single_stream: String,
    before: Option<Accuracy>,
    after: Option<Accuracy>,
    difference: String,
    difference_interval: String,
    published: Option<PublishedRow>,
}

#[derive(Debug, Serialize)]
struct Accuracy {
    strict: String,
    interval: String,
}

#[derive(Debug, Serialize)]
struct PublishedRow {
    place: &'static str,
    before: String,
    after: String,
    difference: String,
}

#[derive(Debug, Serialize)]
struct JudgedRow {
    clips: String,
    accepted: u64,
    of: u64,
    rate: String,
}

#[derive(Debug, Serialize)]
struct ConflictRow {
    sample: String,
    trace: Option<String>,
    seen: String,
    heard: String,
    question: String,
    before: Option<Answer>,
    after: Option<Answer>,
}

#[derive(Debug, Serialize)]
struct Answer {
    words: Option<String>,
    is_right: bool,
}

#[derive(Debug, Serialize)]
struct TrainingRow {
    name: String,
    identity: String,
    base: Option<String>,
    recipe: Vec<String>,
    seeds: String,
    steps: u64,
    data_set: String,
    trace: Option<String>,
    clips: u64,
    lessons: u64,
    version: String,
}

#[derive(Debug, Serialize)]
struct EvaluationRow {
    name: &'static str,
    model: String,
    identity: String,
    inquiry: String,
    splits: String,
    samples: u64,
    questions: u64,
    audio_tokens: String,
    traces: Vec<String>,
}

impl ModelsView {
    pub(super) fn of(models: &Models) -> Result<Self, PageError> {
        Ok(Self {
            findings: finding::findings(models),
            problems: problems(models),
            rows: rows(models),
            curves: curves::curves(&models.trainings)?,
            confusions: confusions(models)?,
            judged: models.judged.as_ref().map(judged).unwrap_or_default(),
            judged_note: models.judged.as_ref().map(judged_note).unwrap_or_default(),
            conflicts: models.conflicts.iter().take(MAX_CONFLICTS).map(conflict).collect(),
            trainings: models.trainings.iter().map(training).collect(),
            evaluations: evaluations(models).map(|(name, evaluation)| asked(name, evaluation)).collect(),
        })
    }
}

/// The evaluations that there are.
fn evaluations(models: &Models) -> impl Iterator<Item = (&'static str, &Evaluation)> {
    let named = [("before tuning", &models.before), ("after tuning", &models.after)];
    named.into_iter().filter_map(|(name, evaluation)| Some((name, evaluation.as_ref()?)))
}

fn problems(models: &Models) -> Vec<String> {
    let mut problems = models.problems.clone();
    for (name, evaluation) in evaluations(models) {
        if evaluation.unanswered > 0 {
            let open = counted(evaluation.unanswered, "question has", "questions have");
            problems.push(format!("{open} no answer {name} and stand in no score."));
        }
        problems.extend(evaluation.warnings.iter().map(|warning| format!("{name}, {warning}")));
    }
    problems
}

/// The rows of both evaluations.
fn rows(models: &Models) -> Vec<Row> {
    let mut keys: Vec<(&str, &str)> = evaluations(models)
        .flat_map(|(_, evaluation)| &evaluation.rows)
        .map(|row| (row.condition.as_str(), row.question.as_str()))
        .collect();
    keys.sort_by_key(|(condition, question)| rank(condition, question));
    keys.dedup();
    keys.into_iter().map(|(condition, question)| row(models, condition, question)).collect()
}

/// The title of a condition, which may be a recipe.
pub(super) fn titled(condition: &str) -> String {
    let recipe = RecipeName::ALL.into_iter().find(|recipe| recipe.as_str() == condition);
    recipe.map_or_else(|| spaced(condition), |recipe| words::recipe_title(recipe).to_owned())
}

/// Sorts conditions in the order of the recipes, pictures before sounds.
pub(super) fn rank<'a>(condition: &'a str, question: &'a str) -> (usize, &'a str, bool, &'a str) {
    let known = RecipeName::ALL.iter().position(|recipe| recipe.as_str() == condition);
    (known.unwrap_or(RecipeName::ALL.len()), condition, !question.starts_with("visual"), question)
}

fn row(models: &Models, condition: &str, question: &str) -> Row {
    let of = |evaluation: &'_ Option<Evaluation>| {
        evaluation.as_ref().and_then(|evaluation| find(evaluation, condition, question)).cloned()
    };
    let (before, after) = (of(&models.before), of(&models.after));
    let both = |value: fn(&ScoreRow) -> Option<String>| {
        changed(before.as_ref().and_then(value), after.as_ref().and_then(value))
    };
    let change =
        models.changes.iter().find(|change| change.condition == condition && change.question == question);
    let difference = match (change, &before, &after) {
        (Some(change), ..) => points(change.difference),
        (None, Some(before), Some(after)) => points(after.strict - before.strict),
        (None, ..) => String::new(),
    };
    let ends = |[low, high]: [f64; 2]| format!("{} to {}", points(low), points(high));
    Row {
        condition: titled(condition),
        question: spaced(question),
        is_conflict: condition == CONFLICT,
        n: both(|row| Some(count(row.n))),
        chance: both(|row| row.chance.map(share)),
        constant: both(|row| Some(share(row.constant))),
        single_stream: both(|row| row.single_stream.map(share)),
        before: before.as_ref().map(accuracy),
        after: after.as_ref().map(accuracy),
        difference,
        difference_interval: change.map(|change| ends(change.interval)).unwrap_or_default(),
        published: published(condition, question).map(|published| PublishedRow {
            place: published.place,
            before: share(published.before),
            after: share(published.after),
            difference: points(published.after - published.before),
        }),
    }
}

/// A value that is told once where it stays the same.
fn changed(before: Option<String>, after: Option<String>) -> String {
    match (before, after) {
        (Some(before), Some(after)) if before != after => format!("{before} \u{2192} {after}"),
        (Some(one), _) | (None, Some(one)) => one,
        (None, None) => String::new(),
    }
}

fn accuracy(row: &ScoreRow) -> Accuracy {
    Accuracy { strict: share(row.strict), interval: interval(row.interval) }
}

/// Which classes are taken for which where the streams disagree.
fn confusions(models: &Models) -> Result<Vec<Figure>, PageError> {
    let mut figures = Vec::new();
    for (question, stream) in STREAMS {
        for (name, evaluation) in evaluations(models) {
            let Some(row) = find(evaluation, CONFLICT, question) else { continue };
            let title = format!("The {stream}, {name}");
            let note = format!(
                "Of {} about the {stream} of misaligned samples {} are right.",
                counted(row.n, "answer", "answers"),
                share(row.strict)
            );
            let id = format!("plot-confusion-{question}-{}", name.replace(' ', "-"));
            let caption = Caption { id: &id, title: &title, description: &note };
            let plot = matrix(caption, &row.confusion)?;
            figures.push(Figure { title, note, plot });
        }
    }
    Ok(figures)
}

fn judged(judged: &Judged) -> Vec<JudgedRow> {
    let row = |clips: String, passed: Passed| JudgedRow {
        clips,
        accepted: passed.accepted,
        of: passed.of,
        rate: percent(passed.accepted, passed.of),
    };
    let planted = judged.planted.iter().map(|planted| row(spaced(&planted.fault), planted.passed));
    std::iter::once(row("without a fault".to_owned(), judged.good)).chain(planted).collect()
}

fn judged_note(judged: &Judged) -> String {
    let (good, bad) = (judged.good, judged.bad());
    let warning = if judged.loses_most() {
        " Those are fewer than half: the judge does not know its classes, and all that follows rests on few clips."
    } else {
        ""
    };
    format!(
        "Of {} without a fault {} come through ({}), of {} with a planted fault {} ({}).{warning}",
        counted(good.of, "clip", "clips"),
        count(good.accepted),
        percent(good.accepted, good.of),
        count(bad.of),
        count(bad.accepted),
        percent(bad.accepted, bad.of),
    )
}

fn conflict(conflict: &Conflict) -> ConflictRow {
    let answer = |given: &Given| Answer { words: given.words.clone(), is_right: given.is_right };
    ConflictRow {
        sample: short(&conflict.sample),
        trace: conflict.trace.clone(),
        seen: spaced(&conflict.class_seen),
        heard: spaced(&conflict.class_heard),
        question: spaced(&conflict.question),
        before: conflict.before.as_ref().map(answer),
        after: conflict.after.as_ref().map(answer),
    }
}

fn training(training: &TrainingFacts) -> TrainingRow {
    let mut seeds: Vec<String> = training.seeds.iter().map(u64::to_string).collect();
    seeds.dedup();
    TrainingRow {
        name: spaced(&training.name),
        identity: short(&training.identity),
        base: training.base.clone(),
        recipe: training.recipe.clone(),
        seeds: seeds.join(", "),
        steps: training.steps,
        data_set: short(&training.data_set),
        trace: training.trace.clone(),
        clips: training.clips,
        lessons: training.lessons,
        version: training.version.clone(),
    }
}

fn asked(name: &'static str, evaluation: &Evaluation) -> EvaluationRow {
    EvaluationRow {
        name,
        model: evaluation.model.clone(),
        identity: short(&evaluation.identity),
        inquiry: short(&evaluation.inquiry),
        splits: evaluation.splits.join(", "),
        samples: evaluation.samples,
        questions: evaluation.questions,
        audio_tokens: evaluation.audio_tokens.map_or_else(|| "not told".to_owned(), count),
        traces: evaluation.traces.clone(),
    }
}
