//! The vision tower: patches in, embeddings out. `Qwen2_5OmniVisionEncoder` of transformers'
//! `modeling_qwen2_5_omni.py`.
//!
//! Most blocks see windows only. Windows are put in an order of our own, by size, so that those of one size are one
//! batch of a single attention, in place; the reference computes them one by one.

mod layout;

use burn::{
    Tensor,
    module::{Module, Param},
    tensor::{Device, Int, TensorData, activation},
};

pub use layout::Grid;

use crate::{
    config::VisionConfig,
    kernels::{self, Sight},
    layers::{Gated, GatedConfig, Linear, LinearConfig, RmsNorm, random},
    text::Turns,
};
use layout::Layout;
pub(crate) use layout::Run;

/// Added to the mean square, in every norm of the tower.
const EPSILON: f64 = 1e-6;

/// Base of the rotary frequencies.
const THETA: f64 = 10_000.0;

impl VisionConfig {
    /// The tower, its weights not made yet.
    pub fn init(&self, device: &Device) -> VisionTower {
        let patch = self.patch_size;
        let patch = [self.hidden_size, self.in_channels, self.temporal_patch_size, patch, patch];
        let unit = self.hidden_size * self.merge_unit();
        VisionTower {
            patch_embed: PatchEmbed { proj: Patches { weight: random(patch, device) } },
            blocks: (0..self.depth).map(|_| self.init_block(device)).collect(),
            merger: Merger {
                ln_q: RmsNorm::new(self.hidden_size, EPSILON, device),
                mlp: MergerMlp {
                    first: LinearConfig::new(unit, unit).init(device),
                    second: LinearConfig::new(unit, self.out_hidden_size).init(device),
                },
            },
        }
    }

    fn init_block(&self, device: &Device) -> Block {
        let square = LinearConfig::new(self.hidden_size, self.hidden_size);
        let gated = GatedConfig { width: self.hidden_size, inner: self.intermediate_size, bias: true };
        Block {
            norm1: RmsNorm::new(self.hidden_size, EPSILON, device),
            attn: Attention {
                q: square.init(device),
                k: square.init(device),
                v: square.init(device),
                proj: square.init(device),
                heads: self.num_heads,
            },
            norm2: RmsNorm::new(self.hidden_size, EPSILON, device),
            mlp: gated.init(device),
        }
    }
}

/// The tower.
#[derive(Module, Debug)]
pub struct VisionTower {
    /// Patches to states.
    pub patch_embed: PatchEmbed,
    /// The blocks, first to last.
    pub blocks: Vec<Block>,
    /// States to embeddings.
    pub merger: Merger,
}

/// Patches to states.
#[derive(Module, Debug)]
pub struct PatchEmbed {
    /// One product a patch.
    pub proj: Patches,
}

/// A convolution whose steps are as long as its kernel: a product.
#[derive(Module, Debug)]
pub struct Patches {
    /// `[width, colours, frames, height, width of a patch]`.
    pub weight: Param<Tensor<5>>,
}

/// One block: attention, then a feed-forward layer, each added to what came in.
#[derive(Module, Debug)]
pub struct Block {
    /// Before attention.
    pub norm1: RmsNorm,
    /// Attention.
    pub attn: Attention,
    /// Before the feed-forward layer.
    pub norm2: RmsNorm,
    /// The feed-forward layer.
    pub mlp: Gated,
}

/// Attention among the patches of a window or of a frame.
#[derive(Module, Debug)]
pub struct Attention {
    /// To queries.
    pub q: Linear,
    /// To keys.
    pub k: Linear,
    /// To values.
    pub v: Linear,
    /// Back to the state.
    pub proj: Linear,
    heads: usize,
}

/// Neighbouring patches to one embedding.
#[derive(Module, Debug)]
pub struct Merger {
    /// Before the patches are put together.
    pub ln_q: RmsNorm,
    /// From the patches' states to the embedding.
    pub mlp: MergerMlp,
}

/// Two layers; checkpoints call them `0` and `2`.
#[derive(Module, Debug)]
pub struct MergerMlp {
    /// `0`.
    pub first: Linear,
    /// `2`.
    pub second: Linear,
}

