//! `bench lora`: three epochs over the four variants of one clip, which share its picture, each with a question about its
//! picture and one about its sound, as tuning asks. Ours brings each stream through its tower once, each variant through the
//! text model once for both questions, and keeps logits and attention where they are needed; PEFT tunes the model as
//! transformers has it.

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
        unit: "questions",
        units: EPOCHS * (VARIANTS * Stream::ALL.len()) as u64,
        prompts: prompts(&classes()?),
        notes: &[
            "rank 8 on queries and values; batch 1, all questions in each of three steps at rate 1e-3 falling by a cosine, \
             so that losses of later steps depend on the steps before",
            "numbers are the losses before each step; PEFT loads the adapter that both begin with as this program \
             wrote it",
            "a turn begins with frames and samples: towers run in it, and nothing is kept from turn to turn",
            "what patches and log-mel cost is counted for ours alone: the peer is given them",
        ],
    };
    measure(plan, arguments, common, bench)
}

/// What is seen, the same in all variants, and what is heard, asked of each variant.
fn prompts(classes: &[String]) -> Vec<Prompt> {
    let heard = classes.iter().step_by(classes.len().div_ceil(VARIANTS).max(1)).take(VARIANTS);
    let of_variant = |(sound, heard): (usize, &String)| {
        let seen = classes.first().unwrap_or(heard);
        [(Stream::Visual, seen), (Stream::Audio, heard)].map(|(stream, class)| Prompt {
            text: Query::Class { stream }.text(classes, &Wording::default()),
            yes_no: false,
            answer: Some(class.clone()),
            sound,
        })
    };
    heard.enumerate().flat_map(of_variant).collect()
}
