//! `model lora-losses`: the losses of a short tuning, to be held against the reference's.

use std::path::Path;

use burn::tensor::Device;

use super::{AdamW, AdamWConfig, Answers, Summed};
use crate::{
    error::ModelError,
    forward::Inputs,
    lora::attach,
    thinker::Model,
    weights::adapter::{Adapter, AdapterConfig},
};

/// Tokens at the end of a sequence that count.
const ANSWER: usize = 6;

/// Rank of the adapters.
const RANK: usize = 8;

/// The adapters' alpha.
const ALPHA: f64 = 16.0;

/// Rate of every step.
const RATE: f64 = 1e-2;

/// The loss before each of so many steps of AdamW (rate 0.01, no decay) on the adapters of a file (rank 8, alpha 16): the
/// surprise of each sequence's last 6 tokens, in nats. The towers and the model itself stay as they are.
///
/// # Errors
/// A file cannot be read, or its tensors do not fit to each other or to the model.
pub fn lora_losses(
    folder: &Path,
    inputs: &Path,
    lora: &Path,
    steps: usize,
    device: &Device,
) -> Result<Vec<f32>, ModelError> {
    let mut model = Model::open(folder, device)?;
    let inputs = Inputs::open(inputs, &model)?;
    let tokens: Vec<&[i64]> = inputs.sequences.iter().map(|sequence| sequence.tokens.as_slice()).collect();
    let embeddings = model.embed(&tokens, &inputs.embeddings)?;
    let answers = Answers::at_end(&inputs.sequences, &vec![ANSWER; inputs.sequences.len()])?;
    let config = AdapterConfig {
        base: folder.display().to_string(),
        rank: RANK,
        alpha: ALPHA,
        dropout: 0.0,
        targets: Vec::new(),
    };
    let adapter = Adapter::matrices(lora, config)?;
    attach(&mut model.thinker_mut().text, &adapter, &device.clone().autodiff())?;
    let mut optimizer = AdamW::new(AdamWConfig::default());
    let mut losses = Vec::with_capacity(steps);
    for _ in 0..steps {
        let loss = model.loss(embeddings.clone(), &inputs.sequences, &answers, None);
        losses.push(loss.clone().inner().into_scalar::<f32>());
        let gradients = Summed::of(model.thinker(), loss.backward());
        model = model.map_thinker(|thinker| optimizer.step(thinker, gradients, RATE));
    }
    Ok(losses)
}
