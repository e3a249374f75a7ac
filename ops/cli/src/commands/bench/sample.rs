//! `bench sample`: files to frames and sound in memory, against ffmpeg followed by torchcodec, and against
//! torchcodec alone on files in the normal form.

use std::{
    cell::RefCell,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use counterpoint_core::media_job::SampleRequest;
use counterpoint_worker::{Sampled, WorkerPool};
use serde::{Deserialize, Serialize};

use super::{
    Bench,
    films::Reel,
    peers::{Dialogue, Ffmpeg, Tools, script},
    prepare::normalise,
    rounds::{Side, Spent, alternate},
    table::Findings,
};
use crate::{args::bench::Films, commands::prepare::in_parallel, output::Failure};

const SCRIPT: &str = include_str!("../../../assets/bench/torchcodec.py");

const OURS: &str = "sample, from the clip";
const BOTH: &str = "ffmpeg, then torchcodec";
const OURS_NORMAL: &str = "sample, from the normal form";
const THEIRS_NORMAL: &str = "torchcodec, from the normal form";

/// Frames of a normal form at the rate that is sampled.
const FRAMES: usize = 20;

/// Mean distance of two decoders' pixels, of 255, that is nothing but rounding of the colour conversion.
const PIXEL_SLACK: f64 = 2.0;

/// The same between a clip and its copy that was coded once more.
const RECODED_SLACK: f64 = 6.0;

/// How far the level of the same sound may be apart, as a share. Samples cannot be compared one by one:
/// torchcodec begins with the encoder's priming, which an edit list keeps from being heard.
const LEVEL_SLACK: f64 = 0.05;

#[derive(Serialize)]
struct Question<'a> {
    files: &'a [PathBuf],
    dump: Option<&'a [PathBuf]>,
}

#[derive(Deserialize)]
struct Answer {
    cpu_seconds: f64,
}

/// torchcodec in as many processes as this side has.
struct TorchCodec(Dialogue);

impl TorchCodec {
    fn decode(&mut self, files: &[PathBuf], dump: Option<&[PathBuf]>) -> anyhow::Result<Duration> {
        let answer: Answer = self.0.ask(&Question { files, dump })?;
        Ok(Duration::from_secs_f64(answer.cpu_seconds.max(0.0)))
    }

    /// Decodes, measured; its processes live on and tell their processor time themselves.
    fn turn(&mut self, files: &[PathBuf]) -> anyhow::Result<Spent> {
        let mut cpu = Duration::ZERO;
        let spent = Spent::on(|| {
            cpu = self.decode(files, None)?;
            Ok(())
        })?;
        Ok(Spent { cpu: spent.cpu + cpu, ..spent })
    }
}

pub fn run(films: &Films, bench: &Bench<'_>) -> Result<Findings, Failure> {
    let request = SampleRequest::default();
    let peers = if bench.rounds.alone { None } else { Some(peers(bench, &request)?) };
    let peers = peers.map(|(ffmpeg, torchcodec)| (ffmpeg, RefCell::new(TorchCodec(torchcodec))));
    let pool = bench.workers()?;
    let reel = Reel::new(films, bench.config, bench.scratch, &pool, bench.interrupt, bench.screen)?;
    let mut findings = Findings::new("sample", bench.rounds.rounds);
    findings.inputs.insert("clips", reel.origin.clone());
    let normal: Vec<PathBuf> = reel.prepared.iter().map(|clip| clip.video.to_path_buf()).collect();
    check_skipping(&normal, &request, &pool, bench, &mut findings)?;

    let side = |name: &'static str, files: Vec<PathBuf>| {
        let (pool, request) = (&pool, &request);
        Side::new(name, move || {
            // Two turns of the pool may end in other processes; those that ended count as children.
            Spent::beside(&pool.idle_processes(), || {
                in_parallel(&files, bench.processes(), bench.interrupt, |file| {
                    sampled(pool, file, request).map(drop)
                })
                .map(drop)
            })
        })
    };
    let mut sides = vec![side(OURS, reel.files.clone()), side(OURS_NORMAL, normal.clone())];
    if let Some((ffmpeg, torchcodec)) = &peers {
        let ffmpeg = *ffmpeg;
        let coded: Vec<PathBuf> =
            (0..reel.files.len()).map(|index| bench.scratch.join(format!("coded-{index}.mp4"))).collect();
        let pairs: Vec<(PathBuf, PathBuf)> = reel.files.iter().cloned().zip(coded.iter().cloned()).collect();
        let code = move |pairs: &[(PathBuf, PathBuf)]| {
            in_parallel(pairs, bench.processes(), bench.interrupt, |(input, output)| {
                normalise(ffmpeg, input, output)
            })
            .map(drop)
        };
        code(&pairs)?;
        let compared = Compared { pool: &pool, request: &request, bench };
        let mut decoder = torchcodec.borrow_mut();
        compared.check("normal form", &normal, &normal, PIXEL_SLACK, &mut decoder, &mut findings)?;
        compared.check("clip", &reel.files, &coded, RECODED_SLACK, &mut decoder, &mut findings)?;
        drop(decoder);
        let normal = normal.clone();
        sides.push(Side::new(BOTH, move || {
            let coding = Spent::on(|| code(&pairs))?;
            let decoding = torchcodec.borrow_mut().turn(&coded)?;
            Ok(Spent { wall: coding.wall + decoding.wall, cpu: coding.cpu + decoding.cpu })
        }));
        sides.push(Side::new(THEIRS_NORMAL, move || torchcodec.borrow_mut().turn(&normal)));
    }
    let measured = alternate(sides, bench.rounds.rounds, bench.interrupt, bench.screen)?;
    findings.sides(&measured, "clips", reel.files.len() as u64);
    findings.ratio(&measured, OURS, BOTH, Some(6.0));
    findings.ratio(&measured, OURS_NORMAL, THEIRS_NORMAL, Some(1.0));
    findings.notes.extend(
        [
            "each clip gives 20 frames of 504x504 RGB at 2 a second, and mono sound at 16 kHz, in memory; both sides \
             in one process a core, started before the clock",
            "ours hands frames over to the process that asked; those of torchcodec stay where they were decoded",
            "ours decodes in a limited process without a network or files of its own",
        ]
        .map(str::to_owned),
    );
    Ok(findings)
}

