//! Training from nothing and tuning, on clips drawn from a seed, with models of a few thousand parameters.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

mod data;
mod going_on;
mod results;

use std::path::Path;

use counterpoint_omni::{
    Examples, Kind, Length, LoraRecipe, Model, Origin, Precision, Recipe, Targets, TrainError, Trainer,
};
use data::{Both, Clips, model};

fn origin(folder: &Path) -> Origin {
    Origin { name: "tiny".to_owned(), identity: "1".to_owned(), folder: folder.to_owned() }
}

fn full(steps: u64, batch: usize) -> Recipe {
    Recipe {
        kind: Kind::Full,
        rate: 4e-3,
        batch,
        accumulation: 1,
        length: Length::Steps(steps),
        weight_decay: 0.01,
        ..Recipe::default()
    }
}

fn lora(steps: u64) -> Recipe {
    let kind = Kind::Lora(LoraRecipe { targets: Targets::AllLinear, ..LoraRecipe::default() });
    Recipe { kind, rate: 1e-2, batch: 4, accumulation: 2, length: Length::Steps(steps), ..Recipe::default() }
}

/// The losses of a whole training.
fn losses<E: Examples>(trainer: &mut Trainer<E>) -> Vec<f64> {
    std::iter::from_fn(|| trainer.step().unwrap()).map(|step| step.loss).collect()
}

fn trained(model: Model, recipe: Recipe, clips: impl Examples) -> (Vec<f64>, Model) {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::new(model, recipe, clips, origin(folder.path())).unwrap();
    (losses(&mut trainer), trainer.finish().unwrap())
}

fn largest_difference(one: &[f64], other: &[f64]) -> f64 {
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).map(|(one, other)| (one - other).abs()).fold(0.0, f64::max)
}

#[test]
fn a_model_learns_from_nothing_what_is_seen_and_heard() {
    let (losses, _) = trained(model(5), full(300, 16), Clips::new(64, 64, false));
    let last = losses[290..].iter().sum::<f64>() / 10.0;
    // Who knows the form of an answer but not the class has ln 4 at one of two tokens.
    let chance = 4_f64.ln() / 2.0;
    assert!(last < chance / 2.0, "{last} after {losses:?}");
}

#[test]
fn one_example_is_learned_by_heart() {
    let (losses, _) = trained(model(5), full(120, 2), Clips::new(1, 0, false));
    assert!(losses[119] < 0.05, "{losses:?}");
}

#[test]
fn what_was_learned_by_heart_is_said_word_for_word_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let clips = Clips::new(1, 0, false);
    let mut trainer = Trainer::new(model(5), full(120, 2), clips, origin(folder.path())).unwrap();
    let four = Clips::new(4, 0, false);
    assert_eq!(trainer.says(&four).unwrap(), [false; 4]);
    losses(&mut trainer);
    assert_eq!(trainer.says(&four).unwrap(), [true, false, false, false]);
}

#[test]
fn adapters_alone_learn_as_well() {
    // A model that was never trained has no words to choose from: adapters cannot give it any.
    let (whole, base) = trained(model(1), full(150, 16), Clips::new(32, 0, false));
    let (losses, _) = trained(base, lora(60), Clips::new(4, 12, false));
    assert!(losses[59] < 0.3 * losses[0], "{losses:?} after {whole:?}");
}

#[test]
fn small_batches_that_are_summed_are_one_large_batch() {
    let run = |batch, accumulation| {
        let recipe = Recipe { batch, accumulation, ..lora(6) };
        trained(model(1), recipe, Clips::new(8, 8, true)).0
    };
    let difference = largest_difference(&run(8, 1), &run(1, 8));
    assert!(difference < 1e-4, "{difference}");
}

#[test]
fn recomputed_layers_have_the_same_gradients() {
    for (recipe, embedded) in [(lora(6), true), (full(6, 4), false)] {
        let run = |recompute| {
            trained(model(1), Recipe { recompute, ..recipe.clone() }, Clips::new(8, 0, embedded)).0
        };
        let difference = largest_difference(&run(false), &run(true));
        assert!(difference < 1e-5, "{difference}");
    }
}

#[test]
fn questions_that_share_a_clip_have_the_gradients_of_questions_one_by_one() {
    for (kind, embedded) in [(lora(6), true), (full(6, 4), false)] {
        let run = |together, recompute| {
            // All in every step, as they are drawn in another order.
            let recipe = Recipe { batch: 6, accumulation: 2, recompute, ..kind.clone() };
            trained(model(1), recipe, Both::new(Clips::new(2, 4, embedded), together)).0
        };
        let apart = run(false, false);
        assert!(apart[5] < 0.9 * apart[0], "something was learned: {apart:?}");
        for recompute in [false, true] {
            let difference = largest_difference(&apart, &run(true, recompute));
            assert!(difference < 1e-4, "{difference}");
        }
    }
}

#[test]
fn questions_that_share_a_clip_are_answered_as_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let clips = Both::new(Clips::new(0, 2, false), true);
    let mut trainer = Trainer::new(model(5), full(120, 4), clips, origin(folder.path())).unwrap();
    losses(&mut trainer);
    let said = |together| trainer.says(&Both::new(Clips::new(0, 4, false), together)).unwrap();
    let together = said(true);
    assert_eq!(together, said(false));
    assert!(together.contains(&true) && together.contains(&false), "{together:?}");
}

#[test]
fn adapters_beside_a_model_of_half_precision_learn_alike() {
    let run = |precision| trained(model(1), Recipe { precision, ..lora(10) }, Clips::new(4, 4, true)).0;
    let (half, whole) = (run(Precision::Bf16), run(Precision::F32));
    let difference = largest_difference(&half, &whole);
    assert!(difference > 0.0, "the model was not cast");
    assert!(difference < 0.1 * whole[0], "{half:?} against {whole:?}");
}

#[test]
fn what_is_no_number_ends_the_training_with_its_step_and_examples() {
    let mut clips = Clips::new(8, 0, false);
    clips.broken = Some(3);
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::new(model(5), full(4, 4), clips, origin(folder.path())).unwrap();
    let error = std::iter::from_fn(|| trainer.step().transpose()).find_map(Result::err).unwrap();
    let TrainError::Diverged { step, examples, .. } = &error else { panic!("{error}") };
    assert!(*step <= 2, "{error}");
    assert!(examples.contains(&"clip-3".to_owned()), "{error}");
}
