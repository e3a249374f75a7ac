use plotters::style::text_anchor::HPos;

use super::canvas::{Caption, Ink, PlotError, WIDTH, block, fitted, scaled, svg, text, text_width};

const ROW: u32 = 19;
const GAP: f64 = 8.0;
const MOST_LABEL: f64 = 150.0;
const MOST_VALUE: f64 = 110.0;

/// One bar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bar {
    /// What it counts; shortened where it is too long.
    pub label: String,
    /// The whole, drawn pale where `part` is given.
    pub whole: u64,
    /// The part of it that is drawn full.
    pub part: Option<u64>,
    /// What stands at its end.
    pub value: String,
}

/// What several plots share so that their bars can be compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BarScale {
    /// Value of the longest bar possible.
    top: u64,
    /// Room for labels and for values, in user units.
    room: (f64, f64),
}

impl BarScale {
    /// The scale that shows all of these rows.
    pub fn of(rows: &[Bar]) -> Self {
        let widest =
            |text: fn(&Bar) -> &str| rows.iter().map(|row| text_width(text(row))).fold(0.0, f64::max);
        Self {
            top: rows.iter().map(|row| row.whole.max(row.part.unwrap_or(0))).max().unwrap_or(0),
            room: (widest(|row| &row.label).min(MOST_LABEL), widest(|row| &row.value).min(MOST_VALUE)),
        }
    }
}

/// Horizontal bars, one below the other; the labels stand left of them, the values at their ends.
///
/// # Errors
/// Fails only if the SVG cannot be written.
pub fn bars(caption: Caption<'_>, rows: &[Bar], scale: BarScale) -> Result<String, PlotError> {
    let BarScale { top, room: (labels, values) } = scale;
    let left = (labels + GAP) as i32;
    let length = (f64::from(WIDTH) - labels - values - 2.0 * GAP) as i32;
    let height = ROW.saturating_mul(rows.len() as u32).max(ROW);
    svg(caption, height, |area| {
        for (row, above) in rows.iter().zip((0..).step_by(ROW as usize)) {
            let middle = above + ROW as i32 / 2;
            area.draw(&text(
                fitted(&row.label, MOST_LABEL),
                (left - GAP as i32, middle),
                Ink::Text,
                HPos::Right,
            ))?;
            let whole = scaled(row.whole, top, length);
            let full = row.part.map_or(whole, |part| scaled(part, top, length));
            if row.part.is_some() && whole > full {
                area.draw(&block(left, above + 4, left + whole, above + 15, Ink::Pale))?;
            }
            if full > 0 {
                area.draw(&block(left, above + 4, left + full, above + 15, Ink::Bar))?;
            }
            let end = left + whole.max(full) + GAP as i32 - 2;
            area.draw(&text(row.value.clone(), (end, middle), Ink::Soft, HPos::Left))?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPTION: Caption<'static> = Caption { id: "classes", title: "t", description: "d" };

    fn bar(label: &str, whole: u64, part: Option<u64>) -> Bar {
        Bar { label: label.to_owned(), whole, part, value: whole.to_string() }
    }

    fn drawn(rows: &[Bar]) -> String {
        bars(CAPTION, rows, BarScale::of(rows)).unwrap()
    }

    #[test]
    fn each_row_has_its_label_and_value_and_only_counts_have_bars() {
        let drawn = drawn(&[bar("Cat", 12, None), bar("Pig", 0, None)]);
        assert!(drawn.contains(">Cat<") && drawn.contains(">Pig<") && drawn.contains(">12<"));
        assert_eq!(drawn.matches("<rect").count(), 1);
    }

    #[test]
    fn a_part_is_drawn_over_its_whole() {
        let drawn = drawn(&[bar("Cat", 12, Some(6))]);
        assert_eq!(drawn.matches("var(--pale)").count(), 1);
        assert_eq!(drawn.matches("var(--bar)").count(), 1);
    }

    #[test]
    fn no_rows_make_an_empty_plot() {
        let drawn = drawn(&[]);
        assert!(!drawn.contains("<rect") && drawn.ends_with("</svg>"));
    }
}
