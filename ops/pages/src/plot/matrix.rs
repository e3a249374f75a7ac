use plotters::style::text_anchor::HPos;
use serde::{Deserialize, Serialize};

use super::canvas::{Caption, Ink, PlotError, WIDTH, block, fitted, line, svg, text, text_width};

/// Side of a cell in user units, at least and at most.
const CELL: (i32, i32) = (9, 30);
const GAP: f64 = 8.0;
const MOST_LABEL: f64 = 130.0;
/// Room for the numbers of the columns.
const HEAD: i32 = 18;

/// How often each row became each column.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Matrix {
    /// Names of rows and columns, which share them; columns are numbered as the rows are.
    pub names: Vec<String>,
    /// Counts, row by row.
    pub counts: Vec<Vec<u64>>,
}

/// A square a cell, as large as its share of the row; those on the diagonal are right, the others lost.
///
/// # Errors
/// Fails only if the SVG cannot be written.
pub fn matrix(caption: Caption<'_>, matrix: &Matrix) -> Result<String, PlotError> {
    let count = i32::try_from(matrix.names.len()).unwrap_or(i32::MAX).max(1);
    let labels: Vec<_> =
        matrix.names.iter().enumerate().map(|(place, name)| format!("{name} {}", place + 1)).collect();
    let widest = labels.iter().map(|label| text_width(label)).fold(0.0, f64::max).min(MOST_LABEL);
    let left = (widest + GAP) as i32;
    let side = ((WIDTH as i32 - left) / count).clamp(CELL.0, CELL.1);
    let height = HEAD + side.saturating_mul(count) + 1;
    svg(caption, u32::try_from(height).unwrap_or(1), |area| {
        for (row, (label, counts)) in (0..).zip(labels.iter().zip(&matrix.counts)) {
            let (top, number) = (HEAD + row * side, (row + 1).to_string());
            let middle = top + side / 2;
            area.draw(&text(fitted(label, MOST_LABEL), (left - GAP as i32, middle), Ink::Text, HPos::Right))?;
            // Numbers stand where they do not run into each other.
            if side >= 14 || row % 5 == 4 {
                area.draw(&text(number, (left + row * side + side / 2, HEAD / 2), Ink::Soft, HPos::Center))?;
            }
            area.draw(&line((left, top), (left + side * count, top), Ink::Line))?;
            let whole: u64 = counts.iter().sum();
            for (column, found) in (0..).zip(counts).filter(|(_, found)| **found > 0) {
                let share = *found as f64 / whole as f64;
                let half = (share.sqrt() * f64::from(side - 2) / 2.0).max(1.0) as i32;
                let center = left + column * side + side / 2;
                let ink = if column == row { Ink::Bar } else { Ink::Lost };
                area.draw(&block(center - half, middle - half, center + half, middle + half, ink))?;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPTION: Caption<'static> = Caption { id: "confusion", title: "t", description: "d" };

    fn drawn(counts: Vec<Vec<u64>>) -> String {
        let names = ["Cat", "Dog", "-"].map(str::to_owned).to_vec();
        matrix(CAPTION, &Matrix { names, counts }).unwrap()
    }

    #[test]
    fn what_is_right_lies_on_the_diagonal_in_another_colour_than_what_is_not() {
        let drawn = drawn(vec![vec![3, 1, 0], vec![0, 2, 0], vec![0, 0, 0]]);
        assert_eq!(drawn.matches("var(--bar)").count(), 2);
        assert_eq!(drawn.matches("var(--lost)").count(), 1);
        assert!(drawn.contains(">Cat 1<") && drawn.contains(">Dog 2<"));
    }

    #[test]
    fn nothing_counted_is_a_grid_without_squares() {
        assert!(!drawn(vec![vec![0; 3]; 3]).contains("<rect"));
        let empty = matrix(CAPTION, &Matrix { names: vec![], counts: vec![] }).unwrap();
        assert!(empty.ends_with("</svg>"));
    }
}
