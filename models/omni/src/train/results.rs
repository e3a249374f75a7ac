//! Folders that a training ends in and others read: checkpoints in Hugging Face's layout, and an adapter's matrices
//! merged into the weights they stand beside.

use std::{borrow::Cow, collections::BTreeMap, fs, io, path::Path};

use burn::module::Module;
use half::{bf16, f16};
use safetensors::Dtype;
use serde_json::{Value, json};

use super::{TrainError, parameters};
use crate::{
    config::ThinkerConfig,
    thinker::Model,
    weights::{
        Checkpoint,
        adapter::{Adapter, Pair},
        name,
        shard::{View, read_json},
        write::{NewCheckpoint, Tensor},
    },
};

/// Bytes of a shard, as transformers cuts them.
const SHARD_BYTES: u64 = 5_000_000_000;

/// Files that a checkpoint may have besides weights and configuration.
const FILES: [&str; 10] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "chat_template.json",
    "chat_template.jinja",
    "preprocessor_config.json",
    "generation_config.json",
];

/// What transformers calls a thinker alone.
const MODEL_TYPE: &str = "qwen2_5_omni_thinker";
/// Its class there.
const ARCHITECTURE: &str = "Qwen2_5OmniThinkerForConditionalGeneration";

/// Writes a model and its tokenizer (the text of `tokenizer.json`) to `folder`, which must not exist.
///
/// # Errors
/// The folder cannot be written, or numbers cannot be read from the device.
pub fn write_checkpoint(model: &Model, tokenizer: &str, folder: &Path) -> Result<(), TrainError> {
    let thinker = model.thinker().valid();
    let values = parameters::read(&thinker, false)?;
    let tensors = values.iter().map(|(path, values)| {
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        (name(&path), Tensor::f32(&values.shape, &values.numbers))
    });
    let config = serde_json::to_value(model.config())
        .map_err(|error| TrainError::Write { path: folder.to_owned(), source: error.into() })?;
    let new = NewCheckpoint {
        config: &described(config),
        tensors: tensors.collect(),
        files: vec![("tokenizer.json", tokenizer.as_bytes())],
        shard_bytes: SHARD_BYTES,
    };
    Ok(new.write(folder)?)
}

/// Writes a checkpoint with an adapter merged into it to `out`, which must not exist: `W + alpha / rank * B A` in f32,
/// then in the numbers that `W` has. The talker's tensors are left out.
///
/// # Errors
/// The adapter fits no layer of the checkpoint, or a file cannot be read or written.
pub fn merge(folder: &Path, adapter: &Path, out: &Path) -> Result<(), TrainError> {
    let (checkpoint, adapter) = (Checkpoint::open(folder)?, Adapter::open(adapter)?);
    adapter.check(&checkpoint)?;
    ThinkerConfig::open(folder)?;
    let config: Value = read_json(&folder.join("config.json"))?;
    let config = config.get("thinker_config").cloned().unwrap_or(config);
    let mut files = Vec::new();
    for file in FILES {
        let path = folder.join(file);
        match fs::read(&path) {
            Ok(bytes) => files.push((file, bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(TrainError::Read { path, source }),
        }
    }
    let scale = adapter.config.scale() as f32;
    let mut tensors = BTreeMap::new();
    for name in checkpoint.names() {
        let Some(view) = checkpoint.get(name) else { continue };
        let pair = name.strip_suffix(".weight").and_then(|module| adapter.pairs.get(module));
        let bytes = move || pair.map_or(Cow::Borrowed(view.bytes), |pair| merged(view, pair, scale).into());
        tensors.insert(name.to_owned(), Tensor::new(view.dtype, view.shape, bytes));
    }
    let files = files.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
    let config = described(config);
    Ok(NewCheckpoint { config: &config, tensors, files, shard_bytes: SHARD_BYTES }.write(out)?)
}

/// A configuration with what transformers needs to know it by.
pub fn described(mut config: Value) -> Value {
    if let Some(config) = config.as_object_mut() {
        config.insert("model_type".to_owned(), json!(MODEL_TYPE));
        config.insert("architectures".to_owned(), json!([ARCHITECTURE]));
    }
    config
}

/// The bytes of a weight with what a pair of matrices adds. [`Adapter::check`] made sure of shapes and numbers.
fn merged(weight: View<'_>, pair: &Pair, scale: f32) -> Vec<u8> {
    let mut values = weight.to_f32().unwrap_or_default();
    let rank = pair.a.len() / pair.inputs.max(1);
    for (row, b) in values.chunks_mut(pair.inputs.max(1)).zip(pair.b.chunks(rank.max(1))) {
        for (b, a) in b.iter().zip(pair.a.chunks(pair.inputs.max(1))) {
            let share = scale * b;
            row.iter_mut().zip(a).for_each(|(value, a)| *value += share * a);
        }
    }
    match weight.dtype {
        Dtype::BF16 => values.into_iter().flat_map(|value| bf16::from_f32(value).to_le_bytes()).collect(),
        Dtype::F16 => values.into_iter().flat_map(|value| f16::from_f32(value).to_le_bytes()).collect(),
        _ => values.into_iter().flat_map(f32::to_le_bytes).collect(),
    }
}
