//! What trainings come to can be read by others, and is what was trained.

use counterpoint_omni::{
    Checkpoint, Embeddings, Model, Sequence, TrainError, Trainer, attach, inputs::tokenizer::Tokenizer,
    merge, weights::adapter::Adapter, write_checkpoint,
};

use super::{full, lora, losses, origin, trained};
use crate::data::{Clips, cpu, model, tokenizer_json};

/// Scores after a few words.
fn logits(model: &Model) -> Vec<f32> {
    let words: Vec<i64> = (20..52).collect();
    let scores = model.next_scores(None, &[Sequence::text(words, 0)], &Embeddings::default()).unwrap();
    scores.into_data().try_into_vec().unwrap()
}

fn difference(one: &[f32], other: &[f32]) -> f32 {
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max)
}

#[test]
fn a_model_trained_from_nothing_is_a_checkpoint_like_any_other() {
    let (_, trained) = trained(model(5), full(3, 4), Clips::new(8, 0, false));
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("checkpoint");
    write_checkpoint(&trained, &tokenizer_json(), &out).unwrap();
    let opened = Model::open(&out, &cpu()).unwrap();
    assert_eq!(opened.config(), trained.config());
    assert_eq!(logits(&opened), logits(&trained));
    assert_ne!(logits(&opened), logits(&model(5)), "nothing was learned");
    assert_eq!(Checkpoint::open(&out).unwrap().ignored(), 0);
    let tokenizer = Tokenizer::open(&out).unwrap();
    assert_eq!(tokenizer.encode(" Cat").unwrap().len(), 2);
    assert!(write_checkpoint(&trained, &tokenizer_json(), &out).is_err(), "it overwrote a folder");
}

#[test]
fn an_adapter_read_back_or_merged_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let [base, tuned, merged] = ["base", "adapter", "merged"].map(|name| folder.path().join(name));
    write_checkpoint(&model(1), &tokenizer_json(), &base).unwrap();
    let origin = origin(&folder.path().join("training"));
    let mut trainer =
        Trainer::new(Model::open(&base, &cpu()).unwrap(), lora(8), Clips::new(8, 8, true), origin).unwrap();
    assert!(matches!(trainer.adapter(), Err(TrainError::Unfinished { done: 0, total: 8 })));
    losses(&mut trainer);
    trainer.adapter().unwrap().write(&tuned).unwrap();
    let expected = logits(&trainer.finish().unwrap());
    let before = logits(&Model::open(&base, &cpu()).unwrap());
    assert!(difference(&expected, &before) > 1e-3, "the adapter changes nothing");

    let mut beside = Model::open(&base, &cpu()).unwrap();
    let adapter = Adapter::open(&tuned).unwrap();
    adapter.check(&Checkpoint::open(&base).unwrap()).unwrap();
    attach(&mut beside.thinker_mut().text, &adapter, &cpu()).unwrap();
    assert_eq!(logits(&beside), expected);

    merge(&base, &tuned, &merged).unwrap();
    let difference = difference(&logits(&Model::open(&merged, &cpu()).unwrap()), &expected);
    assert!(difference < 1e-5, "{difference}");
    assert!(Tokenizer::open(&merged).is_ok());
}
