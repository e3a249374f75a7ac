//! Learning curves: the loss of each training, and what the model knew of conflicts while it learned.

use counterpoint_core::scoring::wilson;

use super::{Figure, finding::STREAMS};
use crate::{
    PageError,
    format::{count, counted, decimal, share, spaced},
    plot::{Caption, Curve, CurvePoint, curve},
    report::{ExamPoint, LossPoint, TrainingFacts},
};

/// Points of a curve at most: more than that cannot be told apart on a page.
const POINTS: usize = 120;

/// A figure for each training that has losses, followed by one a stream that it was asked about on the way.
pub(super) fn curves(trainings: &[TrainingFacts]) -> Result<Vec<Figure>, PageError> {
    let mut figures = Vec::new();
    for (place, training) in (0..).zip(trainings).filter(|(_, training)| !training.losses.is_empty()) {
        figures.push(figure(place, training)?);
        for (question, stream) in STREAMS {
            let exams: Vec<_> = training.exams.iter().filter(|exam| exam.asked == question).collect();
            if !exams.is_empty() {
                figures.push(accuracy(place, training, stream, &exams)?);
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
    let plot = curve(&Curve { caption, points: &points, breaks: &breaks(&training.losses) })?;
    Ok(Figure { title, note, plot })
}

fn figure(place: usize, training: &TrainingFacts) -> Result<Figure, PageError> {
    let losses = &training.losses;
    let together = losses.len().div_ceil(POINTS).max(1);
    let points: Vec<CurvePoint> =
        (0..).zip(losses.chunks(together)).map(|(at, steps)| point(at * together, steps)).collect();
    let mut known = points.iter().filter(|point| point.value.is_finite());
    let (first, last) = (known.next(), known.next_back());
    let value =
        |point: Option<&CurvePoint>| point.map_or_else(|| "nothing".to_owned(), |point| decimal(point.value));
    let title = format!("Loss of the {} model", spaced(&training.name));
    let mut note = format!(
        "Nats a token of the right answer, over {}: from {} to {}.",
        counted(losses.len() as u64, "step", "steps"),
        value(first),
        value(last.or(first)),
    );
    if together > 1 {
        note += &format!(
            " A point is the mean of {} steps, the band from their least to their greatest.",
            count(together as u64)
        );
    }
    let id = format!("plot-losses-{place}");
    let caption = Caption { id: &id, title: &title, description: &note };
    let plot = curve(&Curve { caption, points: &points, breaks: &breaks(losses) })?;
    Ok(Figure { title, note, plot })
}

/// Steps that are shown as one, after so many others; numbered over all parts, at their middle.
fn point(before: usize, steps: &[LossPoint]) -> CurvePoint {
    let losses = || steps.iter().map(|step| step.loss).filter(|loss| loss.is_finite());
    let known = losses().count();
    CurvePoint {
        step: (before + steps.len().div_ceil(2)) as u64,
        value: losses().sum::<f64>() / known as f64,
        range: (losses().fold(f64::INFINITY, f64::min), losses().fold(f64::NEG_INFINITY, f64::max)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_steps_become_few_points_that_keep_their_mean_and_their_ends() {
        let steps = [4.0, 2.0, f64::NAN].map(|loss| LossPoint { part: 1, step: 1, loss });
        assert_eq!(point(6, &steps), CurvePoint { step: 8, value: 3.0, range: (2.0, 4.0) });
    }

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
        assert!(figures[0].note.contains("300 steps: from 1 to 1. A point is the mean of 3 steps"));
    }
}
