//! Checkpoint folders: one file or many, written and read back, whole and damaged.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use counterpoint_omni::weights::{
    Checkpoint, Dtype, Sizes, WeightsError,
    shapes::{AudioSizes, TextSizes, VisionSizes},
    write::{NewCheckpoint, Tensor},
};
use half::{bf16, f16};
use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

/// The smallest model that has every kind of tensor.
const SIZES: Sizes = Sizes {
    text: TextSizes {
        layers: 2,
        hidden: 8,
        intermediate: 6,
        heads: 4,
        kv_heads: 2,
        vocabulary: 20,
        tied: false,
    },
    vision: VisionSizes {
        layers: 1,
        hidden: 4,
        intermediate: 5,
        channels: 3,
        frames: 2,
        patch: 2,
        merge: 2,
        output: 8,
    },
    audio: AudioSizes { layers: 1, hidden: 4, intermediate: 5, mel_bins: 3, output: 8 },
};

/// The number at a place of a tensor: each tensor has others.
fn number(name: &str, at: usize) -> f32 {
    (name.len() * 7 + at) as f32 / 16.0 - 3.0
}

/// Every tensor of the model, its name as `rename` has it.
fn tensors(rename: impl Fn(&str) -> String) -> BTreeMap<String, Vec<f32>> {
    let values =
        |name: &str, shape: &[usize]| (0..shape.iter().product()).map(|at| number(name, at)).collect();
    SIZES.tensors().unwrap().iter().map(|(name, shape)| (rename(name), values(name, shape))).collect()
}

fn write(folder: &Path, shard_bytes: u64, rename: impl Fn(&str) -> String) -> Result<(), WeightsError> {
    let values = tensors(&rename);
    let shapes = SIZES.tensors().unwrap();
    let mut tensors: BTreeMap<_, _> = shapes
        .iter()
        .map(|(name, shape)| (rename(name), Tensor::f32(shape, &values[&rename(name)])))
        .collect();
    if rename("x") == "thinker.x" {
        tensors.insert("talker.model.norm.weight".to_owned(), Tensor::f32(&[1], &[0.0]));
        tensors.insert("token2wav.x".to_owned(), Tensor::f32(&[1], &[0.0]));
    }
    let config = json!({ "model_type": "qwen2_5_omni_thinker" });
    NewCheckpoint { config: &config, tensors, files: vec![("tokenizer.json", b"{}")], shard_bytes }
        .write(folder)
}

fn flat(name: &str) -> String {
    name.to_owned()
}

/// A folder with the model in `shards` files or more.
fn folder(shard_bytes: u64) -> (TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("model");
    write(&folder, shard_bytes, flat).unwrap();
    (parent, folder)
}

fn refusal(folder: &Path) -> WeightsError {
    Checkpoint::open(folder).err().expect("a refusal")
}

