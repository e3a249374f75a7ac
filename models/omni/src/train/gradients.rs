//! Gradients of several passes, summed.

use std::collections::BTreeMap;

use burn::{
    Tensor,
    module::{Module, ModuleVisitor, Param},
    tensor::Gradients,
};

/// Gradients by the path of their parameter, flat. The order of paths makes every sum over them repeatable.
#[derive(Debug, Default)]
pub struct Summed {
    of: BTreeMap<String, Tensor<1>>,
}

impl Summed {
    /// Those of one pass.
    pub fn of(module: &impl Module, gradients: Gradients) -> Self {
        let mut summed = Self::default();
        summed.add(module, gradients);
        summed
    }

    /// Adds those of one more pass. Parameters without a gradient stay without one.
    pub fn add(&mut self, module: &impl Module, gradients: Gradients) {
        module.visit(&mut Collect { into: self, gradients, path: Vec::new() });
    }

    /// Takes a parameter's gradient.
    pub(super) fn take(&mut self, path: &str) -> Option<Tensor<1>> {
        self.of.remove(path)
    }

    /// Length of all of them as one vector.
    pub fn length(&self) -> f64 {
        let squares = self.of.values().map(|gradient| gradient.clone().square().sum());
        let square = squares.reduce(|sum, square| sum + square);
        square.map_or(0.0, |square| f64::from(square.into_scalar::<f32>()).sqrt())
    }

    /// All of them times a factor.
    pub fn scale(&mut self, factor: f64) {
        for gradient in self.of.values_mut() {
            *gradient = gradient.clone().mul_scalar(factor);
        }
    }
}

struct Collect<'a> {
    into: &'a mut Summed,
    gradients: Gradients,
    path: Vec<String>,
}

impl ModuleVisitor for Collect<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !param.is_initialized() || !param.is_require_grad() {
            return;
        }
        let Some(gradient) = param.val().grad_remove(&mut self.gradients) else { return };
        let gradient = gradient.reshape([-1]);
        let path = self.path.join(".");
        let sum = match self.into.of.remove(&path) {
            Some(before) => before + gradient,
            None => gradient,
        };
        self.into.of.insert(path, sum);
    }
}
