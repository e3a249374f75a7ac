//! `train`: a model taught on the samples of a run.

use std::{
    collections::BTreeSet,
    io::{self, IsTerminal},
    path::Path,
    process::ExitCode,
    time::Instant,
};

use counterpoint_models::{
    Base, LearnedStep, Material, ModelName, Progress, Stop, Trained, Training, TrainingError,
};

use super::asking::Subject;
use crate::{
    args::{
        Common,
        models::{Train, TrainedModel},
    },
    config::{Config, read},
    local::LocalModels,
    output::{Failure, Outcome, print, print_json, say},
    progress::{INTERRUPTED, Interrupt, LINE_EVERY, Screen},
};

pub fn run(arguments: &Train, common: &Common, screen: &Screen, local: &dyn LocalModels) -> Outcome {
    let config = Config::load(common)?;
    let base = match &arguments.model {
        TrainedModel::Tiny => Base::Nothing,
        TrainedModel::Model(model) => tunable(model)?,
    };
    let recipes: Vec<String> = arguments.recipes.iter().map(|recipe| recipe.as_str().to_owned()).collect();
    let training = Training {
        base,
        recipe: arguments.recipe.clone(),
        recipes: (!recipes.is_empty()).then_some(recipes),
        seed: arguments.seed,
        device: common.device.clone(),
        out: arguments.out.clone(),
        stop: Stop::new(),
    };
    let classes = arguments.classes.as_deref().map(classes).transpose()?;
    let subject = actix::System::new().block_on(Subject::open(common, &config, &arguments.samples))?;
    let material = subject.teaching(&config, classes.as_ref(), &arguments.samples)?;
    match learn(&training, &material, screen, local)? {
        Some(trained) if common.json => print_json(&trained)?,
        Some(trained) => print(&format!(
            "{} steps; ask it by --model {}; losses in {}",
            trained.steps,
            trained.model,
            trained.losses.display()
        )),
        None => {
            say("interrupted: what was learned is kept; run the same command again to continue");
            return Ok(ExitCode::from(INTERRUPTED));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A model as what a tuning begins with.
pub fn tunable(model: &ModelName) -> Result<Base, Failure> {
    match model {
        ModelName::Local(model) if model.adapter.is_none() => Ok(Base::Model(model.clone())),
        ModelName::Local(_) => Err(Failure::usage(
            "a model with an adapter cannot get another one: merge them first, by `counterpoint model merge`",
        )),
        ModelName::Remote(_) => {
            Err(Failure::usage("a model behind a network cannot be trained here: name a checkpoint folder"))
        }
    }
}

/// Trains with progress on the screen; nothing if it was interrupted.
pub fn learn(
    training: &Training,
    material: &dyn Material,
    screen: &Screen,
    local: &dyn LocalModels,
) -> anyhow::Result<Option<Trained>> {
    let interrupt = Interrupt::default();
    let _listening = interrupt.listen_in_background();
    let bar = screen.bar("samples", 0);
    let (mut part, mut said) = (0, Instant::now());
    let mut watch = |progress| {
        if interrupt.is_set() {
            training.stop.set();
        }
        match progress {
            Progress::Taken { clips, of } => {
                bar.set_length(of as u64);
                bar.set_position(clips as u64);
            }
            Progress::Step(LearnedStep { part: now, step, of, loss, .. }) => {
                if now != part {
                    part = now;
                    bar.reset_eta();
                }
                bar.set_prefix(format!("part {now}"));
                bar.set_length(of);
                bar.set_position(step);
                bar.set_message(format!("loss {loss:.3}"));
                if step == of || (!io::stderr().is_terminal() && said.elapsed() > LINE_EVERY) {
                    said = Instant::now();
                    tracing::info!("part {now}: step {step} of {of}, loss {loss:.3}");
                }
            }
        }
    };
    let trained = local.train(training, material, &mut watch);
    bar.finish_and_clear();
    match trained {
        Ok(trained) => Ok(Some(trained)),
        Err(TrainingError::Stopped { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The classes of a file, one a line.
pub fn classes(path: &Path) -> Result<BTreeSet<String>, Failure> {
    let text = read("classes", path)?;
    let names: BTreeSet<String> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if names.is_empty() {
        return Err(Failure::usage(format!("{} names no class: give one a line", path.display())));
    }
    Ok(names)
}
