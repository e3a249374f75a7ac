//! `bench forward`: the plain pass and the plain training step, on both sides with everything in them, so that what is
//! measured are layers and derivatives, and not what can be left out.

use counterpoint_core::questions::{Query, Stream, Wording};

use super::{Bench, Pair, Plan, Seat, classes, run as measure};
use crate::{
    args::{Common, bench::ModelBench},
    commands::bench::table::Findings,
    output::Failure,
    sides::{Prompt, Work},
};

const PASS: &str = "pass";
const THEIR_PASS: &str = "transformers, pass";
const ADAPTER: &str = "step of an adapter";
const THEIR_ADAPTER: &str = "PEFT, step of an adapter";
const ALL: &str = "step of all parameters";
const THEIR_ALL: &str = "transformers, step of all parameters";

/// Goals of the design.
const FORWARD: f64 = 0.95;
const STEP: f64 = 0.9;

pub fn run(arguments: &ModelBench, common: &Common, bench: &Bench<'_>) -> Result<Findings, Failure> {
    let classes = classes()?;
    let plan = Plan {
        name: "forward",
        sides: vec![
            Seat::ours(PASS, Work::Forward),
            Seat::peer(THEIR_PASS, Work::Forward),
            Seat::ours(ADAPTER, Work::StepAdapter),
            Seat::peer(THEIR_ADAPTER, Work::StepAdapter),
            Seat::ours(ALL, Work::StepAll),
            Seat::peer(THEIR_ALL, Work::StepAll),
        ],
        pairs: vec![
            Pair::of(PASS, THEIR_PASS).faster(FORWARD),
            Pair::of(ADAPTER, THEIR_ADAPTER).faster(STEP),
            Pair::of(ALL, THEIR_ALL).faster(STEP),
        ],
        unit: "turns",
        units: 1,
        prompts: vec![Prompt {
            text: Query::Class { stream: Stream::Visual }.text(&classes, &Wording::default()),
            yes_no: false,
            answer: classes.first().cloned(),
            sound: 0,
        }],
        notes: &[
            "a pass runs both towers and the text model, and computes the logits of every token; a step runs both towers, \
             the text model, derivatives and AdamW",
            "numbers are logits at eight places of the sequence, and the loss before each step: later turns begin with \
             what earlier ones made of the parameters",
        ],
    };
    measure(plan, arguments, common, bench)
}
