//! Every tensor of the Qwen2.5-Omni thinker with its shape, from the sizes in `config.json` and by arithmetic only
//! (`transformers/models/qwen2_5_omni/modeling_qwen2_5_omni.py`).

use super::error::WeightsError;
use crate::config::ThinkerConfig;

/// Most layers, heads and other numbers of a kind that any real model has.
const MOST_LAYERS: usize = 1_000;
/// Longest side of any real tensor.
const MOST_WIDE: usize = 10_000_000;

/// What decides the shapes of the thinker's tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// `text_config`.
    pub text: TextSizes,
    /// `vision_config`.
    pub vision: VisionSizes,
    /// `audio_config`.
    pub audio: AudioSizes,
}

/// Sizes of the text decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextSizes {
    /// `num_hidden_layers`.
    pub layers: usize,
    /// `hidden_size`.
    pub hidden: usize,
    /// `intermediate_size`.
    pub intermediate: usize,
    /// `num_attention_heads`.
    pub heads: usize,
    /// `num_key_value_heads`.
    pub kv_heads: usize,
    /// `vocab_size`.
    pub vocabulary: usize,
    /// `tie_word_embeddings`: the output layer is the embedding and no tensor of its own.
    pub tied: bool,
}

/// Sizes of the vision encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VisionSizes {
    /// `depth`.
    pub layers: usize,
    /// `hidden_size`.
    pub hidden: usize,
    /// `intermediate_size`.
    pub intermediate: usize,
    /// `in_channels`.
    pub channels: usize,
    /// `temporal_patch_size`.
    pub frames: usize,
    /// `patch_size`.
    pub patch: usize,
    /// `spatial_merge_size`.
    pub merge: usize,
    /// `out_hidden_size`.
    pub output: usize,
}

/// Sizes of the audio encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioSizes {
    /// `encoder_layers`.
    pub layers: usize,
    /// `d_model`.
    pub hidden: usize,
    /// `encoder_ffn_dim`.
    pub intermediate: usize,
    /// `num_mel_bins`.
    pub mel_bins: usize,
    /// `output_dim`.
    pub output: usize,
}

/// Numbers that a model consists of, by part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Text decoder, embedding and output layer.
    pub text: u64,
    /// Vision encoder and merger.
    pub vision: u64,
    /// Audio encoder and projection.
    pub audio: u64,
}

impl Parameters {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.text + self.vision + self.audio
    }
}

/// Names and shapes, as they are listed.
struct List(Vec<(String, Vec<usize>)>);

impl List {
    fn weight(&mut self, name: &str, shape: &[usize]) {
        self.0.push((format!("{name}.weight"), shape.to_vec()));
    }

    /// A weight and a bias as long as its first side.
    fn both(&mut self, name: &str, shape: &[usize]) {
        self.weight(name, shape);
        self.0.push((format!("{name}.bias"), shape[..1].to_vec()));
    }

    /// Scale and shift of a layer norm.
    fn norm(&mut self, name: &str, width: usize) {
        self.both(name, &[width]);
    }

    /// Matrices of a gated MLP.
    fn mlp(&mut self, name: &str, hidden: usize, intermediate: usize, add: fn(&mut Self, &str, &[usize])) {
        add(self, &format!("{name}.gate_proj"), &[intermediate, hidden]);
        add(self, &format!("{name}.up_proj"), &[intermediate, hidden]);
        add(self, &format!("{name}.down_proj"), &[hidden, intermediate]);
    }
}

impl From<&ThinkerConfig> for Sizes {
    fn from(config: &ThinkerConfig) -> Self {
        let (text, vision, audio) = (&config.text_config, &config.vision_config, &config.audio_config);
        Self {
            text: TextSizes {
                layers: text.num_hidden_layers,
                hidden: text.hidden_size,
                intermediate: text.intermediate_size,
                heads: text.num_attention_heads,
                kv_heads: text.num_key_value_heads,
                vocabulary: text.vocab_size,
                tied: text.tie_word_embeddings,
            },
            vision: VisionSizes {
                layers: vision.depth,
                hidden: vision.hidden_size,
                intermediate: vision.intermediate_size,
                channels: vision.in_channels,
                frames: vision.temporal_patch_size,
                patch: vision.patch_size,
                merge: vision.spatial_merge_size,
                output: vision.out_hidden_size,
            },
            audio: AudioSizes {
                layers: audio.encoder_layers,
                hidden: audio.d_model,
                intermediate: audio.encoder_ffn_dim,
                mel_bins: audio.num_mel_bins,
                output: audio.output_dim,
            },
        }
    }
}

impl Sizes {
    /// Every tensor by its name in [`super::names`], with its shape.
    pub fn tensors(&self) -> Result<Vec<(String, Vec<usize>)>, WeightsError> {
        self.check()?;
        let mut list = List(Vec::new());
        self.text.list(&mut list);
        self.vision.list(&mut list);
        self.audio.list(&mut list);
        Ok(list.0)
    }