/// Changes the text of the index.
fn edit(folder: &Path, from: &str, to: &str) {
    let index = folder.join("model.safetensors.index.json");
    let text = fs::read_to_string(&index).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    fs::write(index, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn many_shards_hold_what_one_file_holds() {
    let (_one, one) = folder(u64::MAX);
    let (_many, many) = folder(300);
    assert!(one.join("model.safetensors").exists() && !many.join("model.safetensors").exists());
    assert!(fs::read_dir(&many).unwrap().count() > 10);
    let [one, many] = [one, many].map(|folder| Checkpoint::open(&folder).unwrap());
    assert_eq!(one.bytes(), 4 * SIZES.parameters().unwrap().total());
    for checkpoint in [&one, &many] {
        checkpoint.check(&SIZES).unwrap();
        assert_eq!(checkpoint.names().count(), SIZES.tensors().unwrap().len());
        for (name, shape) in SIZES.tensors().unwrap() {
            let values = checkpoint.finite(&name, &shape).unwrap();
            assert!(values.iter().enumerate().all(|(at, &value)| value == number(&name, at)), "{name}");
        }
    }
}

#[test]
fn the_names_of_every_release_are_read_and_the_talker_is_counted() {
    for (rename, ignored) in [
        ((|name| format!("thinker.{name}")) as fn(&str) -> String, 2),
        (counterpoint_omni::weights::names::in_memory, 0),
    ] {
        for shard_bytes in [u64::MAX, 300] {
            let parent = tempfile::tempdir().unwrap();
            let folder = parent.path().join("model");
            write(&folder, shard_bytes, rename).unwrap();
            let checkpoint = Checkpoint::open(&folder).unwrap();
            checkpoint.check(&SIZES).unwrap();
            assert_eq!(checkpoint.ignored(), ignored);
        }
    }
}

#[test]
fn shards_of_the_talker_alone_need_not_be_there() {
    let (_parent, folder) = folder(300);
    edit(&folder, "\"weight_map\": {", "\"weight_map\": {\n\"talker.x\": \"absent.safetensors\",");
    assert_eq!(Checkpoint::open(&folder).unwrap().ignored(), 1);
}

#[test]
fn an_index_that_does_not_fit_its_shards_is_refused_with_tensor_and_file() {
    let shard = |number: usize, folder: &Path| {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.retain(|name| name.to_string_lossy().starts_with("model-"));
        names.sort();
        names[number].to_string_lossy().into_owned()
    };
    // A file that is not there.
    let (_parent, model) = folder(300);
    fs::remove_file(model.join(shard(1, &model))).unwrap();
    let error = refusal(&model);
    assert!(
        matches!(&error, WeightsError::Read { .. }) && error.to_string().contains(&shard(0, &model)[..6])
    );
    // A path that leads out of the folder.
    for path in ["../model.safetensors", "/etc/passwd", "a/b.safetensors", "", ".."] {
        let (_parent, model) = folder(300);
        let first = shard(0, &model);
        edit(&model, &format!("\"{first}\""), &format!("\"{path}\""));
        assert!(matches!(refusal(&model), WeightsError::Outside { shard, .. } if shard == path), "{path}");
    }
    // The wrong shard.
    let (_parent, model) = folder(300);
    let [first, second] = [0, 1].map(|number| shard(number, &model));
    edit(&model, &format!("\"{first}\""), &format!("\"{second}\""));
    assert!(matches!(refusal(&model), WeightsError::NotInShard { .. }));
    // One tensor in two shards.
    let (_parent, model) = folder(300);
    fs::copy(model.join(&first), model.join("again.safetensors")).unwrap();
    edit(&model, "\"weight_map\": {", "\"weight_map\": {\n\"other\": \"again.safetensors\",");
    assert!(matches!(refusal(&model), WeightsError::Twice { .. }));
    // One tensor twice in the index.
    let (_parent, model) = folder(300);
    edit(&model, "\"weight_map\": {", &format!("\"weight_map\": {{\n\"lm_head.weight\": \"{first}\","));
    assert!(
        matches!(refusal(&model), WeightsError::Damaged { reason, .. } if reason.contains("lm_head.weight"))
    );
    // No index at all.
    let (_parent, model) = folder(300);
    fs::write(model.join("model.safetensors.index.json"), "{}").unwrap();
    assert!(matches!(refusal(&model), WeightsError::Damaged { .. }));
    fs::remove_file(model.join("model.safetensors.index.json")).unwrap();
    assert!(matches!(refusal(&model), WeightsError::NoWeights { .. }));
}

#[test]
fn a_truncated_shard_is_named_with_the_bytes_it_lacks() {
    let (_parent, folder) = folder(u64::MAX);
    let file = folder.join("model.safetensors");
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 5]).unwrap();
    let error = refusal(&folder);
    let (has, needs) = (bytes.len() as u64 - 5, bytes.len() as u64);
    assert!(
        matches!(error, WeightsError::Truncated { has: a, needs: b, .. } if (a, b) == (has, needs)),
        "{error}"
    );
    assert!(error.to_string().contains("model.safetensors") && error.to_string().contains("fetch it again"));
}

#[test]
fn tensors_that_are_missing_misshapen_or_no_weights_are_named() {
    let (_parent, folder) = folder(u64::MAX);
    let checkpoint = Checkpoint::open(&folder).unwrap();
    assert!(matches!(checkpoint.tensor("model.nothing", &[1]), Err(WeightsError::Missing { .. })));
    let error = checkpoint.tensor("lm_head.weight", &[8, 20]).unwrap_err();
    assert!(matches!(&error, WeightsError::Shape { found, .. } if *found == [20, 8]), "{error}");
    let mut larger = SIZES;
    larger.text.layers = 3;
    let error = checkpoint.check(&larger).unwrap_err();
    assert!(
        matches!(&error, WeightsError::Missing { tensor, .. } if tensor.starts_with("model.layers.2.")),
        "{error}"
    );
}

