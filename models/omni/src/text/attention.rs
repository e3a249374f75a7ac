//! Attention with grouped queries. `Qwen2_5OmniAttention` of transformers' `modeling_qwen2_5_omni.py`.

use burn::{
    Tensor,
    module::Module,
    tensor::{Bool, Device, TensorData, activation},
};

use super::{
    Turns,
    cache::{Cache, KeyValues, LayerCache},
};
use crate::{
    config::TextConfig,
    device::is_gpu,
    kernels::{self, Forks, Sight},
    layers::{Linear, LinearConfig},
};

/// Is told a layer's index and its attention, `[batch, heads, tokens, tokens seen]`.
pub type Observer<'a> = &'a mut dyn FnMut(usize, Tensor<4>);

/// Attention of one layer.
#[derive(Module, Debug)]
pub struct Attention {
    /// To queries.
    pub q_proj: Linear,
    /// To keys.
    pub k_proj: Linear,
    /// To values.
    pub v_proj: Linear,
    /// Back to the state.
    pub o_proj: Linear,
    heads: usize,
    key_heads: usize,
    width: usize,
}

/// What the tokens of one pass see; the same for all layers.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Own tokens.
    own: Sight,
    /// Hides the future from scores that are computed in full: `[1, 1, tokens, tokens seen]`.
    future: Option<Tensor<4, Bool>>,
}

impl Seen {
    pub(crate) fn new(tokens: usize, cache: Option<&Cache>, in_full: bool, device: &Device) -> Self {
        let device = device.clone().inner();
        let kept = cache.map_or(0, Cache::kept);
        let shared = cache.map_or(0, Cache::shared);
        let own = match cache {
            Some(cache) => cache.sight(tokens, &device),
            None => Sight::Causal,
        };
        let future = in_full.then(|| {
            let seen = shared + kept + tokens;
            Tensor::<2>::ones([tokens, seen], &device).triu((shared + kept + 1) as i64).bool().unsqueeze()
        });
        Self { own, future }
    }

    /// What whole rows see, of which each may fork.
    pub(crate) fn rows(forks: Option<Forks>) -> Self {
        Self { own: forks.map_or(Sight::Causal, Sight::Forked), future: None }
    }
}

impl Attention {
    pub(super) fn new(config: &TextConfig, device: &Device) -> Self {
        let width = config.head_dim();
        let (asking, answering) = (config.num_attention_heads * width, config.num_key_value_heads * width);
        Self {
            q_proj: LinearConfig::new(config.hidden_size, asking).init(device),
            k_proj: LinearConfig::new(config.hidden_size, answering).init(device),
            v_proj: LinearConfig::new(config.hidden_size, answering).init(device),
            o_proj: LinearConfig::without_bias(asking, config.hidden_size).init(device),
            heads: config.num_attention_heads,
            key_heads: config.num_key_value_heads,
            width,
        }
    }