    /// Numbers of each part.
    pub fn parameters(&self) -> Result<Parameters, WeightsError> {
        let mut parameters = Parameters { text: 0, vision: 0, audio: 0 };
        for (name, shape) in self.tensors()? {
            // Sides are below 10^7 and at most five, two of them small: no overflow.
            let count = shape.iter().map(|&side| side as u64).product::<u64>();
            let part = match name.split('.').next() {
                Some("visual") => &mut parameters.vision,
                Some("audio_tower") => &mut parameters.audio,
                _ => &mut parameters.text,
            };
            *part += count;
        }
        Ok(parameters)
    }

    /// Whether the numbers make a model, so that nothing absurd is ever multiplied or listed.
    fn check(&self) -> Result<(), WeightsError> {
        let Self { text, vision, audio } = self;
        let limits = [
            ("text_config.num_hidden_layers", text.layers, MOST_LAYERS),
            ("text_config.hidden_size", text.hidden, MOST_WIDE),
            ("text_config.intermediate_size", text.intermediate, MOST_WIDE),
            ("text_config.num_attention_heads", text.heads, text.hidden),
            ("text_config.num_key_value_heads", text.kv_heads, text.heads),
            ("text_config.vocab_size", text.vocabulary, MOST_WIDE),
            ("vision_config.depth", vision.layers, MOST_LAYERS),
            ("vision_config.hidden_size", vision.hidden, MOST_WIDE),
            ("vision_config.intermediate_size", vision.intermediate, MOST_WIDE),
            ("vision_config.in_channels", vision.channels, 16),
            ("vision_config.temporal_patch_size", vision.frames, 16),
            ("vision_config.patch_size", vision.patch, 256),
            ("vision_config.spatial_merge_size", vision.merge, 16),
            ("vision_config.out_hidden_size", vision.output, MOST_WIDE),
            ("audio_config.encoder_layers", audio.layers, MOST_LAYERS),
            ("audio_config.d_model", audio.hidden, MOST_WIDE),
            ("audio_config.encoder_ffn_dim", audio.intermediate, MOST_WIDE),
            ("audio_config.num_mel_bins", audio.mel_bins, MOST_WIDE),
            ("audio_config.output_dim", audio.output, MOST_WIDE),
        ];
        if let Some(&(what, value, _)) = limits.iter().find(|(_, value, most)| !(1..=*most).contains(value)) {
            return Err(WeightsError::Config { what, value });
        }
        for (what, value, whole) in [
            ("text_config.num_attention_heads", text.heads, text.hidden),
            ("text_config.num_key_value_heads", text.kv_heads, text.heads),
        ] {
            if !whole.is_multiple_of(value) {
                return Err(WeightsError::Config { what, value });
            }
        }
        for (what, value) in
            [("vision_config.out_hidden_size", vision.output), ("audio_config.output_dim", audio.output)]
        {
            if value != text.hidden {
                return Err(WeightsError::Config { what, value });
            }
        }
        Ok(())
    }
}

impl TextSizes {
    /// Numbers of one head.
    pub fn head(&self) -> usize {
        self.hidden / self.heads
    }

