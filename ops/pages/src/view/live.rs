//! The page of a run that may be going on.

use serde::Serialize;

use super::{
    Fact, Figure,
    gallery::segment,
    models::{exams_of, losses_of, rank, titled},
    short,
};
use crate::{
    PageError,
    format::{count, counted, decimal, percent, share, spaced},
    live::{Accuracy, Counts, Evaluation, Fate, Live, MAX_CLIPS, NewClip, Stage, State, Training},
    plot::{Caption, Curve, CurveLine, Ink, curve},
    report::ExamPoint,
    words,
};

/// The parts that change, and what they are made with.
pub(crate) const PARTS: [(&str, &str); 4] = [
    ("now", "live_now.html"),
    ("stages-now", "live_stages.html"),
    ("models-now", "live_models.html"),
    ("clips-now", "live_clips.html"),
];

/// The whole page.
#[derive(Debug, Serialize)]
pub(crate) struct Page {
    out: String,
    engine: String,
    revision: Option<u64>,
    state: Told,
    problems: Vec<String>,
    facts: Vec<Fact>,
    stages: Vec<StageRow>,
    turned_away: Vec<ReasonRow>,
    trainings: Vec<Figure>,
    evaluations: Vec<EvaluationView>,
    clips: Vec<Card>,
    is_begun: bool,
}

/// How the run is doing, in words that change only when that does: they are read out to who cannot see.
#[derive(Debug, Serialize)]
struct Told {
    key: &'static str,
    sentence: String,
    aside: String,
}

#[derive(Debug, Serialize)]
struct StageRow {
    name: &'static str,
    does: &'static str,
    written: Option<u64>,
    rate: Option<String>,
    to_read: Option<u64>,
    holder: Option<String>,
}

#[derive(Debug, Serialize)]
struct ReasonRow {
    stage: &'static str,
    sentence: &'static str,
    /// What summaries call the reason.
    name: &'static str,
    clips: u64,
}

#[derive(Debug, Serialize)]
struct EvaluationView {
    model: String,
    identity: String,
    rows: Vec<AccuracyRow>,
    courses: Vec<Figure>,
}

#[derive(Debug, Serialize)]
struct AccuracyRow {
    condition: String,
    question: String,
    answers: u64,
    right: u64,
    share: String,
}

#[derive(Debug, Serialize)]
struct Card {
    id: String,
    video: String,
    segment: Option<String>,
    class: Option<String>,
    object: Option<String>,
    label: String,
    /// `right` and `wrong` where it has come to an end.
    mark: &'static str,
    fate: String,
    /// What summaries call the reason, where there is one.
    reason: Option<&'static str>,
    why: Option<String>,
}

impl Page {
    pub(crate) fn of(live: &Live) -> Result<Self, PageError> {
        Ok(Self {
            out: live.out.clone(),
            engine: live.engine.clone(),
            revision: live.revision,
            state: told(&live.state),
            problems: live.problems.clone(),
            facts: facts(&live.counts),
            stages: live.stages.iter().map(stage).collect(),
            turned_away: live.stages.iter().flat_map(turned_away).collect(),
            trainings: curves(&live.trainings)?,
            evaluations: (0..).zip(&live.evaluations).map(evaluation).collect::<Result<_, _>>()?,
            clips: live.clips.iter().take(MAX_CLIPS).map(card).collect(),
            is_begun: !matches!(live.state, State::NotBegun { .. }),
        })
    }
}

fn told(state: &State) -> Told {
    let (key, sentence, aside) = match state {
        State::NotBegun { why } => (
            "not-begun",
            "There is no run to show yet. This page shows one as soon as it begins.",
            why.as_str(),
        ),
        State::Reading => (
            "reading",
            "What happened so far is being read from the log.",
            "Until then all counts are too small.",
        ),
        State::GoingOn => ("going-on", "The run is going on.", ""),
        State::Stopped => (
            "stopped",
            "Nobody is at work on the run, and it is not at its end.",
            "Give the same command again and it goes on.",
        ),
        State::Finished => ("finished", "The run is at its end, and nobody is at work on it.", ""),
    };
    Told { key, sentence: sentence.to_owned(), aside: aside.to_owned() }
}

fn facts(counts: &Counts) -> Vec<Fact> {
    let fact = |number: u64, name, note| Fact { value: count(number), name, note };
    vec![
        fact(counts.found, "files found", format!("{} on no list", count(counts.unlabelled))),
        fact(counts.decoded, "clips decoded", format!("{} have one class", count(counts.curated))),
        fact(
            counts.accepted,
            "accepted",
            format!("{} of those decoded", percent(counts.accepted, counts.decoded)),
        ),
        fact(
            counts.samples,
            "samples composed",
            format!("{} skipped", counted(counts.skipped, "recipe", "recipes")),
        ),
        fact(
            counts.rejected,
            "turned away",
            format!("{} dead", counted(counts.dead_letters, "record", "records")),
        ),
    ]
}

fn stage(stage: &Stage) -> StageRow {
    StageRow {
        name: stage.stage.as_str(),
        does: words::stage(stage.stage),
        written: stage.written,
        rate: (stage.rate > 0.0).then(|| decimal(stage.rate)),
        to_read: stage.to_read,
        holder: stage.holder.clone(),
    }
}

