//! What the templates print: the report's numbers turned into sentences, rows, plots and trees.

mod clips;
mod coverage;
mod experiments;
mod funnel;
mod gallery;
pub(crate) mod live;
mod models;
mod ontology;
mod published;
mod rounds;
mod samples;
mod settings;

use std::collections::BTreeSet;

use counterpoint_messages::RecipeName;
use serde::Serialize;

use crate::{
    PageError, Report,
    format::{count, counted, listed, percent},
};

/// Characters of an id or identity that a page shows.
const SHORT: usize = 16;

/// The whole page.
#[derive(Debug, Serialize)]
pub(crate) struct Page {
    title: String,
    created_from: Vec<String>,
    created_at: String,
    engine: String,
    revision: u64,
    seed: u64,
    summary: String,
    facts: Vec<Fact>,
    models: Option<models::ModelsView>,
    rounds: Option<rounds::RoundsView>,
    experiments: Option<experiments::ExperimentsView>,
    funnel: funnel::FunnelView,
    ontology: ontology::OntologyView,
    clips: clips::ClipsView,
    coverage: coverage::CoverageView,
    samples: samples::SamplesView,
    gallery: gallery::GalleryView,
    settings: settings::SettingsView,
}

/// A number that deserves to stand large.
#[derive(Debug, Serialize)]
struct Fact {
    value: String,
    name: &'static str,
    note: String,
}

/// A plot with its heading and what to see in it.
#[derive(Debug, Serialize)]
struct Figure {
    title: String,
    note: String,
    plot: String,
}

impl Page {
    pub(crate) fn of(report: &Report) -> Result<Self, PageError> {
        let head = &report.head;
        Ok(Self {
            title: if head.title.is_empty() { "Counterpoint".to_owned() } else { head.title.clone() },
            created_from: head.created_from.clone(),
            created_at: head.created_at.clone(),
            engine: head.engine.clone(),
            revision: head.revision,
            seed: head.seed,
            summary: summary(report),
            facts: facts(report),
            models: report.models.as_ref().map(models::ModelsView::of).transpose()?,
            rounds: rounds::RoundsView::of(&report.rounds),
            experiments: experiments::ExperimentsView::of(&report.experiments),
            funnel: funnel::FunnelView::of(report)?,
            ontology: ontology::OntologyView::of(&report.ontology),
            clips: clips::ClipsView::of(&report.clips)?,
            coverage: coverage::CoverageView::of(&report.coverage),
            samples: samples::SamplesView::of(report),
            gallery: gallery::GalleryView::of(&report.gallery),
            settings: settings::SettingsView::of(report),
        })
    }
}

fn samples_composed(report: &Report) -> u64 {
    report.samples.composed.iter().fold(0, |sum, row| sum.saturating_add(row.samples))
}

fn recipes_skipped(report: &Report) -> u64 {
    report.samples.skipped.iter().fold(0, |sum, row| sum.saturating_add(row.hosts))
}

fn classes_accepted(report: &Report) -> u64 {
    report.clips.classes.iter().filter(|class| class.accepted > 0).count() as u64
}

/// The run in one paragraph.
fn summary(report: &Report) -> String {
    let funnel = &report.funnel;
    if funnel.found == 0 {
        let places = listed(&report.head.created_from);
        let place = if places.is_empty() { String::new() } else { format!(" in {places}") };
        return format!(
            "No media file was found{place}, so there is nothing to curate and nothing was composed."
        );
    }
    let samples = samples_composed(report);
    let recipes: BTreeSet<RecipeName> =
        report.samples.composed.iter().filter(|row| row.samples > 0).map(|row| row.recipe).collect();
    let mut sentences = vec![
        format!(
            "{} found; {} a label, and the labels of {} name exactly one class.",
            was_or_were(funnel.found, "media file", "media files"),
            if funnel.labelled == 1 {
                "1 carries".to_owned()
            } else {
                format!("{} carry", count(funnel.labelled))
            },
            count(funnel.curated),
        ),
        format!(
            "{} every check of picture and sound, in {}.",
            counted(funnel.accepted, "clip passed", "clips passed"),
            counted(classes_accepted(report), "class", "classes"),
        ),
    ];
    sentences.push(if samples == 0 {
        "No sample was composed from them.".to_owned()
    } else {
        format!(
            "From them {} composed by {}.",
            was_or_were(samples, "sample", "samples"),
            counted(recipes.len() as u64, "recipe", "recipes"),
        )
    });
    match recipes_skipped(report) {
        0 => {}
        skipped => sentences.push(format!(
            "{} skipped for want of a donor or of length.",
            was_or_were(skipped, "recipe", "recipes")
        )),
    }
    sentences.push(match report.dead_letters.total {
        0 => "No record ended in the dead letters.".to_owned(),
        dead => format!("{} in the dead letters.", counted(dead, "record ended", "records ended")),
    });
    sentences.join(" ")
}

fn was_or_were(number: u64, singular: &str, plural: &str) -> String {
    format!("{} {}", counted(number, singular, plural), if number == 1 { "was" } else { "were" })
}

/// The beginning of an id, which is enough to find the whole of it.
fn short(id: &str) -> String {
    id.chars().take(SHORT).collect()
}

fn facts(report: &Report) -> Vec<Fact> {
    let funnel = &report.funnel;
    let samples = samples_composed(report);
    let fact = |number: u64, name, note| Fact { value: count(number), name, note };
    vec![
        fact(funnel.found, "clips found", format!("{} labelled", count(funnel.labelled))),
        fact(
            funnel.accepted,
            "accepted",
            format!("{} of those found", percent(funnel.accepted, funnel.found)),
        ),
        fact(
            classes_accepted(report),
            "classes with clips",
            format!("{} in the ontology", count(ontology::classes(&report.ontology))),
        ),
        fact(
            samples,
            "samples composed",
            format!("{} skipped", counted(recipes_skipped(report), "recipe", "recipes")),
        ),
        fact(
            report.rejected.total,
            "rejected",
            format!("{} dead", counted(report.dead_letters.total, "record", "records")),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use counterpoint_messages::Split;

    use super::*;
    use crate::report::SampleCount;

    #[test]
    fn a_run_that_found_nothing_says_where_it_looked() {
        let mut report = Report::default();
        report.head.created_from = vec!["clips".to_owned(), "eval.csv".to_owned()];
        assert_eq!(
            summary(&report),
            "No media file was found in clips and eval.csv, so there is nothing to curate and nothing was composed."
        );
    }

    #[test]
    fn a_run_of_one_clip_is_told_in_the_singular() {
        let mut report = Report::default();
        report.funnel.found = 1;
        report.funnel.labelled = 1;
        report.funnel.curated = 1;
        report.funnel.accepted = 1;
        report.samples.composed =
            vec![SampleCount { recipe: RecipeName::Aligned, split: Split::Eval, samples: 1 }];
        let told = summary(&report);
        assert!(told.starts_with("1 media file was found; 1 carries a label"), "{told}");
        assert!(
            told.contains("1 clip passed") && told.contains("1 sample was composed by 1 recipe."),
            "{told}"
        );
    }

    #[test]
    fn the_sum_of_huge_counts_does_not_overflow() {
        let mut report = Report::default();
        report.funnel.found = u64::MAX;
        let row = SampleCount { recipe: RecipeName::Aligned, split: Split::Eval, samples: u64::MAX };
        report.samples.composed = vec![row, row];
        assert!(summary(&report).contains("18,446,744,073,709,551,615 samples"));
    }
}
