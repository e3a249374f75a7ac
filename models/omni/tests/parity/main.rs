//! The model against the reference, on what `reference.py` beside this file wrote into `fixtures`, or into the
//! folder that PARITY_FIXTURES names (`make parity` makes fresh ones).
//!
//! Positions and greedy tokens are equal; all else, in f32, agrees within [`TOLERANCE`].
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use burn::tensor::Device;
use counterpoint_omni::{
    Answers, Decoding, Embeddings, Generation, Inputs, Model, Positions, Sequence, attach, device,
    forward_file, lora_losses, set_threads,
    weights::{adapter::Adapter, shard::Shard},
};

/// Largest difference of a value, as the reference's own kinds of attention differ by less.
const TOLERANCE: f32 = 1e-4;

const CASES: [&str; 6] = ["clip", "video", "sound", "image", "apart", "batch"];

fn fixtures() -> PathBuf {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures");
    std::env::var_os("PARITY_FIXTURES").map_or(committed, PathBuf::from)
}

/// The CPU, one thread: these models are too small to share.
fn cpu() -> Device {
    let device = device("cpu").unwrap();
    set_threads(1);
    device
}

fn model() -> Model {
    Model::open(&fixtures().join("model"), &cpu()).unwrap()
}

fn inputs(model: &Model, case: &str) -> Inputs {
    Inputs::open(&fixtures().join(case).join("inputs.safetensors"), model).unwrap()
}

fn floats(file: &Shard, name: &str) -> (Vec<f32>, Vec<usize>) {
    let view = file.get(name).unwrap_or_else(|| panic!("{name} is missing"));
    (view.to_f32().unwrap(), view.shape.to_vec())
}

fn integers(file: &Shard, name: &str) -> (Vec<i64>, Vec<usize>) {
    let view = file.get(name).unwrap_or_else(|| panic!("{name} is missing"));
    (view.to_i64().unwrap(), view.shape.to_vec())
}

fn difference(one: &[f32], other: &[f32]) -> f32 {
    assert_eq!(one.len(), other.len());
    // A difference that is no number is the largest of all.
    one.iter()
        .zip(other)
        .map(|(one, other)| (one - other).abs())
        .fold(0.0, |largest, now| if now <= largest { largest } else { now })
}

/// Which places of a batch hold tokens, `[row][place]`.
fn tokens_of(case: &str) -> Vec<Vec<bool>> {
    let file = Shard::open(&fixtures().join(case).join("inputs.safetensors")).unwrap();
    let (mask, shape) = integers(&file, "attention_mask");
    mask.chunks(shape[1]).map(|row| row.iter().map(|&mark| mark == 1).collect()).collect()
}

/// Sets to 0 what stands at padding: the reference computes something there, which nobody reads.
fn without_padding(name: &str, values: &mut [f32], shape: &[usize], tokens: &[Vec<bool>]) {
    let longest = tokens[0].len();
    for (row, values) in values.chunks_mut(shape[1..].iter().product()).enumerate() {
        for (index, value) in values.iter_mut().enumerate() {
            let places = match name {
                "logits" => [index / shape[2]; 2],
                _ => [index / longest % longest, index % longest],
            };
            if places.iter().any(|&place| !tokens[row][place]) {
                *value = 0.0;
            }
        }
    }
}

#[test]
fn every_output_of_every_case_is_that_of_the_reference() {
    let folder = tempfile::tempdir().unwrap();
    for case in CASES {
        let expected = Shard::open(&fixtures().join(case).join("outputs.safetensors")).unwrap();
        let out = folder.path().join(case);
        let inputs = fixtures().join(case).join("inputs.safetensors");
        forward_file(&fixtures().join("model"), &inputs, &out, true, &cpu()).unwrap();
        let found = Shard::open(&out).unwrap();
        let tokens = tokens_of(case);
        for name in expected.names() {
            if matches!(name, "position_ids" | "greedy") {
                assert_eq!(integers(&found, name), integers(&expected, name), "{name} of {case}");
                continue;
            }
            let ((found, shape), (mut expected, wanted)) = (floats(&found, name), floats(&expected, name));
            assert_eq!(shape, wanted, "shape of {name} of {case}");
            if name == "logits" || name.starts_with("attention") {
                without_padding(name, &mut expected, &wanted, &tokens);
            }
            let difference = difference(&found, &expected);
            assert!(difference < TOLERANCE, "{name} of {case} differs by {difference}");
        }
    }
}