/// The reasons of a stage, the most frequent first.
fn turned_away(stage: &Stage) -> Vec<ReasonRow> {
    let mut reasons: Vec<_> = stage.rejected.iter().filter(|(_, clips)| *clips > 0).collect();
    reasons.sort_by_key(|(reason, clips)| (std::cmp::Reverse(*clips), *reason));
    let mut rows: Vec<_> = reasons
        .into_iter()
        .map(|(reason, clips)| ReasonRow {
            stage: stage.stage.as_str(),
            sentence: words::reject_reason(*reason),
            name: reason.as_str(),
            clips: *clips,
        })
        .collect();
    if stage.dead_letters > 0 {
        rows.push(ReasonRow {
            stage: stage.stage.as_str(),
            sentence: "The stage gave up on the record.",
            name: "dead letters",
            clips: stage.dead_letters,
        });
    }
    rows
}

/// The losses of each training, followed by what its model knew on the way.
fn curves(trainings: &[Training]) -> Result<Vec<Figure>, PageError> {
    let mut figures = Vec::new();
    for (place, training) in (0..).zip(trainings) {
        let Training { name, is_done, losses, breaks, exams } = training;
        let exams: Vec<(u64, &ExamPoint)> = exams.iter().map(|(step, exam)| (*step, exam)).collect();
        let mut curves = vec![losses_of(&format!("plot-losses-{place}"), name, losses, breaks)?];
        curves.extend(exams_of(place, name, &exams, breaks)?);
        if !is_done {
            curves.iter_mut().for_each(|figure| figure.title += ", not at its end");
        }
        figures.extend(curves);
    }
    Ok(figures)
}

fn evaluation((place, evaluation): (usize, &Evaluation)) -> Result<EvaluationView, PageError> {
    let mut rows: Vec<&Accuracy> = evaluation.rows.iter().collect();
    rows.sort_by_key(|row| rank(&row.condition, &row.question));
    let mut conditions: Vec<&str> = rows.iter().map(|row| row.condition.as_str()).collect();
    conditions.dedup();
    let mut courses = Vec::new();
    for (number, condition) in conditions.into_iter().enumerate() {
        courses.extend(course(&format!("plot-course-{place}-{number}"), condition, &rows)?);
    }
    let row = |row: &Accuracy| AccuracyRow {
        condition: titled(&row.condition),
        question: spaced(&row.question),
        answers: row.answers,
        right: row.right,
        share: if row.answers == 0 { String::new() } else { share(row.right as f64 / row.answers as f64) },
    };
    Ok(EvaluationView {
        model: evaluation.model.clone(),
        identity: short(&evaluation.identity),
        rows: rows.into_iter().map(row).collect(),
        courses,
    })
}

/// How accuracy went under a condition, of the questions for the picture and for the sound.
fn course(id: &str, condition: &str, rows: &[&Accuracy]) -> Result<Option<Figure>, PageError> {
    let asked = [("visual", "picture", Ink::Seen), ("audio", "sound", Ink::Heard)];
    let (mut lines, mut said) = (Vec::new(), Vec::new());
    for (question, stream, ink) in asked {
        let row = rows.iter().find(|row| row.condition == condition && row.question == question);
        let Some(row) = row.filter(|row| row.answers > 0) else { continue };
        lines.push(CurveLine { ink, points: row.course.points() });
        let right = share(row.right as f64 / row.answers as f64);
        said.push(format!("{right} of {} about the {stream}", counted(row.answers, "answer", "answers")));
    }
    if lines.is_empty() {
        return Ok(None);
    }
    let title = titled(condition);
    let note = format!("Share that is right so far, in percent: {}.", said.join(", "));
    let caption = Caption { id, title: &title, description: &note };
    let plot = curve(&Curve { caption, lines: &lines, breaks: &[], top: Some(100.0) })?;
    Ok(Some(Figure { title, note, plot }))
}

fn card(clip: &NewClip) -> Card {
    let class = clip.class.as_deref().map(spaced);
    let (mark, fate, reason, why) = match &clip.fate {
        Fate::Found => ("", "found".to_owned(), None, None),
        Fate::Curated => ("", "has one class".to_owned(), None, None),
        Fate::Decoded => ("", "in its normal form".to_owned(), None, None),
        Fate::Judged => ("", "the judge was asked".to_owned(), None, None),
        Fate::Accepted => ("right", "\u{2713} accepted".to_owned(), None, None),
        Fate::Composed(samples) => {
            ("right", format!("\u{2713} host of {}", counted(*samples, "sample", "samples")), None, None)
        }
        Fate::Rejected { stage, reason, detail } => (
            "wrong",
            format!("\u{2717} turned away by the {stage}"),
            Some(reason.as_str()),
            Some(format!("{} {detail}", words::reject_reason(*reason))),
        ),
        Fate::GivenUp { stage, reason } => {
            ("wrong", format!("\u{2717} given up on by the {stage}"), None, Some(reason.clone()))
        }
    };
    let video = if clip.video.is_empty() { short(&clip.id) } else { clip.video.clone() };
    Card {
        id: clip.id.clone(),
        segment: clip.segment.map(segment),
        object: clip.object.clone(),
        label: format!(
            "Clip {video}{}",
            class.as_ref().map_or_else(String::new, |class| format!(": {class}"))
        ),
        video,
        class,
        mark,
        fate,
        reason,
        why,
    }
}
