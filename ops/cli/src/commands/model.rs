//! `model`: a model on tensors, to be held against other implementations.

use std::{path::Path, process::ExitCode};

use anyhow::Context as _;
use counterpoint_models::ModelName;
use serde::Serialize;

use crate::{
    args::{
        Common,
        models::{Forward, LoraLosses, Merge, ModelCommand, OnModel, SideOfBench},
    },
    local::LocalModels,
    output::{Failure, Outcome, print, print_json, say},
    sides::{Job, take_turns},
};

pub fn run(arguments: &OnModel, common: &Common, local: &dyn LocalModels) -> Outcome {
    match &arguments.command {
        ModelCommand::Forward(arguments) => forward(arguments, common, local),
        ModelCommand::LoraLosses(arguments) => lora_losses(arguments, common, local),
        ModelCommand::Merge(arguments) => merge(arguments, common, local),
        ModelCommand::Side(arguments) => side(arguments, common, local),
    }
}

fn side(arguments: &SideOfBench, common: &Common, local: &dyn LocalModels) -> Outcome {
    let job: Job = serde_json::from_str(&arguments.job)
        .map_err(|error| Failure::usage(format!("{} is no job of `bench`: {error}", arguments.job)))?;
    take_turns(local.side(job, &common.device)?)?;
    Ok(ExitCode::SUCCESS)
}

fn merge(arguments: &Merge, common: &Common, local: &dyn LocalModels) -> Outcome {
    let Merge { model, out } = arguments;
    let adapted = match model {
        ModelName::Local(adapted) if adapted.adapter.is_some() => adapted,
        _ => return Err(Failure::usage(format!("{model} has no adapter to merge: name DIR+ADAPTER"))),
    };
    local.merge(adapted, out).with_context(|| format!("{model} cannot be merged"))?;
    if common.json {
        #[derive(Serialize)]
        struct Told<'a> {
            out: &'a Path,
        }
        print_json(&Told { out })?;
    } else {
        print(&format!("{}", out.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn forward(arguments: &Forward, common: &Common, local: &dyn LocalModels) -> Outcome {
    let Forward { model, inputs, out, attention } = arguments;
    let tokens = local
        .forward(model, inputs, out, *attention, &common.device)
        .with_context(|| format!("{} cannot be run on {}", model.display(), inputs.display()))?;
    if common.json {
        #[derive(Serialize)]
        struct Told<'a> {
            out: &'a Path,
            tokens: usize,
        }
        print_json(&Told { out, tokens })?;
    } else {
        say(&format!("{tokens} tokens; {}", out.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn lora_losses(arguments: &LoraLosses, common: &Common, local: &dyn LocalModels) -> Outcome {
    let LoraLosses { model, inputs, lora, steps } = arguments;
    let losses = local
        .lora_losses(model, inputs, lora, *steps, &common.device)
        .with_context(|| format!("{} cannot be tuned on {}", model.display(), inputs.display()))?;
    print(&serde_json::to_string(&losses).context("a loss is no number")?);
    Ok(ExitCode::SUCCESS)
}
