//! `model` and `doctor --model` on a checkpoint of random numbers, against what transformers and PEFT made of the same
//! tensors (`models/omni/tests/parity/reference.py`).

use std::{
    fs,
    path::{Path, PathBuf},
};

use counterpoint_tests::program::Program;
use safetensors::{Dtype, SafeTensors};
use tempfile::TempDir;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/omni/tests/parity/fixtures").join(name)
}

fn model(command: &str) -> Program {
    Program::counterpoint(["model", command])
}

/// Numbers of a tensor of 32-bit floats.
fn floats(file: &Path, name: &str) -> Vec<f32> {
    let bytes = fs::read(file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = tensors.tensor(name).unwrap();
    assert_eq!(tensor.dtype(), Dtype::F32, "{name}");
    tensor.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

fn bytes(file: &Path, name: &str) -> Vec<u8> {
    SafeTensors::deserialize(&fs::read(file).unwrap()).unwrap().tensor(name).unwrap().data().to_vec()
}

/// Largest difference of two rows of numbers.
fn difference(one: &[f32], other: &[f32]) -> f32 {
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max)
}

fn forward(checkpoint: &Path, out: &Path) {
    let command = model("forward").with([checkpoint]).with(["--attention"]);
    let inputs = fixture("clip/inputs.safetensors");
    command.with(["--inputs".as_ref(), inputs.as_path(), "--out".as_ref(), out]).run().done();
}

#[test]
fn a_pass_over_a_clip_is_that_of_the_reference() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out.safetensors");
    forward(&fixture("model"), &out);
    let expected = fixture("clip/outputs.safetensors");
    for name in ["position_ids", "greedy"] {
        assert_eq!(bytes(&out, name), bytes(&expected, name), "{name}");
    }
    for name in ["audio_embeddings", "logits", "attention.0", "attention.1"] {
        let difference = difference(&floats(&out, name), &floats(&expected, name));
        assert!(difference < 1e-4, "{name}: {difference}");
    }
}

#[test]
fn a_tuning_goes_down_the_losses_of_peft() {
    let expected = floats(&fixture("clip/losses.safetensors"), "losses");
    let (inputs, lora) = (fixture("clip/inputs.safetensors"), fixture("clip/lora.safetensors"));
    let steps = expected.len().to_string();
    let command = model("lora-losses").with([fixture("model")]).with(["--steps", &steps]);
    let told = command.with(["--inputs".into(), inputs, "--lora".into(), lora]).run().done().json();
    let found: Vec<f32> = told.as_array().unwrap().iter().map(|loss| loss.as_f64().unwrap() as f32).collect();
    let difference = difference(&found, &expected);
    assert!(difference < 5e-4, "{found:?}");
}

#[test]
fn a_merged_adapter_is_a_checkpoint_that_answers_otherwise_and_takes_no_folder_that_is_there() {
    let folder = TempDir::new().unwrap();
    let (merged, plain) = (folder.path().join("merged"), folder.path().join("plain.safetensors"));
    let tuned = folder.path().join("tuned.safetensors");
    let named = format!("{}+{}", fixture("model").display(), fixture("clip/adapter").display());
    let merge = || model("merge").with([&named]).with(["--out".as_ref(), merged.as_path()]).run();
    merge().done();
    forward(&fixture("model"), &plain);
    forward(&merged, &tuned);
    assert!(difference(&floats(&plain, "logits"), &floats(&tuned, "logits")) > 1e-3);
    merge().ended_with(1, &["merged", "exists already"]);
}

#[test]
fn a_doctor_tells_the_memory_of_a_model_also_where_its_weights_are_not_there() {
    let whole = Program::counterpoint(["doctor", "--model"]).with([fixture("model")]).run().done();
    for words in ["parameters", "on disk", "memory: answers, f32", "memory: LoRA qv, bf16"] {
        assert!(whole.stdout.contains(words), "{}", whole.stdout);
    }
    let folder = TempDir::new().unwrap();
    fs::copy(fixture("model/config.json"), folder.path().join("config.json")).unwrap();
    let bare = Program::counterpoint(["doctor", "--model"]).with([folder.path()]).run();
    assert_eq!(bare.code(), Some(1), "{}", bare.stdout);
    for words in ["parameters, but", "again, whole", "memory: answers, f32"] {
        assert!(bare.stdout.contains(words), "{}", bare.stdout);
    }
}
