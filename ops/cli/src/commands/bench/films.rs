//! What media benchmarks work on: a user's clips, or films drawn here.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use counterpoint_core::{
    corpus::{ClipFormat, Corpus, ScriptedClip},
    media_job::PrepareRequest,
};
use counterpoint_worker::{Prepared, WorkerPool};

use crate::{
    args::bench::Films,
    commands::{inputs::Inputs, prepare::in_parallel},
    config::Config,
    output::Failure,
    progress::{Interrupt, Screen},
};

/// Seed of drawn films.
const SEED: u64 = 0;

/// Classes of the drawn corpus.
const CLASSES: u32 = 8;

/// Files with their normal form.
pub struct Reel {
    /// Files, each of which has a normal form of full length.
    pub files: Vec<PathBuf>,
    /// Their normal forms, in the same order.
    pub prepared: Vec<Prepared>,
    /// Where the files come from, for people.
    pub origin: String,
}

impl Reel {
    /// Finds or draws films and brings each to its normal form; those that are too short, or else
    /// rejected, are left out, as a peer would do other work on them.
    pub fn new(
        arguments: &Films,
        config: &Config,
        scratch: &Path,
        pool: &WorkerPool,
        interrupt: &Interrupt,
        screen: &Screen,
    ) -> Result<Self, Failure> {
        let most = arguments.films as usize;
        let (mut files, origin) = match &arguments.clips {
            Some(folder) => {
                let found = Inputs::find(std::slice::from_ref(folder), &config.source.extensions)?;
                (found.files, format!("clips of {}", folder.display()))
            }
            None => {
                let size = arguments.film_size;
                let format =
                    ClipFormat { size, frame_rate: 30, sample_rate: 44_100, ..ClipFormat::default() };
                let files = draw(most, format, &scratch.join("films"), config, pool, interrupt, screen)?;
                (files, format!("drawn, {size}x{size}, 30 frames a second"))
            }
        };
        let found = files.len();
        files.truncate(most);
        let bar = screen.bar("normal form", files.len());
        let request = PrepareRequest::default();
        let outcomes = in_parallel(&files, config.effort.workers(), interrupt, |file| {
            let outcome = pool.prepare(file, &request, scratch)?;
            bar.inc(1);
            Ok(outcome)
        })?;
        bar.finish_and_clear();
        let mut reel = Self { files: Vec::new(), prepared: Vec::new(), origin };
        for (file, outcome) in files.into_iter().zip(outcomes) {
            match outcome {
                Some(Ok(prepared)) => {
                    reel.files.push(file);
                    reel.prepared.push(prepared);
                }
                Some(Err(_)) => {}
                None => return Err(anyhow::anyhow!("interrupted").into()),
            }
        }
        if reel.files.is_empty() {
            return Err(
                anyhow::anyhow!("none of {found} files can be prepared; name others with --clips").into()
            );
        }
        reel.origin = format!("{} of {found} files, {}", reel.files.len(), reel.origin);
        Ok(reel)
    }
}

/// Draws so many good clips.
pub fn draw(
    count: usize,
    format: ClipFormat,
    folder: &Path,
    config: &Config,
    pool: &WorkerPool,
    interrupt: &Interrupt,
    screen: &Screen,
) -> anyhow::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make folder {}", folder.display()))?;
    let each = u32::try_from(count).unwrap_or(u32::MAX).div_ceil(CLASSES);
    let corpus = Corpus::plan(SEED, each, format);
    let good = |clip: &&ScriptedClip| clip.script.fault.is_none() && !clip.labels.is_empty();
    let clips: Vec<ScriptedClip> = corpus.clips.iter().filter(good).take(count).cloned().collect();
    let bar = screen.bar("films", clips.len());
    let made = in_parallel(&clips, config.effort.workers(), interrupt, |clip| {
        let path = folder.join(format!("{}.mp4", clip.file_stem));
        pool.synthesize(&clip.script, &path)?;
        bar.inc(1);
        Ok(path)
    })?;
    bar.finish_and_clear();
    match made.into_iter().collect() {
        Some(paths) => Ok(paths),
        None => bail!("interrupted"),
    }
}
