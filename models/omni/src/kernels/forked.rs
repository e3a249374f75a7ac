//! Attention of rows that fork, on libtorch: of the prefix, of branches on the prefix, and of each branch on itself.
//!
//! The last two are joined by their sums of exponentials. Backwards nothing has to be taken apart: given the output and the
//! sums of all a query saw, the gradients of any part of its keys follow (FlashAttention, arXiv 2205.14135, appendix B.2).

use tch::Tensor;

use super::{
    Forks,
    libtorch::{attend as attend_plainly, fused_gradients},
};

/// Where tokens lie on the axis of tokens.
struct Parts {
    prefix: i64,
    branches: i64,
    /// Tokens of a branch.
    tokens: i64,
    /// Whether the prefix asks as well.
    is_whole: bool,
}

impl Parts {
    fn of(forks: Forks, query: &Tensor, key: &Tensor) -> Self {
        let (queries, keys) = (query.size()[2], key.size()[2]);
        let (prefix, branches) = (forks.prefix as i64, forks.branches.max(1) as i64);
        Self { prefix, branches, tokens: (keys - prefix) / branches, is_whole: queries == keys }
    }

    fn prefix(&self, x: &Tensor) -> Tensor {
        x.narrow(2, 0, self.prefix)
    }

    fn branches(&self, x: &Tensor) -> Tensor {
        let count = self.branches * self.tokens;
        x.narrow(2, x.size()[2] - count, count)
    }

    /// `[batch, heads, branches x tokens, ..]` to `[batch x branches, heads, tokens, ..]`.
    fn apart(&self, x: &Tensor) -> Tensor {
        let (size, Self { branches, tokens, .. }) = (x.size(), self);
        let split = [&[size[0], size[1], *branches, *tokens], &size[3..]].concat();
        let apart = [&[size[0] * branches, size[1], *tokens], &size[3..]].concat();
        x.reshape(split).transpose(1, 2).reshape(apart)
    }

    /// The way back.
    fn together(&self, x: &Tensor) -> Tensor {
        let (size, Self { branches, tokens, .. }) = (x.size(), self);
        let split = [&[size[0] / branches, *branches, size[1], *tokens], &size[3..]].concat();
        let together = [&[size[0] / branches, size[1], branches * tokens], &size[3..]].concat();
        x.reshape(split).transpose(1, 2).reshape(together)
    }
}

/// # Shapes
/// - query, output: `[batch, heads, tokens or those of branches, head width]`
/// - key, value: `[batch, key heads, tokens, head width]`
/// - log sum: `[batch, heads, tokens or those of branches]`
pub(super) fn attend(inputs: [&Tensor; 3], forks: Forks, scale: f64) -> (Tensor, Tensor) {
    let [query, key, value] = inputs;
    let parts = Parts::of(forks, query, key);
    let [prefix_key, prefix_value] = [key, value].map(|x| parts.prefix(x));
    let [asking, own_key, own_value] = inputs.map(|x| parts.branches(x));
    let (of_prefix, prefix_sum) = attend_plainly([&asking, &prefix_key, &prefix_value], None, false, scale);
    let own = [&asking, &own_key, &own_value].map(|x| parts.apart(x));
    let (of_own, own_sum) = attend_plainly(own.each_ref(), None, true, scale);
    let (of_own, own_sum) = (parts.together(&of_own), parts.together(&own_sum));
    let sum = prefix_sum.logaddexp(&own_sum);
    let share = |part: &Tensor| (part - &sum).exp().unsqueeze(-1);
    let joined = of_prefix * share(&prefix_sum) + of_own * share(&own_sum);
    let joined = joined.to_kind(query.kind());
    if !parts.is_whole {
        return (joined, sum);
    }
    let before = parts.prefix(query);
    let (output, log_sum) = attend_plainly([&before, &prefix_key, &prefix_value], None, true, scale);
    (Tensor::cat(&[output, joined], 2), Tensor::cat(&[log_sum, sum], 2))
}

/// Gradients of queries, keys and values of as many heads.
pub(super) fn gradients(
    grad: &Tensor,
    inputs: [&Tensor; 3],
    output: &Tensor,
    log_sum: &Tensor,
    forks: Forks,
    scale: f64,
) -> [Tensor; 3] {
    let [query, key, value] = inputs;
    let parts = Parts::of(forks, query, key);
    let [prefix_key, prefix_value] = [key, value].map(|x| parts.prefix(x));
    let [asking, own_key, own_value] = inputs.map(|x| parts.branches(x));
    let [asked, answered, sum] = [grad, output, log_sum].map(|x| parts.branches(x));
    let [mut of_query, mut of_prefix_key, mut of_prefix_value] =
        fused_gradients(&asked, [&asking, &prefix_key, &prefix_value], &answered, &sum, None, false, scale);
    let own = [&asking, &own_key, &own_value].map(|x| parts.apart(x));
    let [asked, answered, sum] = [&asked, &answered, &sum].map(|x| parts.apart(x));
    let of_own = fused_gradients(&asked, own.each_ref(), &answered, &sum, None, true, scale);
    let [of_asking, of_own_key, of_own_value] = of_own.each_ref().map(|x| parts.together(x));
    of_query += of_asking;
    if parts.is_whole {
        let [asked, asking, answered, sum] = [grad, query, output, log_sum].map(|x| parts.prefix(x));
        let inputs = [&asking, &prefix_key, &prefix_value];
        let [of_before, of_key, of_value] =
            fused_gradients(&asked, inputs, &answered, &sum, None, true, scale);
        of_query = Tensor::cat(&[of_before, of_query], 2);
        of_prefix_key += of_key;
        of_prefix_value += of_value;
    }
    let joined = |prefix: Tensor, own: Tensor| Tensor::cat(&[prefix, own], 2);
    [of_query, joined(of_prefix_key, of_own_key), joined(of_prefix_value, of_own_value)]
}
