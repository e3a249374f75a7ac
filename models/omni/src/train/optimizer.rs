//! AdamW (arXiv 1711.05101) exactly as PyTorch's: both moments corrected, epsilon added after the root, decay apart
//! from the gradient.

use std::collections::HashMap;

use burn::{
    Tensor,
    module::{Module, ModuleMapper, Param, ParamId},
    tensor::Gradients,
};

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

/// The optimizer and what it remembers of each parameter that has a gradient.
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    steps: i32,
    moments: HashMap<ParamId, Moments>,
}

/// Mean gradient and mean square, flat.
#[derive(Debug, Clone)]
struct Moments {
    first: Tensor<1>,
    second: Tensor<1>,
}

impl AdamW {
    /// An optimizer that has not stepped yet.
    pub fn new(config: AdamWConfig) -> Self {
        Self { config, steps: 0, moments: HashMap::new() }
    }

    /// The model after one step of that rate. Parameters without a gradient stay as they are.
    pub fn step<M: Module>(&mut self, model: M, grads: Gradients, rate: f64) -> M {
        self.steps = self.steps.saturating_add(1);
        model.map(&mut Step { optimizer: self, grads, rate })
    }
}

struct Step<'a> {
    optimizer: &'a mut AdamW,
    grads: Gradients,
    rate: f64,
}

impl ModuleMapper for Step<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !param.is_initialized() || !param.is_require_grad() {
            return param;
        }
        let Some(grad) = param.val().grad_remove(&mut self.grads) else { return param };
        let AdamWConfig { beta_1, beta_2, epsilon, weight_decay } = self.optimizer.config;
        let shape = grad.dims();
        let grad = grad.reshape([-1]);
        let Moments { first, second } = match self.optimizer.moments.remove(&param.id) {
            Some(moments) => moments,
            None => Moments { first: grad.zeros_like(), second: grad.zeros_like() },
        };
        let first = first.mul_scalar(beta_1) + grad.clone().mul_scalar(1.0 - beta_1);
        let second = second.mul_scalar(beta_2) + grad.square().mul_scalar(1.0 - beta_2);
        let correction_1 = 1.0 - beta_1.powi(self.optimizer.steps);
        let correction_2 = 1.0 - beta_2.powi(self.optimizer.steps);
        let root = second.clone().sqrt().div_scalar(correction_2.sqrt()).add_scalar(epsilon);
        let change = (first.clone() / root).mul_scalar(self.rate / correction_1).reshape(shape);
        self.optimizer.moments.insert(param.id, Moments { first, second });
        let kept = 1.0 - self.rate * weight_decay;
        param.map(|weight| Tensor::from_inner(weight.inner().mul_scalar(kept) - change).require_grad())
    }
}