    /// The linear layers of one decoder layer: module name within the layer, outputs and inputs.
    pub fn linears(&self) -> [(&'static str, usize, usize); 7] {
        let keys = self.kv_heads * self.head();
        [
            ("self_attn.q_proj", self.hidden, self.hidden),
            ("self_attn.k_proj", keys, self.hidden),
            ("self_attn.v_proj", keys, self.hidden),
            ("self_attn.o_proj", self.hidden, self.hidden),
            ("mlp.gate_proj", self.intermediate, self.hidden),
            ("mlp.up_proj", self.intermediate, self.hidden),
            ("mlp.down_proj", self.hidden, self.intermediate),
        ]
    }

    fn list(&self, list: &mut List) {
        list.weight("model.embed_tokens", &[self.vocabulary, self.hidden]);
        for number in 0..self.layers {
            let layer = format!("model.layers.{number}");
            for (name, outputs, inputs) in self.linears() {
                // Queries, keys and values have a bias, nothing else has.
                let biased = ["q_proj", "k_proj", "v_proj"].iter().any(|end| name.ends_with(end));
                let add = if biased { List::both } else { List::weight };
                add(list, &format!("{layer}.{name}"), &[outputs, inputs]);
            }
            list.weight(&format!("{layer}.input_layernorm"), &[self.hidden]);
            list.weight(&format!("{layer}.post_attention_layernorm"), &[self.hidden]);
        }
        list.weight("model.norm", &[self.hidden]);
        if !self.tied {
            list.weight("lm_head", &[self.vocabulary, self.hidden]);
        }
    }
}

impl VisionSizes {
    fn list(&self, list: &mut List) {
        let patch = [self.hidden, self.channels, self.frames, self.patch, self.patch];
        list.weight("visual.patch_embed.proj", &patch);
        for number in 0..self.layers {
            let block = format!("visual.blocks.{number}");
            for name in ["q", "k", "v", "proj"] {
                list.both(&format!("{block}.attn.{name}"), &[self.hidden, self.hidden]);
            }
            list.mlp(&format!("{block}.mlp"), self.hidden, self.intermediate, List::both);
            list.weight(&format!("{block}.norm1"), &[self.hidden]);
            list.weight(&format!("{block}.norm2"), &[self.hidden]);
        }
        let merged = self.hidden * self.merge * self.merge;
        list.weight("visual.merger.ln_q", &[self.hidden]);
        list.both("visual.merger.mlp.0", &[merged, merged]);
        list.both("visual.merger.mlp.2", &[self.output, merged]);
    }
}

impl AudioSizes {
    fn list(&self, list: &mut List) {
        list.both("audio_tower.conv1", &[self.hidden, self.mel_bins, 3]);
        list.both("audio_tower.conv2", &[self.hidden, self.hidden, 3]);
        list.weight("audio_tower.audio_bos_eos_token", &[2, self.output]);
        for number in 0..self.layers {
            let layer = format!("audio_tower.layers.{number}");
            let square = [self.hidden, self.hidden];
            list.weight(&format!("{layer}.self_attn.k_proj"), &square);
            for name in ["q_proj", "v_proj", "out_proj"] {
                list.both(&format!("{layer}.self_attn.{name}"), &square);
            }
            list.norm(&format!("{layer}.self_attn_layer_norm"), self.hidden);
            list.both(&format!("{layer}.fc1"), &[self.intermediate, self.hidden]);
            list.both(&format!("{layer}.fc2"), &[self.hidden, self.intermediate]);
            list.norm(&format!("{layer}.final_layer_norm"), self.hidden);
        }
        list.norm("audio_tower.ln_post", self.hidden);
        list.both("audio_tower.proj", &[self.output, self.hidden]);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Qwen2.5-Omni-7B, as its `config.json` has it.
    pub(crate) const SEVEN_B: Sizes = Sizes {
        text: TextSizes {
            layers: 28,
            hidden: 3584,
            intermediate: 18_944,
            heads: 28,
            kv_heads: 4,
            vocabulary: 152_064,
            tied: false,
        },
        vision: VisionSizes {
            layers: 32,
            hidden: 1280,
            intermediate: 3420,
            channels: 3,
            frames: 2,
            patch: 14,
            merge: 2,
            output: 3584,
        },
        audio: AudioSizes { layers: 32, hidden: 1280, intermediate: 5120, mel_bins: 128, output: 3584 },
    };

    #[test]
    fn the_published_sizes_give_the_published_number_of_parameters() {
        let parameters = SEVEN_B.parameters().unwrap();
        // The text model is Qwen2.5-7B, published as 7,615,616,512.
        assert_eq!(parameters.text, 7_615_616_512);
        // By hand: 1280 x 1176, 32 blocks of 4 (1280^2 + 1280) + 3 x 1280 x 3420 + 2 x 3420 + 1280 + 2 x 1280,
        // and the merger 1280 + 5120^2 + 5120 + 3584 x 5120 + 3584.
        let block = 4 * (1280 * 1280 + 1280) + 3 * 1280 * 3420 + 2 * 3420 + 1280 + 2 * 1280;
        let merger = 1280 + 5120 * 5120 + 5120 + 3584 * 5120 + 3584;
        assert_eq!(parameters.vision, 1280 * 1176 + 32 * block + merger);
        // Whisper large-v3's encoder has 635 M without its positions, which are not stored here; and the projection.
        let layer = 4 * 1280 * 1280 + 3 * 1280 + 2 * 1280 * 5120 + 5120 + 1280 + 4 * 1280;
        let ends = 1280 * 128 * 3 + 1280 + 1280 * 1280 * 3 + 1280 + 2 * 3584 + 2 * 1280 + 3584 * 1280 + 3584;
        assert_eq!(parameters.audio, 32 * layer + ends);
        let billions = |count: u64| (count as f64 / 1e9 * 100.0).round() / 100.0;
        assert_eq!(
            [parameters.vision, parameters.audio, parameters.total()].map(billions),
            [0.68, 0.64, 8.93]
        );
    }

    #[test]
    fn names_are_distinct() {
        let tensors = SEVEN_B.tensors().unwrap();
        let names: std::collections::BTreeSet<_> = tensors.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), tensors.len());
    }

    #[test]
    fn absurd_sizes_are_refused_by_name_before_anything_is_listed() {
        let what = |change: fn(&mut Sizes)| {
            let mut sizes = SEVEN_B;
            change(&mut sizes);
            match sizes.tensors() {
                Err(WeightsError::Config { what, .. }) => what,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(what(|sizes| sizes.text.layers = usize::MAX), "text_config.num_hidden_layers");
        assert_eq!(what(|sizes| sizes.vision.patch = 0), "vision_config.patch_size");
        assert_eq!(what(|sizes| sizes.text.kv_heads = 5), "text_config.num_key_value_heads");
        assert_eq!(what(|sizes| sizes.audio.output = 64), "audio_config.output_dim");
    }
}
