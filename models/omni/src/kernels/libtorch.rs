//! The operations on libtorch.

use burn::backend::{LibTorch, tensor::FloatTensor};
use tch::{Kind, Tensor};

use super::{Attended, Forks, Gradients, Kernels, View, forked};

type Torch = FloatTensor<LibTorch>;

impl Kernels for LibTorch {
    fn project(x: Torch, weight: Torch) -> Torch {
        Torch::new(x.tensor.linear(&weight.tensor, None::<&Tensor>))
    }

    fn project_and_add(x: Torch, weight: Torch, bias: Torch) -> Torch {
        Torch::new(x.tensor.linear(&weight.tensor, Some(&bias.tensor)))
    }

    fn rms_norm(x: Torch, weight: Torch, epsilon: f64) -> Torch {
        let kind = x.tensor.kind();
        let wide = x.tensor.to_kind(Kind::Float);
        let normal = &wide * inverse_root(&wide, epsilon);
        Torch::new(normal.to_kind(kind).g_mul_(&weight.tensor))
    }

    fn open_gate(gate: Torch, up: Torch) -> Torch {
        Torch::new(gate.tensor.silu().g_mul_(&up.tensor))
    }

    fn rotate(x: Torch, cos: Torch, sin: Torch) -> Torch {
        let halves = x.tensor.chunk(2, -1);
        let (first, second) = (&halves[0], &halves[1]);
        let (cos, sin) = (&cos.tensor, &sin.tensor);
        let turned = [(first * cos).g_sub_(&(second * sin)), (second * cos).g_add_(&(first * sin))];
        Torch::new(Tensor::cat(&turned, -1))
    }

    fn attend(query: Torch, key: Torch, value: Torch, causal: bool, scale: f64) -> (Torch, Torch) {
        kept(attend([&query.tensor, &key.tensor, &value.tensor], None, causal, scale))
    }

    fn attend_masked(query: Torch, key: Torch, value: Torch, mask: Torch, scale: f64) -> (Torch, Torch) {
        kept(attend([&query.tensor, &key.tensor, &value.tensor], Some(&mask.tensor), false, scale))
    }

    fn attend_forked(query: Torch, key: Torch, value: Torch, forks: Forks, scale: f64) -> (Torch, Torch) {
        kept(forked::attend([&query.tensor, &key.tensor, &value.tensor], forks, scale))
    }
}

fn kept((output, log_sum): (Tensor, Tensor)) -> (Torch, Torch) {
    (Torch::new(output), Torch::new(log_sum))
}

impl Gradients for LibTorch {
    fn rms_norm_gradients(
        grad: Torch,
        x: Torch,
        weight: Torch,
        epsilon: f64,
        of_weight: bool,
    ) -> (Torch, Option<Torch>) {
        let kind = x.tensor.kind();
        let wide = x.tensor.to_kind(Kind::Float);
        let inverse = inverse_root(&wide, epsilon);
        let grad = grad.tensor.to_kind(Kind::Float);
        let normal = &wide * &inverse;
        let width = wide.size().last().copied().unwrap_or(1);
        let of_weight = of_weight.then(|| {
            let rows = (&grad * &normal).reshape([-1, width]);
            Torch::new(rows.sum_dim_intlist([0_i64].as_slice(), false, Kind::Float).to_kind(kind))
        });
        let scaled = grad.g_mul(&weight.tensor.to_kind(Kind::Float));
        let along = (&scaled * &normal).mean_dim([-1_i64].as_slice(), true, Kind::Float);
        let of_x = (scaled - normal * along) * inverse;
        (Torch::new(of_x.to_kind(kind)), of_weight)
    }

    fn open_gate_gradients(grad: Torch, gate: Torch, up: Torch) -> [Torch; 2] {
        let (grad, gate, up) = (&grad.tensor, &gate.tensor, &up.tensor);
        let of_gate = gate.silu_backward(&(grad * up));
        [of_gate, gate.silu().g_mul_(grad)].map(Torch::new)
    }

    fn attend_gradients(grad: Torch, attended: Attended<Self>) -> [Torch; 3] {
        let Attended { inputs: [query, key, value], output, log_sum, view, scale } = attended;
        let heads = Heads::of(&query.tensor, &key.tensor);
        let (key, value) = (heads.repeated(&key.tensor), heads.repeated(&value.tensor));
        let inputs = [&query.tensor, &key, &value];
        let (grad, output, log_sum) = (&grad.tensor, &output.tensor, &log_sum.tensor);
        let [of_query, of_key, of_value] = match view {
            View::Plain { causal } => fused_gradients(grad, inputs, output, log_sum, None, causal, scale),
            View::Masked(mask) => {
                fused_gradients(grad, inputs, output, log_sum, Some(&mask.tensor), false, scale)
            }
            View::Forked(forks) => forked::gradients(grad, inputs, output, log_sum, forks, scale),
        };
        [of_query, heads.summed(&of_key), heads.summed(&of_value)].map(Torch::new)
    }
}

