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
    /// What becomes of whole sequences.
    ///
    /// # Shapes
    /// - states, output: `[batch, tokens, width]`
    pub(crate) fn forward(&self, states: Tensor<3>, turns: &Turns) -> Tensor<3> {
        let [_, tokens, _] = states.dims();
        let seen = Seen::new(tokens, None, false, &states.device());
        self.pass(states, turns, &seen, None, None)
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
