//! The text model: embeddings in, states out. `Qwen2_5OmniThinkerTextModel` of transformers'
//! `modeling_qwen2_5_omni.py`.

mod attention;
mod cache;
mod rotary;

use burn::{
    Tensor,
    module::{Module, Param},
    tensor::Device,
};

pub use attention::{Attention, Observer};
pub use cache::Cache;
pub(crate) use rotary::frequencies;
pub use rotary::{Rotary, Turns};

use crate::{
    config::TextConfig,
    kernels::Forks,
    layers::{Gated, GatedConfig, RmsNorm, random},
};
use attention::Seen;
use cache::LayerCache;

impl TextConfig {
    /// The text model, its weights not made yet.
    pub fn init(&self, device: &Device) -> TextModel {
        TextModel {
            embed_tokens: Embedding { weight: random([self.vocab_size, self.hidden_size], device) },
            layers: (0..self.num_hidden_layers).map(|_| self.init_layer(device)).collect(),
            norm: RmsNorm::new(self.hidden_size, self.rms_norm_eps, device),
        }
    }

    fn init_layer(&self, device: &Device) -> Layer {
        let gated = GatedConfig { width: self.hidden_size, inner: self.intermediate_size, bias: false };
        Layer {
            input_layernorm: RmsNorm::new(self.hidden_size, self.rms_norm_eps, device),
            self_attn: Attention::new(self, device),
            post_attention_layernorm: RmsNorm::new(self.hidden_size, self.rms_norm_eps, device),
            mlp: gated.init(device),
        }
    }
}

/// The decoder.
#[derive(Module, Debug)]
pub struct TextModel {
    /// One row a token.
    pub embed_tokens: Embedding,
    /// The layers, first to last.
    pub layers: Vec<Layer>,
    /// Before the output.
    pub norm: RmsNorm,
}

/// The table of embeddings.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[tokens of the vocabulary, width]`.
    pub weight: Param<Tensor<2>>,
}

/// One layer: attention, then a feed-forward layer, each added to what came in.
#[derive(Module, Debug)]
pub struct Layer {
    /// Before attention.
    pub input_layernorm: RmsNorm,
    /// Attention.
    pub self_attn: Attention,
    /// Before the feed-forward layer.
    pub post_attention_layernorm: RmsNorm,
    /// The feed-forward layer.
    pub mlp: Gated,
}

