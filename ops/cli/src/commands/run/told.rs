//! What a run came to, for people and for programs.

use std::path::{Path, PathBuf};

use counterpoint_actors::projection::Summary;
use counterpoint_messages::InputSealed;
use serde::Serialize;

use super::Finished;
use crate::{
    args::Common,
    context::log_flags,
    output::{print, print_json, say, thousands},
};

#[derive(Serialize)]
struct Told<'a> {
    finished: bool,
    /// Null until there is one.
    report: Option<PathBuf>,
    #[serde(flatten)]
    summary: &'a Summary,
}

/// Files left out, rows that cannot be read or are there twice, and labels that the ontology does not have.
pub fn remarks(input: &InputSealed) -> Vec<String> {
    let mut remarks = input.explanations.clone();
    if input.repeated_rows > 0 {
        let rows = thousands(input.repeated_rows);
        remarks
            .push(format!("rows of the label lists that repeat a segment: {rows}; the first of each counts"));
    }
    for (mid, rows) in &input.unknown_mids {
        let rows = thousands(*rows);
        remarks.push(format!("labels {mid}, which the ontology does not have: {rows}; mend the lists"));
    }
    remarks
}

/// Prints what the run came to.
pub fn tell(finished: &Finished, out: &Path, common: &Common) -> anyhow::Result<()> {
    let Finished { summary, remarks, interrupted, followed } = finished;
    let report = out.join("report.html");
    for remark in remarks {
        say(remark);
    }
    if common.json {
        let report = report.is_file().then_some(report);
        return print_json(&Told { finished: !interrupted, report, summary });
    }
    let count = |number: u64, what: &str| print(&format!("{:>10}  {what}", thousands(number)));
    let lost = |stage: &str| {
        for (reason, number) in summary.rejected.get(stage).into_iter().flatten() {
            print(&format!("{:>10}  {reason}", format!("-{}", thousands(*number))));
        }
    };
    count(summary.found, "media files found");
    if summary.unlabelled > 0 {
        print(&format!("{:>10}  unlabelled", format!("-{}", thousands(summary.unlabelled))));
    }
    for (stage, number, what) in [
        ("source", None, ""),
        ("curator", Some(summary.curated), "of exactly one class"),
        ("decoder", Some(summary.decoded), "in normal form"),
        ("gate", Some(summary.accepted), "accepted"),
    ] {
        lost(stage);
        if let Some(number) = number {
            count(number, what);
        }
    }
    let composed: Vec<_> =
        summary.composed.iter().map(|(recipe, number)| format!("{recipe} {number}")).collect();
    count(summary.composed.values().sum(), &format!("samples: {}", composed.join(", ")));
    let skipped: u64 = summary.skipped.values().flat_map(|reasons| reasons.values()).sum();
    if skipped > 0 {
        count(skipped, "recipes skipped, each with its reason in the report");
    }
    if summary.dead_letters > 0 {
        let command = format!("counterpoint topics dead-letters {}", log_flags(common, out));
        count(summary.dead_letters, &format!("dead letters: `{command}` shows them"));
    }
    if summary.broken_rows > 0 {
        count(summary.broken_rows, "rows of the label lists could not be read; the first are told above");
    }
    match (interrupted, followed) {
        (true, true) => say(
            "following was ended, which is how it ends: everything that was done is kept, and the next pool is \
             sealed when it goes on; run the same command again (without --from) to follow on, or without \
             --follow to seal what there is",
        ),
        (true, false) => say(
            "interrupted: everything that was done is kept; run the same command again (without --from) to continue",
        ),
        (false, _) => {}
    }
    if !interrupted || (*followed && report.is_file()) {
        print(&format!("report: {}", report.display()));
    }
    Ok(())
}