/// Attention with the keys and values of fewer heads.
pub(super) fn attend(
    [query, key, value]: [&Tensor; 3],
    mask: Option<&Tensor>,
    causal: bool,
    scale: f64,
) -> (Tensor, Tensor) {
    let heads = Heads::of(query, key);
    if heads.fold(causal, mask) {
        let (output, log_sum) = fused(&heads.folded(query), key, value, mask, false, scale);
        (heads.unfolded(&output), heads.unfolded(&log_sum))
    } else {
        fused(query, &heads.repeated(key), &heads.repeated(value), mask, causal, scale)
    }
}

/// One over the root of the mean square of the last axis, without a copy of the squares.
fn inverse_root(x: &Tensor, epsilon: f64) -> Tensor {
    let width = x.size().last().copied().unwrap_or(1);
    let norm = x.norm_scalaropt_dim(2, [-1_i64].as_slice(), true);
    let mean = norm.square() / (width as f64);
    (mean + epsilon).rsqrt()
}

/// How the heads that ask share those that answer.
struct Heads {
    batch: i64,
    answering: i64,
    sharing: i64,
    queries: i64,
}

impl Heads {
    fn of(query: &Tensor, key: &Tensor) -> Self {
        let (query, key) = (query.size(), key.size());
        let answering = key[1].max(1);
        Self { batch: query[0], answering, sharing: query[1] / answering, queries: query[2] }
    }

    /// Whether the heads that share keys can be put one after another as queries of one head: no copies of keys.
    fn fold(&self, causal: bool, mask: Option<&Tensor>) -> bool {
        let alike = mask.is_none_or(|mask| mask.size()[2] == 1);
        self.sharing > 1 && alike && (!causal || self.queries == 1)
    }

    fn folded(&self, query: &Tensor) -> Tensor {
        query.reshape([self.batch, self.answering, self.sharing * self.queries, -1])
    }

    /// Of an output `[batch, answering, sharing x queries, width]` or its log sums, without the width.
    fn unfolded(&self, folded: &Tensor) -> Tensor {
        let heads = self.answering * self.sharing;
        if folded.dim() == 4 {
            folded.reshape([self.batch, heads, self.queries, -1])
        } else {
            folded.reshape([self.batch, heads, self.queries])
        }
    }

    fn repeated(&self, key: &Tensor) -> Tensor {
        if self.sharing == 1 {
            return key.shallow_clone();
        }
        let size = key.size();
        let wide = [self.batch, self.answering, self.sharing, size[2], size[3]];
        let repeated = key.unsqueeze(2).expand(wide, false);
        repeated.reshape([self.batch, self.answering * self.sharing, size[2], size[3]])
    }

    fn summed(&self, grad: &Tensor) -> Tensor {
        if self.sharing == 1 {
            return grad.shallow_clone();
        }
        let size = grad.size();
        let apart = grad.reshape([self.batch, self.answering, self.sharing, size[2], size[3]]);
        apart.sum_dim_intlist([2_i64].as_slice(), false, grad.kind())
    }
}

fn fused(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    mask: Option<&Tensor>,
    causal: bool,
    scale: f64,
) -> (Tensor, Tensor) {
    if query.device().is_cuda() {
        let (output, log_sum, _, _) = Tensor::internal_scaled_dot_product_efficient_attention(
            query, key, value, mask, true, 0.0, causal, scale,
        );
        // The kernel rounds the number of queries up.
        let log_sum = log_sum.narrow(2, 0, query.size()[2]);
        return (output, log_sum);
    }
    Tensor::internal_scaled_dot_product_flash_attention_for_cpu(query, key, value, 0.0, causal, mask, scale)
}

/// Gradients of queries, keys and values of as many heads.
pub(super) fn fused_gradients(
    grad: &Tensor,
    [query, key, value]: [&Tensor; 3],
    output: &Tensor,
    log_sum: &Tensor,
    mask: Option<&Tensor>,
    causal: bool,
    scale: f64,
) -> [Tensor; 3] {
    let none = None::<&Tensor>;
    if query.device().is_cuda() {
        // Tokens come before heads here. Without dropout nothing is drawn, so there is nothing to draw again.
        let turned = |x: &Tensor| x.transpose(1, 2);
        let nothing = Tensor::zeros([], (Kind::Int64, tch::Device::Cpu));
        let log_sum = &aligned(log_sum);
        let (of_query, of_key, of_value, _) = Tensor::internal_efficient_attention_backward(
            &turned(grad),
            &turned(query),
            &turned(key),
            &turned(value),
            mask,
            &turned(output),
            none,
            none,
            query.size()[2],
            key.size()[2],
            log_sum,
            0.0,
            &nothing,
            &nothing,
            i64::from(causal),
            false,
            scale,
            None,
            None,
            false,
        );
        return [of_query, of_key, of_value].map(|gradient| turned(&gradient));
    }
    let (of_query, of_key, of_value) = Tensor::internal_scaled_dot_product_flash_attention_for_cpu_backward(
        grad, query, key, value, output, log_sum, 0.0, causal, mask, scale,
    );
    [of_query, of_key, of_value]
}

/// Log sums with room after each head's for what the kernel for GPUs reads beyond the last query.
fn aligned(log_sum: &Tensor) -> Tensor {
    const BLOCK: i64 = 32;
    let queries = log_sum.size()[2];
    let missing = (BLOCK - queries % BLOCK) % BLOCK;
    log_sum.constant_pad_nd([0, missing]).narrow(2, 0, queries)
}
