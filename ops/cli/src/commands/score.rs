//! `score`: predictions on a question file.

use std::{path::Path, process::ExitCode};

use counterpoint_core::scoring::{QaScores, QaTally, read_jsonl, score_qa};
use serde::de::DeserializeOwned;

use crate::{
    args::{self, Common},
    config::read,
    output::{Outcome, print, print_json, thousands},
};

pub fn run(arguments: &args::evaluation::Score, common: &Common) -> Outcome {
    let items = rows("question file", &arguments.qa)?;
    let predictions = rows("file of predictions", &arguments.predictions)?;
    let scores = score_qa(&items, &predictions, arguments.matching.into()).map_err(anyhow::Error::from)?;
    if common.json {
        print_json(&scores)?;
        return Ok(ExitCode::SUCCESS);
    }
    let QaScores { overall, audio, visual, .. } = &scores;
    print(&format!("{:8} {:>9} {:>9} {:>9} {:>9}", "", "questions", "missing", "accuracy", "attacks"));
    for (name, QaTally { n, missing, accuracy, attack_success_rate, .. }) in
        [("overall", overall), ("audio", audio), ("visual", visual)]
    {
        let attacks = attack_success_rate.map_or_else(|| "-".to_owned(), percent);
        let (n, missing) = (thousands(*n), thousands(*missing));
        print(&format!("{name:8} {n:>9} {missing:>9} {:>9} {attacks:>9}", percent(*accuracy)));
    }
    Ok(ExitCode::SUCCESS)
}

fn rows<T: DeserializeOwned>(what: &str, path: &Path) -> anyhow::Result<Vec<T>> {
    Ok(read_jsonl(&read(what, path)?, &path.display().to_string())?)
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}
