//! Adapters: which layers of the text model they stand beside, and the tensors of PEFT's files.
//!
//! PEFT calls a matrix `base_model.model.PATH.lora_A.weight`, or `.lora_A.default.weight` while it is in memory, where
//! PATH is that of the layer in the model it was tuned on: `model.language_model.layers.0.self_attn.q_proj` in newer
//! versions of transformers, `model.layers.0.self_attn.q_proj` in older ones, `thinker.` before it if the whole model
//! was tuned.

use std::collections::BTreeSet;

use burn::{
    Tensor,
    module::{Param, ParamId},
    tensor::{Device, Distribution},
};

use crate::{
    error::ModelError,
    layers::{Linear, Lora},
    text::TextModel,
    weights::Checkpoint,
};

/// Where the layers may stand in the model that was tuned.
const PLACES: [&str; 4] = [
    "base_model.model.model.language_model.",
    "base_model.model.model.",
    "base_model.model.thinker.model.",
    "base_model.model.thinker.model.language_model.",
];

/// A layer of the text model that can have an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Queries.
    Query,
    /// Keys.
    Key,
    /// Values.
    Value,
    /// The way back from attention.
    Output,
    /// The gate of the feed-forward layer.
    Gate,
    /// What passes it.
    Up,
    /// The way back from it.
    Down,
}

impl Target {
    /// Queries and values, as the published recipe has it.
    pub const QUERY_AND_VALUE: &[Self] = &[Self::Query, Self::Value];

    /// All linear layers.
    pub const ALL: &[Self] =
        &[Self::Query, Self::Key, Self::Value, Self::Output, Self::Gate, Self::Up, Self::Down];

    /// Its name in a layer of a checkpoint.
    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "self_attn.q_proj",
            Self::Key => "self_attn.k_proj",
            Self::Value => "self_attn.v_proj",
            Self::Output => "self_attn.o_proj",
            Self::Gate => "mlp.gate_proj",
            Self::Up => "mlp.up_proj",
            Self::Down => "mlp.down_proj",
        }
    }
}

/// An adapter's numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraConfig {
    /// Width of what lies between its two matrices.
    pub rank: usize,
    /// What it adds counts alpha / rank.
    pub alpha: f64,
    /// The layers that have one.
    pub targets: Vec<Target>,
}

impl LoraConfig {
    /// Adapters that change nothing yet: A drawn as PEFT draws it (Kaiming, uniform), B zero.
    pub fn attach(&self, text: &mut TextModel, device: &Device) {
        for layer in 0..text.layers.len() {
            for &target in &self.targets {
                let Some(linear) = text.linear_mut(layer, target) else { continue };
                let [outputs, inputs] = linear.weight.lazy_shape().dims();
                let reach = 1.0 / (inputs as f64).sqrt();
                let drawn = Tensor::random([self.rank, inputs], Distribution::Uniform(-reach, reach), device);
                linear.lora = Some(lora(drawn, Tensor::zeros([outputs, self.rank], device), self.alpha));
            }
        }
    }
}

/// Puts the adapters of a file beside a model's layers. They can be tuned where the device follows gradients.
///
/// # Errors
/// The file holds no adapters, one without its other half, or one that fits to no layer.
pub fn attach_file(
    text: &mut TextModel,
    file: &Checkpoint,
    alpha: f64,
    device: &Device,
) -> Result<(), ModelError> {
    let mut left: BTreeSet<String> =
        file.names()?.into_iter().filter(|name| name.contains(".lora_")).collect();
    let missing = |name: String| ModelError::TensorMissing { name, path: file.path().to_owned() };
    if left.is_empty() {
        return Err(missing("base_model.model.*.lora_A.weight".to_owned()));
    }
    for layer in 0..text.layers.len() {
        for &target in Target::ALL {
            let named = |half: char| {
                let names = PLACES.iter().flat_map(move |place| {
                    let path = format!("{place}layers.{layer}.{}.lora_{half}", target.name());
                    [format!("{path}.default.weight"), format!("{path}.weight")]
                });
                names.collect::<Vec<String>>()
            };
            let Some(name) = named('A').into_iter().find(|name| left.contains(name)) else { continue };
            let Some(linear) = text.linear_mut(layer, target) else { continue };
            let [outputs, inputs] = linear.weight.lazy_shape().dims();
            let rank =
                file.data(&name)?.and_then(|data| data.shape().as_slice().first().copied()).unwrap_or(0);
            let a = file.tensor(std::slice::from_ref(&name), [rank, inputs], device)?;
            let other = name.replace(".lora_A.", ".lora_B.");
            let b = file.tensor(std::slice::from_ref(&other), [outputs, rank], device)?;
            linear.lora = Some(lora(a, b, alpha));
            left.remove(&name);
            left.remove(&other);
        }
    }
    match left.into_iter().next() {
        Some(name) => Err(ModelError::input(format!(
            "tensor {name} in {} adapts a layer that this model does not have",
            file.path().display()
        ))),
        None => Ok(()),
    }
}

fn lora(a: Tensor<2>, b: Tensor<2>, alpha: f64) -> Lora {
    let [rank, _] = a.dims();
    let followed = |matrix: Tensor<2>| {
        let follow = matrix.is_autodiff();
        Param::initialized(ParamId::new(), matrix.set_require_grad(follow))
    };
    Lora { a: followed(a), b: followed(b), scale: alpha / rank.max(1) as f64 }
}

impl TextModel {
    /// A layer that can have an adapter; nothing if there is no such layer.
    pub fn linear_mut(&mut self, layer: usize, target: Target) -> Option<&mut Linear> {
        let layer = self.layers.get_mut(layer)?;
        Some(match target {
            Target::Query => &mut layer.self_attn.q_proj,
            Target::Key => &mut layer.self_attn.k_proj,
            Target::Value => &mut layer.self_attn.v_proj,
            Target::Output => &mut layer.self_attn.o_proj,
            Target::Gate => &mut layer.mlp.gate_proj,
            Target::Up => &mut layer.mlp.up_proj,
            Target::Down => &mut layer.mlp.down_proj,
        })
    }
}
