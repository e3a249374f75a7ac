//! `bench questions`: sixteen questions on one clip. Ours reads the clip once and answers in batches; transformers reads it for
//! each question, or, where its user takes the trouble, copies the clip's keys and values.

use counterpoint_core::questions::{Expected, Query, Stream, Wording};

use super::{Bench, Pair, Plan, Seat, classes, run as measure};
use crate::{
    args::{Common, bench::ModelBench},
    commands::bench::table::Findings,
    output::Failure,
    sides::{Prompt, Work},
};

const OURS: &str = "ask, all questions together";
const ALONE: &str = "transformers, question by question";
const COPIED: &str = "transformers, with a copied cache";

/// Classes whose being there is asked for, by each stream.
const EXISTING: usize = 5;

pub fn run(arguments: &ModelBench, common: &Common, bench: &Bench<'_>) -> Result<Findings, Failure> {
    let prompts = prompts(&classes()?);
    let plan = Plan {
        name: "questions",
        sides: vec![
            Seat::ours(OURS, Work::Questions),
            Seat::peer(ALONE, Work::Questions),
            Seat::peer(COPIED, Work::QuestionsCopied),
        ],
        pairs: vec![Pair::of(OURS, ALONE).faster(10.0), Pair::of(OURS, COPIED).faster(1.2)],
        unit: "questions",
        units: prompts.len() as u64,
        prompts,
        notes: &[
            "a turn answers every question on the clip, from its frames and samples on, in at most 8 tokens each; nothing \
             is kept from turn to turn",
            "numbers are the probabilities of yes where yes or no was asked",
            "what patches and log-mel cost is counted for ours alone: the peer is given them",
        ],
    };
    measure(plan, arguments, common, bench)
}

/// Sixteen questions: about the class with all options and with one more, about being there, and about matching.
fn prompts(classes: &[String]) -> Vec<Prompt> {
    let streams = [Stream::Visual, Stream::Audio];
    let mut asked: Vec<Query> = streams.map(|stream| Query::Class { stream }).to_vec();
    asked.extend(streams.map(|stream| Query::Abstention { stream }));
    for class in classes.iter().take(EXISTING) {
        asked.extend(streams.map(|stream| Query::Exists { stream, class: class.clone() }));
    }
    asked.extend([Query::Match, Query::AvhMatch]);
    let prompt = |query: &Query| Prompt {
        text: query.text(classes, &Wording::default()),
        yes_no: query.expected() == Expected::YesNo,
        answer: None,
        sound: 0,
    };
    asked.iter().map(prompt).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_are_sixteen_different_questions_of_both_kinds() {
        let prompts = prompts(&classes().unwrap());
        let texts: BTreeSet<&str> = prompts.iter().map(|prompt| prompt.text.as_str()).collect();
        assert_eq!(texts.len(), 16, "{texts:?}");
        assert_eq!(prompts.iter().filter(|prompt| prompt.yes_no).count(), 12);
        assert!(prompts.iter().any(|prompt| prompt.text.contains("Zipper_clothing")));
    }
}