impl TextModel {
    /// States after the last layer, normalised.
    ///
    /// With a cache, what was seen before is seen again, and what is seen now is kept. An observer is told every
    /// layer's attention, which is then computed in full; without one it never exists.
    ///
    /// # Shapes
    /// - embeddings, output: `[batch, tokens, width]`
    /// - what the observer is told: `[batch, heads, tokens, tokens seen]`
    pub fn forward(
        &self,
        embeddings: Tensor<3>,
        turns: &Turns,
        mut cache: Option<&mut Cache>,
        mut observer: Option<Observer<'_>>,
    ) -> Tensor<3> {
        let [_, tokens, _] = embeddings.dims();
        let seen = Seen::new(tokens, cache.as_deref(), observer.is_some(), &embeddings.device());
        let mut states = embeddings;
        for (index, layer) in self.layers.iter().enumerate() {
            let cached = cache.as_deref_mut().map(|cache| cache.layer(index));
            let observe = observer.as_mut().map(|observer| (index, &mut **observer as Observer<'_>));
            states = layer.pass(states, turns, &seen, cached, observe);
        }
        self.norm.forward(states)
    }

    /// Keeps what is seen now without telling what becomes of it: of the last layer, keys and values are all there is.
    ///
    /// # Shapes
    /// - embeddings: `[batch, tokens, width]`
    pub(crate) fn keep(&self, embeddings: Tensor<3>, turns: &Turns, cache: &mut Cache) {
        let [_, tokens, _] = embeddings.dims();
        let seen = Seen::new(tokens, Some(cache), false, &embeddings.device());
        let mut states = embeddings;
        for (index, layer) in self.layers.iter().enumerate() {
            if index + 1 == self.layers.len() {
                let normal = layer.input_layernorm.forward(states);
                cache.layer(index).append(layer.self_attn.key_values(normal, turns));
                return;
            }
            states = layer.pass(states, turns, &seen, Some(cache.layer(index)), None);
        }
    }
}

impl Layer {
    /// What becomes of whole rows, which may fork.
    ///
    /// # Shapes
    /// - states, output: `[batch, tokens, width]`
    pub(crate) fn forward(&self, states: Tensor<3>, turns: &Turns, forks: Option<Forks>) -> Tensor<3> {
        self.pass(states, turns, &Seen::rows(forks), None, None)
    }

    /// What becomes of the tokens of whole rows from `start` on; those before are only seen.
    ///
    /// # Shapes
    /// - states: `[batch, tokens, width]`
    /// - output: `[batch, tokens - start, width]`
    pub(crate) fn end(
        &self,
        states: Tensor<3>,
        turns: &Turns,
        start: usize,
        forks: Option<Forks>,
    ) -> Tensor<3> {
        let [_, tokens, _] = states.dims();
        let ending = |x: Tensor<3>| x.narrow(1, start, tokens - start);
        if !Attention::can_end(&states, start, forks) {
            return ending(self.forward(states, turns, forks));
        }
        let normal = self.input_layernorm.forward(states.clone());
        let states = self.self_attn.end(normal, turns, start, forks) + ending(states);
        let normal = self.post_attention_layernorm.forward(states.clone());
        self.mlp.forward(normal) + states
    }

    fn pass(
        &self,
        states: Tensor<3>,
        turns: &Turns,
        seen: &Seen,
        cached: Option<&mut LayerCache>,
        observe: Option<(usize, Observer<'_>)>,
    ) -> Tensor<3> {
        let normal = self.input_layernorm.forward(states.clone());
        let states = self.self_attn.forward(normal, turns, seen, cached, observe) + states;
        let normal = self.post_attention_layernorm.forward(states.clone());
        self.mlp.forward(normal) + states
    }
}

#[cfg(test)]
mod tests {
    use burn::{
        module::ModuleMapper,
        tensor::{Distribution, activation},
    };

    use super::*;
    use crate::{config::RopeParameters, positions::Positions};

    const TOKENS: usize = 40;
    const START: usize = 36;

    fn config() -> TextConfig {
        TextConfig {
            hidden_size: 32,
            intermediate_size: 64,
            num_hidden_layers: 1,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            vocab_size: 10,
            max_position_embeddings: 64,
            rms_norm_eps: 1e-6,
            rope_theta: None,
            rope_parameters: RopeParameters {
                rope_type: "default".to_owned(),
                rope_theta: None,
                mrope_section: vec![2, 1, 1],
            },
            tie_word_embeddings: true,
            use_sliding_window: false,
            hidden_act: "silu".to_owned(),
        }
    }

    /// Makes weights so large that tokens matter to each other.
    struct Larger;

    impl ModuleMapper for Larger {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if D == 2 { param.map(|weight| weight.mul_scalar(20.0)) } else { param }
        }
    }

    #[test]
    fn the_end_of_a_sequence_and_its_gradients_are_the_same_without_what_is_only_seen() {
        let device = crate::device("cpu").unwrap();
        let config = config();
        let layer = config.init(&device).layers.remove(0).map(&mut Larger);
        let positions = Positions::text(3, TOKENS);
        let turns = Rotary::new(&config, &device).turns(&[&positions, &positions]);
        let drawn = |tokens: usize| {
            let shape = [2, tokens, config.hidden_size];
            Tensor::<3>::random(shape, Distribution::Normal(0.0, 1.0), &device)
        };
        let (states, weights) = (drawn(TOKENS), drawn(TOKENS - START));
        assert!(Attention::can_end(&states, START, None));
        let run = |pass: &dyn Fn(Tensor<3>) -> Tensor<3>| {
            let leaf = Tensor::from_inner(states.clone()).require_grad();
            let output = pass(leaf.clone());
            let mut gradients = (output.clone() * Tensor::from_inner(weights.clone())).sum().backward();
            (output.inner(), leaf.grad_remove(&mut gradients).unwrap())
        };
        let whole = run(&|states| layer.forward(states, &turns, None).narrow(1, START, TOKENS - START));
        let end = run(&|states| layer.end(states, &turns, START, None));
        let difference = |one: &Tensor<3>, other: &Tensor<3>| {
            (one.clone() - other.clone()).abs().max().into_scalar::<f32>()
        };
        assert!(difference(&whole.0, &end.0) < 1e-4 && difference(&whole.1, &end.1) < 1e-4);
        let seen = activation::relu(end.1.narrow(1, 0, START)).max().into_scalar::<f32>();
        assert!(seen > 1e-2, "tokens that are only seen have gradients as well: {seen}");
    }
}
