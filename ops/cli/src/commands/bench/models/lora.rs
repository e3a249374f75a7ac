//! `bench lora`: three epochs over the four variants of one clip, which share its picture. Ours brings each stream through its
//! tower once, and keeps logits and attention where they are needed; PEFT tunes the model as transformers has it.

use counterpoint_core::questions::{Query, Stream, Wording};

use super::{Bench, Pair, Plan, Seat, classes, run as measure};
use crate::{
    args::{Common, bench::ModelBench},
    commands::bench::table::Findings,
    output::Failure,
    sides::{Prompt, Work},
};

const OURS: &str = "train";
const AGAIN: &str = "train, layers computed again";
const PEFT: &str = "PEFT";
const CHECKPOINTING: &str = "PEFT, gradient checkpointing";

/// Variants of the clip: one picture, a sound each.
const VARIANTS: usize = 4;

/// Passes over them.
const EPOCHS: u64 = 3;

/// Goals of the design.
const SPEED: f64 = 5.0;
const MEMORY: f64 = 0.25;

pub fn run(arguments: &ModelBench, common: &Common, bench: &Bench<'_>) -> Result<Findings, Failure> {
    let plan = Plan {
        name: "lora",
        sides: vec![
            Seat::ours(OURS, Work::Tune),
            Seat::ours(AGAIN, Work::TuneAgain),
            Seat::peer(PEFT, Work::Tune),
            Seat::peer(CHECKPOINTING, Work::TuneAgain),
        ],
        pairs: vec![
            Pair::of(OURS, PEFT).faster(SPEED).smaller(MEMORY),
            Pair::of(AGAIN, PEFT).smaller(MEMORY),
            Pair::of(OURS, CHECKPOINTING),
            Pair::of(AGAIN, CHECKPOINTING),
        ],
        unit: "examples",
        units: EPOCHS * VARIANTS as u64,
        prompts: prompts(&classes()?),
        notes: &[
            "rank 8 on queries and values; batch 1, four examples a step, three steps at rate 1e-3 falling by a cosine, so \
             that losses of later steps depend on the steps before",
            "numbers are the losses before each step; PEFT loads the adapter that both begin with as this program \
             wrote it",
            "a turn begins with frames and samples: towers run in it, and nothing is kept from turn to turn",
            "what patches and log-mel cost is counted for ours alone: the peer is given them",
        ],
    };
    measure(plan, arguments, common, bench)
}

/// What is heard, asked of each variant.
fn prompts(classes: &[String]) -> Vec<Prompt> {
    let query = Query::Class { stream: Stream::Audio };
    let heard = classes.iter().step_by(classes.len().div_ceil(VARIANTS).max(1)).take(VARIANTS);
    let prompt = |(sound, class): (usize, &String)| Prompt {
        text: query.text(classes, &Wording::default()),
        yes_no: false,
        answer: Some(class.clone()),
        sound,
    };
    heard.enumerate().map(prompt).collect()
}