    /// # Shapes
    /// - x, output: `[batch, tokens, width]`
    pub(super) fn forward(
        &self,
        x: Tensor<3>,
        turns: &Turns,
        seen: &Seen,
        cache: Option<&mut LayerCache>,
        observer: Option<(usize, Observer<'_>)>,
    ) -> Tensor<3> {
        let [batch, tokens, _] = x.dims();
        let query = self.split(self.q_proj.forward(x.clone()), self.heads);
        let query = kernels::rotate(query, turns.cos.clone(), turns.sin.clone()).swap_dims(1, 2);
        let mut own = self.key_values(x, turns);
        let mut shared = None;
        if let Some(cache) = cache {
            own = cache.append(own);
            shared.clone_from(&cache.shared);
        }
        let output = match observer {
            Some((layer, observer)) => self.observed(query, own, shared, seen, layer, observer),
            None => self.fused(query, own, shared, seen),
        };
        self.o_proj.forward(output.swap_dims(1, 2).reshape([batch, tokens, self.heads * self.width]))
    }

    /// Whether the tokens from `start` on are better computed without those before. Where they are not the branches of rows
    /// that fork, they need a mask, which is not to grow with the square of the sequence, and which the kernel for GPUs
    /// wants aligned.
    pub(super) fn can_end(x: &Tensor<3>, start: usize, forks: Option<Forks>) -> bool {
        let [_, tokens, _] = x.dims();
        match forks {
            Some(forks) => start == forks.prefix,
            None => !is_gpu(&x.device().inner()) && tokens - start <= tokens / 8,
        }
    }

    /// Attention of the tokens of whole sequences from `start` on.
    ///
    /// # Shapes
    /// - x: `[batch, tokens, width]`
    /// - output: `[batch, tokens - start, width]`
    pub(super) fn end(&self, x: Tensor<3>, turns: &Turns, start: usize, forks: Option<Forks>) -> Tensor<3> {
        let [batch, tokens, _] = x.dims();
        let own = tokens - start;
        let Turns { cos, sin } = turns;
        let [cos, sin] = [cos, sin].map(|turns| turns.clone().narrow(1, start, own));
        let query = self.split(self.q_proj.forward(x.clone().narrow(1, start, own)), self.heads);
        let query = kernels::rotate(query, cos, sin).swap_dims(1, 2);
        let KeyValues { key, value } = self.key_values(x, turns);
        let sight = match forks {
            Some(forks) => Sight::Forked(forks),
            None => {
                let mut mask = vec![0.0_f32; own * tokens];
                for (index, row) in mask.chunks_mut(tokens).enumerate() {
                    row[start + index + 1..].fill(f32::NEG_INFINITY);
                }
                let mask = Tensor::<1>::from_data(TensorData::from(mask.as_slice()), &query.device().inner());
                Sight::Mask(mask.cast(query.dtype()).reshape([1, 1, own, tokens]))
            }
        };
        let (output, _) = kernels::attend(query, key, value, &sight, self.scale());
        self.o_proj.forward(output.swap_dims(1, 2).reshape([batch, own, self.heads * self.width]))
    }

    /// What later tokens will see of these.
    ///
    /// # Shapes
    /// - x: `[batch, tokens, width]`
    pub(super) fn key_values(&self, x: Tensor<3>, turns: &Turns) -> KeyValues {
        let key = self.split(self.k_proj.forward(x.clone()), self.key_heads);
        let key = kernels::rotate(key, turns.cos.clone(), turns.sin.clone()).swap_dims(1, 2);
        let value = self.split(self.v_proj.forward(x), self.key_heads).swap_dims(1, 2);
        KeyValues { key, value }
    }

    fn split(&self, x: Tensor<3>, heads: usize) -> Tensor<4> {
        let [batch, tokens, _] = x.dims();
        x.reshape([batch, tokens, heads, self.width])
    }

    fn scale(&self) -> f64 {
        (self.width as f64).powf(-0.5)
    }

    fn fused(&self, query: Tensor<4>, own: KeyValues, shared: Option<KeyValues>, seen: &Seen) -> Tensor<4> {
        let scale = self.scale();
        let Some(shared) = shared else {
            return kernels::attend(query, own.key, own.value, &seen.own, scale).0;
        };
        let [batch, heads, tokens, width] = query.dims();
        let together = query.clone().swap_dims(0, 1).reshape([1, heads, batch * tokens, width]);
        let (of_shared, shared_sum) = kernels::attend(together, shared.key, shared.value, &Sight::All, scale);
        let of_shared = of_shared.reshape([heads, batch, tokens, width]).swap_dims(0, 1);
        let shared_sum = shared_sum.reshape([heads, batch, tokens]).swap_dims(0, 1);
        let (of_own, own_sum) = kernels::attend(query, own.key, own.value, &seen.own, scale);
        let share = activation::sigmoid(shared_sum - own_sum).unsqueeze_dim::<4>(3);
        (of_shared - of_own.clone()) * share + of_own
    }

    /// The same with every score, as the reference's eager attention computes it.
    fn observed(
        &self,
        query: Tensor<4>,
        own: KeyValues,
        shared: Option<KeyValues>,
        seen: &Seen,
        layer: usize,
        observer: Observer<'_>,
    ) -> Tensor<4> {
        let [batch, heads, _, _] = query.dims();
        let join = |shared: Tensor<4>, own: Tensor<4>| {
            let [_, key_heads, tokens, width] = shared.dims();
            Tensor::cat(vec![shared.expand([batch, key_heads, tokens, width]), own], 2)
        };
        let KeyValues { key, value } = match shared {
            None => own,
            Some(shared) => {
                KeyValues { key: join(shared.key, own.key), value: join(shared.value, own.value) }
            }
        };
        let repeat = |x: Tensor<4>| {
            let [_, key_heads, tokens, width] = x.dims();
            let wide = [batch, key_heads, heads / key_heads, tokens, width];
            x.unsqueeze_dim::<5>(2).expand(wide).reshape([batch, heads, tokens, width])
        };
        let mut scores = query.matmul(repeat(key).swap_dims(2, 3)).mul_scalar(self.scale());
        let [_, _, tokens, all] = scores.dims();
        if let Sight::Mask(mask) = &seen.own {
            let [_, _, _, kept] = mask.dims();
            let before = Tensor::zeros([batch, 1, 1, all - kept], &mask.device());
            scores = scores + Tensor::cat(vec![before, mask.clone()], 3);
        }
        if let Some(future) = &seen.future {
            scores = scores.mask_fill(future.clone().expand([batch, heads, tokens, all]), f32::NEG_INFINITY);
        }
        let attention = activation::softmax(scores, 3);
        observer(layer, attention.clone());
        attention.matmul(repeat(value))
    }
}
