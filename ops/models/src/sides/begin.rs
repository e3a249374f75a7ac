//! What all sides begin with: a random checkpoint and an adapter in Hugging Face's layout, and a clip's patches, log-mel and
//! prompts in tokens.
//!
//! Weights are drawn so that what comes out depends on all that goes in: states neither grow nor vanish from layer to layer, and
//! attention prefers some tokens, where weights as small as those of training's beginning would see the mean of all.

use std::{borrow::Cow, collections::BTreeMap, fs};

use anyhow::Context as _;
use counterpoint_cli::{Job, Scale};
use counterpoint_omni::{
    AudioConfig, LoraRecipe, RopeParameters, TextConfig, ThinkerConfig, VisionConfig, described, device,
    inputs::{
        layout::{self, Media, Timing},
        mel::Mel,
        patches::{self, Patches},
        template::SYSTEM,
        tiny,
        tokenizer::{Special, Tokenizer},
    },
    weights::{
        Dtype, Sizes,
        write::{NewCheckpoint, Tensor, write_tensors},
    },
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::{CHECKPOINT, LONGEST, SEED, drawn::Drawn, linears, open, tensors::Features, training};

/// Most tokens of the vocabulary, which is learned from the prompts.
const VOCABULARY: usize = 4096;

/// Answers that have to begin with tokens of their own, so that yes is told from no.
const YES_AND_NO: [&str; 8] = ["Yes", "yes", " Yes", " yes", "No", "no", " No", " no"];

/// Width of the text model that widths are multiples of.
const UNIT: usize = 128;

/// How much larger the weights to queries and keys are than those that keep a state's size.
const SHARPNESS: f32 = 2.0;

/// Fills the folder of the job.
pub fn make(job: &Job) -> anyhow::Result<()> {
    fs::create_dir_all(&job.folder).with_context(|| format!("cannot make {}", job.folder.display()))?;
    let texts = job.prompts.iter().flat_map(|prompt| prompt.answer.iter().chain([&prompt.text]));
    let texts: Vec<&str> = texts.map(String::as_str).chain([SYSTEM]).chain(YES_AND_NO).collect();
    let json = tiny::learn(&texts, VOCABULARY)?;
    let tokenizer = Tokenizer::from_json(&json, &job.folder)?;
    let config = config(job.scale, &tokenizer)?;
    checkpoint(job, &config, &json)?;
    let start = LoraRecipe::default().config().start(&config.init(&device("cpu")?).text, CHECKPOINT, SEED);
    start.write(&job.folder.join("adapter"))?;
    let features = Features::of(&Drawn::new(job.scale), &sounds(job), &config)?;
    clip(job, &features)?;
    prompts(job, &features, &config, &tokenizer)
}

/// Qwen2.5-Omni-3B with other widths: 2048, 1280 and 1280 there, of which a text of `UNIT` has a sixteenth.
fn config(scale: Scale, tokenizer: &Tokenizer) -> anyhow::Result<ThinkerConfig> {
    let special = |token| i64::from(tokenizer.special().get(token));
    let Scale { layers, width, .. } = scale;
    let parts = width / UNIT;
    let heads = 2 * parts;
    let answering = (1..=(heads / 8).max(1)).rev().find(|few| heads.is_multiple_of(*few)).unwrap_or(1);
    let config = ThinkerConfig {
        text_config: TextConfig {
            hidden_size: width,
            intermediate_size: 688 * parts,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            num_key_value_heads: answering,
            vocab_size: tokenizer.vocabulary(),
            max_position_embeddings: 32_768,
            rms_norm_eps: 1e-6,
            rope_theta: None,
            rope_parameters: RopeParameters {
                rope_type: "default".to_owned(),
                rope_theta: Some(1e6),
                mrope_section: vec![8, 12, 12],
            },
            tie_word_embeddings: false,
            use_sliding_window: false,
            hidden_act: "silu".to_owned(),
        },
        vision_config: VisionConfig {
            depth: layers,
            hidden_size: 80 * parts,
            intermediate_size: 214 * parts,
            num_heads: parts,
            patch_size: patches::PATCH,
            temporal_patch_size: patches::FRAMES,
            spatial_merge_size: patches::MERGE,
            window_size: 8 * patches::PATCH,
            out_hidden_size: width,
            fullatt_block_indexes: (0..layers).filter(|at| at % 8 == 7 || at + 1 == layers).collect(),
            in_channels: 3,
        },
        audio_config: AudioConfig {
            d_model: 80 * parts,
            encoder_attention_heads: parts,
            encoder_ffn_dim: 320 * parts,
            encoder_layers: layers,
            num_mel_bins: 128,
            n_window: 100,
            max_source_positions: 1500,
            output_dim: width,
        },
        audio_token_index: special(Special::Audio),
        image_token_index: special(Special::Image),
        video_token_index: special(Special::Video),
        audio_start_token_id: special(Special::AudioStart),
        audio_end_token_id: special(Special::AudioEnd),
        vision_start_token_id: special(Special::VisionStart),
        vision_end_token_id: special(Special::VisionEnd),
        position_id_per_seconds: 25,
        seconds_per_chunk: 2,
        pad_token_id: Some(special(Special::EndOfText)),
    };
    config.check()?;
    Ok(config)
}

fn checkpoint(job: &Job, config: &ThinkerConfig, tokenizer: &str) -> anyhow::Result<()> {
    let names = Sizes::from(config).tensors()?;
    let tensors = names.iter().enumerate().map(|(number, (name, shape))| {
        let bytes = move || Cow::Owned(numbers(number as u64, name, shape));
        (name.clone(), Tensor::new(Dtype::F32, shape, bytes))
    });
    let new = NewCheckpoint {
        config: &described(serde_json::to_value(config)?),
        tensors: tensors.collect::<BTreeMap<_, _>>(),
        files: vec![("tokenizer.json", tokenizer.as_bytes())],
        shard_bytes: u64::MAX,
    };
    Ok(new.write(&job.folder.join(CHECKPOINT))?)
}

/// The bytes of a tensor.
fn numbers(number: u64, name: &str, shape: &[usize]) -> Vec<u8> {
    let mut chance = ChaCha8Rng::seed_from_u64(SEED);
    chance.set_stream(number);
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    let inputs: usize = shape.iter().skip(1).product();
    let (middle, spread) = match shape.len() {
        1 if ends(&[".bias"]) => (0.0, 0.1),
        1 => (1.0, 0.1),
        _ if ends(&["embed_tokens.weight"]) => (0.0, 1.0),
        _ if ends(&["q_proj.weight", "k_proj.weight", "attn.q.weight", "attn.k.weight"]) => {
            (0.0, SHARPNESS / (inputs as f32).sqrt())
        }
        _ => (0.0, 1.0 / (inputs as f32).sqrt()),
    };
    // Evenly drawn numbers of that spread reach so far.
    let reach = spread * 3.0_f32.sqrt();
    let count: usize = shape.iter().product();
    (0..count).flat_map(|_| (middle + chance.random_range(-reach..reach)).to_le_bytes()).collect()
}

fn clip(job: &Job, features: &Features) -> anyhow::Result<()> {
    let Patches { values, grid } = &features.patches;
    let shape = [grid.iter().product(), patches::PATCH_VALUES];
    let grid = || grid.iter().flat_map(|&size| (size as i64).to_le_bytes()).collect::<Vec<u8>>();
    let seconds = [Features::SECONDS_PER_GRID as f32];
    let mut tensors = vec![
        ("pixel_values_videos".to_owned(), Tensor::f32(&shape, values)),
        ("video_grid_thw".to_owned(), Tensor::new(Dtype::I64, &[1, 3], || Cow::Owned(grid()))),
        ("video_second_per_grid".to_owned(), Tensor::f32(&[1], &seconds)),
    ];
    for (sound, Mel { bins, frames, values }) in &features.mels {
        tensors.push((format!("input_features.{sound}"), Tensor::f32(&[*bins, *frames], values)));
    }
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    Ok(write_tensors(&job.folder.join("inputs.safetensors"), &tensors)?)
}

/// The sounds that prompts are about.
fn sounds(job: &Job) -> Vec<usize> {
    let mut sounds: Vec<usize> = job.prompts.iter().map(|prompt| prompt.sound).collect();
    sounds.sort_unstable();
    sounds.dedup();
    sounds
}

/// A prompt's tokens up to its question, all of them, and how many of them are the answer.
pub struct Tokens {
    pub shared: usize,
    pub all: Vec<u32>,
    pub answer: usize,
}

/// The tokens of a prompt on a clip with such streams.
pub fn tokens(
    prompt: &counterpoint_cli::Prompt,
    media: Media,
    config: &ThinkerConfig,
    tokenizer: &Tokenizer,
) -> anyhow::Result<Tokens> {
    let mut all = layout::prefix(tokenizer, &Timing::of(config), SYSTEM, &[media])?;
    let shared = all.len();
    all.extend(layout::suffix(tokenizer, true, &prompt.text)?);
    let answer = prompt.answer.iter().map(|answer| layout::answer(tokenizer, answer));
    let answer: Vec<u32> = answer.collect::<Result<Vec<_>, _>>()?.concat();
    all.extend(&answer);
    Ok(Tokens { shared, all, answer: answer.len() })
}

/// What the peer has to know besides tensors.
fn prompts(
    job: &Job,
    features: &Features,
    config: &ThinkerConfig,
    tokenizer: &Tokenizer,
) -> anyhow::Result<()> {
    let mut shared = 0;
    let mut told = Vec::new();
    for prompt in &job.prompts {
        let tokens = tokens(prompt, features.media(prompt.sound)?, config, tokenizer)?;
        shared = tokens.shared;
        told.push(json!({
            "ids": tokens.all, "answer": tokens.answer, "sound": prompt.sound, "yes_no": prompt.yes_no,
        }));
    }
    // The words for yes and no are found by whoever opens a model.
    let [yes, no] = if job.prompts.iter().any(|prompt| prompt.yes_no) {
        open(job, "cpu")?.yes_and_no().map(<[usize]>::to_vec)
    } else {
        [Vec::new(), Vec::new()]
    };
    let names = linears(job.scale.layers)
        .map(|(layer, target)| format!("model.layers.{layer}.{}.weight", target.name()));
    let told = json!({
        "prompts": told,
        "shared": shared,
        "stop": tokenizer.special().get(Special::TurnEnd),
        "longest": LONGEST,
        "yes": yes,
        "no": no,
        "training": training::told(job),
        "tensors": names.collect::<Vec<_>>(),
    });
    let path = job.folder.join("prompts.json");
    fs::write(&path, told.to_string()).with_context(|| format!("cannot write {}", path.display()))
}
