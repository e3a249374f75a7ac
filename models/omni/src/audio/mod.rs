//! The audio tower: log-mel frames in, embeddings out. `Qwen2_5OmniAudioEncoder` of transformers'
//! `modeling_qwen2_5_omni.py`.
//!
//! Sound is cut into chunks that know nothing of each other until pairs of states are averaged. Chunks of one length
//! are one batch, which needs no padding.

use burn::{
    Tensor,
    module::{Module, Param},
    tensor::{Device, Int, TensorData, activation, module::conv1d, ops::ConvOptions},
};

use crate::{
    config::AudioConfig,
    error::ModelError,
    layers::{LayerNorm, Linear, LinearConfig, random, zeros},
    vision::{Run, attend_in_runs},
};

/// Longest period of the sinusoidal positions, in positions over 2 pi.
const LONGEST: f64 = 10_000.0;

/// Width of both convolutions' kernels.
const KERNEL: usize = 3;

/// Tokens that so many mel frames become.
pub fn audio_tokens(frames: usize) -> usize {
    states(frames) / 2
}

/// States that a chunk of mel frames becomes: every second frame.
fn states(frames: usize) -> usize {
    frames.div_ceil(2)
}

impl AudioConfig {
    /// The tower, its weights not made yet.
    pub fn init(&self, device: &Device) -> AudioTower {
        AudioTower {
            conv1: Convolution::new(self.num_mel_bins, self.d_model, device),
            conv2: Convolution::new(self.d_model, self.d_model, device),
            layers: (0..self.encoder_layers).map(|_| self.init_layer(device)).collect(),
            ln_post: LayerNorm::new(self.d_model, device),
            proj: LinearConfig::new(self.d_model, self.output_dim).init(device),
        }
    }

    fn init_layer(&self, device: &Device) -> Layer {
        let square = LinearConfig::new(self.d_model, self.d_model);
        Layer {
            self_attn: Attention {
                q_proj: square.init(device),
                k_proj: LinearConfig::without_bias(self.d_model, self.d_model).init(device),
                v_proj: square.init(device),
                out_proj: square.init(device),
                heads: self.encoder_attention_heads,
            },
            self_attn_layer_norm: LayerNorm::new(self.d_model, device),
            fc1: LinearConfig::new(self.d_model, self.encoder_ffn_dim).init(device),
            fc2: LinearConfig::new(self.encoder_ffn_dim, self.d_model).init(device),
            final_layer_norm: LayerNorm::new(self.d_model, device),
        }
    }
}

/// The tower.
#[derive(Module, Debug)]
pub struct AudioTower {
    /// Mel bands to states.
    pub conv1: Convolution,
    /// Every second state.
    pub conv2: Convolution,
    /// The layers, first to last.
    pub layers: Vec<Layer>,
    /// Before the output.
    pub ln_post: LayerNorm,
    /// To the text model's width.
    pub proj: Linear,
}

/// A convolution over time that sees one neighbour on each side.
#[derive(Module, Debug)]
pub struct Convolution {
    /// `[outputs, inputs, 3]`.
    pub weight: Param<Tensor<3>>,
    /// `[outputs]`.
    pub bias: Param<Tensor<1>>,
}

/// One layer: attention, then a feed-forward layer, each added to what came in.
#[derive(Module, Debug)]
pub struct Layer {
    /// Attention.
    pub self_attn: Attention,
    /// Before attention.
    pub self_attn_layer_norm: LayerNorm,
    /// Into the feed-forward layer.
    pub fc1: Linear,
    /// Out of it.
    pub fc2: Linear,
    /// Before the feed-forward layer.
    pub final_layer_norm: LayerNorm,
}

/// Attention among the states of a chunk.
#[derive(Module, Debug)]
pub struct Attention {
    /// To queries.
    pub q_proj: Linear,
    /// To keys.
    pub k_proj: Linear,
    /// To values.
    pub v_proj: Linear,
    /// Back to the state.
    pub out_proj: Linear,
    heads: usize,
}

/// One chunk: where its frames and, after the convolutions, its states are.
struct Chunk {
    frame: usize,
    frames: usize,
    state: usize,
}

