//! The model's numbers, as Hugging Face's `config.json` holds them.
//!
//! Read are the whole model's configuration, as the public checkpoint has it (`thinker_config` inside), and a
//! thinker's alone. Names are those of transformers' `configuration_qwen2_5_omni.py`; talker and vocoder are ignored.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

use crate::error::ModelError;

/// Largest width, vocabulary or length that is believed: far above any model's, far below what overflows.
const MAX_SIZE: usize = 1 << 24;

/// Most layers that are believed.
const MAX_LAYERS: usize = 1 << 10;

/// The thinker: two towers and the text model that reads what they say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ThinkerConfig {
    /// The text model.
    pub text_config: TextConfig,
    /// The vision tower.
    pub vision_config: VisionConfig,
    /// The audio tower.
    pub audio_config: AudioConfig,
    /// The token that stands for one audio embedding.
    #[serde(alias = "audio_token_id")]
    pub audio_token_index: i64,
    /// The token that stands for one image embedding.
    #[serde(alias = "image_token_id")]
    pub image_token_index: i64,
    /// The token that stands for one video embedding.
    #[serde(alias = "video_token_id")]
    pub video_token_index: i64,
    /// The token before audio.
    pub audio_start_token_id: i64,
    /// The token after audio.
    pub audio_end_token_id: i64,
    /// The token before an image or a video.
    pub vision_start_token_id: i64,
    /// The token after an image or a video.
    pub vision_end_token_id: i64,
    /// Temporal positions in a second.
    #[serde(default = "default_positions_per_second")]
    pub position_id_per_seconds: usize,
    /// Seconds of video that are followed by the same seconds of their sound.
    #[serde(default = "default_seconds_per_chunk")]
    pub seconds_per_chunk: usize,
    /// Token with which shorter sequences are filled up.
    #[serde(default)]
    pub pad_token_id: Option<i64>,
}

/// The text model: a decoder with grouped queries and multimodal rotary positions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextConfig {
    /// Width of a token's state.
    pub hidden_size: usize,
    /// Width inside the feed-forward layers.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Heads that ask.
    pub num_attention_heads: usize,
    /// Heads that answer; each serves an equal share of those that ask.
    pub num_key_value_heads: usize,
    /// Number of tokens.
    pub vocab_size: usize,
    /// Tokens of a sequence that it was made for.
    #[serde(default = "default_length")]
    pub max_position_embeddings: usize,
    /// Added to the mean square before its root is taken.
    #[serde(default = "default_epsilon")]
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies, in older files; newer ones have it in `rope_parameters`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_theta: Option<f64>,
    /// The rotary positions.
    #[serde(alias = "rope_scaling")]
    pub rope_parameters: RopeParameters,
    /// Whether the output layer is the embedding table.
    #[serde(default)]
    pub tie_word_embeddings: bool,
    /// Whether layers see a window only; such models are refused.
    #[serde(default)]
    pub use_sliding_window: bool,
    /// Activation inside the feed-forward layers.
    #[serde(default = "default_silu")]
    pub hidden_act: String,
}

/// Rotary positions of the text model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RopeParameters {
    /// `default`, or `mrope` in older files, which is the same. The published file says it twice, as `type` too.
    #[serde(default = "default_rope")]
    pub rope_type: String,
    /// Base of the frequencies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_theta: Option<f64>,
    /// How many frequencies turn with time, height and width.
    pub mrope_section: Vec<usize>,
}

/// The vision tower.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VisionConfig {
    /// Number of blocks.
    pub depth: usize,
    /// Width of a patch's state.
    pub hidden_size: usize,
    /// Width inside the feed-forward layers.
    pub intermediate_size: usize,
    /// Number of attention heads.
    pub num_heads: usize,
    /// Side of a patch, pixels.
    pub patch_size: usize,
    /// Frames that make one patch.
    pub temporal_patch_size: usize,
    /// Patches per side that become one embedding.
    pub spatial_merge_size: usize,
    /// Side of an attention window, pixels.
    pub window_size: usize,
    /// Width of an embedding.
    pub out_hidden_size: usize,
    /// Blocks that see a whole frame instead of a window.
    pub fullatt_block_indexes: Vec<usize>,
    /// Colours. The public checkpoint has them as `in_chans` as well.
    #[serde(default = "default_colours")]
    pub in_channels: usize,
}

