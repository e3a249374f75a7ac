//! The thinker: what is seen, heard and read becomes one sequence, and that becomes the next token.
//! `Qwen2_5OmniThinkerForConditionalGeneration` of transformers' `modeling_qwen2_5_omni.py`.

use std::path::Path;

use burn::{
    Tensor,
    module::Module,
    tensor::{Device, Int, TensorData},
};

use crate::{
    audio::{AudioTower, audio_tokens},
    config::ThinkerConfig,
    error::ModelError,
    kernels,
    layers::{Linear, LinearConfig},
    positions::{MediaShapes, Positions},
    text::{Cache, Observer, Rotary, TextModel, Turns},
    vision::{Grid, VisionTower},
    weights::{self, Checkpoint},
};

impl ThinkerConfig {
    /// The model, its weights not made yet: they are loaded, or drawn when first used.
    pub fn init(&self, device: &Device) -> Thinker {
        let text = &self.text_config;
        let head = LinearConfig::without_bias(text.hidden_size, text.vocab_size);
        Thinker {
            text: text.init(device),
            visual: self.vision_config.init(device),
            audio_tower: self.audio_config.init(device),
            lm_head: (!text.tie_word_embeddings).then(|| head.init(device)),
        }
    }
}

/// All parameters.
#[derive(Module, Debug)]
pub struct Thinker {
    /// The text model.
    pub text: TextModel,
    /// The vision tower.
    pub visual: VisionTower,
    /// The audio tower.
    pub audio_tower: AudioTower,
    /// States to scores of tokens; the table of embeddings does it where it is missing.
    pub lm_head: Option<Linear>,
}

/// A model that can be asked: parameters, their configuration and what is computed from it once.
#[derive(Debug, Clone)]
pub struct Model {
    config: ThinkerConfig,
    thinker: Thinker,
    rotary: Rotary,
    device: Device,
}

/// What media tokens are replaced by, each `[tokens, width]` in the order of the tokens.
#[derive(Debug, Clone, Default)]
pub struct Embeddings {
    /// Of all images.
    pub images: Option<Tensor<2>>,
    /// Of all videos.
    pub videos: Option<Tensor<2>>,
    /// Of all sounds.
    pub sounds: Option<Tensor<2>>,
}

/// One sequence: its tokens and where they stand.
#[derive(Debug, Clone)]
pub struct Sequence {
    /// The tokens.
    pub tokens: Vec<i64>,
    /// Their positions.
    pub positions: Positions,
}

impl Sequence {
    /// A sequence whose media tokens stand for that.
    ///
    /// # Errors
    /// The tokens do not fit to the media.
    pub fn new(tokens: Vec<i64>, media: &MediaShapes, config: &ThinkerConfig) -> Result<Self, ModelError> {
        let positions = Positions::of(&tokens, media, config)?;
        Ok(Self { tokens, positions })
    }

    /// Text that goes on at that position.
    pub fn text(tokens: Vec<i64>, start: i64) -> Self {
        let positions = Positions::text(start, tokens.len());
        Self { tokens, positions }
    }
}

impl Model {
    /// Opens a checkpoint folder: `config.json` and tensors.
    ///
    /// # Errors
    /// A file cannot be read, or does not hold what the configuration asks for.
    pub fn open(folder: &Path, device: &Device) -> Result<Self, ModelError> {
        Self::load(ThinkerConfig::open(folder)?, &Checkpoint::open(folder)?, device)
    }

    /// A model of a configuration with the tensors of a checkpoint.
    ///
    /// # Errors
    /// A tensor is missing, has another shape, or holds what is no number.
    pub fn load(config: ThinkerConfig, checkpoint: &Checkpoint, device: &Device) -> Result<Self, ModelError> {
        let thinker = weights::load(config.init(device), checkpoint)?;
        Ok(Self::new(config, thinker, device))
    }

    /// A model with these parameters.
    pub fn new(config: ThinkerConfig, thinker: Thinker, device: &Device) -> Self {
        let inner = device.clone().inner();
        let rotary = Rotary::new(&config.text_config, &inner);
        Self { config, thinker, rotary, device: device.clone() }
    }

    /// The model's numbers.
    pub fn config(&self) -> &ThinkerConfig {
        &self.config
    }

    /// The parameters.
    pub fn thinker(&self) -> &Thinker {
        &self.thinker
    }

    /// The parameters, to be changed.
    pub fn thinker_mut(&mut self) -> &mut Thinker {
        &mut self.thinker
    }

    /// The same model with other parameters.
    #[must_use]
    pub fn map_thinker(self, change: impl FnOnce(Thinker) -> Thinker) -> Self {
        Self { thinker: change(self.thinker), ..self }
    }

    /// Where it computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// An empty cache for a batch.
    pub fn cache(&self) -> Cache {
        Cache::new(self.config.text_config.num_hidden_layers)
    }

    /// Embeddings of images or videos.
    ///
    /// # Shapes
    /// - patches: `[patches of all grids, values of a patch]`
    /// - output: `[tokens of all grids, width]`
    ///
    /// # Errors
    /// The patches do not fit to the grids.
    pub fn see(&self, patches: Tensor<2>, grids: &[Grid]) -> Result<Tensor<2>, ModelError> {
        let config = &self.config.vision_config;
        let [count, values] = patches.dims();
        let wanted: usize = grids.iter().map(Grid::patches).sum();
        if grids.is_empty() || (count, values) != (wanted, config.patch_values()) {
            let wanted_values = config.patch_values();
            let what = format!(
                "{count} x {values} patch values are there, but {grids:?} take {wanted} x {wanted_values}"
            );
            return Err(ModelError::input(what));
        }
        Ok(self.thinker.visual.forward(config, patches, grids))
    }

