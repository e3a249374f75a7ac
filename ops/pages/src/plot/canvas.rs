use plotters::{
    backend::SVGBackend,
    coord::Shift,
    drawing::{DrawingArea, IntoDrawingArea},
    element::{PathElement, Rectangle, Text},
    style::{
        Color, IntoFont, RGBColor, ShapeStyle, TextStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};

/// Width of every plot in user units; one unit is one CSS pixel on a phone of 392 pixels.
pub const WIDTH: u32 = 360;

/// Size of ordinary text in user units.
pub(super) const TEXT: f64 = 11.5;

/// Units a character of ordinary text takes, for deciding what fits.
const CHARACTER: f64 = 6.1;

/// plotters writes a font size divided by this.
const FONT_SCALE: f64 = 1.24;

/// A plot cannot be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot draw the plot `{id}`: {cause}")]
pub struct PlotError {
    id: String,
    cause: String,
}

/// What a plot says to somebody who cannot see it.
#[derive(Debug, Clone, Copy)]
pub struct Caption<'a> {
    /// Id on the page, unique there, made of letters, digits and hyphens.
    pub id: &'a str,
    /// Short name.
    pub title: &'a str,
    /// What it shows, in a sentence or two.
    pub description: &'a str,
}

/// A colour by its meaning. The page's style sheet gives it a value for light and for dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// Text that carries a value.
    Text,
    /// Text that explains.
    Soft,
    /// Axes and grid.
    Line,
    /// The quantity shown.
    Bar,
    /// The same quantity in part, or before something was taken away.
    Pale,
    /// What was lost, and limits.
    Lost,
    /// What is seen: the picture.
    Seen,
    /// What is heard: the sound.
    Heard,
}

impl Ink {
    const ALL: [Self; 8] =
        [Self::Text, Self::Soft, Self::Line, Self::Bar, Self::Pale, Self::Lost, Self::Seen, Self::Heard];

    /// plotters knows only fixed colours: this one stands for the variable until the SVG is finished.
    fn placeholder(self) -> RGBColor {
        let place = match self {
            Self::Text => 1,
            Self::Soft => 2,
            Self::Line => 3,
            Self::Bar => 4,
            Self::Pale => 5,
            Self::Lost => 6,
            Self::Seen => 7,
            Self::Heard => 8,
        };
        RGBColor(place, 0xFE, place)
    }

    fn variable(self) -> &'static str {
        match self {
            Self::Text => "var(--ink)",
            Self::Soft => "var(--soft)",
            Self::Line => "var(--line)",
            Self::Bar => "var(--bar)",
            Self::Pale => "var(--pale)",
            Self::Lost => "var(--lost)",
            Self::Seen => "var(--seen)",
            Self::Heard => "var(--heard)",
        }
    }

    /// Fills a shape.
    pub(super) fn fill(self) -> ShapeStyle {
        self.placeholder().filled()
    }

    /// Draws a line of one unit.
    pub(super) fn stroke(self) -> ShapeStyle {
        self.placeholder().stroke_width(1)
    }

    /// Writes text of ordinary size.
    pub(super) fn text(self, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
        ("sans-serif", TEXT * FONT_SCALE)
            .into_font()
            .color(&self.placeholder())
            .pos(Pos::new(horizontal, vertical))
    }
}

/// A drawing area in whole user units from the upper left corner.
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// An error of plotters, which only ever comes from its backend.
pub(super) type BackendError = plotters::drawing::DrawingAreaErrorKind<std::io::Error>;

