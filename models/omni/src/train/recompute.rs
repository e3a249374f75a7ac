//! The gradient of a batch, with what is inside layers remembered or not ("gradient checkpointing", arXiv 1604.06174):
//! where it is not, states between layers are kept, and each layer is computed again when its gradient is due.
//!
//! burn recomputes single operations at best; what fills the memory are the layers' wide inner states. Of the last
//! layer only those tokens are computed after which an answer's stand.

use burn::{Tensor, module::Module, tensor::Gradients};

use super::examples::Batch;
use crate::{error::ModelError, thinker::Model};

impl Model {
    /// Sum of the surprise of a batch's answers, times `scale`; the gradients of it go to `found`.
    pub(super) fn surprise_gradients(
        &self,
        batch: &Batch,
        scale: f64,
        recompute: bool,
        mut found: impl FnMut(Gradients),
    ) -> Result<Tensor<1>, ModelError> {
        let embeddings = batch.embed(self)?;
        let turns = batch.turns(self).in_numbers_of(&embeddings);
        let forks = batch.forks;
        let text = &self.thinker().text;
        let Some((last, before)) = text.layers.split_last() else {
            return Err(ModelError::input("a model without layers"));
        };
        let start = batch.answers.first();
        let surprise = |states: Tensor<3>| {
            let states = text.norm.forward(last.end(states, &turns, start, forks));
            batch.answers.surprise_from(start, self, states).mul_scalar(scale)
        };
        if !recompute {
            let states = before.iter().fold(embeddings, |states, layer| layer.forward(states, &turns, forks));
            let loss = surprise(states);
            found(loss.backward());
            return Ok(loss.inner());
        }
        let (mut states, mut after) = (Vec::with_capacity(before.len()), embeddings.clone().inner());
        for layer in before.iter().map(Module::valid) {
            let next = layer.forward(after.clone(), &turns, forks);
            states.push(std::mem::replace(&mut after, next));
        }
        let leaf = |states: Tensor<3>| Tensor::from_inner(states).require_grad();
        let pass = |loss: &Tensor<1>, input: &Tensor<3>, found: &mut dyn FnMut(Gradients)| {
            let mut gradients = loss.backward();
            let gradient = input.grad_remove(&mut gradients);
            found(gradients);
            gradient
        };
        let input = leaf(after);
        let loss = surprise(input.clone());
        let mut gradient = pass(&loss, &input, &mut found);
        // The sum of outputs times their gradient has the same gradient as the loss.
        let towards = |output: Tensor<3>, gradient: Tensor<3>| (output * Tensor::from_inner(gradient)).sum();
        for (layer, before) in before.iter().zip(states).rev() {
            let Some(after) = gradient else { break };
            let input = leaf(before);
            let output = layer.forward(input.clone(), &turns, forks);
            gradient = pass(&towards(output, after), &input, &mut found);
        }
        // Without parameters of their own, embeddings end here.
        if let Some(gradient) = gradient.filter(|_| embeddings.is_tracked()) {
            found(towards(embeddings, gradient).backward());
        }
        Ok(loss.inner())
    }
}
