//! This program's sides of the benchmarks on models: what users call, on a random checkpoint and a drawn clip.

mod begin;
mod drawn;
mod tensors;
mod training;

use anyhow::{Context as _, bail};
use counterpoint_cli::{Job, Side, SideOutcome, Work};
use counterpoint_local::OmniModel;
use counterpoint_models::{Decoding, LocalModel, LocalSettings, Model as _, Question, Stop};
use counterpoint_omni::{Model, Target, device};

use drawn::Drawn;

/// Most tokens of an answer.
const LONGEST: u32 = 8;

/// Seed of all that is drawn.
const SEED: u64 = 1;

/// Folder of the checkpoint, in that of the job.
const CHECKPOINT: &str = "model";

/// A side that has loaded what its work needs.
pub fn side(job: Job, device: &str) -> anyhow::Result<Side> {
    match job.work {
        Work::Make => Ok(Box::new(move |_| begin::make(&job).map(|()| SideOutcome::default()))),
        Work::Questions => questions(&job, device),
        Work::Tune => training::tuning(job, device, false),
        Work::TuneAgain => training::tuning(job, device, true),
        Work::Load => load(job, device),
        Work::Forward => tensors::forward(&job, device),
        Work::StepAdapter => training::steps(&job, device, false),
        Work::StepAll => training::steps(&job, device, true),
        Work::QuestionsCopied | Work::LoadTensors => bail!("{:?} is work of the peer alone", job.work),
    }
}

fn open(job: &Job, device: &str) -> anyhow::Result<OmniModel> {
    let name = LocalModel { checkpoint: job.folder.join(CHECKPOINT), adapter: None };
    Ok(OmniModel::open(&name, &LocalSettings::default(), device, &Stop::new())?)
}

fn questions(job: &Job, device: &str) -> anyhow::Result<Side> {
    let mut model = open(job, device)?;
    let clip = Drawn::new(job.scale).clip(0)?;
    let asked = job.prompts.iter().map(|prompt| {
        if prompt.yes_no { Question::yes_no(&prompt.text) } else { Question::free(&prompt.text) }
    });
    let asked: Vec<Question> = asked.collect::<Result<_, _>>()?;
    let decoding = Decoding { max_new_tokens: LONGEST, ..Decoding::default() };
    Ok(Box::new(move |_| {
        let mut outcome = SideOutcome::default();
        for answer in model.ask(&clip, &asked, &decoding) {
            let answer = answer?;
            outcome.texts.push(answer.text);
            outcome.numbers.extend(answer.yes_probability.map(f64::from));
        }
        Ok(outcome)
    }))
}

fn load(job: Job, name: &str) -> anyhow::Result<Side> {
    let device = device(name)?;
    Ok(Box::new(move |compared| {
        let mut model = Model::open(&job.folder.join(CHECKPOINT), &device)?;
        let mut outcome = SideOutcome::default();
        let layers = if compared { job.scale.layers } else { 0 };
        for (layer, target) in linears(layers) {
            let linear = model.thinker_mut().text.linear_mut(layer, target);
            let weight = linear.with_context(|| format!("the model has no layer {layer}"))?.weight.val();
            outcome.numbers.push(f64::from(weight.sum().into_scalar::<f32>()));
        }
        Ok(outcome)
    }))
}

/// Layers whose sums are compared after loading.
fn linears(layers: usize) -> impl Iterator<Item = (usize, Target)> {
    (0..layers).flat_map(|layer| Target::ALL.iter().map(move |&target| (layer, target)))
}
