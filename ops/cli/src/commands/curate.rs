//! `curate`: label lists to classes, row by row, in memory that does not grow with the lists.

use std::{
    fs::{File, Permissions},
    io::{BufReader, BufWriter, Read, Write},
    os::unix::fs::PermissionsExt as _,
    process::ExitCode,
};

use anyhow::Context as _;
use counterpoint_core::{
    curation::Funnel,
    segments::{NoSegmentList, SegmentReader},
};

use crate::{
    args::{self, Common},
    config::Config,
    context::Classification,
    output::{Failure, Outcome, print, print_json, thousands},
    progress::Screen,
};

pub fn run(arguments: &args::Curate, common: &Common, screen: &Screen) -> Outcome {
    let config = Config::load(common)?;
    let rules = config.curator.rules.as_deref().map(AsRef::as_ref);
    let classification = Classification::read(&arguments.ontology, rules)?;
    let rulebook = &classification.rulebook;
    let mut funnel = Funnel::default();
    let folder = arguments.out.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make folder {}", folder.display()))?;
    }
    let unfinished = tempfile::Builder::new()
        .prefix(".writing-")
        // As the user's mask has it: a table is no secret.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder.unwrap_or(".".as_ref()))
        .with_context(|| format!("cannot write {}", arguments.out.display()))?;
    let mut rows = csv::Writer::from_writer(BufWriter::new(unfinished.as_file()));
    rows.write_record(["youtube_id", "class", "start_seconds"]).context("cannot write the table")?;
    for (_, path) in &arguments.labels {
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| format!("cannot read the label list {name}"))?;
        let bytes = file.metadata().map_or(0, |metadata| metadata.len());
        let bar = screen.bar("curate", usize::try_from(bytes).unwrap_or(usize::MAX));
        let counted = bar.wrap_read(BufReader::with_capacity(1 << 18, file));
        let rows_before = funnel.rows;
        let mut first_broken = None;
        for row in SegmentReader::new(Box::new(counted) as Box<dyn Read>, &name) {
            let row = match row {
                Ok(row) => row,
                Err(error) => {
                    funnel.count_broken(&error);
                    first_broken.get_or_insert(error);
                    continue;
                }
            };
            let curated = rulebook.curate(&row.labels);
            funnel.count(row.labels.len(), &curated);
            if let Ok(curated) = curated {
                let start = format!("{:?}", row.segment.start_ms as f64 / 1000.0);
                rows.write_record([row.youtube_id.as_str(), curated.class, &start])
                    .with_context(|| format!("cannot write {}", arguments.out.display()))?;
            }
        }
        bar.finish_and_clear();
        if let Some(error) = first_broken
            && funnel.rows == rows_before
        {
            return Err(Failure::Failed(NoSegmentList(error).into()));
        }
    }
    rows.flush().with_context(|| format!("cannot write {}", arguments.out.display()))?;
    drop(rows);
    unfinished
        .persist(&arguments.out)
        .with_context(|| format!("cannot write {}", arguments.out.display()))?
        .flush()
        .with_context(|| format!("cannot write {}", arguments.out.display()))?;
    if common.json {
        print_json(&funnel)?;
    } else {
        tell(&funnel, &arguments.out.display().to_string());
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(funnel: &Funnel, out: &str) {
    let labels = funnel.mean_labels().map_or_else(String::new, |mean| format!(", {mean:.2} labels each"));
    print(&format!("{:>12}  segments{labels}", thousands(funnel.rows)));
    for (reason, count) in &funnel.rejected {
        print(&format!("{:>12}  {}", format!("-{}", thousands(*count)), reason.as_str()));
    }
    print(&format!(
        "{:>12}  of one of {} classes, in {out}",
        thousands(funnel.kept_total()),
        funnel.kept.len()
    ));
    if funnel.broken_rows > 0 {
        print(&format!("{:>12}  rows could not be read:", thousands(funnel.broken_rows)));
        for row in &funnel.broken_shown {
            print(&format!("              {row}"));
        }
    }
    if !funnel.unknown_labels.is_empty() {
        let unknown: Vec<_> = funnel.unknown_labels.keys().take(10).map(String::as_str).collect();
        print(&format!("              labels that the ontology does not have: {}", unknown.join(", ")));
    }
}
