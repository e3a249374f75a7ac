use plotters::{
    chart::ChartBuilder,
    element::{PathElement, Polygon},
    style::{
        TRANSPARENT,
        text_anchor::{HPos, VPos},
    },
};

use super::canvas::{Caption, Ink, PlotError, line, svg, text, text_width};
use crate::format::{count, decimal};

const HEIGHT: u32 = 200;
const TOP: u32 = 24;

/// Quantities of one kind over the steps of something.
#[derive(Debug, Clone, Copy)]
pub struct Curve<'a> {
    /// What it is.
    pub caption: Caption<'a>,
    /// The quantities.
    pub lines: &'a [CurveLine],
    /// Steps before which something new begins, and what.
    pub breaks: &'a [(u64, String)],
    /// Value at the top of the scale; `None` for a little more than the greatest.
    pub top: Option<f64>,
}

/// One quantity.
#[derive(Debug, Clone, PartialEq)]
pub struct CurveLine {
    /// Its colour.
    pub ink: Ink,
    /// Points from left to right; those that are not finite are left out.
    pub points: Vec<CurvePoint>,
}

/// A point, which may stand for several steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvePoint {
    /// The step.
    pub step: u64,
    /// The value, at least 0.
    pub value: f64,
    /// Least and greatest value of the steps it stands for.
    pub range: (f64, f64),
}

impl CurvePoint {
    fn is_finite(&self) -> bool {
        self.value.is_finite() && self.range.0.is_finite() && self.range.1.is_finite()
    }
}

/// A line through the values of each quantity, over a pale band of their ranges; the vertical scale begins at 0.
///
/// # Errors
/// Fails only if the SVG cannot be written.
pub fn curve(curve: &Curve<'_>) -> Result<String, PlotError> {
    let known = |line: &CurveLine| {
        let points: Vec<_> = line.points.iter().copied().filter(CurvePoint::is_finite).collect();
        (line.ink, points)
    };
    let lines: Vec<_> = curve.lines.iter().map(known).collect();
    let points = || lines.iter().flat_map(|(_, points)| points);
    let last = points().map(|point| point.step).max().unwrap_or(0).max(1) as f64;
    let greatest = points().map(|point| point.range.1.max(point.value)).fold(0.0, f64::max);
    let top = curve.top.unwrap_or(if greatest > 0.0 { greatest * 1.04 } else { 1.0 });
    svg(curve.caption, HEIGHT, |area| {
        let widest = text_width(&decimal(top)) as u32 + 18;
        let mut chart = ChartBuilder::on(area)
            .margin_right(22)
            .margin_top(TOP)
            .x_label_area_size(24)
            .y_label_area_size(widest)
            .build_cartesian_2d(0.0..last, 0.0..top)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(Ink::Line.stroke())
            .axis_style(Ink::Line.stroke())
            .x_labels(5)
            .y_labels(5)
            .x_label_formatter(&|step| count(step.round().max(0.0) as u64))
            .y_label_formatter(&|value| decimal(*value))
            .label_style(Ink::Soft.text(HPos::Center, VPos::Center))
            .draw()?;
        for (_, points) in &lines {
            if points.iter().any(|point| point.range.0 < point.range.1) {
                let upper = points.iter().map(|point| (point.step as f64, point.range.1));
                let lower = points.iter().rev().map(|point| (point.step as f64, point.range.0.max(0.0)));
                let band: Vec<_> = upper.chain(lower).collect();
                chart.draw_series([Polygon::new(band, Ink::Pale.fill())])?;
            }
        }
        for (ink, points) in &lines {
            let path: Vec<_> = points.iter().map(|point| (point.step as f64, point.value.max(0.0))).collect();
            chart.draw_series([PathElement::new(path, ink.stroke().stroke_width(2))])?;
        }
        for (step, words) in curve.breaks {
            let (x, floor) = chart.backend_coord(&(*step as f64, 0.0));
            let from_the_right = f64::from(x) + text_width(words) > f64::from(super::WIDTH) - 10.0;
            let (side, shift) = if from_the_right { (HPos::Right, -4) } else { (HPos::Left, 4) };
            area.draw(&line((x, 6), (x, floor), Ink::Soft))?;
            area.draw(&text(words.clone(), (x + shift, 11), Ink::Soft, side))?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPTION: Caption<'static> = Caption { id: "losses", title: "t", description: "d" };

    fn point(step: u64, value: f64, range: (f64, f64)) -> CurvePoint {
        CurvePoint { step, value, range }
    }

    fn drawn(points: &[CurvePoint], breaks: &[(u64, String)]) -> String {
        let lines = [CurveLine { ink: Ink::Bar, points: points.to_vec() }];
        curve(&Curve { caption: CAPTION, lines: &lines, breaks, top: None }).unwrap()
    }

    #[test]
    fn values_make_one_line_and_ranges_a_band_below_it() {
        let wide = drawn(&[point(1, 2.0, (1.5, 2.5)), point(10, 0.5, (0.4, 0.6))], &[]);
        assert_eq!(wide.matches("stroke=\"var(--bar)\"").count(), 1);
        assert_eq!(wide.matches("<polygon").count(), 1);
        assert!(wide.find("<polygon") < wide.find("stroke=\"var(--bar)\""), "the band hides the line");
        let bare = drawn(&[point(1, 2.0, (2.0, 2.0)), point(10, 0.5, (0.5, 0.5))], &[]);
        assert!(!bare.contains("<polygon"));
    }

    #[test]
    fn several_quantities_are_lines_of_their_own_on_one_scale() {
        let line = |ink, value| CurveLine { ink, points: vec![point(1, value, (value, value)); 2] };
        let lines = [line(Ink::Seen, 90.0), line(Ink::Heard, 15.0)];
        let drawn = |top| curve(&Curve { caption: CAPTION, lines: &lines, breaks: &[], top }).unwrap();
        let whole = drawn(Some(100.0));
        assert_eq!(whole.matches("stroke=\"var(--seen)\"").count(), 1);
        assert_eq!(whole.matches("stroke=\"var(--heard)\"").count(), 1);
        assert!(whole.contains(">100<") && !drawn(None).contains(">100<"));
    }

    #[test]
    fn a_break_is_marked_where_its_part_begins() {
        let points = [point(1, 1.0, (1.0, 1.0)), point(100, 0.5, (0.5, 0.5))];
        let marked = drawn(&points, &[(50, "part 2".to_owned())]);
        let unmarked = drawn(&points, &[]);
        assert!(marked.contains(">part 2<"));
        let lines = |drawn: &str| drawn.matches("<polyline").count() + drawn.matches("<line").count();
        assert_eq!(lines(&marked), lines(&unmarked) + 1);
    }

    #[test]
    fn what_is_not_finite_is_left_out_and_nothing_still_makes_a_plot() {
        let broken = drawn(&[point(1, f64::NAN, (0.0, 1.0)), point(2, 1.0, (0.0, f64::INFINITY))], &[]);
        assert!(broken.ends_with("</svg>") && !broken.contains("NaN") && !broken.contains("inf"));
        assert_eq!(broken, drawn(&[], &[]));
    }
}
