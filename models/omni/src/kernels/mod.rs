//! The operations that most of the time is spent in, as libtorch's own fused ones, with derivatives.
//!
//! burn's general operations would do, at a price: its product takes weights transposed and adds biases in a second
//! pass, its SiLU is two operations that each remember their result, and its attention, when differentiated, keeps
//! every score. Here attention keeps one number per query and head instead (the logarithm of its sum) and computes the
//! rest again (FlashAttention, arXiv 2205.14135).

#![expect(deprecated, reason = "libtorch is what the models are measured on; see `device`")]

mod backward;
mod forked;
mod libtorch;

use burn::{
    Tensor,
    backend::{Backend, Dispatch, backend_extension, tensor::FloatTensor},
};

/// What a backend has to bring.
#[backend_extension(LibTorch, Autodiff)]
pub(crate) trait Kernels: Backend {
    /// `x weightᵀ`.
    fn project(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `x weightᵀ + bias`.
    fn project_and_add(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// `x` over its root mean square, times `weight`.
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, epsilon: f64) -> FloatTensor<Self>;

    /// `silu(gate) · up`.
    fn open_gate(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Each pair (i, i + half) of the last axis turned by an angle.
    fn rotate(x: FloatTensor<Self>, cos: FloatTensor<Self>, sin: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Attention, and the logarithm of each query's sum of exponentials.
    fn attend(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        causal: bool,
        scale: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The same with a mask that is added to the scores.
    fn attend_masked(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        mask: FloatTensor<Self>,
        scale: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The same of rows that fork.
    fn attend_forked(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        forks: Forks,
        scale: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// What a backend has to bring for tuning.
pub(crate) trait Gradients: Kernels {
    /// Gradients of `x` and, where it is wanted, `weight` in [`Kernels::rms_norm`].
    fn rms_norm_gradients(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f64,
        of_weight: bool,
    ) -> (FloatTensor<Self>, Option<FloatTensor<Self>>);

    /// Gradients of `gate` and `up` in [`Kernels::open_gate`].
    fn open_gate_gradients(
        grad: FloatTensor<Self>,
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 2];

    /// Gradients of queries, keys and values in [`Kernels::attend`] and its relatives.
    fn attend_gradients(grad: FloatTensor<Self>, attended: Attended<Self>) -> [FloatTensor<Self>; 3];
}

/// What attention's gradients depend on.
#[derive(Debug, Clone)]
pub(crate) struct Attended<B: Backend> {
    /// Queries, keys and values.
    inputs: [FloatTensor<B>; 3],
    output: FloatTensor<B>,
    log_sum: FloatTensor<B>,
    view: View<B>,
    scale: f64,
}

/// [`Sight`] as a backend has it.
#[derive(Debug, Clone)]
enum View<B: Backend> {
    Plain { causal: bool },
    Masked(FloatTensor<B>),
    Forked(Forks),
}

/// `x weightᵀ + bias`, in one pass.
///
/// # Shapes
/// - x: `[.., inputs]`
/// - weight: `[outputs, inputs]`, as checkpoints have it
/// - bias: `[outputs]`
/// - output: `[.., outputs]`
pub(crate) fn project<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<D> {
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match bias {
        None => Dispatch::project(x, weight),
        Some(bias) => Dispatch::project_and_add(x, weight, bias.into_dispatch()),
    })
}

/// `x / sqrt(mean(x²) + epsilon) * weight`, the mean taken in f32.
///
/// # Shapes
/// - x, output: `[.., width]`
/// - weight: `[width]`
pub(crate) fn rms_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, epsilon: f64) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::rms_norm(x.into_dispatch(), weight.into_dispatch(), epsilon))
}

/// `silu(gate) · up`, as in SwiGLU (arXiv 2002.05202).
pub(crate) fn open_gate<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::open_gate(gate.into_dispatch(), up.into_dispatch()))
}

/// Rotary positions: the pair (i, i + half) of a head is turned by the i-th angle (RoFormer, arXiv 2104.09864).
///
/// # Shapes
/// - x, output: `[batch, tokens, heads, head width]`
/// - cos, sin: `[batch or 1, tokens, 1, head width / 2]`
pub(crate) fn rotate(x: Tensor<4>, cos: Tensor<4>, sin: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::rotate(x.into_dispatch(), cos.into_dispatch(), sin.into_dispatch()))
}

/// How queries see keys.
#[derive(Debug, Clone)]
pub(crate) enum Sight {
    /// All of them.
    All,
    /// Query i sees keys 0..=i.
    Causal,
    /// What this, added to the scores, leaves: `[batch, 1, queries or 1, keys]`.
    Mask(Tensor<4>),
    /// Query i of a prefix sees keys 0..=i; one of a branch sees the prefix, and its own branch up to itself. Queries may be
    /// those of the branches alone.
    Forked(Forks),
}

/// How rows fork: a prefix, and branches of one length that go on from it, each as if the others were not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forks {
    /// Tokens of the prefix.
    pub(crate) prefix: usize,
    /// Branches.
    pub(crate) branches: usize,
}

/// Attention with the keys and values of fewer heads, and the logarithm of each query's sum of exponentials.
///
/// # Shapes
/// - query, output: `[batch, heads, queries, head width]`
/// - key, value: `[batch, key heads, keys, head width]`; key heads divide heads
/// - log sum: `[batch, heads, queries]`
pub(crate) fn attend(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    sight: &Sight,
    scale: f64,
) -> (Tensor<4>, Tensor<3>) {
    let (query, key, value) = (query.into_dispatch(), key.into_dispatch(), value.into_dispatch());
    let (output, log_sum) = match sight {
        Sight::All => Dispatch::attend(query, key, value, false, scale),
        Sight::Causal => Dispatch::attend(query, key, value, true, scale),
        Sight::Mask(mask) => Dispatch::attend_masked(query, key, value, mask.clone().into_dispatch(), scale),
        Sight::Forked(forks) => Dispatch::attend_forked(query, key, value, *forks, scale),
    };
    (Tensor::from_dispatch(output), Tensor::from_dispatch(log_sum))
}
