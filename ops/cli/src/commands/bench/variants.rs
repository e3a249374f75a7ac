//! `bench variants`: eight sound swaps of one clip, against ffmpeg with and without encoding.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use counterpoint_core::media_job::{ComposeRequest, PrepareRequest};
use counterpoint_messages::Recipe;
use counterpoint_worker::{ParentPaths, WorkerPool};

use super::{
    Bench,
    films::Reel,
    peers::Ffmpeg,
    rounds::{Side, Spent, alternate},
    table::Findings,
};
use crate::{args::bench::Films, commands::prepare::in_parallel, output::Failure};

/// Swaps of a turn.
const SWAPS: usize = 8;

const WARM: &str = "swap, workers at hand";
const COLD: &str = "swap, workers started for it";
const COPY: &str = "ffmpeg -c copy";
const ENCODE: &str = "ffmpeg, encoding";
const MIXUP: &str = "mixup";

pub fn run(films: &Films, bench: &Bench<'_>) -> Result<Findings, Failure> {
    let ffmpeg = if bench.rounds.alone { None } else { Some(Ffmpeg::find().map_err(anyhow::Error::from)?) };
    let pool = bench.workers()?;
    let reel = Reel::new(films, bench.config, bench.scratch, &pool, bench.interrupt, bench.screen)?;
    let mut findings = Findings::new("variants", bench.rounds.rounds);
    findings.inputs.insert("clips", reel.origin.clone());
    let Some((host, others)) = reel.prepared.split_first().filter(|(_, others)| !others.is_empty()) else {
        let text = "a swap needs two clips or more; raise --films, or name a folder of more with --clips";
        return Err(Failure::usage(text));
    };
    let parents = |clip: &counterpoint_worker::Prepared| (clip.video.to_path_buf(), clip.sound.to_path_buf());
    let host = parents(host);
    let donors: Vec<(PathBuf, PathBuf)> = others.iter().cycle().take(SWAPS).map(parents).collect();
    let swaps: Vec<Swap> = donors
        .into_iter()
        .enumerate()
        .map(|(number, donor)| Swap {
            host: host.clone(),
            donor,
            out: bench.scratch.join(format!("swap-{number}.mp4")),
        })
        .collect();
    let each = |work: &(dyn Fn(&Swap) -> anyhow::Result<()> + Sync)| {
        in_parallel(&swaps, bench.processes(), bench.interrupt, work).map(drop)
    };
    let misaligned = |pool: &WorkerPool| each(&|swap: &Swap| swap.compose(pool, Recipe::Misaligned));

    misaligned(&pool)?;
    if let Some(ffmpeg) = ffmpeg {
        check(ffmpeg, &swaps, &mut findings)?;
    }
    let mut sides = vec![
        Side::new(WARM, || Spent::beside(&pool.idle_processes(), || misaligned(&pool))),
        Side::new(COLD, || Spent::on(|| misaligned(&*bench.workers()?))),
        Side::new(MIXUP, || {
            Spent::beside(&pool.idle_processes(), || {
                each(&|swap: &Swap| swap.compose(&pool, Recipe::Mixup { snr_db: 0.0 }))
            })
        }),
    ];
    if let Some(ffmpeg) = ffmpeg {
        let (each, encode) = (&each, "-c:v libx264 -preset veryfast -crf 18 -c:a aac -b:a 128k");
        sides.push(Side::new(COPY, move || {
            Spent::on(|| each(&|swap: &Swap| swap.with_ffmpeg(ffmpeg, "-c copy")))
        }));
        sides.push(Side::new(ENCODE, move || {
            Spent::on(|| each(&|swap: &Swap| swap.with_ffmpeg(ffmpeg, encode)))
        }));
    }
    let measured = alternate(sides, bench.rounds.rounds, bench.interrupt, bench.screen)?;
    findings.sides(&measured, "variants", SWAPS as u64);
    findings.ratio(&measured, WARM, ENCODE, Some(50.0));
    findings.ratio(&measured, WARM, COPY, Some(4.0));
    findings.ratio(&measured, COLD, ENCODE, None);
    findings.ratio(&measured, COLD, COPY, None);
    findings.notes.extend(
        [
            "ffmpeg is started once a variant, two at a time, as its user would; ours makes a run's variants in \
             workers that live for the whole run (first side), whose start the second side counts in",
            "ours syncs each file before it gives it its name; ffmpeg does not",
            "mixup decodes two FLACs, mixes them at 0 dB, brings the mix to one loudness, and encodes it once: it \
             stands for itself",
        ]
        .map(str::to_owned),
    );
    Ok(findings)
}

