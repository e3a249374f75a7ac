//! A training: steps down the gradient of answers' surprise, a state kept now and then.

use std::{fs, path::PathBuf, time::Instant};

use burn::tensor::Device;
use serde::Serialize;

use super::{
    AdamW, AdamWConfig, Kind, Recipe, Summed, TrainError,
    examples::{Batch, Example, Examples},
    journal::Journal,
    kept::{Identity, State},
    parameters,
    sampling::Sampler,
    scaling::Scaling,
};
use crate::{lora, text::Layer, thinker::Model, weights::adapter::Adapter};

/// Added to a gradient's length before it is compared, as PyTorch's `clip_grad_norm_` does.
const CLIP_EPSILON: f64 = 1e-6;

/// What a training begins with and where it keeps itself.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The checkpoint, as its user named it.
    pub name: String,
    /// Hash of its contents: a training goes on only with the same.
    pub identity: String,
    /// Folder of states and losses; made if it is missing.
    pub folder: PathBuf,
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// Its number, the first is 1.
    pub step: u64,
    /// Mean surprise of a token of its answers, in nats, before the step.
    pub loss: f64,
    /// Rate.
    pub lr: f64,
    /// Length of the gradient, before it was shortened.
    pub gradient: f64,
    /// Whether the parameters were changed: not where half precision had no room for a gradient.
    pub changed: bool,
    /// Tokens of its answers.
    pub tokens: usize,
    /// Time it took.
    pub seconds: f64,
}

/// A training.
pub struct Trainer<E> {
    model: Model,
    recipe: Recipe,
    examples: E,
    origin: Origin,
    identity: Identity,
    sampler: Sampler,
    optimizer: AdamW,
    scaling: Scaling,
    journal: Journal,
    done: u64,
    total: u64,
}

impl<E: Examples> Trainer<E> {
    /// A training of a model, from the newest state in its folder if there is one.
    ///
    /// With adapters the model stays as it is, in the recipe's kind of numbers; otherwise all of it is trained.
    ///
    /// # Errors
    /// The recipe does not fit, there are no examples, or the folder holds another training or cannot be used.
    pub fn new(model: Model, recipe: Recipe, examples: E, origin: Origin) -> Result<Self, TrainError> {
        recipe.check()?;
        let questions = (0..examples.groups().len()).map(|index| examples.questions(index));
        let questions: Vec<usize> = questions.collect();
        let total = recipe.steps(questions.iter().sum());
        let mut sampler = Sampler::new(examples.groups(), questions, &recipe.weights, recipe.seed)?;
        let device = model.device().clone().inner();
        let mut model = prepared(model, &recipe, &origin.name, &device)?;
        let half = model.thinker().text.norm.weight.val().dtype() == burn::tensor::DType::F16;
        fs::create_dir_all(&origin.folder)
            .map_err(|source| TrainError::Write { path: origin.folder.clone(), source })?;
        let identity =
            Identity { recipe: recipe.clone(), examples: examples.identity(), base: origin.identity.clone() };
        let kept = State::newest(&origin.folder, &identity)?;
        let done = kept.as_ref().map_or(0, |(state, _)| state.done);
        let mut scaling = if half { Scaling::half() } else { Scaling::none() };
        let weight_decay = recipe.weight_decay;
        let mut optimizer = AdamW::new(AdamWConfig { weight_decay, ..AdamWConfig::default() });
        if let Some((state, path)) = &kept {
            let thinker = model.thinker().clone();
            *model.thinker_mut() = state.restore(path, thinker, &mut optimizer, &device)?;
            scaling = state.scaling;
        }
        for _ in 0..done {
            sampler.draw_questions(recipe.step_questions());
        }
        let journal = Journal::open(&origin.folder, done)?;
        Ok(Self {
            model,
            recipe,
            examples,
            origin,
            identity,
            sampler,
            optimizer,
            scaling,
            journal,
            done,
            total,
        })
    }

    /// Steps done.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Steps there are.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The model as it is now.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Takes a step, and keeps the state where one is due; nothing if all steps are done.
    ///
    /// # Errors
    /// An example cannot be read or does not fit the model, the loss or its gradient is no number, or the folder
    /// cannot be written. The training goes on from the newest kept state then.
    pub fn step(&mut self) -> Result<Option<Step>, TrainError> {
        if self.done >= self.total {
            return Ok(None);
        }
        let started = Instant::now();
        let drawn = self.sampler.draw_questions(self.recipe.step_questions());
        let examples = drawn.into_iter().map(|index| self.examples.example(index));
        let mut examples = examples.collect::<Result<Vec<_>, _>>()?;
        // Those of about one length are one batch. All answers' tokens count alike, so nothing else changes.
        examples.sort_by_key(|example| (example.shape(), example.longest()));
        let (rate, ids) = (self.recipe.rate_at(self.done, self.total), ids(&examples));
        let tokens = examples.iter().flat_map(|example| &example.questions).map(|asked| asked.answer).sum();
        let (loss, mut gradients) = self.gradients(examples, tokens)?;
        let gradient = gradients.length();
        let finite = loss.is_finite() && gradient.is_finite();
        let only_scaled = loss.is_finite() && self.scaling.seen(finite);
        if !finite && !only_scaled {
            let step = self.done + 1;
            return Err(TrainError::Diverged { step, loss, gradient, examples: ids });
        }
        if finite {
            let room = self.recipe.clip / (gradient + CLIP_EPSILON);
            if room < 1.0 {
                gradients.scale(room);
            }
            let thinker = self.model.thinker().clone();
            *self.model.thinker_mut() = self.optimizer.step(thinker, gradients, rate);
        }
        self.done += 1;
        let seconds = started.elapsed().as_secs_f64();
        let step = Step { step: self.done, loss, lr: rate, gradient, changed: finite, tokens, seconds };
        self.journal.write(&step)?;
        if self.done.is_multiple_of(self.recipe.keep_every) || self.done == self.total {
            self.keep()?;
        }
        Ok(Some(step))
    }

