//! Rounds of training, as the settings of a run want them.

use std::{path::Path, sync::Arc};

use counterpoint_actors::{
    planner::Rounds,
    training::Course,
    tuition::{Results, Tuition},
};
use counterpoint_core::media_job::SampleRequest;
use counterpoint_log::TopicLog;
use counterpoint_models::{Base, LearnedStep, LocalModel, ModelName, Progress};

use crate::{args::Common, commands::asking::RATE, config::Config, local::LocalModels, output::Failure};

/// Folder below that of a run in which each round has one for its checkpoint.
pub const CHECKPOINTS: &str = "checkpoints";

/// The rounds, where the settings name a model to begin with.
pub fn rounds(config: &Config, local: Option<&'static dyn LocalModels>) -> Result<Option<Rounds>, Failure> {
    let Some(name) = &config.trainer.base else { return Ok(None) };
    let wrong = |problem: &str| Failure::usage(format!("setting trainer.base is {name}: {problem}"));
    let base = match name.as_str() {
        "tiny" => Base::Nothing,
        name => match name.parse::<ModelName>().map_err(|error| wrong(&error.to_string()))? {
            ModelName::Local(model @ LocalModel { adapter: None, .. }) => Base::Model(model),
            ModelName::Local(_) => {
                return Err(wrong("a model with an adapter cannot get another one; merge them first"));
            }
            ModelName::Remote(_) => return Err(wrong("name a checkpoint folder, or tiny")),
        },
    };
    let local = local.ok_or_else(|| wrong("this program has no models in it; run the one that has"))?;
    let prepared = local.prepare(&base, config.trainer.recipe.as_deref().map(Path::new));
    let course = Course { base, prepared: prepared.map_err(anyhow::Error::from)? };
    let settings = &config.evaluator;
    let request = SampleRequest {
        frames_per_second: settings.frames_per_second,
        size: settings.size.unwrap_or(config.decoder.size),
        rate: RATE,
    };
    Ok(Some(Rounds { course, request, every: config.trainer.every, seed: config.seed }))
}

/// What a run's rounds of training take.
pub fn tuition(
    rounds: &Rounds,
    log: Arc<dyn TopicLog>,
    out: &Path,
    common: &Common,
    local: &'static dyn LocalModels,
) -> Tuition {
    Tuition {
        tutor: Arc::new(local as &'static dyn counterpoint_models::Tutor),
        base: rounds.course.base.clone(),
        results: Results::Below(out.join(CHECKPOINTS)),
        device: common.device.clone(),
        log,
        watch: Box::new(|progress| {
            if let Progress::Step(LearnedStep { part, step, of, loss, .. }) = progress
                && step == of
            {
                tracing::info!("part {part} of the training: {of} steps, loss {loss:.3}");
            }
        }),
    }
}
