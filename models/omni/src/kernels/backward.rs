//! The derivatives of the operations, for burn's automatic differentiation.

use burn::backend::{
    Autodiff, AutodiffBackend, Backend,
    autodiff::{
        NodeId,
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind},
    },
    tensor::FloatTensor,
};

use super::Kernels;

/// A tensor that is followed.
type Followed<B, C> = FloatTensor<Autodiff<B, C>>;

impl<B: Kernels, C: CheckpointStrategy> Kernels for Autodiff<B, C> {
    fn project(x: Followed<B, C>, weight: Followed<B, C>, bias: Option<Followed<B, C>>) -> Followed<B, C> {
        // The weight as burn's product takes it is a view; biases are followed only when everything is trained.
        let weight = Self::float_swap_dims(weight, 0, 1);
        <Self as burn::backend::ops::ModuleOps<Self>>::linear(x, weight, bias)
    }

    fn rms_norm(x: Followed<B, C>, weight: Followed<B, C>, epsilon: f64) -> Followed<B, C> {
        #[derive(Debug)]
        struct RmsNorm;

        impl<B: Kernels> Backward<B, 2> for RmsNorm {
            type State = (NodeId, NodeId, f64);

            fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, saved: &mut Checkpointer) {
                let grad = grads.consume::<B>(&ops.node);
                let (x, weight, epsilon) = ops.state;
                let (x, weight) = (saved.retrieve_node_output(x), saved.retrieve_node_output(weight));
                let (of_x, of_weight) = B::rms_norm_backward(grad, x, weight, epsilon);
                let [x, weight] = ops.parents;
                if let Some(node) = x {
                    grads.register::<B>(node.id, of_x);
                }
                if let Some(node) = weight {
                    grads.register::<B>(node.id, of_weight);
                }
            }
        }

        let output = B::rms_norm(x.primitive().clone(), weight.primitive().clone(), epsilon);
        match RmsNorm.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = (prep.checkpoint(&x), prep.checkpoint(&weight), epsilon);
                prep.finish(state, output)
            }
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn rms_norm_backward(
        _: Followed<B, C>,
        _: Followed<B, C>,
        _: Followed<B, C>,
        _: f64,
    ) -> (Followed<B, C>, Followed<B, C>) {
        unreachable!("gradients are computed on the inner backend")
    }

    fn rotate(x: Followed<B, C>, cos: Followed<B, C>, sin: Followed<B, C>) -> Followed<B, C> {
        #[derive(Debug)]
        struct Rotate;

        impl<B: Kernels> Backward<B, 1> for Rotate {
            type State = (FloatTensor<B>, FloatTensor<B>);

            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                let grad = grads.consume::<B>(&ops.node);
                let (cos, sin) = ops.state;
                let [x] = ops.parents;
                if let Some(node) = x {
                    // A turn is undone by the opposite turn.
                    grads.register::<B>(node.id, B::rotate(grad, cos, B::float_neg(sin)));
                }
            }
        }

        let (cos, sin) = (cos.into_primitive(), sin.into_primitive());
        let output = B::rotate(x.primitive().clone(), cos.clone(), sin.clone());
        match Rotate.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((cos, sin), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn attend(
        query: Followed<B, C>,
        key: Followed<B, C>,
        value: Followed<B, C>,
        mask: Option<Followed<B, C>>,
        causal: bool,
        scale: f64,
    ) -> (Followed<B, C>, Followed<B, C>) {
        #[derive(Debug)]
        struct Attend;

        impl<B: Kernels> Backward<B, 3> for Attend {
            type State = ([NodeId; 3], FloatTensor<B>, FloatTensor<B>, Option<FloatTensor<B>>, bool, f64);

            fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, saved: &mut Checkpointer) {
                let grad = grads.consume::<B>(&ops.node);
                let ([query, key, value], output, log_sum, mask, causal, scale) = ops.state;
                let [query, key, value] =
                    [query, key, value].map(|id| saved.retrieve_node_output::<FloatTensor<B>>(id));
                let (of_query, of_key, of_value) =
                    B::attend_backward(grad, query, key, value, output, log_sum, mask, causal, scale);
                let [query, key, value] = ops.parents;
                for (node, grad) in [(query, of_query), (key, of_key), (value, of_value)] {
                    if let Some(node) = node {
                        grads.register::<B>(node.id, grad);
                    }
                }
            }
        }

        let mask = mask.map(|mask| mask.into_primitive());
        let [q, k, v] = [&query, &key, &value].map(|tensor| tensor.primitive().clone());
        let (output, log_sum) = B::attend(q, k, v, mask.clone(), causal, scale);
        let sums = Self::from_inner(log_sum.clone());
        match Attend.prepare::<C>([query.node(), key.node(), value.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let saved = [&query, &key, &value].map(|tensor| prep.checkpoint(tensor));
                (prep.finish((saved, output.clone(), log_sum, mask, causal, scale), output), sums)
            }
            OpsKind::UnTracked(prep) => (prep.finish(output), sums),
        }
    }

    fn attend_backward(
        _: Followed<B, C>,
        _: Followed<B, C>,
        _: Followed<B, C>,
        _: Followed<B, C>,
        _: Followed<B, C>,
        _: Followed<B, C>,
        _: Option<Followed<B, C>>,
        _: bool,
        _: f64,
    ) -> (Followed<B, C>, Followed<B, C>, Followed<B, C>) {
        unreachable!("gradients are computed on the inner backend")
    }
}
