//! Learning curves: the loss of each training, and what the model knew of conflicts while it learned.

use counterpoint_core::scoring::wilson;

use super::{Figure, finding::STREAMS};
use crate::{
    PageError,
    format::{count, counted, decimal, share, spaced},
    plot::{Caption, Curve, CurveLine, CurvePoint, Ink, Series, curve},
    report::{ExamPoint, LossPoint, TrainingFacts},
};

/// A figure for each training that has losses, followed by one a stream that it was asked about on the way.
pub(super) fn curves(trainings: &[TrainingFacts]) -> Result<Vec<Figure>, PageError> {
    let mut figures = Vec::new();
    for (place, training) in (0..).zip(trainings).filter(|(_, training)| !training.losses.is_empty()) {
        let (losses, breaks) = (&training.losses, breaks(&training.losses));
        let series = losses.iter().map(|step| step.loss).collect();
        figures.push(losses_of(&format!("plot-losses-{place}"), &training.name, &series, &breaks)?);
        let before = |part: u64| losses.iter().filter(|step| step.part < part).count() as u64;
        let exams = training.exams.iter().map(|exam| (before(exam.part) + exam.step, exam));
        figures.extend(exams_of(place, &training.name, &exams.collect::<Vec<_>>(), &breaks)?);
    }
    Ok(figures)
}

/// Steps before which a part begins, and which.
fn breaks(losses: &[LossPoint]) -> Vec<(u64, String)> {
    let pairs = (1..).zip(losses.windows(2));
    pairs
        .filter_map(|(step, pair)| match pair {
            [before, after] if before.part != after.part => Some((step, format!("part {}", after.part))),
            _ => None,
        })
        .collect()
}

/// What the model of a training knew of each stream of conflicts that it was asked about. An exam comes with the steps
/// of all parts that were taken before it.
pub(in crate::view) fn exams_of(
    place: usize,
    name: &str,
    exams: &[(u64, &ExamPoint)],
    breaks: &[(u64, String)],
) -> Result<Vec<Figure>, PageError> {
    let mut figures = Vec::new();
    for (question, stream) in STREAMS {
        let asked = exams.iter().filter(|(_, exam)| exam.asked == question && exam.of > 0);
        let asked: Vec<(u64, &ExamPoint)> = asked.copied().collect();
        figures.extend(accuracy(&format!("plot-exams-{place}-{stream}"), name, stream, &asked, breaks)?);
    }
    Ok(figures)
}

/// What a model knew of one stream of conflicts after each step at which it was asked; nothing where it never was.
fn accuracy(
    id: &str,
    name: &str,
    stream: &str,
    exams: &[(u64, &ExamPoint)],
    breaks: &[(u64, String)],
) -> Result<Option<Figure>, PageError> {
    let (Some((_, first)), Some((_, last))) = (exams.first(), exams.last()) else { return Ok(None) };
    let value = |exam: &ExamPoint| exam.right as f64 / exam.of as f64;
    let point = |(step, exam): &(u64, &ExamPoint)| {
        let [low, high] = wilson(value(exam), exam.of as f64);
        CurvePoint { step: *step, value: value(exam), range: (low, high) }
    };
    let title = format!("The {stream} of conflicts, {} model", spaced(name));
    let note = format!(
        "Share of {} about the {stream} of held-out misaligned clips that the model would answer word for word while it \
         learns, nothing but words on offer: from {} to {}. The band is a 95 % interval over questions, as if each were \
         about another source video; it is not clustered by source video like the intervals of evaluations, so it may \
         be too narrow. Nothing is decided by it.",
        counted(last.of, "question", "questions"),
        share(value(first)),
        share(value(last)),
    );
    let caption = Caption { id, title: &title, description: &note };
    let lines = [CurveLine { ink: Ink::Bar, points: exams.iter().map(point).collect() }];
    let plot = curve(&Curve { caption, lines: &lines, breaks, top: Some(1.0) })?;
    Ok(Some(Figure { title, note, plot }))
}

/// The losses of a training, step by step.
pub(in crate::view) fn losses_of(
    id: &str,
    name: &str,
    losses: &Series,
    breaks: &[(u64, String)],
) -> Result<Figure, PageError> {
    let points = losses.points();
    let mut known = points.iter().map(|point| point.value).filter(|value| value.is_finite());
    let (first, last) = (known.next(), known.next_back());
    let value = |value: Option<f64>| value.map_or_else(|| "nothing".to_owned(), decimal);
    let title = format!("Loss of the {} model", spaced(name));
    let mut note = format!(
        "Nats a token of the right answer, over {}: from {} to {}.",
        counted(losses.steps(), "step", "steps"),
        value(first),
        value(last.or(first)),
    );
    if losses.together() > 1 {
        note += &format!(
            " A point is the mean of {} steps, the band from their least to their greatest.",
            count(losses.together())
        );
    }
    let caption = Caption { id, title: &title, description: &note };
    let lines = [CurveLine { ink: Ink::Bar, points }];
    let plot = curve(&Curve { caption, lines: &lines, breaks, top: None })?;
    Ok(Figure { title, note, plot })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::LossPoint;

    #[test]
    fn what_is_known_of_conflicts_stands_over_the_steps_of_all_parts() {
        let losses = [1, 1, 2, 2].map(|part| LossPoint { part, step: 1, loss: 1.0 }).to_vec();
        let exam =
            |part, step, asked: &str, right| ExamPoint { part, step, asked: asked.to_owned(), right, of: 64 };
        let exams = vec![
            exam(1, 0, "audio", 0),
            exam(1, 0, "visual", 8),
            exam(2, 2, "audio", 64),
            exam(2, 2, "visual", 16),
        ];
        let training = TrainingFacts { name: "base".to_owned(), losses, exams, ..TrainingFacts::default() };
        let figures = curves(std::slice::from_ref(&training)).unwrap();
        let titles: Vec<_> = figures.iter().map(|figure| figure.title.as_str()).collect();
        assert_eq!(
            titles,
            [
                "Loss of the base model",
                "The sound of conflicts, base model",
                "The picture of conflicts, base model"
            ]
        );
        assert!(figures[1].note.contains("64 questions"), "{}", figures[1].note);
        assert!(figures[1].note.contains("from 0.0\u{a0}% to 100.0\u{a0}%"), "{}", figures[1].note);
        assert!(figures[1].note.contains("not clustered by source video"), "{}", figures[1].note);
        assert!(figures[2].plot.contains(">part 2<") && figures[2].plot.contains("<polygon"));
        // The last point is after the fourth step of all.
        assert!(figures[1].plot.contains(">4<"), "{}", figures[1].plot);
    }

    #[test]
    fn each_part_after_the_first_is_marked() {
        let part = |part, steps| (1..=steps).map(move |step| LossPoint { part, step, loss: 1.0 });
        let losses = part(1, 150).chain(part(2, 150)).collect();
        let training = TrainingFacts { name: "base".to_owned(), losses, ..TrainingFacts::default() };
        let figures = curves(&[TrainingFacts::default(), training]).unwrap();
        assert_eq!(figures.len(), 1);
        assert!(figures[0].plot.contains(">part 2<") && !figures[0].plot.contains(">part 1<"));
        assert!(figures[0].note.contains("300 steps: from 1 to 1. A point is the mean of 4 steps"));
    }
}
