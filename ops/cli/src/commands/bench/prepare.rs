//! `bench prepare`: files to their normal form, against the same ffmpeg command for each of them.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context as _;

use super::{
    Bench,
    films::Reel,
    peers::Ffmpeg,
    rounds::{Side, Spent, alternate, median},
    table::Findings,
};
use crate::{args::bench::Films, commands::prepare::in_parallel, output::Failure};

const OURS: &str = "prepare";
const FFMPEG: &str = "ffmpeg";

/// How much lower the similarity of ours may be and still count as equal.
const SIMILARITY_SLACK: f64 = 0.005;

/// What makes squares of the size and rate of the normal form. The rate is reached by showing at each
/// moment the last frame that began before it, as this program does.
const PICTURE: &str = "crop='min(iw,ih)':'min(iw,ih)',scale=504:504,fps=25:round=up";

/// Brings one file to the form that ours has, as far as ffmpeg goes.
pub fn normalise(ffmpeg: Ffmpeg, input: &Path, output: &Path) -> anyhow::Result<()> {
    let mut arguments: Vec<&std::ffi::OsStr> = vec!["-i".as_ref(), input.as_ref()];
    let options = "-t 10 -c:v libx264 -preset veryfast -crf 18 -c:a aac -b:a 128k";
    arguments.extend(["-vf", PICTURE].map(std::ffi::OsStr::new));
    arguments.extend(options.split(' ').map(std::ffi::OsStr::new));
    arguments.push(output.as_ref());
    ffmpeg.run(arguments).map(drop)
}

pub fn run(films: &Films, bench: &Bench<'_>) -> Result<Findings, Failure> {
    let ffmpeg = if bench.rounds.alone { None } else { Some(Ffmpeg::find().map_err(anyhow::Error::from)?) };
    let pool = bench.workers()?;
    let reel = Reel::new(films, bench.config, bench.scratch, &pool, bench.interrupt, bench.screen)?;
    let mut findings = Findings::new("prepare", bench.rounds.rounds);
    findings.inputs.insert("clips", reel.origin.clone());
    let theirs: Vec<PathBuf> =
        (0..reel.files.len()).map(|index| bench.scratch.join(format!("ffmpeg-{index}.mp4"))).collect();
    if let Some(ffmpeg) = ffmpeg {
        let pairs: Vec<_> = reel.files.iter().zip(&theirs).collect();
        in_parallel(&pairs, bench.processes(), bench.interrupt, |(input, output)| {
            normalise(ffmpeg, input, output)
        })?;
        let of = |outputs: &[PathBuf]| -> anyhow::Result<f64> {
            let pairs: Vec<_> = reel.files.iter().zip(outputs).collect();
            let all = in_parallel(&pairs, bench.processes(), bench.interrupt, |(source, output)| {
                similarity(ffmpeg, source, output)
            })?;
            Ok(median(all.into_iter().flatten()))
        };
        let prepared: Vec<PathBuf> = reel.prepared.iter().map(|clip| clip.video.to_path_buf()).collect();
        let (own, other) = (of(&prepared)?, of(&theirs)?);
        findings.check(
            "structural similarity (SSIM) with the source's frames",
            format!("{own:.4} {OURS}, {other:.4} {FFMPEG}"),
            own + SIMILARITY_SLACK >= other,
        );
        let bytes = |files: &[PathBuf]| -> f64 {
            median(files.iter().map(|file| file.metadata().map_or(0, |data| data.len()) as f64))
        };
        for (what, files) in [(OURS, &prepared), (FFMPEG, &theirs)] {
            findings.figure(format!("median file of {what}"), bytes(files) / 1000.0, "kB");
        }
    }
    drop(pool);

    let mut sides = vec![Side::new(OURS, || {
        let out = tempfile::tempdir_in(bench.scratch).context("cannot make a folder")?;
        Spent::on(|| own_prepare(&reel.files, out.path()))
    })];
    if let Some(ffmpeg) = ffmpeg {
        let files: Vec<_> = reel.files.iter().zip(&theirs).collect();
        sides.push(Side::new(FFMPEG, move || {
            Spent::on(|| {
                in_parallel(&files, bench.processes(), bench.interrupt, |(input, output)| {
                    normalise(ffmpeg, input, output)
                })
                .map(drop)
            })
        }));
    }
    let measured = alternate(sides, bench.rounds.rounds, bench.interrupt, bench.screen)?;
    findings.sides(&measured, "clips", reel.files.len() as u64);
    findings.ratio(&measured, OURS, FFMPEG, Some(0.95));
    findings.notes.extend(
        [
            "both sides are whole commands: `counterpoint prepare FILES` once, ffmpeg once a file, two at a time",
            "the peer: -vf \"crop='min(iw,ih)':'min(iw,ih)',scale=504:504,fps=25:round=up\" -t 10 -c:v libx264 \
             -preset veryfast -crf 18 -c:a aac -b:a 128k",
            "similarity: each output is brought to the source's square by ffmpeg's area filter and compared \
             as RGB with the source's frames at 25 a second; the median clip",
            "ours also measures loudness and brings it to one level, writes the sound as FLAC, gathers statistics, \
             rejects what is short or broken, hashes input and output, and does all of it in a limited process",
        ]
        .map(str::to_owned),
    );
    Ok(findings)
}

/// Runs this very program on the files.
fn own_prepare(files: &[PathBuf], out: &Path) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("cannot tell where this program lies")?;
    let done = Command::new(program)
        .args(["prepare", "--json", "--out"])
        .arg(out)
        .arg("--")
        .args(files)
        .stdin(Stdio::null())
        .output()
        .context("cannot start this program")?;
    let told: Told = serde_json::from_slice(&done.stdout).unwrap_or_default();
    if !done.status.success() || told.ok != files.len() {
        anyhow::bail!("`prepare` failed: {}", String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(())
}

#[derive(Default, serde::Deserialize)]
struct Told {
    ok: usize,
}

/// Structural similarity of an output with the source's own frames.
fn similarity(ffmpeg: Ffmpeg, source: &Path, output: &Path) -> anyhow::Result<f64> {
    let graph = "[1:v]crop='floor(min(iw,ih)/2)*2':'floor(min(iw,ih)/2)*2',fps=25:round=up,trim=end_frame=250,\
                 settb=1/25,setpts=N,format=gbrp,split[source][shape];\
                 [0:v]settb=1/25,setpts=N,format=gbrp[square];\
                 [square][shape]scale2ref=flags=area[output][rest];[rest]nullsink;[output][source]ssim";
    let inputs = ["-i".as_ref(), output.as_os_str(), "-i".as_ref(), source.as_os_str()];
    let outputs = ["-filter_complex", graph, "-an", "-f", "null", "-"].map(std::ffi::OsStr::new);
    let (_, said) = ffmpeg.run(inputs.into_iter().chain(outputs))?;
    let all = said.lines().rev().find_map(|line| line.split_once("All:"));
    let all = all.and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
    all.with_context(|| format!("ffmpeg did not tell the similarity of {}", output.display()))
}
