//! The demo's judge: how it comes to know its classes.

use counterpoint_core::questions::Wording;
use counterpoint_models::Base;

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
pub(super) const RUN: &str = "judge";

/// Where it is put, below the demo's folder.
pub(super) const CHECKPOINT: &str = "models/judge";

/// Has a judge learn from clips of its own; whether it came to its end.
pub(super) fn teach(
    arguments: &args::Demo,
    config: &Config,
    common: &Common,
    screen: &Screen,
    local: &'static dyn LocalModels,
) -> Result<bool, Failure> {
    let (out, seed) = (&arguments.out, arguments.seed);
    let run = out.join(RUN);
    let mut config = config.clone();
    // What it learns from is shown to it like what it will judge, and asked in the same words.
    config.evaluator.frames_per_second = config.prober.frames_per_second;
    config.evaluator.size = None;
    config.composer.plan = "streams".to_owned();
    let wording = Wording { judge_suffix: config.prober.suffix, ..Wording::default() };
    // Its clips are nobody else's, so their log and objects are its own, wherever the demo's are.
    config.store.url = None;
    let common = Common { broker: None, ..common.clone() };
    let clips_per_class = arguments.clips_per_class().min(CLIPS_PER_CLASS);
    let made_of = MadeOf::new(seed, clips_per_class, FORMAT, Purpose::Judge);
    let stage = Stage { out: &run, config: &config, common: &common, screen, judge: None };
    let Some(finished) = stage.run(&made_of, Some(local))? else { return Ok(false) };
    if finished.summary.accepted == 0 {
        return Err(Failure::Failed(anyhow::anyhow!(
            "none of the clips that the judge would learn from was let through; {} tells why",
            run.join("report.html").display()
        )));
    }
    let lesson = Lesson { config: &config, common: &common, samples: &run, seed, wording, screen, local };
    lesson.learn(Base::Nothing, "tiny-judge", &out.join(CHECKPOINT))
}