/// Draws on an area of [`WIDTH`] by `height` units and finishes the SVG for use inside a page.
pub(super) fn svg(
    caption: Caption<'_>,
    height: u32,
    draw: impl FnOnce(&Area<'_>) -> Result<(), BackendError>,
) -> Result<String, PlotError> {
    let mut drawing = String::new();
    {
        let area = SVGBackend::with_string(&mut drawing, (WIDTH, height)).into_drawing_area();
        draw(&area)
            .and_then(|()| area.present())
            .map_err(|error| PlotError { id: caption.id.to_owned(), cause: error.to_string() })?;
    }
    // The opening tag is replaced: no fixed size, no namespace (which HTML implies), a name for everybody.
    let shapes = drawing.split_once('>').map_or("", |(_, shapes)| shapes);
    let Caption { id, title, description } = caption;
    let mut finished = format!(
        "<svg class=\"plot\" id=\"{id}\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-labelledby=\"{id}-title {id}-desc\"><title id=\"{id}-title\">{}</title>\
         <desc id=\"{id}-desc\">{}</desc>{shapes}",
        escaped(title),
        escaped(description),
    );
    for ink in Ink::ALL {
        let RGBColor(red, green, blue) = ink.placeholder();
        finished = finished.replace(&format!("#{red:02X}{green:02X}{blue:02X}"), ink.variable());
    }
    Ok(finished
        .replace(" font-family=\"sans-serif\"", "")
        .replace(" opacity=\"1\"", "")
        .replace(" stroke=\"none\"", "")
        .replace('\n', ""))
}

/// A filled rectangle; at least one unit wide and high.
pub(super) fn block(left: i32, top: i32, right: i32, bottom: i32, ink: Ink) -> Rectangle<(i32, i32)> {
    Rectangle::new([(left, top), (right.max(left + 1), bottom.max(top + 1))], ink.fill())
}

/// A straight line.
pub(super) fn line(from: (i32, i32), to: (i32, i32), ink: Ink) -> PathElement<(i32, i32)> {
    PathElement::new(vec![from, to], ink.stroke())
}

/// A line of text.
pub(super) fn text(
    words: impl Into<String>,
    at: (i32, i32),
    ink: Ink,
    horizontal: HPos,
) -> Text<'static, (i32, i32), String> {
    Text::new(words.into(), at, ink.text(horizontal, VPos::Center))
}

/// Units a text of ordinary size takes, about.
pub(super) fn text_width(words: &str) -> f64 {
    words.chars().count() as f64 * CHARACTER
}

/// Shortens a text to what fits into a width.
pub(super) fn fitted(words: &str, width: f64) -> String {
    let room = (width / CHARACTER).floor().max(1.0) as usize;
    if words.chars().count() <= room {
        return words.to_owned();
    }
    let mut kept: String = words.chars().take(room.saturating_sub(1)).collect();
    kept.push('\u{2026}');
    kept
}

/// Length of a bar on a scale from 0 to `top`, at least one unit for what is there at all.
pub(super) fn scaled(value: u64, top: u64, length: i32) -> i32 {
    if value == 0 || top == 0 {
        return 0;
    }
    let share = (value as f64 / top as f64).min(1.0);
    ((share * f64::from(length)).round() as i32).max(1)
}

fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPTION: Caption<'static> =
        Caption { id: "p", title: "<b>", description: "more than \"one\" & two" };

    #[test]
    fn a_finished_plot_has_variables_for_colours_and_no_address() {
        let drawn = svg(CAPTION, 20, |area| {
            for (place, ink) in Ink::ALL.into_iter().enumerate() {
                area.draw(&block(0, place as i32, 10, place as i32 + 1, ink))?;
            }
            area.draw(&text("a & b", (0, 0), Ink::Text, HPos::Left))
        })
        .unwrap();
        for ink in Ink::ALL {
            assert!(drawn.contains(ink.variable()), "{ink:?} is missing in {drawn}");
        }
        assert!(!drawn.contains('#'), "a fixed colour is left in {drawn}");
        assert!(!drawn.contains("http"));
        assert!(drawn.contains("a &amp; b"));
        assert!(drawn.contains("&lt;b&gt;") && drawn.contains("&quot;one&quot; &amp; two"));
    }

    #[test]
    fn a_small_value_is_still_visible_and_none_is_not() {
        assert_eq!(scaled(0, 1_000_000, 200), 0);
        assert_eq!(scaled(1, 1_000_000, 200), 1);
        assert_eq!(scaled(1_000_000, 1_000_000, 200), 200);
        assert_eq!(scaled(5, 0, 200), 0);
    }

    #[test]
    fn a_long_label_is_shortened_by_characters_not_bytes() {
        assert_eq!(fitted("Glass", 100.0), "Glass");
        assert_eq!(fitted("\u{c4}\u{c4}\u{c4}\u{c4}\u{c4}\u{c4}", 19.0), "\u{c4}\u{c4}\u{2026}");
    }
}
