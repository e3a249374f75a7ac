use plotters::{
    chart::ChartBuilder,
    element::Rectangle,
    style::{
        TRANSPARENT,
        text_anchor::{HPos, VPos},
    },
};

use super::canvas::{Caption, Ink, PlotError, block, svg, text, text_width};
use crate::{format::count, report::Limit};

const HEIGHT: u32 = 190;
const TOP: u32 = 24;

/// How values are written below a histogram.
#[derive(Debug, Clone, Copy)]
pub struct Axis {
    /// Writes one value with its unit.
    pub label: fn(f64) -> String,
    /// How many labels, about.
    pub labels: usize,
}

/// A histogram of values over a range.
#[derive(Debug, Clone, Copy)]
pub struct Histogram<'a> {
    /// What it is.
    pub caption: Caption<'a>,
    /// The values; what is not finite is left out, what lies outside the range counts in the outermost bins.
    pub values: &'a [f64],
    /// First and last value shown; empty or unordered ranges are widened to 1.
    pub range: (f64, f64),
    /// Number of bins, at least 1.
    pub bins: usize,
    /// How the values are written.
    pub axis: Axis,
    /// A limit: drawn as a line, with what it rejects in the colour of losses.
    pub limit: Option<Limit>,
}

/// Draws a histogram; bins are as wide as each other and hold their lower bound.
///
/// # Errors
/// Fails only if the SVG cannot be written.
pub fn histogram(histogram: &Histogram<'_>) -> Result<String, PlotError> {
    let (low, high) = ordered(histogram.range);
    let bins = histogram.bins.max(1);
    let width = (high - low) / bins as f64;
    let counts = binned(histogram.values, (low, high), bins);
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    // Anything that is there stays visible beside a very high bin.
    let visible = most as f64 * 0.012;
    svg(histogram.caption, HEIGHT, |area| {
        let widest = text_width(&count(most)) as u32 + 12;
        let mut chart = ChartBuilder::on(area)
            .margin_right(22)
            .margin_top(TOP)
            .x_label_area_size(24)
            .y_label_area_size(widest)
            .build_cartesian_2d(low..high, 0.0..most as f64 * 1.04)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(Ink::Line.stroke())
            .axis_style(Ink::Line.stroke())
            .x_labels(histogram.axis.labels)
            .y_labels(if most < 4 { most as usize + 1 } else { 4 })
            .x_label_formatter(&|value| (histogram.axis.label)(*value))
            .y_label_formatter(&|value| count(value.round().max(0.0) as u64))
            .label_style(Ink::Soft.text(HPos::Center, VPos::Center))
            .draw()?;
        for (place, &clips) in counts.iter().enumerate() {
            if clips == 0 {
                continue;
            }
            let from = low + width * place as f64;
            let ink = if rejected(histogram.limit, from + width / 2.0) { Ink::Lost } else { Ink::Bar };
            let corners = [(from, (clips as f64).max(visible)), (from + width, 0.0)];
            let mut bar = Rectangle::new(corners, ink.fill());
            bar.set_margin(0, 0, 0, 1);
            chart.draw_series([bar])?;
        }
        if let Some(limit) = histogram.limit {
            let (Limit::AtLeast(value) | Limit::AtMost(value)) = limit;
            if (low..=high).contains(&value) {
                let (x, floor) = chart.backend_coord(&(value, 0.0));
                let words = match limit {
                    Limit::AtLeast(_) => format!("at least {}", (histogram.axis.label)(value)),
                    Limit::AtMost(_) => format!("at most {}", (histogram.axis.label)(value)),
                };
                let from_the_right = f64::from(x) + text_width(&words) > f64::from(super::WIDTH) - 10.0;
                let (side, shift) = if from_the_right { (HPos::Right, -4) } else { (HPos::Left, 4) };
                area.draw(&block(x, 6, x + 1, floor, Ink::Lost))?;
                area.draw(&text(words, (x + shift, 11), Ink::Lost, side))?;
            }
        }
        Ok(())
    })
}

fn ordered((low, high): (f64, f64)) -> (f64, f64) {
    if low.is_finite() && high.is_finite() && high > low {
        (low, high)
    } else if low.is_finite() {
        (low, low + 1.0)
    } else {
        (0.0, 1.0)
    }
}

fn binned(values: &[f64], (low, high): (f64, f64), bins: usize) -> Vec<u64> {
    let mut counts = vec![0_u64; bins];
    for value in values.iter().filter(|value| value.is_finite()) {
        let share = (value - low) / (high - low);
        let place = (share * bins as f64).floor().clamp(0.0, (bins - 1) as f64) as usize;
        if let Some(bin) = counts.get_mut(place) {
            *bin = bin.saturating_add(1);
        }
    }
    counts
}

fn rejected(limit: Option<Limit>, value: f64) -> bool {
    match limit {
        None => false,
        Some(Limit::AtLeast(least)) => value < least,
        Some(Limit::AtMost(most)) => value > most,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(values: &[f64], limit: Option<Limit>) -> Histogram<'_> {
        Histogram {
            caption: Caption { id: "h", title: "t", description: "d" },
            values,
            range: (0.0, 1.0),
            bins: 10,
            axis: Axis { label: |value| format!("{:.0} %", value * 100.0), labels: 5 },
            limit,
        }
    }

    #[test]
    fn values_outside_the_range_count_in_the_outermost_bins() {
        assert_eq!(binned(&[-5.0, 0.0, 0.55, 1.0, 7.0], (0.0, 1.0), 2), [2, 3]);
    }

    #[test]
    fn values_that_are_not_finite_are_left_out() {
        assert_eq!(binned(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.1], (0.0, 1.0), 2), [1, 0]);
    }

    #[test]
    fn what_a_limit_rejects_is_drawn_as_lost() {
        let kept = histogram(&example(&[0.1, 0.2], Some(Limit::AtMost(0.8)))).unwrap();
        let lost = histogram(&example(&[0.1, 0.95], Some(Limit::AtMost(0.8)))).unwrap();
        let losses = |drawn: &str| drawn.matches("fill=\"var(--lost)\"").count();
        assert_eq!(losses(&lost), losses(&kept) + 1);
        assert!(kept.contains("at most 80 %"));
    }

    #[test]
    fn no_value_and_no_range_still_make_a_plot() {
        let mut empty = example(&[], None);
        empty.range = (f64::NAN, 3.0);
        empty.bins = 0;
        assert!(histogram(&empty).unwrap().ends_with("</svg>"));
        empty.range = (5.0, 5.0);
        assert!(histogram(&empty).unwrap().ends_with("</svg>"));
    }
}
