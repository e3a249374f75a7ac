//! AdamW (arXiv 1711.05101) exactly as PyTorch's: both moments corrected, epsilon added after the root, decay apart
//! from the gradient.

use std::collections::BTreeMap;

use burn::{
    Tensor,
    module::{Module, ModuleMapper, Param},
};

use super::gradients::Summed;

/// The optimizer's numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWConfig {
    /// How much of the mean gradient is kept.
    pub beta_1: f64,
    /// How much of the mean square is kept.
    pub beta_2: f64,
    /// Added to the root of the mean square.
    pub epsilon: f64,
    /// Share of a weight that a step of rate 1 takes away.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

/// The optimizer and what it remembers of each parameter that had a gradient.
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    pub(super) moments: BTreeMap<String, Moments>,
}

/// What is remembered of a parameter, flat.
#[derive(Debug, Clone)]
pub(super) struct Moments {
    /// Steps that it took.
    pub(super) steps: i32,
    /// Mean gradient.
    pub(super) first: Tensor<1>,
    /// Mean square.
    pub(super) second: Tensor<1>,
}

impl AdamW {
    /// An optimizer that has not stepped yet.
    pub fn new(config: AdamWConfig) -> Self {
        Self { config, moments: BTreeMap::new() }
    }

    /// The model after one step of that rate. Parameters without a gradient stay as they are.
    pub fn step<M: Module>(&mut self, model: M, gradients: Summed, rate: f64) -> M {
        model.map(&mut Step { optimizer: self, gradients, rate, path: Vec::new() })
    }
}

struct Step<'a> {
    optimizer: &'a mut AdamW,
    gradients: Summed,
    rate: f64,
    path: Vec<String>,
}

impl ModuleMapper for Step<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.path.join(".");
        let Some(gradient) = self.gradients.take(&path) else { return param };
        let AdamWConfig { beta_1, beta_2, epsilon, weight_decay } = self.optimizer.config;
        let Moments { steps, first, second } = match self.optimizer.moments.remove(&path) {
            Some(moments) => moments,
            None => Moments { steps: 0, first: gradient.zeros_like(), second: gradient.zeros_like() },
        };
        let steps = steps.saturating_add(1);
        let first = first.mul_scalar(beta_1) + gradient.clone().mul_scalar(1.0 - beta_1);
        let second = second.mul_scalar(beta_2) + gradient.square().mul_scalar(1.0 - beta_2);
        let correction_1 = 1.0 - beta_1.powi(steps);
        let correction_2 = 1.0 - beta_2.powi(steps);
        let root = second.clone().sqrt().div_scalar(correction_2.sqrt()).add_scalar(epsilon);
        let change = (first.clone() / root).mul_scalar(self.rate / correction_1);
        self.optimizer.moments.insert(path, Moments { steps, first, second });
        let kept = 1.0 - self.rate * weight_decay;
        param.map(|weight| {
            let shape = weight.dims();
            let weight = weight.inner().mul_scalar(kept) - change.reshape(shape);
            Tensor::from_inner(weight).require_grad()
        })
    }
}