#[test]
fn attention_that_is_not_observed_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for case in CASES {
        let inputs = fixtures().join(case).join("inputs.safetensors");
        let [one, other] = [true, false].map(|attention| {
            let out = folder.path().join("out");
            forward_file(&fixtures().join("model"), &inputs, &out, attention, &device("cpu").unwrap())
                .unwrap();
            let found = Shard::open(&out).unwrap();
            fs::remove_file(&out).unwrap();
            assert_eq!(found.names().any(|name| name.starts_with("attention.")), attention);
            floats(&found, "logits").0
        });
        assert!(difference(&one, &other) < TOLERANCE, "{case}");
    }
}

fn greedy(max_tokens: usize) -> Generation {
    Generation { max_tokens, stop: Vec::new(), decoding: Decoding::Greedy }
}

/// Largest difference of a loss after up to 20 steps, each of which carries on the differences before it.
const LOSS_TOLERANCE: f32 = 5e-4;

#[test]
fn tuning_goes_down_the_same_losses_as_the_reference() {
    let clip = fixtures().join("clip");
    let (expected, _) = floats(&Shard::open(&clip.join("losses.safetensors")).unwrap(), "losses");
    let (inputs, lora) = (clip.join("inputs.safetensors"), clip.join("lora.safetensors"));
    let found = lora_losses(&fixtures().join("model"), &inputs, &lora, expected.len(), &cpu()).unwrap();
    let difference = difference(&found, &expected);
    assert!(difference < LOSS_TOLERANCE, "losses differ by {difference}");
    assert!(found[found.len() - 1] < 0.9 * found[0], "nothing is learnt: {found:?}");
}

#[test]
fn an_adapter_that_peft_saved_has_the_loss_that_it_had_there() {
    let clip = fixtures().join("clip");
    let adapter = Adapter::open(&clip.join("adapter")).unwrap();
    let mut model = model();
    attach(&mut model.thinker_mut().text, &adapter, &cpu()).unwrap();
    let inputs = inputs(&model, "clip");
    let tokens: Vec<&[i64]> = inputs.sequences.iter().map(|sequence| sequence.tokens.as_slice()).collect();
    let embeddings = model.embed(&tokens, &inputs.embeddings).unwrap();
    let answers = Answers::at_end(&inputs.sequences, &[6]).unwrap();
    let found = model.loss(embeddings, &inputs.sequences, &answers, None).into_scalar::<f32>();
    let losses = Shard::open(&clip.join("losses.safetensors")).unwrap();
    let (before, after) = (floats(&losses, "losses").0[0], floats(&losses, "after").0[0]);
    assert!((found - after).abs() < LOSS_TOLERANCE, "{found}, but {after} in PEFT");
    assert!((found - before).abs() > 10.0 * LOSS_TOLERANCE, "the adapter changes nothing");
}

#[test]
fn clips_of_different_lengths_answer_in_a_batch_as_one_by_one() {
    let model = model();
    let batch = inputs(&model, "batch");
    let together = model.generate(None, &batch.sequences, &batch.embeddings, &greedy(6)).unwrap();
    let scores = model.next_scores(None, &batch.sequences, &batch.embeddings).unwrap();
    let [videos, sounds] =
        [&batch.embeddings.videos, &batch.embeddings.sounds].map(|rows| rows.clone().unwrap());
    let (mut video, mut sound) = (0, 0);
    for (row, sequence) in batch.sequences.iter().enumerate() {
        let count = |token: i64| sequence.tokens.iter().filter(|&&found| found == token).count();
        let seen = count(model.config().video_token_index);
        let heard = count(model.config().audio_token_index);
        let alone = Embeddings {
            images: None,
            videos: Some(videos.clone().narrow(0, video, seen)),
            sounds: Some(sounds.clone().narrow(0, sound, heard)),
        };
        (video, sound) = (video + seen, sound + heard);
        let one = std::slice::from_ref(sequence);
        assert_eq!(model.generate(None, one, &alone, &greedy(6)).unwrap(), [together[row].clone()]);
        let one = model.next_scores(None, one, &alone).unwrap().into_data().try_into_vec::<f32>().unwrap();
        let all = scores.clone().narrow(0, row, 1).into_data().try_into_vec::<f32>().unwrap();
        assert!(difference(&one, &all) < TOLERANCE);
    }
}

