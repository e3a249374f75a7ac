//! `demo`: a corpus of its own making, through the whole pipeline, to a report.

mod models;

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use counterpoint_actors::{
    projection::newest_revision, revision::stages, settings::DecoderSettings, store::write_atomically,
};
use counterpoint_core::corpus::{ClipFormat, Corpus};
use counterpoint_messages::Split;
use counterpoint_models::ModelName;
use serde::{Deserialize, Serialize};

use super::{
    prepare::in_parallel,
    run::{Changes, Finished, Job, execute, tell},
};
use crate::{
    args::{self, Common},
    config::Config,
    context::{open_log, workers},
    local::LocalModels,
    output::{Failure, Outcome, say},
    progress::{INTERRUPTED, Interrupt, Screen},
};

/// AudioSet's ontology, so that the demo prunes the real one.
const ONTOLOGY: &str = include_str!("../../assets/ontology.json");

pub fn run(
    arguments: &args::Demo,
    common: &Common,
    screen: &Screen,
    local: Option<&'static dyn LocalModels>,
) -> Outcome {
    let mut config = Config::load(common)?;
    config.seed = arguments.seed;
    if !(1..=2000).contains(&arguments.clips_per_class()) {
        return Err(Failure::usage("--clips-per-class from 1 to 2000"));
    }
    let Some(local) = local.filter(|_| !arguments.pipeline_only) else {
        (config.prober.judge, config.trainer.base) = (None, None);
        let format = ClipFormat::default();
        if config.decoder == DecoderSettings::default() {
            // The corpus is small; enlarging it to the published size would show nothing more.
            config.decoder.size = u32::from(format.size);
        }
        let made_of = MadeOf::demo(arguments, format);
        let stage = Stage { out: &arguments.out, config: &config, common, screen, judge: None };
        let Some(finished) = stage.run(&made_of, None)? else { return interrupted() };
        tell(&finished, &arguments.out, common)?;
        return Ok(ExitCode::SUCCESS);
    };
    models::run(arguments, config, common, screen, local)
}

fn interrupted() -> Outcome {
    say("interrupted: run the same command again to continue");
    Ok(ExitCode::from(INTERRUPTED))
}

/// A folder with a corpus and a run on it.
struct Stage<'a> {
    out: &'a Path,
    config: &'a Config,
    common: &'a Common,
    screen: &'a Screen,
    /// The model that the settings name as judge.
    judge: Option<ModelName>,
}

impl Stage<'_> {
    /// Makes the corpus and runs the pipeline on it; nothing if it was interrupted.
    fn run(
        &self,
        made_of: &MadeOf,
        local: Option<&'static dyn LocalModels>,
    ) -> Result<Option<Finished>, Failure> {
        let Self { out, config, common, screen, .. } = *self;
        check(made_of, out, config, common)?;
        if !make(&made_of.plan(), made_of, &corpus(out), config, screen)? {
            return Ok(None);
        }
        let finished = execute(&self.job(), config, common, screen, local)?;
        Ok((!finished.interrupted).then_some(finished))
    }

    fn job(&self) -> Job {
        let folder = corpus(self.out);
        Job {
            clips: Some(folder.join("clips")),
            labels: [Split::Train, Split::Eval].map(|split| (split, list(&folder, split))).into(),
            ontology: folder.join("ontology.json"),
            out: self.out.to_owned(),
            stages: stages(self.config.prober.judge.is_some(), false).into_iter().collect(),
            follow: false,
            materialise: false,
            changes: Changes::Refuse,
            from: None,
            judge: self.judge.clone(),
        }
    }
}

/// Refuses a folder that holds something else, which is said before anything that takes long.
fn check(made_of: &MadeOf, out: &Path, config: &Config, common: &Common) -> Result<(), Failure> {
    made_of.check(&corpus(out))?;
    check_log(out, config, common)
}

/// Refuses a log that cannot be opened, or that somebody's own run has written: its folder is no place for a
/// corpus.
fn check_log(out: &Path, config: &Config, common: &Common) -> Result<(), Failure> {
    fs::create_dir_all(out).with_context(|| format!("cannot make folder {}", out.display()))?;
    let log = open_log(common, out, &config.topics)?;
    if corpus(out).join(MadeOf::FILE).exists() {
        return Ok(());
    }
    let newest = actix::System::new().block_on(newest_revision(&*log)).map_err(anyhow::Error::from)?;
    match newest {
        None => Ok(()),
        Some(_) => Err(Failure::usage(format!(
            "{} holds a run that is no demo's, to which a demo would add its clips: choose another --out",
            out.display()
        ))),
    }
}

/// Where a demo keeps its corpus.
fn corpus(out: &Path) -> PathBuf {
    out.join("corpus")
}

/// What decides which clips a corpus has; kept beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct MadeOf {
    seed: u64,
    clips_per_class: u32,
    #[serde(default)]
    format: ClipFormat,
    #[serde(default)]
    purpose: Purpose,
    /// [`Self::VERSION`] of the release that made it.
    #[serde(default)]
    version: u32,
}

/// What clips are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Purpose {
    /// To be what the demo is about.
    #[default]
    Demo,
    /// To be learned from by the judge of those.
    Judge,
}

impl MadeOf {
    const FILE: &str = "corpus.json";

    /// Raised whenever the same seed plans something else.
    const VERSION: u32 = 1;

