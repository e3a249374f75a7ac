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
        for (question, stream) in STREAMS {
            let exams: Vec<_> = training.exams.iter().filter(|exam| exam.asked == question).collect();
            if !exams.is_empty() {
                figures.push(accuracy(place, training, stream, &exams, &breaks)?);
            }
        }
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

/// What a model knew of one stream of conflicts after each step at which it was asked.
fn accuracy(
    place: usize,
    training: &TrainingFacts,
    stream: &str,
    exams: &[&ExamPoint],
    breaks: &[(u64, String)],
) -> Result<Figure, PageError> {
    let before = |part: u64| training.losses.iter().filter(|step| step.part < part).count() as u64;
    let points: Vec<CurvePoint> = exams
        .iter()
        .filter(|exam| exam.of > 0)
        .map(|exam| {
            let value = exam.right as f64 / exam.of as f64;
            let [low, high] = wilson(value, exam.of as f64);
            CurvePoint { step: before(exam.part) + exam.step, value, range: (low, high) }
        })
        .collect();
    let ends = (points.first(), points.last());
    let value = |point: Option<&CurvePoint>| point.map_or_else(String::new, |point| share(point.value));
    let title = format!("The {stream} of conflicts, {} model", spaced(&training.name));
    let note = format!(
        "Share of {} about the {stream} of held-out misaligned clips that the model would answer word for word while it \
         learns, nothing but words on offer: from {} to {}. The band is the 95 % interval; nothing is decided by it.",
        counted(exams.last().map_or(0, |exam| exam.of), "question", "questions"),
        value(ends.0),
        value(ends.1),
    );
    let id = format!("plot-exams-{place}-{stream}");
    let caption = Caption { id: &id, title: &title, description: &note };
    let lines = [CurveLine { ink: Ink::Bar, points }];
    let plot = curve(&Curve { caption, lines: &lines, breaks, top: Some(1.0) })?;
    Ok(Figure { title, note, plot })
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