/// The audio tower.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AudioConfig {
    /// Width of a frame's state.
    pub d_model: usize,
    /// Number of attention heads.
    pub encoder_attention_heads: usize,
    /// Width inside the feed-forward layers.
    pub encoder_ffn_dim: usize,
    /// Number of layers.
    pub encoder_layers: usize,
    /// Mel bands of a frame.
    pub num_mel_bins: usize,
    /// Half a chunk, mel frames; attention does not leave a chunk.
    pub n_window: usize,
    /// Positions that there are.
    pub max_source_positions: usize,
    /// Width of an embedding.
    pub output_dim: usize,
}

fn default_positions_per_second() -> usize {
    25
}

fn default_seconds_per_chunk() -> usize {
    2
}

fn default_length() -> usize {
    32_768
}

fn default_epsilon() -> f64 {
    1e-6
}

fn default_silu() -> String {
    "silu".to_owned()
}

fn default_colours() -> usize {
    3
}

fn default_rope() -> String {
    "default".to_owned()
}

/// The parts of a whole model's configuration that matter here.
#[derive(Deserialize)]
struct WholeModel {
    thinker_config: Option<serde_json::Value>,
}

impl ThinkerConfig {
    /// Reads `config.json` of a checkpoint folder.
    ///
    /// # Errors
    /// The file cannot be read, is not such a configuration, or holds values that no model can have.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join("config.json");
        let text =
            fs::read_to_string(&path).map_err(|source| ModelError::Read { path: path.clone(), source })?;
        let json = |source| ModelError::Json { path: path.clone(), source };
        let whole: WholeModel = serde_json::from_str(&text).map_err(json)?;
        let config: Self = match whole.thinker_config {
            Some(thinker) => serde_json::from_value(thinker).map_err(json)?,
            None => serde_json::from_str(&text).map_err(json)?,
        };
        config.check()?;
        Ok(config)
    }

    /// Whether a model can have these numbers.
    ///
    /// # Errors
    /// The first value that cannot be, with its place.
    pub fn check(&self) -> Result<(), ModelError> {
        self.text_config.check()?;
        self.vision_config.check()?;
        self.audio_config.check()?;
        let width = self.text_config.hidden_size;
        wants(
            "vision_config.out_hidden_size",
            self.vision_config.out_hidden_size,
            "must be the text model's hidden_size",
            |size| size == width,
        )?;
        wants(
            "audio_config.output_dim",
            self.audio_config.output_dim,
            "must be the text model's hidden_size",
            |size| size == width,
        )?;
        let few = |size: usize| (1..=10_000).contains(&size);
        wants("position_id_per_seconds", self.position_id_per_seconds, "must be between 1 and 10000", few)?;
        wants("seconds_per_chunk", self.seconds_per_chunk, "must be between 1 and 10000", few)
    }
}

impl TextConfig {
    /// Width of a head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    /// Base of the rotary frequencies.
    pub fn theta(&self) -> f64 {
        self.rope_parameters.rope_theta.or(self.rope_theta).unwrap_or(1e6)
    }

    fn check(&self) -> Result<(), ModelError> {
        size("text_config.hidden_size", self.hidden_size)?;
        size("text_config.intermediate_size", self.intermediate_size)?;
        size("text_config.vocab_size", self.vocab_size)?;
        layers("text_config.num_hidden_layers", self.num_hidden_layers)?;
        heads("text_config.num_attention_heads", self.num_attention_heads, self.hidden_size)?;
        let asking = self.num_attention_heads;
        let divides = |answering: usize| answering > 0 && asking.is_multiple_of(answering);
        wants(
            "text_config.num_key_value_heads",
            self.num_key_value_heads,
            "must divide num_attention_heads",
            divides,
        )?;
        let half = self.head_dim() / 2;
        let section = &self.rope_parameters.mrope_section;
        if section.iter().try_fold(0_usize, |sum, &part| sum.checked_add(part)) != Some(half) {
            return Err(ModelError::Config {
                field: "text_config.rope_parameters.mrope_section",
                value: format!("{section:?}"),
                wanted: "must sum to half the width of a head",
            });
        }
        let rope = &self.rope_parameters.rope_type;
        wants("text_config.rope_parameters.rope_type", rope, "only default and mrope are known", |name| {
            matches!(name.as_str(), "default" | "mrope")
        })?;
        wants("text_config.rope_parameters.rope_theta", self.theta(), "must be above 1", |theta| {
            theta > 1.0
        })?;
        let small = |epsilon: f64| (0.0..1.0).contains(&epsilon);
        wants("text_config.rms_norm_eps", self.rms_norm_eps, "must be in 0..1", small)?;
        wants("text_config.hidden_act", &self.hidden_act, "only silu is known", |name| name == "silu")?;
        wants("text_config.use_sliding_window", self.use_sliding_window, "windows are not supported", |on| {
            !on
        })
    }
}

