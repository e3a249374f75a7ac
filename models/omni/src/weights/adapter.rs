//! LoRA matrices in PEFT's layout: a folder with `adapter_config.json` and `adapter_model.safetensors`.
//!
//! Matrices are known by the module they are put on, named as in [`super::names`] without `.weight`, such as
//! `model.layers.0.self_attn.q_proj`. Files name it as the running model of transformers 5 does, after
//! `base_model.model.`; names of earlier releases, and those of parameters in memory (`lora_A.default.weight`), are
//! read too.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    checkpoint::Checkpoint,
    error::WeightsError,
    names::{canonical, in_memory},
    shard::{Shard, View, read_json},
    write::{Tensor, pretty, whole, write_file, write_tensors},
};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// What PEFT puts before the names of the model's modules.
const WRAPPERS: &str = "base_model.model.";

/// What an adapter is, apart from its numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterConfig {
    /// The checkpoint it was tuned on, as its user named it.
    pub base: String,
    /// Rank of the matrices.
    pub rank: usize,
    /// Their product is scaled by `alpha / rank`.
    pub alpha: f64,
    /// Chance that an input is dropped in tuning.
    pub dropout: f64,
    /// Last names of the modules they are put on, such as `q_proj`.
    pub targets: Vec<String>,
}

impl AdapterConfig {
    /// What the product of the matrices is multiplied with.
    pub fn scale(&self) -> f64 {
        self.alpha / self.rank as f64
    }
}

/// The two matrices on one module.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// `[rank, inputs]`.
    pub a: Vec<f32>,
    /// `[outputs, rank]`.
    pub b: Vec<f32>,
    /// Inputs of the module.
    pub inputs: usize,
    /// Outputs of the module.
    pub outputs: usize,
}

/// A whole adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// What it is.
    pub config: AdapterConfig,
    /// Matrices by module.
    pub pairs: BTreeMap<String, Pair>,
}

/// `adapter_config.json`, as far as it changes what the matrices mean.
#[derive(Serialize, Deserialize)]
struct ConfigFile {
    peft_type: String,
    base_model_name_or_path: Option<String>,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    lora_dropout: f64,
    target_modules: Value,
    /// Keeps `q_proj` of the towers out, whose names end alike.
    #[serde(default)]
    exclude_modules: Value,
    #[serde(default = "no_bias")]
    bias: String,
    #[serde(default)]
    task_type: Option<String>,
    #[serde(default)]
    fan_in_fan_out: bool,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    modules_to_save: Option<Vec<String>>,
    #[serde(default)]
    rank_pattern: BTreeMap<String, usize>,
    #[serde(default)]
    alpha_pattern: BTreeMap<String, f64>,
    #[serde(default)]
    inference_mode: bool,
}

fn no_bias() -> String {
    "none".to_owned()
}

impl Adapter {
    /// The adapter in `folder`: both matrices of every module, of the rank that its configuration says, all finite.
    pub fn open(folder: &Path) -> Result<Self, WeightsError> {
        let config = read_config(&folder.join(CONFIG))?;
        let shard = Shard::open(&folder.join(WEIGHTS))?;
        let pairs = pairs(&shard, config.rank)?;
        Ok(Self { config, pairs })
    }

    /// The matrices of any safetensors file with PEFT's names, such as the start values of a comparison.
    pub fn matrices(file: &Path, config: AdapterConfig) -> Result<Self, WeightsError> {
        let pairs = pairs(&Shard::open(file)?, config.rank)?;
        Ok(Self { config, pairs })
    }

    /// Whether every module is one of this checkpoint, with as many inputs and outputs.
    pub fn check(&self, base: &Checkpoint) -> Result<(), WeightsError> {
        for (module, pair) in &self.pairs {
            base.tensor(&format!("{module}.weight"), &[pair.outputs, pair.inputs])?;
        }
        Ok(())
    }

    /// Writes it to `folder`, which must not exist, as PEFT does.
    pub fn write(&self, folder: &Path) -> Result<(), WeightsError> {
        let config = &self.config;
        let file = ConfigFile {
            peft_type: "LORA".to_owned(),
            base_model_name_or_path: Some(config.base.clone()),
            r: config.rank,
            lora_alpha: config.alpha,
            lora_dropout: config.dropout,
            target_modules: config.targets.clone().into(),
            exclude_modules: ".*(audio_tower|visual).*".into(),
            bias: no_bias(),
            task_type: None,
            fan_in_fan_out: false,
            use_rslora: false,
            use_dora: false,
            modules_to_save: None,
            rank_pattern: BTreeMap::new(),
            alpha_pattern: BTreeMap::new(),
            inference_mode: true,
        };
        let path = folder.join(CONFIG);
        let file = serde_json::to_value(file)
            .map_err(|error| WeightsError::Write { path, source: std::io::Error::other(error) })?;
        let mut tensors = Vec::new();
        for (module, pair) in &self.pairs {
            let name = |matrix: &str| format!("{WRAPPERS}{}.{matrix}.weight", in_memory(module));
            tensors.push((name("lora_A"), Tensor::f32(&[config.rank, pair.inputs], &pair.a)));
            tensors.push((name("lora_B"), Tensor::f32(&[pair.outputs, config.rank], &pair.b)));
        }
        let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        whole(folder, |partial| {
            write_file(&partial.join(CONFIG), &pretty(&file))?;
            write_tensors(&partial.join(WEIGHTS), &tensors)
        })
    }
}

