//! The program `counterpoint` with models in it: the same command line, and libtorch beside it.

mod sides;

use std::{path::Path, process::ExitCode};

use anyhow::Context as _;
use counterpoint_cli::{Examined, Job, LocalModels, Side, Weights};
use counterpoint_local::{OmniModel, prepare, train};
use counterpoint_models::{
    Base, LocalModel, LocalSettings, Material, Model, ModelError, Prepared, Progress, Stop, Trained,
    Training, TrainingError, Tutor,
};
use counterpoint_omni::{
    Checkpoint, ThinkerConfig, device, forward_file, lora_losses, merge,
    weights::{
        Dtype, Sizes,
        memory::{Load, Mode, Targets, memory},
    },
};

/// A clip of ten seconds at two frames of 504 pixels a second, with its sound, a question and an answer.
const CLIP: Load =
    Load { tokens: 10 * 18 * 18 + 250 + 400, patches: 10 * 36 * 36, mel_frames: 1000, answer_tokens: 16 };

/// Rank of the published recipe.
const RANK: usize = 8;

struct Omni;

impl Tutor for Omni {
    fn prepare(&self, base: &Base, recipe: Option<&Path>) -> Result<Prepared, TrainingError> {
        prepare(base, recipe)
    }

    fn train(
        &self,
        training: &Training,
        material: &dyn Material,
        watch: &mut dyn FnMut(Progress),
    ) -> Result<Trained, TrainingError> {
        train(training, material, watch)
    }
}

impl LocalModels for Omni {
    fn open(
        &self,
        name: &LocalModel,
        settings: &LocalSettings,
        device: &str,
        stop: &Stop,
    ) -> Result<Box<dyn Model>, ModelError> {
        Ok(Box::new(OmniModel::open(name, settings, device, stop)?))
    }

    fn forward(
        &self,
        folder: &Path,
        inputs: &Path,
        out: &Path,
        attention: bool,
        name: &str,
    ) -> anyhow::Result<usize> {
        Ok(forward_file(folder, inputs, out, attention, &device(name)?)?)
    }

    fn lora_losses(
        &self,
        folder: &Path,
        inputs: &Path,
        lora: &Path,
        steps: usize,
        name: &str,
    ) -> anyhow::Result<Vec<f32>> {
        Ok(lora_losses(folder, inputs, lora, steps, &device(name)?)?)
    }

    fn merge(&self, model: &LocalModel, out: &Path) -> anyhow::Result<()> {
        let adapter = model.adapter.as_deref().context("there is no adapter to merge: name DIR+ADAPTER")?;
        Ok(merge(&model.checkpoint, adapter, out)?)
    }

    fn examine(&self, folder: &Path) -> anyhow::Result<Examined> {
        let sizes = Sizes::from(&ThinkerConfig::open(folder)?);
        let weights = Checkpoint::open(folder).and_then(|checkpoint| {
            checkpoint.check(&sizes)?;
            Ok(Weights { bytes: checkpoint.bytes(), ignored: checkpoint.ignored() })
        });
        let lora = |targets, checkpointing| Mode::Lora { rank: RANK, targets, checkpointing };
        let uses = [
            ("answers, f32", Dtype::F32, Mode::Inference),
            ("answers, bf16", Dtype::BF16, Mode::Inference),
            ("LoRA qv, bf16", Dtype::BF16, lora(Targets::Qv, false)),
            ("LoRA qv, bf16, checkpointing", Dtype::BF16, lora(Targets::Qv, true)),
            ("LoRA all-linear, f32", Dtype::F32, lora(Targets::AllLinear, false)),
        ];
        let memory = uses
            .into_iter()
            .map(|(name, dtype, mode)| Ok((name.to_owned(), memory(&sizes, dtype, CLIP, mode)?.total())));
        Ok(Examined {
            parameters: sizes.parameters()?.total(),
            memory: memory.collect::<anyhow::Result<_>>()?,
            weights: weights.map_err(anyhow::Error::from),
        })
    }

    fn side(&self, job: Job, device: &str) -> anyhow::Result<Side> {
        sides::side(job, device)
    }
}

fn main() -> ExitCode {
    counterpoint_cli::main(Some(&Omni))
}