impl VisionConfig {
    /// Width of a head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_heads
    }

    /// Values of one patch: colours x frames x height x width.
    pub fn patch_values(&self) -> usize {
        self.in_channels * self.temporal_patch_size * self.patch_size * self.patch_size
    }

    /// Patches that become one embedding.
    pub fn merge_unit(&self) -> usize {
        self.spatial_merge_size * self.spatial_merge_size
    }

    /// Embeddings per side of an attention window.
    pub fn window_units(&self) -> usize {
        self.window_size / self.spatial_merge_size / self.patch_size
    }

    fn check(&self) -> Result<(), ModelError> {
        size("vision_config.hidden_size", self.hidden_size)?;
        size("vision_config.intermediate_size", self.intermediate_size)?;
        size("vision_config.out_hidden_size", self.out_hidden_size)?;
        layers("vision_config.depth", self.depth)?;
        heads("vision_config.num_heads", self.num_heads, self.hidden_size)?;
        let axial = |width: usize| width.is_multiple_of(4);
        wants("vision_config.hidden_size", self.head_dim(), "a head's width must be divisible by 4", axial)?;
        let few = |size: usize| (1..=1024).contains(&size);
        wants("vision_config.in_channels", self.in_channels, "must be between 1 and 1024", few)?;
        wants("vision_config.patch_size", self.patch_size, "must be between 1 and 1024", few)?;
        wants(
            "vision_config.temporal_patch_size",
            self.temporal_patch_size,
            "must be between 1 and 1024",
            few,
        )?;
        wants(
            "vision_config.spatial_merge_size",
            self.spatial_merge_size,
            "must be between 1 and 1024",
            few,
        )?;
        wants("vision_config.window_size", self.window_size, "must hold one embedding at least", |_| {
            self.window_units() > 0
        })
    }
}

impl AudioConfig {
    /// Width of a head.
    pub fn head_dim(&self) -> usize {
        self.d_model / self.encoder_attention_heads
    }

    /// Longest chunk, mel frames.
    pub fn chunk_frames(&self) -> usize {
        2 * self.n_window
    }

    fn check(&self) -> Result<(), ModelError> {
        size("audio_config.d_model", self.d_model)?;
        size("audio_config.encoder_ffn_dim", self.encoder_ffn_dim)?;
        size("audio_config.num_mel_bins", self.num_mel_bins)?;
        size("audio_config.output_dim", self.output_dim)?;
        size("audio_config.n_window", self.n_window)?;
        layers("audio_config.encoder_layers", self.encoder_layers)?;
        heads("audio_config.encoder_attention_heads", self.encoder_attention_heads, self.d_model)?;
        wants("audio_config.d_model", self.d_model, "must be even and above 2", |width| {
            width > 2 && width.is_multiple_of(2)
        })?;
        let window = self.n_window;
        wants(
            "audio_config.max_source_positions",
            self.max_source_positions,
            "must cover n_window",
            |positions| (window..=MAX_SIZE).contains(&positions),
        )
    }
}

fn wants<T: ToString + Copy>(
    field: &'static str,
    value: T,
    wanted: &'static str,
    fits: impl FnOnce(T) -> bool,
) -> Result<(), ModelError> {
    if fits(value) { Ok(()) } else { Err(ModelError::Config { field, value: value.to_string(), wanted }) }
}

fn size(field: &'static str, value: usize) -> Result<(), ModelError> {
    wants(field, value, "must be between 1 and 16777216", |size| (1..=MAX_SIZE).contains(&size))
}

fn layers(field: &'static str, value: usize) -> Result<(), ModelError> {
    wants(field, value, "must be between 1 and 1024", |count| (1..=MAX_LAYERS).contains(&count))
}

fn heads(field: &'static str, value: usize, width: usize) -> Result<(), ModelError> {
    wants(field, value, "must divide the width into heads of even width", |count| {
        count > 0 && width.is_multiple_of(count) && (width / count).is_multiple_of(2)
    })
}
