//! Pages for people.
//!
//! [`render`] makes the report of a run: one HTML file that needs nothing else. Styles, script, plots and
//! media are inside it, and a content security policy forbids it to load anything. [`scores::render`] makes that
//! of an evaluation in the same style, and [`live::render`] that of a run that may be going on, which asks its own
//! server for what changes.
//!
//! The way through the crate: [`report`] is what goes in, `view` turns it into what the templates print,
//! `templates/` is the page, [`plot`] draws.

mod format;
pub mod live;
mod open_point;
pub mod plot;
pub mod report;
pub mod scores;
mod view;
mod words;

use minijinja::{Environment, UndefinedBehavior, Value, syntax::SyntaxConfig, value::Serde};

use serde::Serialize;

pub use format::count;
pub use open_point::OpenPoint;
pub use plot::PlotError;
pub use report::Report;

/// Rows of a table that the page shows at most; the total is always stated.
pub const MAX_ROWS: usize = 200;

const TEMPLATES: [(&str, &str); 20] = [
    ("report.html", include_str!("../templates/report.html")),
    ("voices.html", include_str!("../templates/voices.html")),
    ("macros.html", include_str!("../templates/macros.html")),
    ("models.html", include_str!("../templates/models.html")),
    ("rounds.html", include_str!("../templates/rounds.html")),
    ("experiments.html", include_str!("../templates/experiments.html")),
    ("funnel.html", include_str!("../templates/funnel.html")),
    ("ontology.html", include_str!("../templates/ontology.html")),
    ("clips.html", include_str!("../templates/clips.html")),
    ("coverage.html", include_str!("../templates/coverage.html")),
    ("samples.html", include_str!("../templates/samples.html")),
    ("gallery.html", include_str!("../templates/gallery.html")),
    ("rejected.html", include_str!("../templates/rejected.html")),
    ("settings.html", include_str!("../templates/settings.html")),
    ("scores.html", include_str!("../templates/scores.html")),
    ("live.html", include_str!("../templates/live.html")),
    ("live_now.html", include_str!("../templates/live_now.html")),
    ("live_stages.html", include_str!("../templates/live_stages.html")),
    ("live_models.html", include_str!("../templates/live_models.html")),
    ("live_clips.html", include_str!("../templates/live_clips.html")),
];
const STYLE: &str = include_str!("../templates/style.css");
const SCRIPT: &str = include_str!("../templates/report.js");
const LIVE_SCRIPT: &str = include_str!("../templates/live.js");

/// A page cannot be made. Only a defect of this crate can cause it, never what a page holds.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// A plot cannot be drawn.
    #[error("cannot draw a plot of the page")]
    Plot(#[from] PlotError),
    /// A template cannot be filled.
    #[error("cannot fill the template of the page")]
    Template(#[from] minijinja::Error),
}

/// Makes the report page: the same report gives the same bytes.
///
/// # Errors
/// See [`PageError`].
pub fn render(report: &Report) -> Result<String, PageError> {
    page("report.html", &view::Page::of(report)?)
}

/// Fills a template.
fn page(name: &str, shown: &impl Serialize) -> Result<String, PageError> {
    filled(&environment()?, name, shown)
}

fn filled(templates: &Environment<'_>, name: &str, shown: &impl Serialize) -> Result<String, PageError> {
    Ok(templates.get_template(name)?.render(Serde(shown))?)
}

fn environment() -> Result<Environment<'static>, PageError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.add_filter("count", |number: u64| format::count(number));
    environment.add_global("style", Value::from_safe_string(STYLE.to_owned()));
    environment.add_global("script", Value::from_safe_string(SCRIPT.to_owned()));
    environment.add_global("live_script", Value::from_safe_string(LIVE_SCRIPT.to_owned()));
    for (name, template) in TEMPLATES {
        environment.add_template(name, template)?;
    }
    Ok(environment)
}
