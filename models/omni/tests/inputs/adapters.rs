//! Adapters in PEFT's layout, both ways.

use std::{collections::BTreeMap, fs, path::Path};

use counterpoint_omni::weights::{
    Checkpoint, WeightsError,
    adapter::{Adapter, AdapterConfig, Pair},
    shard::Shard,
    write::{NewCheckpoint, Tensor},
};
use serde_json::{Value, json};
use tempfile::TempDir;

const MODULES: [&str; 2] = ["model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.v_proj"];

fn adapter() -> Adapter {
    let pair = |outputs: usize| Pair {
        a: (0..2 * 8).map(|at| at as f32 / 3.0).collect(),
        b: (0..outputs * 2).map(|at| -(at as f32)).collect(),
        inputs: 8,
        outputs,
    };
    let targets = vec!["q_proj".to_owned(), "v_proj".to_owned()];
    Adapter {
        config: AdapterConfig { base: "base".to_owned(), rank: 2, alpha: 4.0, dropout: 0.0, targets },
        pairs: BTreeMap::from([(MODULES[0].to_owned(), pair(8)), (MODULES[1].to_owned(), pair(4))]),
    }
}

fn written() -> (TempDir, std::path::PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("adapter");
    adapter().write(&folder).unwrap();
    (parent, folder)
}

fn refusal(folder: &Path) -> WeightsError {
    Adapter::open(folder).expect_err("a refusal")
}

fn with(setting: &str, value: Value) -> WeightsError {
    let (_parent, folder) = written();
    let path = folder.join("adapter_config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config[setting] = value;
    fs::write(&path, config.to_string()).unwrap();
    refusal(&folder)
}

#[test]
fn an_adapter_comes_back_as_it_was_written_under_peft_s_names() {
    let (_parent, folder) = written();
    assert_eq!(Adapter::open(&folder).unwrap(), adapter());
    assert_eq!(adapter().config.scale(), 2.0);
    let shard = Shard::open(&folder.join("adapter_model.safetensors")).unwrap();
    let name = "base_model.model.model.language_model.layers.0.self_attn.v_proj.lora_B.weight";
    assert_eq!(shard.get(name).unwrap().shape, [4, 2]);
}

#[test]
fn names_of_parameters_in_memory_and_of_earlier_releases_are_read() {
    for (from, to) in [
        (".weight", ".default.weight"),
        ("model.language_model.layers", "model.layers"),
        ("model.language_model.layers", "thinker.model.layers"),
    ] {
        let (_parent, folder) = written();
        let file = folder.join("adapter_model.safetensors");
        let bytes = fs::read(&file).unwrap();
        let length = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        let header = std::str::from_utf8(&bytes[8..8 + length]).unwrap().replace(from, to);
        let mut changed = (header.len() as u64).to_le_bytes().to_vec();
        changed.extend_from_slice(header.as_bytes());
        changed.extend_from_slice(&bytes[8 + length..]);
        fs::write(&file, changed).unwrap();
        assert_eq!(Adapter::matrices(&file, adapter().config).unwrap(), adapter(), "{to}");
    }
}

#[test]
fn settings_that_change_what_the_matrices_mean_are_refused_by_name() {
    for (setting, value) in [
        ("peft_type", json!("IA3")),
        ("bias", json!("all")),
        ("r", json!(0)),
        ("use_dora", json!(true)),
        ("use_rslora", json!(true)),
        ("fan_in_fan_out", json!(true)),
        ("modules_to_save", json!(["lm_head"])),
        ("rank_pattern", json!({ "q_proj": 4 })),
        ("target_modules", json!([1])),
    ] {
        let error = with(setting, value);
        assert!(
            matches!(&error, WeightsError::Adapter { setting: named, .. } if *named == setting),
            "{error}"
        );
    }
    assert!(matches!(with("r", json!("eight")), WeightsError::Damaged { .. }));
    assert!(matches!(with("r", json!(3)), WeightsError::Shape { .. }));
}

#[test]
fn matrices_that_are_missing_or_not_finite_are_named() {
    let parent = tempfile::tempdir().unwrap();
    let mut broken = adapter();
    broken.pairs.get_mut(MODULES[1]).unwrap().b[3] = f32::NAN;
    broken.write(&parent.path().join("nan")).unwrap();
    let error = refusal(&parent.path().join("nan"));
    assert!(
        matches!(&error, WeightsError::NotFinite { tensor, index: 3, .. } if tensor.contains("v_proj.lora_B"))
    );
    let (_parent, folder) = written();
    let file = folder.join("adapter_model.safetensors");
    let text = fs::read(&file).unwrap();
    let renamed = String::from_utf8_lossy(&text[..600]).contains("q_proj.lora_A");
    assert!(renamed);
    let position = text.windows(13).position(|word| word == b"q_proj.lora_A").unwrap();
    let mut bytes = text;
    bytes[position] = b'x';
    fs::write(&file, bytes).unwrap();
    assert!(matches!(refusal(&folder), WeightsError::Missing { .. }));
}

#[test]
fn an_adapter_is_held_against_the_modules_of_its_base() {
    let parent = tempfile::tempdir().unwrap();
    let base = |name: &str, outputs: usize| {
        let values = vec![0.0; 8 * outputs];
        let square = [0.0; 64];
        let (folder, config) = (parent.path().join(name), json!({}));
        let tensors = [
            (format!("{}.weight", MODULES[0]), Tensor::f32(&[8, 8], &square)),
            (format!("{}.weight", MODULES[1]), Tensor::f32(&[outputs, 8], &values)),
        ];
        let new =
            NewCheckpoint { config: &config, tensors: tensors.into(), files: Vec::new(), shard_bytes: 999 };
        new.write(&folder).unwrap();
        Checkpoint::open(&folder).unwrap()
    };
    adapter().check(&base("fitting", 4)).unwrap();
    let error = adapter().check(&base("other", 5)).unwrap_err();
    assert!(matches!(&error, WeightsError::Shape { tensor, .. } if tensor.contains("v_proj")), "{error}");
}

#[test]
fn a_file_without_lora_matrices_is_refused() {
    let (_parent, folder) = written();
    fs::copy(super::fixture("features.safetensors"), folder.join("adapter_model.safetensors")).unwrap();
    assert!(matches!(refusal(&folder), WeightsError::Impossible { .. }));
}
