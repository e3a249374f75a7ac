//! Bytes that a model of given sizes takes, by arithmetic and without allocating any of it: what `doctor --model`
//! prints.
//!
//! With `s` bytes a number, `L` text layers, hidden size `h`, intermediate size `m`, `q` and `k` numbers of the
//! queries and of the keys of a token, and `T` tokens:
//!
//! - weights: parameters x s
//! - KV cache: `2 L k s` a token
//! - one text layer's values: `(4 h + 2 q + 2 k + 3 m) s` a token: its input, both normed inputs, the sum after
//!   attention, queries, keys, values, attention's output, and the gate, the value and their product. Attention is
//!   computed in blocks, so no T x T matrix is counted
//! - a tower's layer by the same sum with its own sizes; one layer is held at a time, as towers are never tuned
//! - inference: the largest layer, and the logits of one position in f32
//! - tuning: the values of every text layer, or with checkpointing `L h s` a token and one layer anew; logits and
//!   their gradient in f32 at answer positions
//! - adapters: `r (in + out)` for each target and layer, as f32 with gradient (8 bytes) and AdamW's moments (8 bytes)

use safetensors::Dtype;

use super::{error::WeightsError, shapes::Sizes};

/// Layers that LoRA is put on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Targets {
    /// Queries and values.
    Qv,
    /// Every linear layer of the text model.
    AllLinear,
}

impl Targets {
    /// PEFT's names of the modules.
    pub fn modules(self) -> &'static [&'static str] {
        match self {
            Self::Qv => &["q_proj", "v_proj"],
            Self::AllLinear => &["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        }
    }
}

/// What the model is loaded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Answers.
    Inference,
    /// LoRA tuning with frozen towers.
    Lora {
        /// Rank of the adapters.
        rank: usize,
        /// Layers they are put on.
        targets: Targets,
        /// Whether layers are computed again in the backward pass instead of kept.
        checkpointing: bool,
    },
}

/// What goes through the model at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Tokens of the prompt and the answer, media included.
    pub tokens: usize,
    /// Patches of the video.
    pub patches: usize,
    /// Frames of the log-mel.
    pub mel_frames: usize,
    /// Positions whose logits are kept in tuning.
    pub answer_tokens: usize,
}

/// Bytes by use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The model's weights.
    pub weights: u64,
    /// Keys and values of all tokens; none in tuning.
    pub kv_cache: u64,
    /// Values between layers, and logits.
    pub activations: u64,
    /// LoRA matrices and their gradients.
    pub adapters: u64,
    /// AdamW's moments.
    pub optimizer: u64,
}

impl Memory {
    /// All of it.
    pub fn total(&self) -> u64 {
        [self.kv_cache, self.activations, self.adapters, self.optimizer]
            .into_iter()
            .fold(self.weights, u64::saturating_add)
    }
}

/// Bytes for this use of a model whose weights are `dtype`. Saturates where a load is absurd.
pub fn memory(sizes: &Sizes, dtype: Dtype, load: Load, mode: Mode) -> Result<Memory, WeightsError> {
    let parameters = sizes.parameters()?.total();
    let number = dtype.bitsize() as u64 / 8;
    let bytes = |numbers: usize| (numbers as u64).saturating_mul(number);
    let (text, vision, audio) = (sizes.text, sizes.vision, sizes.audio);
    let keys = text.kv_heads * text.head();
    let layer =
        |hidden: usize, keys: usize, intermediate: usize| bytes(6 * hidden + 2 * keys + 3 * intermediate);
    let times = |count: usize, each: u64| each.saturating_mul(count as u64);
    let text_layer = times(load.tokens, layer(text.hidden, keys, text.intermediate));
    let towers = times(load.patches, layer(vision.hidden, vision.hidden, vision.intermediate))
        .max(times(load.mel_frames.div_ceil(2), layer(audio.hidden, audio.hidden, audio.intermediate)));
    let logits = |positions: usize| times(positions, 4 * text.vocabulary as u64);
    let weights = parameters.saturating_mul(number);
    match mode {
        Mode::Inference => Ok(Memory {
            weights,
            kv_cache: times(load.tokens, bytes(2 * text.layers * keys)),
            activations: text_layer.max(towers).saturating_add(logits(1)),
            adapters: 0,
            optimizer: 0,
        }),
        Mode::Lora { rank, targets, checkpointing } => {
            let on = |name: &str| targets.modules().iter().any(|module| name.ends_with(module));
            let linears = text.linears().into_iter().filter(|(name, ..)| on(name));
            let sides: usize = linears.map(|(_, outputs, inputs)| outputs + inputs).sum();
            let adapters = times(rank, (text.layers * sides) as u64);
            let kept = if checkpointing {
                times(load.tokens, bytes(text.layers * text.hidden)).saturating_add(text_layer)
            } else {
                times(text.layers, text_layer)
            };
            Ok(Memory {
                weights,
                kv_cache: 0,
                activations: kept.max(towers).saturating_add(logits(load.answer_tokens).saturating_mul(2)),
                adapters: adapters.saturating_mul(8),
                optimizer: adapters.saturating_mul(8),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::shapes::tests::SEVEN_B;

    const LOAD: Load = Load { tokens: 3_600, patches: 12_960, mel_frames: 1_000, answer_tokens: 8 };

    fn lora(targets: Targets, checkpointing: bool) -> Memory {
        memory(&SEVEN_B, Dtype::BF16, LOAD, Mode::Lora { rank: 8, targets, checkpointing }).unwrap()
    }

    #[test]
    fn the_published_model_takes_what_it_is_known_to_take() {
        let memory = memory(&SEVEN_B, Dtype::BF16, LOAD, Mode::Inference).unwrap();
        assert_eq!(memory.weights, 2 * SEVEN_B.parameters().unwrap().total());
        // 28 layers, keys and values of 4 heads of 128, two bytes each: 56 KiB a token.
        assert_eq!(memory.kv_cache, 3_600 * 56 * 1024);
        assert_eq!(memory.total(), memory.weights + memory.kv_cache + memory.activations);
        let single = super::memory(&SEVEN_B, Dtype::F32, LOAD, Mode::Inference).unwrap();
        assert_eq!((single.weights, single.kv_cache), (2 * memory.weights, 2 * memory.kv_cache));
    }

    #[test]
    fn adapters_have_the_number_of_parameters_that_peft_reports() {
        // print_trainable_parameters of PEFT on Qwen2.5-7B at rank 8: q and v 2,523,136, all linear 20,185,088.
        assert_eq!(lora(Targets::Qv, true).adapters, 8 * 2_523_136);
        assert_eq!(lora(Targets::AllLinear, true).optimizer, 8 * 20_185_088);
    }

    #[test]
    fn checkpointing_keeps_less_than_a_tenth() {
        let [with, without] = [true, false].map(|checkpointing| lora(Targets::Qv, checkpointing).activations);
        assert!(with * 10 < without, "{with} of {without}");
    }

    #[test]
    fn an_absurd_load_saturates() {
        let load = Load {
            tokens: usize::MAX,
            patches: usize::MAX,
            mel_frames: usize::MAX,
            answer_tokens: usize::MAX,
        };
        for mode in
            [Mode::Inference, Mode::Lora { rank: usize::MAX, targets: Targets::Qv, checkpointing: false }]
        {
            assert_eq!(memory(&SEVEN_B, Dtype::F32, load, mode).unwrap().total(), u64::MAX);
        }
    }
}
