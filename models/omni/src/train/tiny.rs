//! A model of the published architecture, small enough to be trained from nothing on a CPU in minutes.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::{TrainError, parameters};
use crate::{
    config::{AudioConfig, RopeParameters, TextConfig, ThinkerConfig, VisionConfig},
    inputs::{
        patches,
        tokenizer::{Special, Tokenizer},
    },
    thinker::Model,
};

/// Sizes of a tiny model. The default has about 0.8 million parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TinyConfig {
    /// Width of the text model; a multiple of 24.
    pub width: usize,
    /// Layers of the text model.
    pub layers: usize,
    /// Width of both towers; a multiple of 16.
    pub tower_width: usize,
    /// Layers of each tower.
    pub tower_layers: usize,
}

/// Heads everywhere; those of the text model that answer are half as many.
const HEADS: usize = 4;

/// Half a chunk of sound, log-mel frames: half a second.
const N_WINDOW: usize = 50;

impl Default for TinyConfig {
    fn default() -> Self {
        Self { width: 96, layers: 3, tower_width: 64, tower_layers: 2 }
    }
}

impl TinyConfig {
    /// The model's numbers, for a tokenizer that was learned for it ([`crate::inputs::tiny`]).
    ///
    /// # Errors
    /// The sizes make no model.
    pub fn thinker(&self, tokenizer: &Tokenizer) -> Result<ThinkerConfig, TrainError> {
        let special = |token| i64::from(tokenizer.special().get(token));
        let third = self.width / HEADS / 2 / 3;
        let config = ThinkerConfig {
            text_config: TextConfig {
                hidden_size: self.width,
                intermediate_size: 8 * self.width / 3,
                num_hidden_layers: self.layers,
                num_attention_heads: HEADS,
                num_key_value_heads: HEADS / 2,
                vocab_size: tokenizer.vocabulary(),
                max_position_embeddings: 32_768,
                rms_norm_eps: 1e-6,
                rope_theta: None,
                rope_parameters: RopeParameters {
                    rope_type: "default".to_owned(),
                    rope_theta: Some(1e4),
                    mrope_section: vec![third; 3],
                },
                tie_word_embeddings: true,
                use_sliding_window: false,
                hidden_act: "silu".to_owned(),
            },
            vision_config: VisionConfig {
                depth: self.tower_layers,
                hidden_size: self.tower_width,
                intermediate_size: 4 * self.tower_width,
                num_heads: HEADS,
                patch_size: patches::PATCH,
                temporal_patch_size: patches::FRAMES,
                spatial_merge_size: patches::MERGE,
                window_size: 8 * patches::PATCH,
                out_hidden_size: self.width,
                fullatt_block_indexes: vec![self.tower_layers.saturating_sub(1)],
                in_channels: 3,
            },
            audio_config: AudioConfig {
                d_model: self.tower_width,
                encoder_attention_heads: HEADS,
                encoder_ffn_dim: 4 * self.tower_width,
                encoder_layers: self.tower_layers,
                num_mel_bins: 128,
                n_window: N_WINDOW,
                max_source_positions: 1500,
                output_dim: self.width,
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
}

impl Model {
    /// A model that knows nothing yet; the same seed draws the same.
    ///
    /// # Errors
    /// The numbers make no model.
    pub fn from_nothing(config: ThinkerConfig, seed: u64, device: &Device) -> Result<Self, TrainError> {
        config.check()?;
        let thinker = parameters::draw(config.init(device), seed);
        Ok(Self::new(config, thinker, device))
    }
}
