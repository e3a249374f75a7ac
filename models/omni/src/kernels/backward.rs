//! The derivatives of the operations, for burn's automatic differentiation.

use burn::backend::{
    Autodiff, AutodiffBackend,
    autodiff::{
        NodeId,
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients as Found,
        ops::{Backward, Ops, OpsKind},
    },
    ops::{FloatTensorOps, ModuleOps},
    tensor::FloatTensor,
};

use super::{Attended, Forks, Gradients, Kernels, View};

/// A tensor that is followed.
type Followed<B, C> = FloatTensor<Autodiff<B, C>>;

impl<B: Gradients, C: CheckpointStrategy> Kernels for Autodiff<B, C> {
    fn project(x: Followed<B, C>, weight: Followed<B, C>) -> Followed<B, C> {
        // burn's own product takes the weight transposed, which is a view.
        <Self as ModuleOps<Self>>::linear(x, Self::float_swap_dims(weight, 0, 1), None)
    }

    fn project_and_add(x: Followed<B, C>, weight: Followed<B, C>, bias: Followed<B, C>) -> Followed<B, C> {
        <Self as ModuleOps<Self>>::linear(x, Self::float_swap_dims(weight, 0, 1), Some(bias))
    }

    fn rms_norm(x: Followed<B, C>, weight: Followed<B, C>, epsilon: f64) -> Followed<B, C> {
        #[derive(Debug)]
        struct RmsNorm;

        impl<B: Gradients> Backward<B, 2> for RmsNorm {
            type State = (NodeId, NodeId, f64);

            fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Found, saved: &mut Checkpointer) {
                let grad = grads.consume::<B>(&ops.node);
                let (x, weight, epsilon) = ops.state;
                let (x, weight) = (saved.retrieve_node_output(x), saved.retrieve_node_output(weight));
                let [of, of_weight] = ops.parents;
                let (of_x, weights) = B::rms_norm_gradients(grad, x, weight, epsilon, of_weight.is_some());
                if let Some(node) = of {
                    grads.register::<B>(node.id, of_x);
                }
                if let Some((node, gradient)) = of_weight.zip(weights) {
                    grads.register::<B>(node.id, gradient);
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

    fn open_gate(gate: Followed<B, C>, up: Followed<B, C>) -> Followed<B, C> {
        #[derive(Debug)]
        struct OpenGate;

        impl<B: Gradients> Backward<B, 2> for OpenGate {
            type State = (NodeId, NodeId);

            fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Found, saved: &mut Checkpointer) {
                let grad = grads.consume::<B>(&ops.node);
                let (gate, up) = ops.state;
                let (gate, up) = (saved.retrieve_node_output(gate), saved.retrieve_node_output(up));
                let found = B::open_gate_gradients(grad, gate, up);
                for (node, grad) in ops.parents.into_iter().zip(found) {
                    if let Some(node) = node {
                        grads.register::<B>(node.id, grad);
                    }
                }
            }
        }

        let output = B::open_gate(gate.primitive().clone(), up.primitive().clone());
        match OpenGate.prepare::<C>([gate.node(), up.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = (prep.checkpoint(&gate), prep.checkpoint(&up));
                prep.finish(state, output)
            }
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn rotate(x: Followed<B, C>, cos: Followed<B, C>, sin: Followed<B, C>) -> Followed<B, C> {
        #[derive(Debug)]
        struct Rotate;

        impl<B: Gradients> Backward<B, 1> for Rotate {
            type State = (FloatTensor<B>, FloatTensor<B>);

            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Found, _: &mut Checkpointer) {
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
        causal: bool,
        scale: f64,
    ) -> (Followed<B, C>, Followed<B, C>) {
        attend::<B, C>(query, key, value, View::Plain { causal }, scale)
    }

    /// The mask itself is not followed: it hides, and is nothing that is learned.
    fn attend_masked(
        query: Followed<B, C>,
        key: Followed<B, C>,
        value: Followed<B, C>,
        mask: Followed<B, C>,
        scale: f64,
    ) -> (Followed<B, C>, Followed<B, C>) {
        attend::<B, C>(query, key, value, View::Masked(mask.into_primitive()), scale)
    }

    fn attend_forked(
        query: Followed<B, C>,
        key: Followed<B, C>,
        value: Followed<B, C>,
        forks: Forks,
        scale: f64,
    ) -> (Followed<B, C>, Followed<B, C>) {
        attend::<B, C>(query, key, value, View::Forked(forks), scale)
    }
}

#[derive(Debug)]
struct Attend;

impl<B: Gradients> Backward<B, 3> for Attend {
    type State = Attended<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Found, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let found = B::attend_gradients(grad, ops.state);
        for (node, grad) in ops.parents.into_iter().zip(found) {
            if let Some(node) = node {
                grads.register::<B>(node.id, grad);
            }
        }
    }
}

/// Attention whose output is followed; the logarithms of sums are not.
fn attend<B: Gradients, C: CheckpointStrategy>(
    query: Followed<B, C>,
    key: Followed<B, C>,
    value: Followed<B, C>,
    view: View<B>,
    scale: f64,
) -> (Followed<B, C>, Followed<B, C>) {
    let inputs = [&query, &key, &value].map(|tensor| tensor.primitive().clone());
    let [q, k, v] = inputs.clone();
    let (output, log_sum) = match &view {
        View::Plain { causal } => B::attend(q, k, v, *causal, scale),
        View::Masked(mask) => B::attend_masked(q, k, v, mask.clone(), scale),
        View::Forked(forks) => B::attend_forked(q, k, v, *forks, scale),
    };
    let sums = <Autodiff<B, C> as AutodiffBackend>::from_inner(log_sum.clone());
    match Attend.prepare::<C>([query.node(), key.node(), value.node()]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let state = Attended { inputs, output: output.clone(), log_sum, view, scale };
            (prep.finish(state, output), sums)
        }
        OpsKind::UnTracked(prep) => (prep.finish(output), sums),
    }
}