#[test]
fn questions_that_share_a_clip_are_answered_as_if_each_had_it_alone() {
    let model = model();
    let clip = inputs(&model, "clip");
    let whole = &clip.sequences[0];
    let end = model.config().vision_end_token_id;
    let shared = 1 + whole.tokens.iter().rposition(|&token| token == end).unwrap();
    let beginning =
        Sequence { tokens: whole.tokens[..shared].to_vec(), positions: whole.positions.before(shared) };
    let prefix = model.prefix(&beginning, &clip.embeddings).unwrap();
    assert_eq!(prefix.len(), shared);
    assert_eq!(prefix.next(), whole.positions.at(0, shared), "text goes on where the reference has it");
    let rest = whole.tokens[shared..].to_vec();
    let mut longer = rest.clone();
    longer.extend([20, 21, 22, 23, 24]);
    let questions = [rest.clone(), vec![30], longer, rest[..4].to_vec()];
    let after: Vec<Sequence> =
        questions.iter().map(|tokens| Sequence::text(tokens.clone(), prefix.next())).collect();
    let answers = model.generate(Some(&prefix), &after, &Embeddings::default(), &greedy(7)).unwrap();
    let scores = model.next_scores(Some(&prefix), &after, &Embeddings::default()).unwrap();
    for (row, question) in questions.iter().enumerate() {
        let tokens = [&whole.tokens[..shared], question].concat();
        let text = Positions::text(prefix.next(), question.len());
        let positions = beginning.positions.clone().then(&text);
        let alone = [Sequence { tokens, positions }];
        let one = model.generate(None, &alone, &clip.embeddings, &greedy(7)).unwrap();
        assert_eq!(one, [answers[row].clone()], "question {row}");
        let one = model.next_scores(None, &alone, &clip.embeddings).unwrap();
        let one = one.into_data().try_into_vec::<f32>().unwrap();
        let shared = scores.clone().narrow(0, row, 1).into_data().try_into_vec::<f32>().unwrap();
        assert!(difference(&one, &shared) < TOLERANCE, "question {row}");
    }
}

#[test]
fn drawn_answers_repeat_with_their_seed_and_follow_their_limits() {
    let model = model();
    let clip = inputs(&model, "clip");
    let drawn = |temperature: f64, top_k: usize, seed: u64| {
        let decoding = Decoding::Sampled { temperature, top_p: 0.9, top_k, seed };
        let how = Generation { max_tokens: 12, stop: Vec::new(), decoding };
        model.generate(None, &clip.sequences, &clip.embeddings, &how).unwrap()
    };
    assert_eq!(drawn(1.0, 0, 1), drawn(1.0, 0, 1));
    assert_ne!(drawn(1.0, 0, 1), drawn(1.0, 0, 2));
    let likeliest = model.generate(None, &clip.sequences, &clip.embeddings, &greedy(12)).unwrap();
    assert_eq!(drawn(1.0, 1, 1), likeliest);
    assert_eq!(drawn(1e-4, 0, 3), likeliest);
}

#[test]
fn an_answer_ends_with_the_token_that_ends_it() {
    let model = model();
    let clip = inputs(&model, "clip");
    let all = model.generate(None, &clip.sequences, &clip.embeddings, &greedy(8)).unwrap().remove(0);
    let first = all.iter().position(|&token| token == all[3]).unwrap();
    let how = Generation { stop: vec![all[3]], ..greedy(8) };
    let stopped = model.generate(None, &clip.sequences, &clip.embeddings, &how).unwrap().remove(0);
    assert_eq!(stopped, all[..=first]);
}
