//! Learning curves, one a training.

use super::Figure;
use crate::{
    PageError,
    format::{count, counted, decimal, spaced},
    plot::{Caption, Curve, CurvePoint, curve},
    report::{LossPoint, TrainingFacts},
};

/// Points of a curve at most: more than that cannot be told apart on a page.
const POINTS: usize = 120;

/// A figure for each training that has losses.
pub(super) fn curves(trainings: &[TrainingFacts]) -> Result<Vec<Figure>, PageError> {
    let shown = (0..).zip(trainings).filter(|(_, training)| !training.losses.is_empty());
    shown.map(|(place, training)| figure(place, training)).collect()
}

fn figure(place: usize, training: &TrainingFacts) -> Result<Figure, PageError> {
    let losses = &training.losses;
    let together = losses.len().div_ceil(POINTS).max(1);
    let points: Vec<CurvePoint> =
        (0..).zip(losses.chunks(together)).map(|(at, steps)| point(at * together, steps)).collect();
    let breaks: Vec<_> = (1..)
        .zip(losses.windows(2))
        .filter_map(|(step, pair)| match pair {
            [before, after] if before.part != after.part => Some((step, format!("part {}", after.part))),
            _ => None,
        })
        .collect();
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
    let plot = curve(&Curve { caption, points: &points, breaks: &breaks })?;
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
