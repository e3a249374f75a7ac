//! Plots: pure functions from numbers to SVG.
//!
//! Colours are the page's CSS variables, so a plot follows light and dark; type is inherited from the
//! page. Each plot is drawn for a width of [`WIDTH`] units, which is about a phone's, and scales up.

mod bars;
mod canvas;
mod curve;
mod funnel;
mod histogram;
mod matrix;
mod series;

pub use bars::{Bar, BarScale, bars};
pub use canvas::{Caption, Ink, PlotError, WIDTH};
pub use curve::{Curve, CurveLine, CurvePoint, curve};
pub use funnel::{FunnelStep, funnel};
pub use histogram::{Axis, Histogram, histogram};
pub use matrix::{Matrix, matrix};
pub use series::Series;