impl AudioTower {
    /// Embeddings of sounds, one after another.
    ///
    /// # Shapes
    /// - mel: `[mel bands, frames of all sounds]`
    /// - frames: mel frames of each sound
    /// - output: `[tokens of all sounds, width of the text model]`
    ///
    /// # Errors
    /// A sound has no frames, or there are not as many frames as the sounds have together.
    pub fn forward(
        &self,
        config: &AudioConfig,
        mel: Tensor<2>,
        frames: &[usize],
    ) -> Result<Tensor<2>, ModelError> {
        let [bands, found] = mel.dims();
        if bands != config.num_mel_bins || frames.contains(&0) || frames.iter().sum::<usize>() != found {
            let wanted = config.num_mel_bins;
            let what = format!(
                "sounds of {frames:?} frames of {wanted} bands do not fit to mel of {bands} x {found}"
            );
            return Err(ModelError::input(what));
        }
        let device = mel.device();
        let mut chunks = chunks(frames, config.chunk_frames());
        // Stable: those of one length keep their order.
        chunks.sort_by_key(|chunk| std::cmp::Reverse(chunk.frames));
        let positions = sinusoids(config, &device);
        let mut runs: Vec<Run> = Vec::new();
        let mut parts = Vec::new();
        for same in chunks.chunk_by(|one, other| one.frames == other.frames) {
            let length = same[0].frames;
            let part =
                same.iter().map(|chunk| mel.clone().narrow(1, chunk.frame, length).unsqueeze_dim::<3>(0));
            let part = self.convolve(Tensor::cat(part.collect(), 0));
            let [count, length, width] = part.dims();
            let part = part + positions.clone().narrow(0, 0, length).unsqueeze_dim::<3>(0);
            runs.push(Run { count, length });
            parts.push(part.reshape([count * length, width]));
        }
        let mut states = Tensor::cat(parts, 0);
        for layer in &self.layers {
            states = layer.forward(states, &runs);
        }
        // Where each state stands now, in the order of the sound.
        let mut places = vec![0_i64; states.dims()[0]];
        let mut next = 0..;
        for chunk in &chunks {
            let own = &mut places[chunk.state..chunk.state + self::states(chunk.frames)];
            own.iter_mut().zip(&mut next).for_each(|(place, now)| *place = now);
        }
        let pairs = pairs(frames);
        let pick = |offset: usize| {
            let picked: Vec<i64> = pairs.iter().map(|&first| places[first + offset]).collect();
            states
                .clone()
                .select(0, Tensor::<1, Int>::from_data(TensorData::from(picked.as_slice()), &device))
        };
        let pooled = (pick(0) + pick(1)).div_scalar(2.0);
        Ok(self.proj.forward(self.ln_post.forward(pooled)))
    }

    /// # Shapes
    /// - mel: `[chunks, mel bands, frames]`
    /// - output: `[chunks, states, width]`
    fn convolve(&self, mel: Tensor<3>) -> Tensor<3> {
        let wide = activation::gelu(self.conv1.forward(mel, 1));
        activation::gelu(self.conv2.forward(wide, 2)).swap_dims(1, 2)
    }
}

/// The chunks of sounds that follow each other.
fn chunks(frames: &[usize], longest: usize) -> Vec<Chunk> {
    let (mut frame, mut state) = (0, 0);
    let mut chunks = Vec::new();
    for &sound in frames {
        let mut left = sound;
        while left > 0 {
            let frames = left.min(longest);
            chunks.push(Chunk { frame, frames, state });
            frame += frames;
            state += states(frames);
            left -= frames;
        }
    }
    chunks
}

/// First state of each pair that is averaged; a sound's odd last state is left out.
fn pairs(frames: &[usize]) -> Vec<usize> {
    let mut start = 0;
    let mut pairs = Vec::new();
    for &sound in frames {
        let count = states(sound);
        pairs.extend((0..count / 2).map(|pair| start + 2 * pair));
        start += count;
    }
    pairs
}

/// Positions as sines and cosines (arXiv 1706.03762, section 3.5): `[states of a chunk, width]`.
fn sinusoids(config: &AudioConfig, device: &Device) -> Tensor<2> {
    let (length, half) = (states(config.chunk_frames()), config.d_model / 2);
    let step = LONGEST.ln() / (half as f64 - 1.0);
    let frequencies = Tensor::<1, Int>::arange(0..half as i64, device).float().mul_scalar(-step).exp();
    let times = Tensor::<1, Int>::arange(0..length as i64, device).float();
    let angles = times.reshape([length, 1]) * frequencies.reshape([1, half]);
    Tensor::cat(vec![angles.clone().sin(), angles.cos()], 1)
}

impl Convolution {
    fn new(inputs: usize, outputs: usize, device: &Device) -> Self {
        Self { weight: random([outputs, inputs, KERNEL], device), bias: zeros([outputs], device) }
    }

    fn forward(&self, x: Tensor<3>, stride: usize) -> Tensor<3> {
        conv1d(x, self.weight.val(), Some(self.bias.val()), ConvOptions::new([stride], [1], [1], 1))
    }
}

impl Layer {
    fn forward(&self, states: Tensor<2>, runs: &[Run]) -> Tensor<2> {
        let states = self.self_attn.forward(self.self_attn_layer_norm.forward(states.clone()), runs) + states;
        let inner = activation::gelu(self.fc1.forward(self.final_layer_norm.forward(states.clone())));
        self.fc2.forward(inner) + states
    }
}

impl Attention {
    fn forward(&self, x: Tensor<2>, runs: &[Run]) -> Tensor<2> {
        let [count, width] = x.dims();
        let split = |x: Tensor<2>| x.reshape([1, count, self.heads, width / self.heads]);
        let query = split(self.q_proj.forward(x.clone()));
        let key = split(self.k_proj.forward(x.clone()));
        let value = split(self.v_proj.forward(x));
        self.out_proj.forward(attend_in_runs(query, key, value, runs))
    }
}