    /// Embeddings of sounds.
    ///
    /// # Shapes
    /// - mel: `[mel bands, frames of all sounds]`
    /// - output: `[tokens of all sounds, width]`
    ///
    /// # Errors
    /// The frames do not fit to the sounds.
    pub fn hear(&self, mel: Tensor<2>, frames: &[usize]) -> Result<Tensor<2>, ModelError> {
        self.thinker.audio_tower.forward(&self.config.audio_config, mel, frames)
    }

    /// Embeddings of sequences, media in place, the shorter ones filled up.
    ///
    /// # Shapes
    /// - output: `[sequences, longest, width]`
    ///
    /// # Errors
    /// A token is outside the vocabulary, or there are more or fewer media tokens than embeddings.
    pub fn embed(&self, sequences: &[&[i64]], media: &Embeddings) -> Result<Tensor<3>, ModelError> {
        let config = &self.config;
        let width = config.text_config.hidden_size;
        let vocabulary = config.text_config.vocab_size;
        let longest = sequences.iter().map(|tokens| tokens.len()).max().unwrap_or(0);
        let sources = [
            (config.image_token_index, &media.images, "images"),
            (config.video_token_index, &media.videos, "videos"),
            (config.audio_token_index, &media.sounds, "sounds"),
        ];
        // Rows of one table: the tokens' own embeddings, then the media's.
        let total = sequences.len() * longest;
        let mut tokens = Vec::with_capacity(total);
        let mut order: Vec<i64> = (0..total as i64).collect();
        let mut starts = [0_usize; 3];
        let mut next = total;
        for (start, (_, embeddings, _)) in starts.iter_mut().zip(&sources) {
            *start = next;
            next += embeddings.as_ref().map_or(0, |embeddings| embeddings.dims()[0]);
        }
        let mut rows = starts;
        for sequence in sequences {
            for place in 0..longest {
                let token = sequence.get(place).copied().unwrap_or(0);
                let known = usize::try_from(token).is_ok_and(|token| token < vocabulary);
                if !known {
                    let what = format!("token {token} is outside the vocabulary of {vocabulary}");
                    return Err(ModelError::input(what));
                }
                let source =
                    sources.iter().position(|(media, embeddings, _)| *media == token && embeddings.is_some());
                if let Some(source) = source.filter(|_| place < sequence.len()) {
                    order[tokens.len()] = rows[source] as i64;
                    rows[source] += 1;
                }
                tokens.push(token);
            }
        }
        for (index, (token, embeddings, kind)) in sources.iter().enumerate() {
            let there = embeddings.as_ref().map_or(0, |embeddings| embeddings.dims()[0]);
            let used = rows[index] - starts[index];
            if there != used {
                let what =
                    format!("{kind} have {there} embeddings, but {used} tokens {token} stand for them");
                return Err(ModelError::input(what));
            }
        }
        let ints = |values: &[i64]| Tensor::<1, Int>::from_data(TensorData::from(values), &self.device);
        let mut table = vec![self.thinker.text.embed_tokens.weight.val().select(0, ints(&tokens))];
        table.extend(sources.into_iter().filter_map(|(_, embeddings, _)| embeddings.clone()));
        let rows =
            if table.len() == 1 { table.remove(0) } else { Tensor::cat(table, 0).select(0, ints(&order)) };
        Ok(rows.reshape([sequences.len(), longest, width]))
    }

    /// States after the last layer, normalised. See [`TextModel::forward`].
    ///
    /// # Shapes
    /// - embeddings, output: `[sequences, longest, width]`
    pub fn states(
        &self,
        embeddings: Tensor<3>,
        positions: &[&Positions],
        cache: Option<&mut Cache>,
        observer: Option<Observer<'_>>,
    ) -> Tensor<3> {
        let turns = self.turns(positions).in_numbers_of(&embeddings);
        self.thinker.text.forward(embeddings, &turns, cache, observer)
    }

    /// Angles of sequences that are filled up to the longest. See [`Rotary::turns`].
    pub(crate) fn turns(&self, positions: &[&Positions]) -> Turns {
        self.rotary.turns(positions)
    }

    /// Scores of all tokens of the vocabulary, where they are wanted.
    ///
    /// # Shapes
    /// - states: `[.., width]`
    /// - output: `[.., vocabulary]`
    pub fn logits<const D: usize>(&self, states: Tensor<D>) -> Tensor<D> {
        match &self.thinker.lm_head {
            Some(head) => head.forward(states),
            None => kernels::project(states, self.thinker.text.embed_tokens.weight.val(), None),
        }
    }
}

impl MediaShapes {
    /// Tokens that all images, videos and sounds become.
    pub fn tokens(&self, config: &ThinkerConfig) -> usize {
        let pictures = self.images.iter().chain(&self.videos).map(|grid| grid.tokens(&config.vision_config));
        pictures.sum::<usize>() + self.audio_frames.iter().map(|&frames| audio_tokens(frames)).sum::<usize>()
    }
}
