//! The report page as text: what stands in it, what must not, and how large it may be.

#![allow(clippy::expect_used, reason = "a broken expectation is how a test fails")]

mod fixture;

use counterpoint_messages::StageName;
use counterpoint_pages::{MAX_ROWS, Report, render, report::Resolution};
use scraper::{Html, Selector};

fn page(report: &Report) -> (String, Html) {
    let text = render(report).expect("the report renders");
    let parsed = Html::parse_document(&text);
    (text, parsed)
}

fn count(page: &Html, selector: &str) -> usize {
    page.select(&Selector::parse(selector).expect("a selector")).count()
}

fn words(page: &Html, selector: &str) -> String {
    let selector = Selector::parse(selector).expect("a selector");
    let text: Vec<&str> = page.select(&selector).flat_map(|element| element.text()).collect();
    text.join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
}

fn mp4s() -> Vec<Vec<u8>> {
    (0..5).map(|place| vec![place; 64]).collect()
}

#[test]
fn the_page_is_well_formed_html_whatever_it_holds() {
    for report in [fixture::report(&mp4s()), Report::default()] {
        let (_, parsed) = page(&report);
        assert!(parsed.errors.is_empty(), "{:?}", parsed.errors);
    }
}

#[test]
fn the_same_report_gives_the_same_bytes() {
    let report = fixture::report(&mp4s());
    assert_eq!(render(&report).expect("renders"), render(&report.clone()).expect("renders"));
}

#[test]
fn a_report_read_back_from_json_gives_the_same_page() {
    let report = fixture::report(&mp4s());
    let written = serde_json::to_string(&report).expect("a report can be written");
    let read: Report = serde_json::from_str(&written).expect("and read");
    assert!(render(&read).expect("renders") == render(&report).expect("renders"));
}

#[test]
fn the_page_names_no_address_and_no_file_to_load() {
    let (text, parsed) = page(&fixture::report(&mp4s()));
    assert!(!text.contains("http://") && !text.contains("https://"));
    assert_eq!(count(&parsed, "script[src], img, iframe, object, embed"), 0);
    assert_eq!(count(&parsed, "link"), count(&parsed, "link[href='data:,']"));
    assert_eq!(count(&parsed, "video[src]"), count(&parsed, "video[src^='data:video/mp4;base64,']"));
    assert!(text.contains("default-src 'none'"));
}

#[test]
fn names_that_hold_markup_are_shown_and_not_obeyed() {
    let mut report = fixture::report(&mp4s());
    let hostile = fixture::HOSTILE.to_owned();
    report.head.title = hostile.clone();
    report.head.created_from = vec![hostile.clone()];
    report.lists[0].path = hostile.clone();
    report.dead_letters.rows[0].reason = hostile.clone();
    report.gallery[0].host.video = hostile.clone();
    report.gallery[0].host.class = hostile.clone();
    report.clips.classes[0].class = hostile.clone();
    report.ontology.nodes[0].name = hostile.clone();
    report.ontology.nodes[0].reason = hostile.clone();
    report.settings.entry(StageName::Gate).or_default().insert(hostile.clone(), hostile.clone());
    let (text, parsed) = page(&report);
    assert!(parsed.errors.is_empty(), "{:?}", parsed.errors);
    assert!(!text.contains("<script>alert"));
    assert_eq!(count(&parsed, "script"), 1);
    assert_eq!(count(&parsed, "[onload]"), 0);
    assert_eq!(words(&parsed, "h1"), hostile);
    assert!(words(&parsed, "#rejected").contains(&hostile));
}

#[test]
fn every_section_of_an_empty_report_says_why_it_is_empty() {
    let (_, parsed) = page(&Report::default());
    for section in ["funnel", "ontology", "clips", "signal", "samples", "gallery", "rejected"] {
        assert!(count(&parsed, &format!("#{section} .empty")) > 0, "#{section} says nothing");
        assert_eq!(count(&parsed, &format!("#{section} table")), 0, "#{section} has an empty table");
    }
    assert!(words(&parsed, ".lead").starts_with("No media file was found"));
}