impl VisionTower {
    /// Embeddings of images or videos, in the order of their tokens.
    ///
    /// # Shapes
    /// - patches: `[patches of all grids, values of a patch]`, neighbours that are merged one after another
    /// - output: `[patches / merged patches, width of the text model]`
    pub fn forward(&self, config: &VisionConfig, patches: Tensor<2>, grids: &[Grid]) -> Tensor<2> {
        let layout = Layout::new(config, grids);
        let device = patches.device();
        let [count, values] = patches.dims();
        let weight = self.patch_embed.proj.weight.val().reshape([config.hidden_size, values]);
        let order = |indices: &[usize]| {
            let indices: Vec<i64> = indices.iter().map(|&index| index as i64).collect();
            Tensor::<1, Int>::from_data(TensorData::from(indices.as_slice()), &device)
        };
        let unit = config.merge_unit();
        let arrange = |states: Tensor<2>, order: &Tensor<1, Int>| {
            let [_, width] = states.dims();
            states.reshape([count / unit, unit * width]).select(0, order.clone()).reshape([count, width])
        };
        let (to_windows, to_frames) = (order(&layout.windows), order(&layout.back));
        let in_windows = layout.turns(config, &layout.windows, &device);
        let in_frames = layout.turns(config, &layout.natural(), &device);
        let mut states = arrange(kernels::project(patches, weight, None), &to_windows);
        let mut framed = false;
        for (index, block) in self.blocks.iter().enumerate() {
            let whole = config.fullatt_block_indexes.contains(&index);
            if whole != framed {
                states = arrange(states, if whole { &to_frames } else { &to_windows });
                framed = whole;
            }
            let (turns, runs) =
                if whole { (&in_frames, &layout.frame_runs) } else { (&in_windows, &layout.window_runs) };
            states = block.forward(states, turns, runs);
        }
        let merged = self.merger.forward(states, unit);
        if framed { merged } else { merged.select(0, to_frames) }
    }
}

impl Block {
    fn forward(&self, states: Tensor<2>, turns: &Turns, runs: &[Run]) -> Tensor<2> {
        let states = self.attn.forward(self.norm1.forward(states.clone()), turns, runs) + states;
        self.mlp.forward(self.norm2.forward(states.clone())) + states
    }
}

impl Attention {
    /// # Shapes
    /// - x, output: `[patches, width]`
    fn forward(&self, x: Tensor<2>, turns: &Turns, runs: &[Run]) -> Tensor<2> {
        let [count, width] = x.dims();
        let split = |x: Tensor<2>| x.reshape([1, count, self.heads, width / self.heads]);
        let turn = |x: Tensor<4>| kernels::rotate(x, turns.cos.clone(), turns.sin.clone());
        let query = turn(split(self.q.forward(x.clone())));
        let key = turn(split(self.k.forward(x.clone())));
        let value = split(self.v.forward(x));
        self.proj.forward(attend_in_runs(query, key, value, runs))
    }
}

/// Attention inside segments of a sequence; those of a run are equally long and follow each other.
///
/// # Shapes
/// - query, key, value: `[1, tokens, heads, head width]`
/// - output: `[tokens, heads x head width]`
pub(crate) fn attend_in_runs(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, runs: &[Run]) -> Tensor<2> {
    let [_, count, heads, width] = query.dims();
    let scale = (width as f64).powf(-0.5);
    let mut start = 0;
    let mut outputs = Vec::with_capacity(runs.len());
    for run in runs {
        let tokens = run.count * run.length;
        let part = |x: &Tensor<4>| {
            let part = x.clone().narrow(1, start, tokens);
            part.reshape([run.count, run.length, heads, width]).swap_dims(1, 2)
        };
        let (output, _) = kernels::attend(part(&query), part(&key), part(&value), &Sight::All, scale);
        outputs.push(output.swap_dims(1, 2).reshape([tokens, heads * width]));
        start += tokens;
    }
    match <[_; 1]>::try_from(outputs) {
        Ok([output]) => output,
        Err(outputs) if outputs.is_empty() => Tensor::zeros([count, heads * width], &query.device()),
        Err(outputs) => Tensor::cat(outputs, 0),
    }
}

impl Merger {
    fn forward(&self, states: Tensor<2>, unit: usize) -> Tensor<2> {
        let [count, width] = states.dims();
        let together = self.ln_q.forward(states).reshape([count / unit, unit * width]);
        self.mlp.second.forward(activation::gelu(self.mlp.first.forward(together)))
    }
}