/// The configuration, if it is of a kind that is read here.
fn read_config(path: &Path) -> Result<AdapterConfig, WeightsError> {
    let file = || path.to_owned();
    let config: ConfigFile = read_json(path)?;
    let other =
        |setting, value: String, wanted| WeightsError::Adapter { file: file(), setting, value, wanted };
    let flags = [
        ("use_dora", config.use_dora),
        ("use_rslora", config.use_rslora),
        ("fan_in_fan_out", config.fan_in_fan_out),
        ("modules_to_save", config.modules_to_save.is_some_and(|modules| !modules.is_empty())),
        ("rank_pattern", !config.rank_pattern.is_empty()),
        ("alpha_pattern", !config.alpha_pattern.is_empty()),
    ];
    if let Some((setting, _)) = flags.into_iter().find(|(_, set)| *set) {
        return Err(other(setting, "set".to_owned(), "plain LoRA without it"));
    }
    if config.peft_type != "LORA" {
        return Err(other("peft_type", config.peft_type, "LORA"));
    }
    if config.bias != "none" {
        return Err(other("bias", config.bias, "none"));
    }
    if config.r == 0 {
        return Err(other("r", config.r.to_string(), "a rank of at least 1"));
    }
    if !config.lora_alpha.is_finite() {
        return Err(other("lora_alpha", config.lora_alpha.to_string(), "a finite number"));
    }
    let named = config.target_modules.to_string();
    let targets = match config.target_modules {
        Value::String(pattern) => Some(vec![pattern]),
        Value::Array(names) => names.iter().map(|name| Some(name.as_str()?.to_owned())).collect(),
        _ => None,
    };
    let targets = targets.ok_or_else(|| other("target_modules", named, "a name or a list of names"))?;
    Ok(AdapterConfig {
        base: config.base_model_name_or_path.unwrap_or_default(),
        rank: config.r,
        alpha: config.lora_alpha,
        dropout: config.lora_dropout,
        targets,
    })
}

/// Both matrices of every module in the file.
fn pairs(shard: &Shard, rank: usize) -> Result<BTreeMap<String, Pair>, WeightsError> {
    let mut found: BTreeMap<String, [Option<View<'_>>; 2]> = BTreeMap::new();
    for name in shard.names() {
        let file = || shard.file().to_owned();
        let odd = |reason: &str| WeightsError::Impossible {
            tensor: name.to_owned(),
            file: file(),
            reason: reason.to_owned(),
        };
        let (module, matrix) =
            split(name).ok_or_else(|| odd("it is no LoRA matrix of a module of the model"))?;
        let slots = found.entry(module).or_default();
        if let Some(slot) = slots.get_mut(matrix)
            && let Some(first) = slot.replace(shard.get(name).ok_or_else(|| odd("it is not in the file"))?)
        {
            let (first, second) = (first.file.to_owned(), file());
            return Err(WeightsError::Twice { tensor: name.to_owned(), first, second });
        }
    }
    if found.is_empty() {
        let reason = "it holds no LoRA matrix".to_owned();
        return Err(WeightsError::Damaged { file: shard.file().to_owned(), reason });
    }
    found
        .into_iter()
        .map(|(module, slots)| Ok((module.clone(), pair(shard.file(), &module, slots, rank)?)))
        .collect()
}

/// The module of a matrix and whether it is A (0) or B (1).
fn split(name: &str) -> Option<(String, usize)> {
    let name = name.strip_prefix(WRAPPERS)?;
    let ends = [".lora_A.weight", ".lora_B.weight", ".lora_A.default.weight", ".lora_B.default.weight"];
    let (end, module) =
        ends.iter().enumerate().find_map(|(end, text)| Some((end, name.strip_suffix(text)?)))?;
    Some((canonical(module)?, end % 2))
}

fn pair(file: &Path, module: &str, slots: [Option<View<'_>>; 2], rank: usize) -> Result<Pair, WeightsError> {
    let missing = |matrix: &str| WeightsError::Missing {
        tensor: format!("{matrix} of {module}"),
        file: PathBuf::from(file),
    };
    let [a, b] = slots;
    let (a, b) = (a.ok_or_else(|| missing("lora_A"))?, b.ok_or_else(|| missing("lora_B"))?);
    let shape = |view: View<'_>, wanted: Vec<usize>| WeightsError::Shape {
        tensor: view.name.to_owned(),
        file: PathBuf::from(file),
        found: view.shape.to_vec(),
        wanted,
    };
    let &[a_rank, inputs] = a.shape else { return Err(shape(a, vec![rank, 0])) };
    let &[outputs, b_rank] = b.shape else { return Err(shape(b, vec![0, rank])) };
    if a_rank != rank {
        return Err(shape(a, vec![rank, inputs]));
    }
    if b_rank != rank {
        return Err(shape(b, vec![outputs, rank]));
    }
    Ok(Pair { a: a.to_finite_f32()?, b: b.to_finite_f32()?, inputs, outputs })
}
