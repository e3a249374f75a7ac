//! Adapters: which layers of the text model they stand beside.

use std::collections::BTreeMap;

use burn::{
    Tensor,
    module::{Param, ParamId},
    tensor::{Device, TensorData},
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    error::ModelError,
    layers::{Linear, Lora},
    text::{Layer, TextModel},
    weights::adapter::{Adapter, AdapterConfig, Pair},
};

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
    /// Adapters that change nothing yet: A drawn as PEFT draws it (Kaiming, uniform), B zero. The same seed draws
    /// the same.
    pub fn start(&self, text: &TextModel, base: &str, seed: u64) -> Adapter {
        let mut pairs = BTreeMap::new();
        for (index, layer) in text.layers.iter().enumerate() {
            for &target in &self.targets {
                let [outputs, inputs] = layer.linear(target).weight.lazy_shape().dims();
                let reach = 1.0 / (inputs as f32).sqrt();
                let mut chance = ChaCha8Rng::seed_from_u64(seed);
                chance.set_stream(pairs.len() as u64);
                let a = (0..self.rank * inputs).map(|_| chance.random_range(-reach..reach)).collect();
                let b = vec![0.0; outputs * self.rank];
                pairs.insert(module(index, target), Pair { a, b, inputs, outputs });
            }
        }
        Adapter { config: self.file(base), pairs }
    }

    /// The adapters beside a model's layers as they are now.
    ///
    /// # Errors
    /// Numbers cannot be read back from the device.
    pub fn read(&self, text: &TextModel, base: &str) -> Result<Adapter, ModelError> {
        let values = |matrix: &Param<Tensor<2>>| {
            let data = matrix.val().inner().into_data().convert::<f32>();
            data.try_into_vec::<f32>().map_err(|error| ModelError::input(format!("{error:?}")))
        };
        let mut pairs = BTreeMap::new();
        for (index, layer) in text.layers.iter().enumerate() {
            for &target in &self.targets {
                let linear = layer.linear(target);
                let Some(lora) = &linear.lora else { continue };
                let [outputs, inputs] = linear.weight.lazy_shape().dims();
                let pair = Pair { a: values(&lora.a)?, b: values(&lora.b)?, inputs, outputs };
                pairs.insert(module(index, target), pair);
            }
        }
        Ok(Adapter { config: self.file(base), pairs })
    }

    fn file(&self, base: &str) -> AdapterConfig {
        let last = |target: &Target| target.name().rsplit('.').next().unwrap_or_default().to_owned();
        AdapterConfig {
            base: base.to_owned(),
            rank: self.rank,
            alpha: self.alpha,
            dropout: 0.0,
            targets: self.targets.iter().map(last).collect(),
        }
    }
}

/// Puts an adapter's matrices beside a model's layers. They can be tuned where the device follows gradients.
///
/// # Errors
/// A pair of matrices fits to no layer.
pub fn attach(text: &mut TextModel, adapter: &Adapter, device: &Device) -> Result<(), ModelError> {
    let mut used = 0;
    for layer in 0..text.layers.len() {
        for &target in Target::ALL {
            let Some(pair) = adapter.pairs.get(&module(layer, target)) else { continue };
            let Some(linear) = text.linear_mut(layer, target) else { continue };
            let [outputs, inputs] = linear.weight.lazy_shape().dims();
            if (pair.outputs, pair.inputs) != (outputs, inputs) {
                let (name, found) = (module(layer, target), (pair.outputs, pair.inputs));
                return Err(ModelError::input(format!(
                    "the adapter of {name} is for {found:?} outputs and inputs, but the layer has {outputs} and {inputs}"
                )));
            }
            let rank = adapter.config.rank;
            let matrix = |values: &[f32], shape: [usize; 2]| {
                Tensor::<2>::from_data(TensorData::new(values.to_vec(), shape), device)
            };
            let (a, b) = (matrix(&pair.a, [rank, inputs]), matrix(&pair.b, [outputs, rank]));
            linear.lora = Some(lora(a, b, adapter.config.alpha));
            used += 1;
        }
    }
    if used == adapter.pairs.len() {
        return Ok(());
    }
    let known = |name: &str| {
        (0..text.layers.len()).any(|layer| Target::ALL.iter().any(|&target| module(layer, target) == name))
    };
    let strange = adapter.pairs.keys().find(|name| !known(name)).cloned().unwrap_or_default();
    Err(ModelError::input(format!(
        "the adapter stands beside {strange}, a layer that this model does not have"
    )))
}

/// The name of a layer in [`crate::weights::names`].
fn module(layer: usize, target: Target) -> String {
    format!("model.layers.{layer}.{}", target.name())
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

impl Layer {
    fn linear(&self, target: Target) -> &Linear {
        match target {
            Target::Query => &self.self_attn.q_proj,
            Target::Key => &self.self_attn.k_proj,
            Target::Value => &self.self_attn.v_proj,
            Target::Output => &self.self_attn.o_proj,
            Target::Gate => &self.mlp.gate_proj,
            Target::Up => &self.mlp.up_proj,
            Target::Down => &self.mlp.down_proj,
        }
    }
}
