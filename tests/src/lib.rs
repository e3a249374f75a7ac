//! What the end-to-end tests share.

pub mod browser;
pub mod chaos;
pub mod demo;
pub mod disk;
pub mod film;
pub mod hostile;
pub mod live_page;
pub mod out;
pub mod program;
mod report_check;
mod shared;
pub mod topics;
pub mod workplace;

pub use report_check::{ReportFacts, ReportFault, check_page, check_report};
pub use shared::{real_run, shared};
