use super::CurvePoint;

/// Points of a curve at most: more than that cannot be told apart on a page.
const POINTS: usize = 120;

/// A curve that grows, in no more room than it takes to draw it: where there would be too many points, two become one.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Steps that a point stands for; the last one may stand for fewer.
    together: u64,
    steps: u64,
    points: Vec<Point>,
}

/// Some steps in a row. Values that are not finite count as steps and have no say in the rest.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    steps: u64,
    known: u64,
    sum: f64,
    least: f64,
    greatest: f64,
}

impl Default for Series {
    fn default() -> Self {
        Self { together: 1, steps: 0, points: Vec::new() }
    }
}

impl FromIterator<f64> for Series {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut series = Self::default();
        values.into_iter().for_each(|value| series.push(value));
        series
    }
}

impl Series {
    /// Adds the value of the next step.
    pub fn push(&mut self, value: f64) {
        self.steps += 1;
        let point = Point::of(value);
        if let Some(last) = self.points.last_mut().filter(|last| last.steps < self.together) {
            last.add(point);
            return;
        }
        if self.points.len() == POINTS {
            self.together *= 2;
            for place in 0..POINTS / 2 {
                let mut point = self.points[2 * place];
                point.add(self.points[2 * place + 1]);
                self.points[place] = point;
            }
            self.points.truncate(POINTS / 2);
        }
        self.points.push(point);
    }

    /// Steps so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Steps that a point stands for at most.
    pub fn together(&self) -> u64 {
        self.together
    }

    /// The points: each the mean of its steps, at their middle.
    pub fn points(&self) -> Vec<CurvePoint> {
        let mut before = 0;
        let point = |point: &Point| {
            let step = before + point.steps.div_ceil(2);
            before += point.steps;
            CurvePoint { step, value: point.sum / point.known as f64, range: (point.least, point.greatest) }
        };
        self.points.iter().map(point).collect()
    }
}

impl Point {
    fn of(value: f64) -> Self {
        if value.is_finite() {
            return Self { steps: 1, known: 1, sum: value, least: value, greatest: value };
        }
        Self { steps: 1, known: 0, sum: 0.0, least: f64::INFINITY, greatest: f64::NEG_INFINITY }
    }

    fn add(&mut self, next: Self) {
        self.steps += next.steps;
        self.known += next.known;
        self.sum += next.sum;
        self.least = self.least.min(next.least);
        self.greatest = self.greatest.max(next.greatest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_steps_become_few_points_that_keep_their_mean_and_their_ends() {
        let steps = POINTS as u64 * 2 + 3;
        let series: Series = (1..=steps).map(|step| step as f64).collect();
        let points = series.points();
        assert_eq!((series.steps(), series.together(), points.len()), (steps, 4, 61));
        assert_eq!(points[0], CurvePoint { step: 2, value: 2.5, range: (1.0, 4.0) });
        let last = points[60];
        assert_eq!(last, CurvePoint { step: 242, value: 242.0, range: (241.0, 243.0) });
    }

    #[test]
    fn what_is_not_finite_is_a_step_without_a_say() {
        let mut series: Series = [4.0, f64::NAN, 2.0].into_iter().collect();
        assert_eq!(series.points().len(), 3);
        assert!(series.points()[1].value.is_nan());
        (0..POINTS).for_each(|_| series.push(1.0));
        assert_eq!(series.points()[0], CurvePoint { step: 1, value: 4.0, range: (4.0, 4.0) });
        assert_eq!(series.points()[1].range, (1.0, 2.0));
    }

    #[test]
    fn it_takes_up_no_more_room_the_longer_it_grows() {
        let series: Series = (0..1_000_000).map(f64::from).collect();
        assert!(series.points().len() <= POINTS);
        assert_eq!(series.points()[0].range.0, 0.0);
        assert_eq!(series.points().last().unwrap().range.1, 999_999.0);
    }
}
