//! Learning curves, one a training.

use super::Figure;
use crate::{
    PageError,
    format::{count, counted, decimal, spaced},
    plot::{Caption, Curve, CurveLine, Ink, Series, curve},
    report::TrainingFacts,
};

/// A figure for each training that has losses.
pub(super) fn curves(trainings: &[TrainingFacts]) -> Result<Vec<Figure>, PageError> {
    let shown = (0..).zip(trainings).filter(|(_, training)| !training.losses.is_empty());
    let figure = |(place, training): (usize, &TrainingFacts)| {
        let losses = &training.losses;
        let breaks: Vec<_> = (1..)
            .zip(losses.windows(2))
            .filter_map(|(step, pair)| match pair {
                [before, after] if before.part != after.part => Some((step, format!("part {}", after.part))),
                _ => None,
            })
            .collect();
        let series = losses.iter().map(|step| step.loss).collect();
        losses_of(&format!("plot-losses-{place}"), &training.name, &series, &breaks)
    };
    shown.map(figure).collect()
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
