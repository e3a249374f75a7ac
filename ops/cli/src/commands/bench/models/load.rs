//! `bench load`: a checkpoint folder to a model that can be asked.

use super::{Bench, Pair, Plan, Seat, run as measure};
use crate::{
    args::{Common, bench::ModelBench},
    commands::bench::table::Findings,
    output::Failure,
    sides::Work,
};

const OURS: &str = "open";
const TENSORS: &str = "safetensors in Python";
const MODEL: &str = "transformers, from_pretrained";

pub fn run(arguments: &ModelBench, common: &Common, bench: &Bench<'_>) -> Result<Findings, Failure> {
    let plan = Plan {
        name: "load",
        sides: vec![
            Seat::ours(OURS, Work::Load),
            Seat::peer(TENSORS, Work::LoadTensors),
            Seat::peer(MODEL, Work::Load),
        ],
        pairs: vec![Pair::of(OURS, TENSORS).faster(1.0), Pair::of(OURS, MODEL)],
        unit: "checkpoints",
        units: 1,
        prompts: Vec::new(),
        notes: &[
            "ours and safetensors in Python look at every number, as one that is none has to be refused; from_pretrained \
             looks at none",
            "ours ends with a model; safetensors in Python with tensors that are still the file's pages",
            "numbers are sums of the text model's tensors; the file lies in the system's cache",
        ],
    };
    measure(plan, arguments, common, bench)
}
