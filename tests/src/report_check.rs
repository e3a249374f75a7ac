use std::path::{Path, PathBuf};

use crate::browser::{Browser, BrowserError, Page, Viewport};

/// Where the checks keep their screenshots.
const SCREENSHOTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/screenshots");

/// What was found on a page that passed every check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportFacts {
    /// Players on the page; each knows the length of its clip.
    pub players: u64,
    /// Screenshots kept: desktop, desktop in the dark, phone.
    pub screenshots: Vec<PathBuf>,
}

/// Why a page did not pass.
#[derive(Debug, thiserror::Error)]
pub enum ReportFault {
    /// The browser or the page did not do as asked.
    #[error(transparent)]
    Browser(#[from] BrowserError),
    /// The console is not clean, or a request failed or left the page.
    #[error("the page complains: {}", .0.join("; "))]
    Complaints(Vec<String>),
    /// The page is wider than a phone.
    #[error("the page is {width} px wide on a phone of 360 px; the widest parts are {widest}")]
    TooWide {
        /// Width of its content.
        width: u64,
        /// The parts that stick out.
        widest: String,
    },
}

/// Opens a report in a browser and checks it as [`check_page`] does.
///
/// # Errors
/// The first check that failed.
pub fn check_report(report: &Path, name: &str) -> Result<ReportFacts, ReportFault> {
    let browser = Browser::start()?;
    check_page(&browser.open(&report.to_string_lossy())?, name)
}

/// Checks that every player of a page knows its clip, that one plays, that the console is clean, that nothing
/// is loaded from elsewhere and that the page fits a phone. Keeps screenshots as
/// `target/screenshots/NAME-*.png`.
///
/// # Errors
/// The first check that failed.
pub fn check_page(page: &Page, name: &str) -> Result<ReportFacts, ReportFault> {
    page.set_viewport(Viewport::DESKTOP)?;
    let players = players_know_their_clips(page)?;
    if players > 0 {
        one_plays(page)?;
    }
    scroll_through(page)?;
    let mut screenshots = Vec::new();
    let mut keep = |viewport: Viewport, what: &str| -> Result<(), BrowserError> {
        let path = Path::new(SCREENSHOTS).join(format!("{name}-{what}.png"));
        page.screenshot(viewport, &path)?;
        screenshots.push(path);
        Ok(())
    };
    keep(Viewport::DESKTOP, "desktop")?;
    page.prefer_dark(true)?;
    keep(Viewport::DESKTOP, "dark")?;
    page.prefer_dark(false)?;
    page.set_viewport(Viewport::PHONE)?;
    scroll_through(page)?;
    keep(Viewport::PHONE, "phone")?;
    match page.complaints() {
        complaints if complaints.is_empty() => fits_a_phone(page)?,
        complaints => return Err(ReportFault::Complaints(complaints)),
    }
    Ok(ReportFacts { players, screenshots })
}

fn players_know_their_clips(page: &Page) -> Result<u64, BrowserError> {
    page.wait_until(
        "every player knows its clip",
        "(() => { const waiting = [...document.querySelectorAll('video')]
             .filter((video) => video.readyState < 1)
             .map((video) => `${video.id}: ${video.error ? video.error.message : 'still loading'}`);
           return waiting.length === 0 || waiting; })()",
    )?;
    Ok(page.evaluate("document.querySelectorAll('video').length")?.as_u64().unwrap_or(0))
}

fn one_plays(page: &Page) -> Result<(), BrowserError> {
    page.evaluate("document.querySelector('video').play()")?;
    page.wait_until(
        "the first player plays",
        "(() => { const { currentTime, duration } = document.querySelector('video');
           return currentTime > Math.min(0.2, duration / 2) || currentTime; })()",
    )?;
    page.evaluate("document.querySelector('video').pause()")?;
    Ok(())
}

/// Shows every part of the page once: browsers paint the frames of players only where they are seen.
fn scroll_through(page: &Page) -> Result<(), BrowserError> {
    page.evaluate(
        "(async () => {
           for (let top = 0; top < document.documentElement.scrollHeight; top += innerHeight / 2) {
             scrollTo({ top, behavior: 'instant' });
             await new Promise((shown) => requestAnimationFrame(() => requestAnimationFrame(shown)));
           }
           scrollTo({ top: 0, behavior: 'instant' });
         })()",
    )?;
    Ok(())
}

fn fits_a_phone(page: &Page) -> Result<(), ReportFault> {
    let width = page.evaluate("document.documentElement.scrollWidth")?.as_u64().unwrap_or(u64::MAX);
    if width <= u64::from(Viewport::PHONE.width) {
        return Ok(());
    }
    let widest = page.evaluate(
        "[...document.querySelectorAll('body *')]
           .filter((part) => part.getBoundingClientRect().right > innerWidth && !part.closest('.scroll'))
           .slice(0, 5).map((part) => `${part.tagName}.${part.className}`).join(', ')",
    )?;
    Err(ReportFault::TooWide { width, widest: widest.as_str().unwrap_or_default().to_owned() })
}