    fn demo(arguments: &args::Demo, format: ClipFormat) -> Self {
        Self::new(arguments.seed, arguments.clips_per_class(), format, Purpose::Demo)
    }

    fn new(seed: u64, clips_per_class: u32, format: ClipFormat, purpose: Purpose) -> Self {
        Self { seed, clips_per_class, format, purpose, version: Self::VERSION }
    }

    fn plan(&self) -> Corpus {
        let Self { seed, clips_per_class, format, purpose, version: _ } = self.clone();
        match purpose {
            Purpose::Demo => Corpus::plan(seed, clips_per_class, format),
            Purpose::Judge => Corpus::plan_for_judge(seed, clips_per_class, format),
        }
    }

    /// Refuses a folder whose corpus is another one.
    fn check(&self, folder: &Path) -> Result<(), Failure> {
        let file = folder.join(Self::FILE);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(anyhow::anyhow!("cannot read {}: {error}", file.display()).into()),
        };
        let found: Self = serde_json::from_str(&text)
            .with_context(|| format!("{} is damaged; remove its folder and start again", file.display()))?;
        if found == *self {
            return Ok(());
        }
        let Self { seed, clips_per_class, .. } = found;
        let differs_by_flags = Self { seed, clips_per_class, ..self.clone() } == found;
        let folder = folder.display();
        Err(Failure::usage(if differs_by_flags {
            format!(
                "{folder} holds a corpus made with --seed {seed} --clips-per-class {clips_per_class}: give these, \
                 or choose another --out"
            )
        } else {
            format!(
                "{folder} holds a corpus of another kind (demo, demo --pipeline-only, a judge's) or of another \
                 release: choose another --out"
            )
        }))
    }
}

fn list(folder: &Path, split: Split) -> PathBuf {
    folder.join(format!("{}_segments.csv", split.as_str()))
}

fn path_of(clips: &Path, stem: &str) -> PathBuf {
    clips.join(format!("{stem}.mp4"))
}

/// Writes the corpus, apart from the clips that are there already; whether it is complete.
fn make(
    corpus: &Corpus,
    made_of: &MadeOf,
    folder: &Path,
    config: &Config,
    screen: &Screen,
) -> anyhow::Result<bool> {
    let clips = folder.join("clips");
    fs::create_dir_all(&clips).with_context(|| format!("cannot make folder {}", clips.display()))?;
    write_atomically(&folder.join(MadeOf::FILE), &serde_json::to_vec_pretty(made_of)?)?;
    write_atomically(&folder.join("ontology.json"), ONTOLOGY.as_bytes())?;
    for split in [Split::Train, Split::Eval] {
        write_atomically(&list(folder, split), corpus.labels_csv(split).as_bytes())?;
    }
    let pool = workers(&config.effort)?;
    let interrupt = Interrupt::default();
    let _listening = interrupt.listen_in_background();
    let missing = corpus.clips.iter().filter(|clip| !path_of(&clips, &clip.file_stem).is_file()).count();
    if missing > 0 {
        say(&format!("drawing {missing} clips into {}", clips.display()));
    }
    let bar = screen.bar("corpus", corpus.clips.len());
    let made = in_parallel(&corpus.clips, config.effort.workers(), &interrupt, |clip| {
        let path = path_of(&clips, &clip.file_stem);
        if !path.is_file() {
            pool.synthesize(&clip.script, &path)?;
        }
        bar.inc(1);
        Ok(())
    })?;
    bar.finish_and_clear();
    let complete = made.iter().all(Option::is_some);
    if complete {
        say(&format!("{} clips in {}", corpus.clips.len(), clips.display()));
    }
    Ok(complete)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_one_corpus() {
        let folder = tempfile::tempdir().unwrap();
        let first = MadeOf::new(0, 32, ClipFormat::default(), Purpose::Demo);
        first.check(folder.path()).unwrap();
        fs::write(folder.path().join(MadeOf::FILE), serde_json::to_vec(&first).unwrap()).unwrap();
        first.check(folder.path()).unwrap();
        for other in [MadeOf { seed: 1, ..first.clone() }, MadeOf { clips_per_class: 8, ..first.clone() }] {
            let error = other.check(folder.path()).unwrap_err();
            assert!(matches!(error, Failure::Usage(_)));
            assert!(
                error.to_string().contains("--seed 0 --clips-per-class 32: give these, or choose another")
            );
        }
        let small = ClipFormat { size: 56, ..ClipFormat::default() };
        for other in [
            MadeOf { format: small, clips_per_class: 87, ..first.clone() },
            MadeOf { purpose: Purpose::Judge, ..first.clone() },
            MadeOf { purpose: Purpose::Judge, seed: 1, ..first },
        ] {
            let error = other.check(folder.path()).unwrap_err().to_string();
            assert!(error.contains("choose another --out") && !error.contains("give these"), "{error}");
        }
    }

    #[test]
    fn a_corpus_of_an_earlier_release_which_planned_otherwise_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(MadeOf::FILE), r#"{"seed": 3, "clips_per_class": 2}"#).unwrap();
        let same = MadeOf::new(3, 2, ClipFormat::default(), Purpose::Demo);
        let error = same.check(folder.path()).unwrap_err().to_string();
        assert!(error.contains("of another release: choose another --out"), "{error}");
    }
}
