//! Training: an adapter on the variants of a clip as `train` does it, and single steps with the towers in them.

use std::{collections::BTreeMap, fs, sync::Arc};

use anyhow::Context as _;
use counterpoint_cli::{Job, Side, SideOutcome};
use counterpoint_local::{Lessons, Part};
use counterpoint_models::Model as _;
use counterpoint_omni::{
    Example, Examples, Kind, Length, LoraRecipe, Model, Origin, Recipe, Streams, TrainError, Trainer, device,
};
use serde_json::{Value, json};

use super::{CHECKPOINT, SEED, drawn::Drawn, open, tensors::Given};

/// Passes over the variants of a clip.
const EPOCHS: u64 = 3;

/// Rate of an adapter's steps; higher than the published one, so that three of them change losses.
const RATE: f64 = 1e-3;

/// Rate where all parameters are trained.
const RATE_OF_ALL: f64 = 1e-5;

/// All questions in a step, so that their order makes no difference; the learning rate falls from the first step on.
fn recipe(job: &Job, recompute: bool) -> Recipe {
    Recipe {
        rate: RATE,
        warmup: 0.0,
        batch: 1,
        accumulation: job.prompts.len().max(1),
        length: Length::Epochs(EPOCHS),
        seed: SEED,
        keep_every: u64::MAX,
        recompute,
        ..Recipe::default()
    }
}

/// What the peer needs to train alike.
pub fn told(job: &Job) -> Value {
    let recipe = recipe(job, false);
    let steps = recipe.steps(job.prompts.len());
    let rates: Vec<f64> = (0..steps).map(|step| recipe.rate_at(step, steps)).collect();
    json!({ "rates": rates, "rate_of_all": RATE_OF_ALL, "clip": recipe.clip })
}

/// An adapter from frames and samples on.
pub fn tuning(job: Job, device: &str, recompute: bool) -> anyhow::Result<Side> {
    let base = open(&job, device)?;
    let drawn = Drawn::new(job.scale);
    let recipe = recipe(&job, recompute);
    let mut turn = 0_u32;
    Ok(Box::new(move |_| {
        turn += 1;
        let folder = job.folder.join(format!("{}-{turn}", if recompute { "again" } else { "tuning" }));
        let mut lessons = Lessons::embedded(&base, &folder.join("towers"))?;
        let mut clips = BTreeMap::new();
        for prompt in &job.prompts {
            let clip = match clips.get(&prompt.sound) {
                Some(clip) => *clip,
                None => lessons.take(&drawn.clip(prompt.sound)?)?,
            };
            clips.insert(prompt.sound, clip);
            let answer = prompt.answer.as_deref().context("an example needs an answer")?;
            lessons.add(clip, format!("variant {}", prompt.sound), "variants", &prompt.text, answer)?;
        }
        let all: Vec<usize> = (0..job.prompts.len()).collect();
        let lessons = Part::new(&Arc::new(lessons), &all, recipe.together);
        let origin = Origin {
            name: CHECKPOINT.to_owned(),
            identity: base.facts().identity.clone(),
            folder: folder.join("state"),
        };
        let mut trainer = Trainer::new(base.network().clone(), recipe.clone(), lessons, origin)?;
        let mut outcome = SideOutcome::default();
        while let Some(step) = trainer.step()? {
            outcome.numbers.push(step.loss);
        }
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        Ok(outcome)
    }))
}

/// The same example again and again, its towers included.
struct One {
    example: Example,
    groups: Vec<String>,
}

impl Examples for One {
    fn groups(&self) -> &[String] {
        &self.groups
    }

    fn identity(&self) -> String {
        self.example.id.clone()
    }

    fn example(&self, _: usize) -> Result<Example, TrainError> {
        Ok(self.example.clone())
    }
}

/// A step a turn, of an adapter or of all parameters.
pub fn steps(job: &Job, name: &str, all: bool) -> anyhow::Result<Side> {
    let device = device(name)?;
    let model = Model::open(&job.folder.join(CHECKPOINT), &device)?;
    let prompt = job.prompts.first().context("a step needs a prompt")?;
    let Given { patches, grid, mel, sequence, answer } = Given::new(job, prompt, &model, &device)?;
    let streams = Streams::Features { video: Some((patches, grid)), sound: Some(mel) };
    let example = Example::whole("one".to_owned(), sequence, answer, streams);
    let recipe = Recipe {
        kind: if all { Kind::Full } else { Kind::Lora(LoraRecipe::default()) },
        rate: if all { RATE_OF_ALL } else { RATE },
        accumulation: 1,
        // So many that the rate stays what it is.
        length: Length::Steps(1 << 32),
        ..recipe(job, false)
    };
    let origin = Origin {
        name: CHECKPOINT.to_owned(),
        identity: String::new(),
        folder: job.folder.join(if all { "steps-all" } else { "steps-adapter" }),
    };
    let one = One { example, groups: vec!["one".to_owned()] };
    let mut trainer = Trainer::new(model, recipe, one, origin)?;
    Ok(Box::new(move |_| {
        let step = trainer.step()?.context("all steps are done")?;
        Ok(SideOutcome { texts: Vec::new(), numbers: vec![step.loss] })
    }))
}
