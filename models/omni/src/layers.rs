//! Layers that the towers and the text model share.
//!
//! A layer's parameters are named like the checkpoint's tensors, and are made only when first used: loading a
//! checkpoint allocates nothing but what it loads.

use burn::{
    Tensor,
    module::{Module, Param, ParamId},
    tensor::{Device, Distribution, module::layer_norm},
};

use crate::kernels;

/// Spread of weights until a checkpoint or [`Model::from_nothing`](crate::thinker::Model::from_nothing) gives others
/// (`initializer_range` of every public checkpoint).
const INITIAL_SPREAD: f64 = 0.02;

/// Weights drawn from a normal distribution when they are first used.
pub(crate) fn random<const D: usize>(shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    lazy(shape, device, |shape, device| {
        Tensor::random(shape, Distribution::Normal(0.0, INITIAL_SPREAD), device)
    })
}

/// Weights that begin at zero.
pub(crate) fn zeros<const D: usize>(shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    lazy(shape, device, |shape, device| Tensor::zeros(shape, device))
}

/// Weights that begin at one.
pub(crate) fn ones<const D: usize>(shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    lazy(shape, device, |shape, device| Tensor::ones(shape, device))
}

fn lazy<const D: usize>(
    shape: [usize; D],
    device: &Device,
    make: fn([usize; D], &Device) -> Tensor<D>,
) -> Param<Tensor<D>> {
    let init = move |device: &Device, followed: bool| make(shape, device).set_require_grad(followed);
    Param::uninitialized(ParamId::new(), init, device.clone(), false, shape.into())
}

/// Sizes of a [`Linear`] layer.
#[derive(Debug, Clone, Copy)]
pub struct LinearConfig {
    /// Width of what comes in.
    pub inputs: usize,
    /// Width of what goes out.
    pub outputs: usize,
    /// Whether something is added.
    pub bias: bool,
}

impl LinearConfig {
    /// A layer with a bias.
    pub fn new(inputs: usize, outputs: usize) -> Self {
        Self { inputs, outputs, bias: true }
    }

    /// A layer without a bias.
    pub fn without_bias(inputs: usize, outputs: usize) -> Self {
        Self { inputs, outputs, bias: false }
    }

    /// The layer.
    pub fn init(&self, device: &Device) -> Linear {
        Linear {
            weight: random([self.outputs, self.inputs], device),
            bias: self.bias.then(|| zeros([self.outputs], device)),
            lora: None,
        }
    }
}

/// `x weightᵀ + bias`, and what a low-rank adapter adds.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[outputs, inputs]`.
    pub weight: Param<Tensor<2>>,
    /// `[outputs]`.
    pub bias: Option<Param<Tensor<1>>>,
    /// What tuning adds.
    pub lora: Option<Lora>,
}

impl Linear {
    /// # Shapes
    /// - x: `[.., inputs]`
    /// - output: `[.., outputs]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let Some(lora) = &self.lora else {
            return kernels::project(x, self.weight.val(), self.bias.as_ref().map(Param::val));
        };
        let added = lora.forward(x.clone());
        kernels::project(x, self.weight.val(), self.bias.as_ref().map(Param::val)) + added
    }
}

/// A low-rank adapter (LoRA, arXiv 2106.09685): `scale · x Aᵀ Bᵀ`.
#[derive(Module, Debug)]
pub struct Lora {
    /// `A`, `[rank, inputs]`.
    pub a: Param<Tensor<2>>,
    /// `B`, `[outputs, rank]`.
    pub b: Param<Tensor<2>>,
    /// alpha / rank.
    pub scale: f64,
}

impl Lora {
    /// As PEFT, it computes in the kind of numbers of its own matrices, which are f32 beside layers of half precision.
    ///
    /// # Shapes
    /// - x: `[.., inputs]`
    /// - output: `[.., outputs]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let (a, b, numbers) = (self.a.val(), self.b.val(), x.dtype());
        let narrow = kernels::project(x.cast(a.dtype()), a, None).mul_scalar(self.scale);
        kernels::project(narrow, b, None).cast(numbers)
    }
}

/// Root mean square normalisation (arXiv 1910.07467).
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// `[width]`.
    pub weight: Param<Tensor<1>>,
    /// Added to the mean square.
    pub epsilon: f64,
}

impl RmsNorm {
    pub(crate) fn new(width: usize, epsilon: f64, device: &Device) -> Self {
        Self { weight: ones([width], device), epsilon }
    }

    /// # Shapes
    /// - x, output: `[.., width]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        kernels::rms_norm(x, self.weight.val(), self.epsilon)
    }
}

/// Layer normalisation (arXiv 1607.06450).
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// `[width]`.
    pub weight: Param<Tensor<1>>,
    /// `[width]`.
    pub bias: Param<Tensor<1>>,
}

impl LayerNorm {
    /// Added to the variance, as PyTorch does where nothing else is said.
    const EPSILON: f64 = 1e-5;

    pub(crate) fn new(width: usize, device: &Device) -> Self {
        Self { weight: ones([width], device), bias: zeros([width], device) }
    }

    /// # Shapes
    /// - x, output: `[.., width]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        layer_norm(x, self.weight.val(), Some(self.bias.val()), Self::EPSILON)
    }
}

/// Sizes of a [`Gated`] feed-forward layer.
#[derive(Debug, Clone, Copy)]
pub struct GatedConfig {
    /// Width of what comes in and goes out.
    pub width: usize,
    /// Width between.
    pub inner: usize,
    /// Whether the three products have biases.
    pub bias: bool,
}

impl GatedConfig {
    /// The layer.
    pub fn init(&self, device: &Device) -> Gated {
        let up = LinearConfig { inputs: self.width, outputs: self.inner, bias: self.bias };
        let down = LinearConfig { inputs: self.inner, outputs: self.width, bias: self.bias };
        Gated { gate_proj: up.init(device), up_proj: up.init(device), down_proj: down.init(device) }
    }
}

/// The gated feed-forward layer SwiGLU (arXiv 2002.05202): `down(silu(gate(x)) · up(x))`.
#[derive(Module, Debug)]
pub struct Gated {
    /// What opens.
    pub gate_proj: Linear,
    /// What passes.
    pub up_proj: Linear,
    /// The way back.
    pub down_proj: Linear,
}

impl Gated {
    /// # Shapes
    /// - x, output: `[.., width]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let gate = self.gate_proj.forward(x.clone());
        self.down_proj.forward(kernels::open_gate(gate, self.up_proj.forward(x)))
    }
}