fn peers(bench: &Bench<'_>, request: &SampleRequest) -> anyhow::Result<(Ffmpeg, Dialogue)> {
    let arguments = [
        bench.processes().to_string(),
        FRAMES.to_string(),
        request.frames_per_second.to_string(),
        request.rate.to_string(),
    ];
    let torchcodec = script(Tools::Bench, bench.rounds.python.as_deref(), SCRIPT, &arguments, &[])?;
    Ok((Ffmpeg::find()?, torchcodec))
}

fn sampled(pool: &WorkerPool, file: &Path, request: &SampleRequest) -> anyhow::Result<Sampled> {
    match pool.sample(file, request)? {
        Ok(sampled) => Ok(sampled),
        Err(reject) => bail!("{}: {}", file.display(), reject.detail),
    }
}

/// Compares the frames with those that come of decoding every frame: at the rate of the normal form none can
/// be left out.
fn check_skipping(
    normal: &[PathBuf],
    request: &SampleRequest,
    pool: &WorkerPool,
    bench: &Bench<'_>,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let every = SampleRequest { frames_per_second: 25.0, ..request.clone() };
    let step = every.frames_per_second / request.frames_per_second;
    let length = (request.size as usize).pow(2) * 3;
    let differing = in_parallel(normal, bench.processes(), bench.interrupt, |file| {
        let (some, all) = (sampled(pool, file, request)?, sampled(pool, file, &every)?);
        let differs = |index: &usize| {
            let at = (*index as f64 * step).floor() as usize * length;
            some.rgb.get(index * length..(index + 1) * length) != all.rgb.get(at..at + length)
        };
        Ok((0..some.time.len()).filter(differs).count() + usize::from(some.pcm != all.pcm))
    })?;
    let differing: usize = differing.into_iter().flatten().sum();
    let found = if differing == 0 { "equal bit by bit".to_owned() } else { format!("{differing} differ") };
    findings.check("frames and sound against those of decoding every frame", found, differing == 0);
    Ok(())
}

struct Compared<'a> {
    pool: &'a WorkerPool,
    request: &'a SampleRequest,
    bench: &'a Bench<'a>,
}

impl Compared<'_> {
    /// Compares what comes of `ours` here with what torchcodec makes of `theirs`.
    fn check(
        &self,
        what: &str,
        ours: &[PathBuf],
        theirs: &[PathBuf],
        slack: f64,
        torchcodec: &mut TorchCodec,
        findings: &mut Findings,
    ) -> anyhow::Result<()> {
        let dumps: Vec<PathBuf> =
            (0..theirs.len()).map(|index| self.bench.scratch.join(format!("dump-{index}"))).collect();
        torchcodec.decode(theirs, Some(&dumps))?;
        let (mut pixels, mut apart) = (0.0_f64, 0.0_f64);
        for (file, dump) in ours.iter().zip(&dumps) {
            let own = sampled(self.pool, file, self.request)?;
            let other = fs::read(dump).with_context(|| format!("cannot read {}", dump.display()))?;
            fs::remove_file(dump).with_context(|| format!("cannot remove {}", dump.display()))?;
            let length = (self.request.size as usize).pow(2) * 3;
            let (frames, sound) =
                other.split_at_checked(FRAMES * length).context("torchcodec gave other frames")?;
            let own_frames =
                own.rgb.get(..FRAMES * length).context("the clip has fewer frames than ten seconds")?;
            let sound = sound.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value));
            pixels = pixels.max(mean(own_frames.iter().zip(frames).map(|(a, b)| f64::from(a.abs_diff(*b)))));
            let (own, other) = (level(own.pcm.iter().copied()), level(sound));
            apart = apart.max((own - other).abs() / own.max(other).max(f64::MIN_POSITIVE));
        }
        findings.check(
            format!("{what}: distance from torchcodec's, the clip that differs most"),
            format!("{pixels:.3} of 255 a pixel, {:.2} % in the level of the sound", apart * 100.0),
            pixels <= slack && apart <= LEVEL_SLACK,
        );
        Ok(())
    }
}

/// Root mean square.
fn level(samples: impl Iterator<Item = f32>) -> f64 {
    mean(samples.map(|sample| f64::from(sample).powi(2))).sqrt()
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_u64), |(sum, count), value| (sum + value, count + 1));
    sum / count.max(1) as f64
}
