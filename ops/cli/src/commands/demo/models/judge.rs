//! The demo's judge: how it comes to know its classes.

use std::{fs, path::Path};

use anyhow::Context as _;
use counterpoint_models::{Base, LocalModel, ModelName};

use super::{FORMAT, Lesson};
use crate::{
    args::{self, Common},
    commands::demo::{MadeOf, Purpose, Stage},
    config::Config,
    local::LocalModels,
    output::Failure,
    progress::Screen,
};

/// Clips of each class that it learns from, at most: not more than the demo has good ones.
const CLIPS_PER_CLASS: u32 = 32;

/// The run that it learns from, below the demo's folder.
const RUN: &str = "judge";

/// Where it is put, below the demo's folder.
const CHECKPOINT: &str = "models/judge";

/// Has a judge learn from clips of its own; the name by which settings know it, or nothing if it was interrupted.
pub(super) fn teach(
    arguments: &args::Demo,
    config: &Config,
    common: &Common,
    screen: &Screen,
    local: &'static dyn LocalModels,
) -> Result<Option<String>, Failure> {
    let (out, seed) = (&arguments.out, arguments.seed);
    let name = name(out)?;
    let run = out.join(RUN);
    let mut config = config.clone();
    // What it learns from is shown to it like what it will judge.
    config.evaluator.frames_per_second = config.prober.frames_per_second;
    config.evaluator.size = None;
    // Its clips are nobody else's, so their log is its own, wherever the demo's is.
    let common = Common { broker: None, ..common.clone() };
    let clips_per_class = arguments.clips_per_class().min(CLIPS_PER_CLASS);
    let made_of = MadeOf { seed, clips_per_class, format: FORMAT, purpose: Purpose::Judge };
    let stage = Stage { out: &run, config: &config, common: &common, screen };
    if stage.run(&made_of, Some(local))?.is_none() {
        return Ok(None);
    }
    let lesson = Lesson { config: &config, common: &common, samples: &run, seed, screen, local };
    let is_done = lesson.learn(Base::Nothing, "tiny-judge", &out.join(CHECKPOINT))?;
    Ok(is_done.then_some(name))
}

/// The judge's name in settings, which is the same from whatever folder the demo is started.
fn name(out: &Path) -> Result<String, Failure> {
    let folder = fs::canonicalize(out).with_context(|| format!("cannot find {}", out.display()))?;
    let checkpoint = folder.join(CHECKPOINT);
    let is_read_back = |name: &str| {
        let expected = LocalModel { checkpoint: checkpoint.clone(), adapter: None };
        name.parse::<ModelName>() == Ok(ModelName::Local(expected))
    };
    match checkpoint.to_str().filter(|name| is_read_back(name)) {
        Some(name) => Ok(name.to_owned()),
        None => Err(Failure::usage(format!(
            "a model in {} cannot be named in settings: choose an --out whose path is UTF-8 and has no `+` in it",
            folder.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_judge_is_named_by_its_whole_path_or_the_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let plain = name(folder.path()).unwrap();
        assert!(Path::new(&plain).is_absolute() && plain.ends_with("/models/judge"), "{plain}");
        let taken_apart = folder.path().join("a+b");
        fs::create_dir(&taken_apart).unwrap();
        let error = name(&taken_apart).unwrap_err();
        assert!(matches!(error, Failure::Usage(_)) && error.to_string().contains("no `+`"), "{error}");
    }
}
