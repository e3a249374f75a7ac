//! `bench memory`: what whole runs on more and more clips hold in memory.

use std::{fs, path::Path, process::Command};

use anyhow::Context as _;
use counterpoint_core::corpus::{ClipFormat, ToyClass};

use super::{
    Bench, films, lists,
    table::Findings,
    tree::{Peak, watched},
};
use crate::{args::bench::MemoryBench, output::Failure};

/// Small and short, as it is their number that counts.
const FILMS: ClipFormat = ClipFormat {
    size: 64,
    frame_rate: 10,
    seconds: 2,
    sample_rate: 16_000,
    sound_noise: 0.02,
    picture_noise: 0.02,
};

/// A normal form of the same size.
const SETTINGS: &str = "[decoder]\nsize = 64\nseconds = 2\n";

/// How many times what the smallest run holds a larger one may hold.
const FLAT: f64 = 1.5;

pub fn run(arguments: &MemoryBench, bench: &Bench<'_>) -> Result<Findings, Failure> {
    let mut findings = Findings::new("memory", 1);
    let pool = bench.workers()?;
    let mut peaks: Vec<(u32, Peak)> = Vec::new();
    for count in &arguments.clips {
        let folder = bench.scratch.join(format!("run-{count}-{}", peaks.len()));
        let clips = folder.join("clips");
        let made =
            films::draw(*count as usize, FILMS, &clips, bench.config, &pool, bench.interrupt, bench.screen)?;
        let peak = whole_run(&folder, &made)?;
        findings.figure(format!("{count} clips, all processes"), peak.all as f64 / 1e6, "MB");
        findings.figure(format!("{count} clips, the program itself"), peak.program as f64 / 1e6, "MB");
        peaks.push((*count, peak));
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let numbers: Vec<String> = arguments.clips.iter().map(u32::to_string).collect();
    findings.inputs.insert("clips", numbers.join(", "));
    let (least, most) =
        (peaks.iter().min_by_key(|(count, _)| *count), peaks.iter().max_by_key(|(count, _)| *count));
    if let (Some((few, small)), Some((many, large))) = (least, most)
        && few != many
    {
        let growth = large.all as f64 / small.all.max(1) as f64;
        findings.check(
            format!("{many} clips hold no more than {FLAT} times the memory of {few}"),
            format!("{growth:.2} times"),
            growth <= FLAT,
        );
        let each = large.program.saturating_sub(small.program) as f64 / f64::from(many - few);
        findings.figure("growth of the program itself for each clip more", each / 1000.0, "kB");
    }
    findings.notes.push(
        "resident memory of the program and its media workers at the worst moment, looked at every 20 ms; drawn \
         clips of 64x64 pixels and two seconds, the whole pipeline with its report"
            .to_owned(),
    );
    Ok(findings)
}

/// Runs this very program on clips in `folder`.
fn whole_run(folder: &Path, clips: &[std::path::PathBuf]) -> anyhow::Result<Peak> {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        anyhow::Ok(path)
    };
    let stems = clips.iter().filter_map(|clip| clip.file_stem()?.to_str());
    // All classes in turn, so that there are donors for every recipe.
    let rows: String = stems
        .zip(ToyClass::ALL.iter().cycle())
        .map(|(stem, class)| format!("{stem}, 0.000, 2.000, \"{}\"\n", class.labels().join(",")))
        .collect();
    let (labels, ontology) = (write("train_segments.csv", &rows)?, write("ontology.json", lists::ONTOLOGY)?);
    let settings = write("settings.toml", SETTINGS)?;
    let mut command = Command::new(std::env::current_exe().context("cannot tell where this program lies")?);
    command.arg("run").arg("--json").arg("--config").arg(settings).arg("--clips").arg(folder.join("clips"));
    command.arg("--labels").arg(labels).arg("--ontology").arg(ontology).arg("--out").arg(folder.join("out"));
    watched(&mut command, folder)
}
