//! `bench curate`: segment lists to classes, against a plain Python script.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use serde_json::json;

use super::{
    Bench, lists,
    peers::plain_python,
    rounds::{Side, Spent, alternate},
    table::Findings,
    tree::{Peak, watched},
};
use crate::{args::bench::CurateBench, context::Classification, output::Failure};

const SCRIPT: &str = include_str!("../../../assets/bench/curate.py");

const OURS: &str = "curate";
const PYTHON: &str = "Python, csv and dictionaries";

pub fn run(arguments: &CurateBench, bench: &Bench<'_>) -> Result<Findings, Failure> {
    let named = bench.rounds.python.as_deref();
    let python =
        if bench.rounds.alone { None } else { Some(plain_python(named).map_err(anyhow::Error::from)?) };
    let classification =
        Classification::of(lists::ONTOLOGY.to_owned(), "the built-in ontology", None, "built in")?;
    let file = |name: &str| bench.scratch.join(name);
    let (ontology, classes) = (file("ontology.json"), file("classes.json"));
    let write = |path: &Path, text: &str| {
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    write(&ontology, lists::ONTOLOGY)?;
    write(&classes, &json!({ "classes": classification.rulebook.classes() }).to_string())?;
    let labels = if arguments.labels.is_empty() {
        let list = file("segments.csv");
        lists::draw(arguments.rows, &classification.rulebook, &list)?;
        vec![list]
    } else {
        arguments.labels.clone()
    };
    let rows = rows(&labels)?;
    let mut findings = Findings::new("curate", bench.rounds.rounds);
    findings.inputs.insert("segments", rows.to_string());

    let (ours, theirs) = (file("ours.csv"), file("theirs.csv"));
    let own = || -> anyhow::Result<Peak> {
        let mut command =
            Command::new(std::env::current_exe().context("cannot tell where this program lies")?);
        command.args(["curate", "--json", "--ontology"]).arg(&ontology).arg("--out").arg(&ours);
        watched(command.arg("--labels").args(&labels), bench.scratch)
    };
    let python = python.map(|python| {
        let (ours, theirs) = (&classes, &theirs);
        let (ontology, labels) = (&ontology, &labels);
        move || -> anyhow::Result<Peak> {
            let mut command = Command::new(&python);
            command.args(["-c", SCRIPT]).arg(ours).arg(ontology).arg(theirs).args(labels);
            watched(&mut command, bench.scratch)
        }
    });
    findings.figure(format!("peak memory of {OURS}"), own()?.program as f64 / 1e6, "MB");
    if let Some(python) = &python {
        findings.figure(format!("peak memory of {PYTHON}"), python()?.program as f64 / 1e6, "MB");
        let read = |path: &PathBuf| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        let (ours, theirs) = (read(&ours)?, read(&theirs)?);
        let lines = |text: &[u8]| text.iter().filter(|byte| **byte == b'\n').count();
        let found = format!("{} and {} lines", lines(&ours), lines(&theirs));
        findings.check("the tables, byte by byte", found, ours == theirs);
    }
    let mut sides = vec![Side::new(OURS, || Spent::on(|| own().map(drop)))];
    if let Some(python) = python {
        sides.push(Side::new(PYTHON, move || Spent::on(|| python().map(drop))));
    }
    let measured = alternate(sides, bench.rounds.rounds, bench.interrupt, bench.screen)?;
    findings.sides(&measured, "segments", rows);
    findings.ratio(&measured, OURS, PYTHON, None);
    findings.notes.push(
        "both are whole commands on one core; ours also prunes the ontology by its rules, checks every field, and \
         counts each reason"
            .to_owned(),
    );
    Ok(findings)
}

/// Lines of the lists that are no comments.
fn rows(lists: &[PathBuf]) -> anyhow::Result<u64> {
    use std::io::BufRead;
    let mut rows = 0;
    for list in lists {
        let open = || fs::File::open(list).map(std::io::BufReader::new);
        let lines = open().with_context(|| format!("cannot read {}", list.display()))?.split(b'\n');
        for line in lines {
            let line = line.with_context(|| format!("cannot read {}", list.display()))?;
            rows += u64::from(!line.is_empty() && !line.starts_with(b"#"));
        }
    }
    Ok(rows)
}