/// A folder with one tensor of these bytes.
fn single(dtype: Dtype, bytes: &[u8]) -> (TempDir, Checkpoint) {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("model");
    let shape = [bytes.len() * 8 / dtype.bitsize()];
    let tensors = [("x".to_owned(), Tensor::new(dtype, &shape, || Cow::Borrowed(bytes)))].into();
    let config = json!({});
    NewCheckpoint { config: &config, tensors, files: Vec::new(), shard_bytes: 1 }.write(&folder).unwrap();
    let checkpoint = Checkpoint::open(&folder).unwrap();
    (parent, checkpoint)
}

#[test]
fn numbers_of_other_kinds_are_refused() {
    let (_parent, checkpoint) = single(Dtype::F64, &[0; 16]);
    assert!(matches!(checkpoint.tensor("x", &[2]), Err(WeightsError::Numbers { dtype: Dtype::F64, .. })));
}

#[test]
fn the_first_number_that_is_not_finite_is_named() {
    for at in [0, 4095, 4096, 9_999] {
        let mut values = vec![1.5_f32; 10_000];
        for (dtype, odd) in
            [(Dtype::F32, f32::NAN), (Dtype::BF16, f32::INFINITY), (Dtype::F16, f32::NEG_INFINITY)]
        {
            values[at] = odd;
            let bytes: Vec<u8> = match dtype {
                Dtype::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
                Dtype::BF16 => values.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect(),
                _ => values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect(),
            };
            let (_parent, checkpoint) = single(dtype, &bytes);
            let error = checkpoint.finite("x", &[10_000]).unwrap_err();
            assert!(
                matches!(&error, WeightsError::NotFinite { tensor, index, .. } if tensor == "x" && *index == at)
            );
        }
    }
}

#[test]
fn a_folder_that_exists_is_left_alone_and_a_failure_leaves_nothing() {
    let (parent, folder) = folder(u64::MAX);
    let before = fs::read(folder.join("model.safetensors")).unwrap();
    assert!(matches!(write(&folder, u64::MAX, flat), Err(WeightsError::Exists { .. })));
    assert_eq!(fs::read(folder.join("model.safetensors")).unwrap(), before);
    // A tensor whose shape does not go with its bytes fails while writing.
    let tensors = [("x".to_owned(), Tensor::new(Dtype::F32, &[3], || Cow::Owned(vec![0; 4])))].into();
    let config = json!({});
    let failing = NewCheckpoint { config: &config, tensors, files: Vec::new(), shard_bytes: 1 };
    let error = failing.write(&parent.path().join("other")).unwrap_err();
    assert!(matches!(&error, WeightsError::Impossible { tensor, .. } if tensor == "x"), "{error}");
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
}

#[test]
fn weights_are_readable_by_those_who_may_read_the_folder() {
    let (_parent, folder) = folder(u64::MAX);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o666;
    assert_eq!(mode(&folder.join("model.safetensors")), mode(&folder.join("config.json")));
}

#[test]
fn what_is_written_is_read_by_the_safetensors_crate() {
    let (_parent, folder) = folder(u64::MAX);
    let bytes = fs::read(folder.join("model.safetensors")).unwrap();
    let read = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    for (name, shape) in SIZES.tensors().unwrap() {
        assert_eq!(read.tensor(&name).unwrap().shape(), shape, "{name}");
    }
}

proptest! {
    #[test]
    fn half_precision_is_converted_exactly(words in prop::collection::vec(any::<u16>(), 1..3000)) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        for dtype in [Dtype::F16, Dtype::BF16] {
            let exact = |word: u16| match dtype {
                Dtype::F16 => f16::from_bits(word).to_f32(),
                _ => f32::from_bits(u32::from(word) << 16),
            };
            let (_parent, checkpoint) = single(dtype, &bytes);
            let view = checkpoint.tensor("x", &[words.len()]).unwrap();
            let same = |(value, &word): (f32, &u16)| value == exact(word) || value.is_nan() && exact(word).is_nan();
            prop_assert!(view.to_f32().unwrap().into_iter().zip(&words).all(same));
            let first = words.iter().position(|&word| !exact(word).is_finite());
            let odd = match view.to_finite_f32() {
                Err(WeightsError::NotFinite { index, .. }) => Some(index),
                _ => None,
            };
            prop_assert_eq!(odd, first);
        }
    }
}