/// The picture of one clip with the sound of another.
struct Swap {
    host: (PathBuf, PathBuf),
    donor: (PathBuf, PathBuf),
    out: PathBuf,
}

impl Swap {
    fn compose(&self, pool: &WorkerPool, recipe: Recipe) -> anyhow::Result<()> {
        let loudness_lufs = PrepareRequest::default().loudness_lufs;
        let paths =
            |(video, sound): &(PathBuf, PathBuf)| -> (PathBuf, PathBuf) { (video.clone(), sound.clone()) };
        let (host, donor) = (paths(&self.host), paths(&self.donor));
        let host = ParentPaths { video: &host.0, sound: &host.1 };
        let donor = ParentPaths { video: &donor.0, sound: &donor.1 };
        match pool.compose(&ComposeRequest { recipe, loudness_lufs }, host, &[donor], &self.out)? {
            Ok(_) => Ok(()),
            Err(reject) => bail!("{}", reject.detail),
        }
    }

    fn with_ffmpeg(&self, ffmpeg: Ffmpeg, coding: &str) -> anyhow::Result<()> {
        let inputs = ["-i".as_ref(), self.host.0.as_os_str(), "-i".as_ref(), self.donor.0.as_os_str()];
        let outputs =
            ["-map", "0:v", "-map", "1:a"].into_iter().chain(coding.split(' ')).map(std::ffi::OsStr::new);
        ffmpeg.run(inputs.into_iter().chain(outputs).chain([self.out.as_os_str()])).map(drop)
    }
}

/// Compares the streams of swaps that were made here with those of the parents and of `ffmpeg -c copy`.
fn check(ffmpeg: Ffmpeg, swaps: &[Swap], findings: &mut Findings) -> anyhow::Result<()> {
    let (mut parents, mut copies) = (0, 0);
    for swap in swaps {
        let ours = Streams::of(ffmpeg, &swap.out)?;
        let (host, donor) = (Streams::of(ffmpeg, &swap.host.0)?, Streams::of(ffmpeg, &swap.donor.0)?);
        parents += usize::from(ours == Streams { picture: host.picture, sound: donor.sound });
        swap.with_ffmpeg(ffmpeg, "-c copy")?;
        copies += usize::from(ours == Streams::of(ffmpeg, &swap.out)?);
        fs::remove_file(&swap.out).with_context(|| format!("cannot remove {}", swap.out.display()))?;
    }
    let of = |count| format!("equal in {count} of {}", swaps.len());
    let all = swaps.len();
    findings.check("packets against those of the parents", of(parents), parents == all);
    findings.check("packets against those that ffmpeg copies", of(copies), copies == all);
    Ok(())
}

/// Hashes of the packets of a file.
#[derive(Debug, PartialEq, Eq)]
struct Streams {
    picture: String,
    sound: String,
}

impl Streams {
    fn of(ffmpeg: Ffmpeg, file: &Path) -> anyhow::Result<Self> {
        let hash = ["-c", "copy", "-f", "streamhash", "-"].map(std::ffi::OsStr::new);
        let (told, _) = ffmpeg.run(["-i".as_ref(), file.as_os_str()].into_iter().chain(hash))?;
        let hash = |kind: &str| -> anyhow::Result<String> {
            let line = told.lines().find(|line| line.split(',').nth(1) == Some(kind));
            line.map(str::to_owned).with_context(|| format!("{} has no such stream: {kind}", file.display()))
        };
        // The line begins with the stream's number, which is the same in every file made here.
        Ok(Self { picture: hash("v")?, sound: hash("a")? })
    }
}