    /// Mean surprise of the tokens of answers, and its gradient.
    fn gradients(&self, examples: Vec<Example>, tokens: usize) -> Result<(f64, Summed), TrainError> {
        let scale = self.scaling.scale();
        let factor = scale / tokens.max(1) as f64;
        let (mut loss, mut gradients) = (0.0, Summed::default());
        for batch in batches(examples, self.recipe.batch) {
            let batch = Batch::new(batch)?;
            let thinker = self.model.thinker();
            let found = |found| gradients.add(thinker, found);
            let part = self.model.surprise_gradients(&batch, factor, self.recipe.recompute, found)?;
            loss += f64::from(part.into_scalar::<f32>()) / scale;
        }
        if scale != 1.0 {
            gradients.scale(scale.recip());
        }
        Ok((loss, gradients))
    }

    /// Which questions of these examples, one after the other, the model as it is now would answer word for word. Nothing
    /// is learned from them.
    ///
    /// # Errors
    /// An example cannot be read or does not fit the model.
    pub fn says(&self, examples: &impl Examples) -> Result<Vec<bool>, TrainError> {
        let model = self.model.clone().map_thinker(|thinker| burn::module::Module::valid(&thinker));
        let text = &model.thinker().text;
        let all = (0..examples.groups().len()).map(|number| examples.example(number));
        let mut said = Vec::new();
        for batch in batches(all.collect::<Result<Vec<_>, _>>()?, self.recipe.batch) {
            let batch = Batch::new(batch)?;
            let embeddings = batch.embed(&model)?;
            let turns = batch.turns(&model).in_numbers_of(&embeddings);
            let forward = |states, layer: &Layer| layer.forward(states, &turns, batch.forks);
            let states = text.norm.forward(text.layers.iter().fold(embeddings, forward));
            said.extend(batch.answers.are_said(&model, states));
        }
        Ok(said)
    }

    /// Keeps the state as it is now.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn keep(&self) -> Result<(), TrainError> {
        self.journal.sync()?;
        let state = State::new(self.identity.clone(), self.done, self.scaling, &self.optimizer);
        state.write(&self.origin.folder, self.model.thinker(), &self.optimizer)
    }

    /// The adapter that a finished training came to.
    ///
    /// # Errors
    /// Steps are left, all of the model was trained, or numbers cannot be read from the device.
    pub fn adapter(&self) -> Result<Adapter, TrainError> {
        self.check_finished()?;
        let Kind::Lora(lora) = &self.recipe.kind else {
            let (setting, value) = ("kind", "full".to_owned());
            return Err(TrainError::Recipe { setting, value, wanted: "an adapter needs kind.lora" });
        };
        Ok(lora.config().read(&self.model.thinker().text, &self.origin.name)?)
    }

    /// The model that a finished training came to, its parameters not followed any more.
    ///
    /// # Errors
    /// Steps are left.
    pub fn finish(self) -> Result<Model, TrainError> {
        self.check_finished()?;
        Ok(self.model.map_thinker(|thinker| burn::module::Module::valid(&thinker)))
    }

    fn check_finished(&self) -> Result<(), TrainError> {
        let (done, total) = (self.done, self.total);
        if done < total { Err(TrainError::Unfinished { done, total }) } else { Ok(()) }
    }
}

/// Examples in their order as batches of at most so many questions, one example at least, each of one shape.
fn batches(examples: Vec<Example>, most: usize) -> Vec<Vec<Example>> {
    let mut batches: Vec<Vec<Example>> = Vec::new();
    for example in examples {
        let joins = |batch: &&mut Vec<Example>| {
            let questions = batch.len().saturating_add(1).saturating_mul(example.questions.len());
            questions <= most && batch.first().is_some_and(|first| first.shape() == example.shape())
        };
        match batches.last_mut().filter(joins) {
            Some(batch) => batch.push(example),
            None => batches.push(vec![example]),
        }
    }
    batches
}

fn ids(examples: &[Example]) -> Vec<String> {
    examples.iter().map(|example| example.id.clone()).collect()
}

/// The model with what is trained followed.
fn prepared(model: Model, recipe: &Recipe, name: &str, device: &Device) -> Result<Model, TrainError> {
    match &recipe.kind {
        Kind::Full => Ok(model.map_thinker(parameters::follow)),
        Kind::Lora(recipe_of_lora) => {
            let numbers = recipe.precision.numbers(crate::device::is_gpu(device));
            let mut model = model.map_thinker(|thinker| parameters::cast(thinker, numbers));
            let text = &mut model.thinker_mut().text;
            let adapter = recipe_of_lora.config().start(text, name, recipe.seed);
            lora::attach(text, &adapter, &device.clone().autodiff())?;
            Ok(model)
        }
    }
}
