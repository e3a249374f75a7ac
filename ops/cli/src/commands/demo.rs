//! `demo`: a corpus of its own making, through the whole pipeline, to a report.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use counterpoint_actors::{settings::DecoderSettings, store::write_atomically};
use counterpoint_core::corpus::{ClipFormat, Corpus};
use counterpoint_messages::{Split, StageName};

use super::{
    prepare::in_parallel,
    run::{Finished, Job, execute, tell},
};
use crate::{
    args::{self, Common},
    config::Config,
    context::workers,
    output::{Failure, Outcome, print, say},
    progress::{INTERRUPTED, Interrupt, Screen},
};

/// AudioSet's ontology, so that the demo prunes the real one.
const ONTOLOGY: &str = include_str!("../../assets/ontology.json");

pub fn run(arguments: &args::Demo, common: &Common, screen: &Screen) -> Outcome {
    let mut config = Config::load(common)?;
    config.seed = arguments.seed;
    let format = ClipFormat::default();
    if config.decoder == DecoderSettings::default() {
        // The corpus is small; enlarging it to the published size would show nothing more.
        config.decoder.size = u32::from(format.size);
    }
    if !(1..=2000).contains(&arguments.clips_per_class) {
        return Err(Failure::usage("--clips-per-class from 1 to 2000"));
    }
    let corpus = Corpus::plan(arguments.seed, arguments.clips_per_class, format);
    let folder = arguments.out.join("corpus");
    if !make(&corpus, &folder, &config, screen)? {
        say("interrupted: run the same command again to continue");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    let job = Job {
        clips: Some(folder.join("clips")),
        labels: [Split::Train, Split::Eval].map(|split| (split, list(&folder, split))).into(),
        ontology: folder.join("ontology.json"),
        out: arguments.out.clone(),
        stages: StageName::ALL.into(),
        materialise: false,
        new_revision: false,
        from: None,
    };
    let finished = execute(&job, &config, common, screen)?;
    tell(&finished, &arguments.out, common)?;
    match finished {
        Finished { interrupted: true, .. } => Ok(ExitCode::from(INTERRUPTED)),
        Finished { .. } => Ok(ExitCode::SUCCESS),
    }
}

fn list(folder: &Path, split: Split) -> PathBuf {
    folder.join(format!("{}_segments.csv", split.as_str()))
}

/// Writes the corpus, apart from the clips that are there already; whether it is complete.
fn make(corpus: &Corpus, folder: &Path, config: &Config, screen: &Screen) -> anyhow::Result<bool> {
    let clips = folder.join("clips");
    fs::create_dir_all(&clips).with_context(|| format!("cannot make folder {}", clips.display()))?;
    write_atomically(&folder.join("ontology.json"), ONTOLOGY.as_bytes())?;
    for split in [Split::Train, Split::Eval] {
        write_atomically(&list(folder, split), corpus.labels_csv(split).as_bytes())?;
    }
    let pool = workers(&config.effort)?;
    let interrupt = Interrupt::default();
    interrupt.listen_in_background();
    let bar = screen.bar("corpus", corpus.clips.len());
    let made = in_parallel(&corpus.clips, config.effort.workers(), &interrupt, |clip| {
        let path = clips.join(format!("{}.mp4", clip.file_stem));
        if !path.is_file() {
            pool.synthesize(&clip.script, &path)?;
        }
        bar.inc(1);
        Ok(())
    })?;
    bar.finish_and_clear();
    let complete = made.iter().all(Option::is_some);
    if complete {
        print(&format!("{} clips in {}", corpus.clips.len(), clips.display()));
    }
    Ok(complete)
}
