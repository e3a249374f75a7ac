//! The report page in a real browser: every clip loads, one plays, the console stays clean, and the page
//! fits a phone.

#![allow(clippy::expect_used, reason = "a broken expectation is how a test fails")]

#[path = "../../ops/pages/tests/fixture/mod.rs"]
mod fixture;

use std::{fs, path::Path, process::Command};

use counterpoint_pages::{Report, render};
use counterpoint_tests::{ReportFault, browser::Browser, check_report};
use tempfile::TempDir;

/// Makes a clip of one second (H.264 and AAC, 252 by 252 pixels).
fn clip(folder: &Path, pattern: &str, hertz: u32) -> Vec<u8> {
    let path = folder.join(format!("{pattern}.mp4"));
    let pipeline = format!(
        "mp4mux name=mux faststart=true ! filesink location={} \
         videotestsrc pattern={pattern} num-buffers=25 ! video/x-raw,width=252,height=252,framerate=25/1 ! \
         x264enc tune=zerolatency threads=1 ! h264parse ! mux. \
         audiotestsrc freq={hertz} volume=0.1 samplesperbuffer=1920 num-buffers=25 ! audio/x-raw,rate=48000 ! \
         audioconvert ! avenc_aac ! aacparse ! mux.",
        path.display()
    );
    let made = Command::new("gst-launch-1.0").arg("-q").args(pipeline.split_whitespace()).output();
    let made = made.expect("gst-launch-1.0 is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::read(&path).expect("the clip was written")
}

fn clips(folder: &Path) -> Vec<Vec<u8>> {
    [("ball", 330), ("smpte", 440), ("circular", 550), ("pinwheel", 660), ("spokes", 770)]
        .map(|(pattern, hertz)| clip(folder, pattern, hertz))
        .to_vec()
}

fn written(folder: &TempDir, report: &Report) -> std::path::PathBuf {
    let path = folder.path().join("report.html");
    fs::write(&path, render(report).expect("the report renders")).expect("the report is written");
    path
}

#[test]
fn every_clip_of_a_report_loads_and_plays_and_the_console_is_clean() {
    let folder = TempDir::new().expect("a folder");
    let report = fixture::report(&clips(folder.path()));
    let facts = check_report(&written(&folder, &report), "report").expect("the report passes");
    let parents: usize =
        report.gallery.iter().flat_map(|group| &group.variants).map(|v| v.donors.len()).sum();
    let samples: usize = report.gallery.iter().map(|group| group.variants.len()).sum();
    assert_eq!(facts.players, (report.gallery.len() + parents + samples) as u64);
    assert!(facts.screenshots.iter().all(|path| path.is_file()));
}

#[test]
fn an_empty_report_passes_as_well() {
    let folder = TempDir::new().expect("a folder");
    let facts = check_report(&written(&folder, &Report::default()), "empty-report").expect("it passes");
    assert_eq!(facts.players, 0);
}

#[test]
fn the_ontology_shows_what_is_searched_for_and_only_that() {
    let folder = TempDir::new().expect("a folder");
    let browser = Browser::start().expect("a browser");
    let report = written(&folder, &fixture::report(&[]));
    let page = browser.open(&report.to_string_lossy()).expect("a page");
    let search = |words: &str| {
        let script = format!(
            "(() => {{ const field = document.getElementById('ontology-filter'); field.value = '{words}';
               field.dispatchEvent(new Event('input'));
               return document.querySelector('.filter output').textContent; }})()"
        );
        page.evaluate(&script).expect("a search")
    };
    let shown =
        "[...document.querySelectorAll('.tree .node > b')].filter((name) => name.checkVisibility()).length";
    assert_eq!(search("/m/07rjwbb"), "1 node");
    let under_each_parent = page.evaluate("document.querySelectorAll('.tree .hit').length").expect("a count");
    assert!(under_each_parent.as_u64() > Some(1), "Hiss has several parents: {under_each_parent}");
    assert_eq!(search("no such node"), "0 nodes");
    assert_eq!(page.evaluate(shown).expect("a count"), 0);
    assert_eq!(search(""), "");
    assert!(page.evaluate(shown).expect("a count").as_u64() >= Some(7));
    assert_eq!(page.complaints(), Vec::<String>::new());
}

#[test]
fn a_page_that_throws_or_loads_from_elsewhere_does_not_pass() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("bad.html");
    let bad = "<!doctype html><title>bad</title><img src='missing.png'>\
               <script>console.error('spoken'); throw new Error('thrown')</script>";
    fs::write(&path, bad).expect("the page is written");
    match check_report(&path, "bad-report") {
        Err(ReportFault::Complaints(complaints)) => {
            let all = complaints.join("\n");
            for part in ["console: spoken", "exception: Error: thrown", "request failed"] {
                assert!(all.contains(part), "{part} is missing in {all}");
            }
        }
        other => panic!("the page passed: {other:?}"),
    }
}

#[test]
fn a_page_wider_than_a_phone_does_not_pass() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("wide.html");
    let wide = "<!doctype html><meta name='viewport' content='width=device-width'><title>wide</title>\
                <div style='width:900px'>wide</div>";
    fs::write(&path, wide).expect("the page is written");
    let fault = check_report(&path, "wide-report").expect_err("it is too wide");
    assert!(matches!(fault, ReportFault::TooWide { width: 900.., .. }), "{fault}");
}
