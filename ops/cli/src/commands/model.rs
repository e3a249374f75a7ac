//! `model`: a model on tensors, to be held against other implementations.

use std::{path::Path, process::ExitCode};

use anyhow::Context as _;
use serde::Serialize;

use crate::{
    args::{
        Common,
        models::{Forward, LoraLosses, ModelCommand, OnModel},
    },
    local::LocalModels,
    output::{Outcome, print, print_json, say},
};

pub fn run(arguments: &OnModel, common: &Common, local: &dyn LocalModels) -> Outcome {
    match &arguments.command {
        ModelCommand::Forward(arguments) => forward(arguments, common, local),
        ModelCommand::LoraLosses(arguments) => lora_losses(arguments, common, local),
    }
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
