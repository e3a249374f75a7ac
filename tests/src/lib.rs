//! What the end-to-end tests share.

pub mod browser;
mod report_check;

pub use report_check::{ReportFacts, ReportFault, check_report};
