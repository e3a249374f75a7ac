use plotters::style::text_anchor::HPos;

use super::canvas::{Caption, Ink, PlotError, WIDTH, block, line, scaled, svg, text};
use crate::format::{count, percent};

const STEP: u32 = 46;

/// A step and how many came that far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunnelStep {
    /// Name of the step.
    pub label: String,
    /// How many reached it.
    pub reached: u64,
}

/// One bar a step on the scale of the largest; behind each stands, pale, what the step before it had.
///
/// # Errors
/// Fails only if the SVG cannot be written.
pub fn funnel(caption: Caption<'_>, steps: &[FunnelStep]) -> Result<String, PlotError> {
    let top = steps.iter().map(|step| step.reached).max().unwrap_or(0);
    let first = steps.first().map_or(0, |step| step.reached);
    let width = WIDTH as i32;
    let height = STEP.saturating_mul(steps.len() as u32).max(STEP);
    svg(caption, height, |area| {
        let mut before = first;
        for (step, above) in steps.iter().zip((0..).step_by(STEP as usize)) {
            area.draw(&text(step.label.clone(), (0, above + 9), Ink::Text, HPos::Left))?;
            let reached = if step.reached == first {
                count(step.reached)
            } else {
                format!("{} \u{b7} {}", count(step.reached), percent(step.reached, first))
            };
            area.draw(&text(reached, (width, above + 9), Ink::Soft, HPos::Right))?;
            area.draw(&line((0, above + 36), (width, above + 36), Ink::Line))?;
            let was = scaled(before, top, width);
            let is = scaled(step.reached, top, width);
            if was > is {
                area.draw(&block(is, above + 20, was, above + 35, Ink::Pale))?;
            }
            if is > 0 {
                area.draw(&block(0, above + 20, is, above + 35, Ink::Bar))?;
            }
            before = step.reached;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPTION: Caption<'static> = Caption { id: "funnel", title: "t", description: "d" };

    #[test]
    fn a_loss_stands_pale_behind_the_step_that_lost_it() {
        let steps = [("found", 20_371), ("curated", 3_518), ("decoded", 3_518)]
            .map(|(label, reached)| FunnelStep { label: label.to_owned(), reached });
        let drawn = funnel(CAPTION, &steps).unwrap();
        assert_eq!(drawn.matches("var(--pale)").count(), 1);
        assert_eq!(drawn.matches("3,518 \u{b7} 17\u{a0}%").count(), 2);
        assert!(drawn.contains(">20,371<"));
    }

    #[test]
    fn a_funnel_of_nothing_has_names_and_no_bars() {
        let steps = [FunnelStep { label: "found".to_owned(), reached: 0 }];
        let drawn = funnel(CAPTION, &steps).unwrap();
        assert!(drawn.contains(">found<") && !drawn.contains("<rect"));
    }
}