#[test]
fn measured_figures_stand_beside_the_published_ones() {
    let (_, parsed) = page(&fixture::report(&mp4s()));
    let lists = words(&parsed, "#funnel table");
    assert!(lists.contains("labels/eval_segments.csv 20,371 2.38 3,498 17 %"), "{lists}");
    assert!(lists.contains("published, evalsplit 20,371 2.7 3,518 17 %"), "{lists}");
    assert!(lists.contains("published, train_balanced 22,160 2.7 3,892 18 %"), "{lists}");
}

#[test]
fn every_node_of_the_ontology_is_counted_once_and_has_its_reason() {
    let report = fixture::report(&mp4s());
    let (_, parsed) = page(&report);
    let nodes: std::collections::BTreeSet<&str> = parsed
        .select(&Selector::parse("li[data-node]").expect("a selector"))
        .filter_map(|node| node.value().attr("data-node"))
        .collect();
    assert_eq!(nodes.len(), 632);
    assert_eq!(count(&parsed, ".tree > li"), 7);
    assert_eq!(count(&parsed, "li[data-node]"), count(&parsed, ".tree .why"));
    let legend = Selector::parse(".legend b").expect("a selector");
    let counted: usize = parsed
        .select(&legend)
        .map(|number| number.text().collect::<String>().parse::<usize>().expect("a count below 1,000"))
        .sum();
    assert_eq!(counted, 632);
}

#[test]
fn every_sample_stands_beside_its_parents() {
    let report = fixture::report(&mp4s());
    let (_, parsed) = page(&report);
    let variants: usize = report.gallery.iter().map(|group| group.variants.len()).sum();
    let donors: usize =
        report.gallery.iter().flat_map(|group| &group.variants).map(|variant| variant.donors.len()).sum();
    assert_eq!(count(&parsed, ".host video"), report.gallery.len());
    assert_eq!(count(&parsed, ".variants > li > .screens .screen video"), variants);
    assert_eq!(count(&parsed, ".variants .donors video"), donors);
    assert_eq!(count(&parsed, "video[src]"), mp4s().len());
    assert_eq!(
        count(&parsed, "video[controls][preload='metadata'][playsinline]:not([muted])"),
        count(&parsed, "video")
    );
}

#[test]
fn every_class_stands_with_what_is_wanted_and_why_it_is_missing() {
    let mut report = fixture::report(&[]);
    let (_, parsed) = page(&report);
    assert_eq!(count(&parsed, "#coverage tbody tr"), report.coverage.len());
    let said = words(&parsed, "#coverage");
    for part in ["Utility Liquid Sounds", "20 gone, 480 too many requests", "1,060", "62,830"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    report.coverage.clear();
    let (_, parsed) = page(&report);
    assert!(words(&parsed, "#coverage").contains("nothing is wanted"));
}

#[test]
fn a_sample_without_a_file_says_so() {
    let (_, parsed) = page(&fixture::report(&[]));
    assert_eq!(count(&parsed, "video"), 0);
    assert!(count(&parsed, ".unmade") > 0);
}

#[test]
fn ten_thousand_clips_fit_into_three_megabytes() {
    let mut report = fixture::report(&[]);
    report.clips = fixture::clips(&mut fixture::Numbers(2), 10_000);
    report.clips.resolutions =
        (1..5_000).map(|size| Resolution { width: size, height: 2 * size, clips: 2 }).collect();
    report.rejected = fixture::rejected(10_000, 10_000);
    report.dead_letters.rows = vec![report.dead_letters.rows[0].clone(); 10_000];
    report.dead_letters.total = 10_000;
    let (text, parsed) = page(&report);
    assert!(text.len() < 3_000_000, "{} bytes", text.len());
    assert_eq!(count(&parsed, "#rejected .tall tbody tr"), MAX_ROWS);
    assert!(words(&parsed, "#rejected").contains("The first 200 of 10,000."));
}

#[test]
fn every_plot_has_a_title_and_a_description() {
    let (_, parsed) = page(&fixture::report(&mp4s()));
    let plots = count(&parsed, "svg.plot");
    assert!(plots >= 10, "{plots} plots");
    assert_eq!(count(&parsed, "svg.plot[role='img'] > title"), plots);
    assert_eq!(count(&parsed, "svg.plot > desc"), plots);
    let ids = Selector::parse("[id]").expect("a selector");
    let mut all: Vec<_> = parsed.select(&ids).filter_map(|element| element.value().id()).collect();
    let before = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), before, "an id stands twice");
}
