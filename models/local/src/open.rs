use std::{fmt, sync::Arc};

use counterpoint_models::{LocalModel, LocalSettings, ModelError, ModelFacts, ModelInput, Stop};
use counterpoint_omni::{
    self as omni, Checkpoint, Model, ThinkerConfig, attach,
    inputs::{
        layout::Timing,
        patches,
        tokenizer::{Special, Tokenizer},
    },
    weights::adapter::Adapter,
};

use crate::{Towers, identity::identity};

/// A model of Qwen2.5-Omni's architecture that runs in this process.
pub struct OmniModel {
    pub(crate) facts: ModelFacts,
    pub(crate) model: Model,
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) timing: Timing,
    pub(crate) towers: Towers,
    pub(crate) batch: usize,
    pub(crate) yes: Vec<usize>,
    pub(crate) no: Vec<usize>,
    pub(crate) stop: Stop,
}

impl OmniModel {
    /// Opens a checkpoint folder in Hugging Face layout, and its adapter if one is named. Reads every tensor once.
    ///
    /// # Errors
    /// [`ModelError::Setting`] for a setting that can never work; [`ModelError::Load`] with the file, the tensor and
    /// what is wrong with it.
    pub fn open(
        name: &LocalModel,
        settings: &LocalSettings,
        device: &str,
        stop: &Stop,
    ) -> Result<Self, ModelError> {
        settings.check()?;
        Self::load(name, settings, device, stop)
            .map_err(|source| ModelError::Load { model: called(name), source })
    }

    fn load(
        name: &LocalModel,
        settings: &LocalSettings,
        device: &str,
        stop: &Stop,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let folder = &name.checkpoint;
        let device = omni::device(device)?;
        let config = ThinkerConfig::open(folder)?;
        check_patches(&config)?;
        let checkpoint = Checkpoint::open(folder)?;
        let adapter = name.adapter.as_deref().map(Adapter::open).transpose()?;
        if let Some(adapter) = &adapter {
            adapter.check(&checkpoint)?;
        }
        let ignored = checkpoint.ignored();
        if ignored > 0 {
            tracing::info!(checkpoint = %folder.display(), "{ignored} tensors of the part that speaks are not read");
        }
        let identity = identity(folder, &checkpoint, adapter.as_ref())?;
        let named = identity.name();
        let mut model = Model::load(config, &checkpoint, &device)?;
        if let Some(adapter) = &adapter {
            attach(&mut model.thinker_mut().text, adapter, &device)?;
        }
        let tokenizer = Tokenizer::open(folder)?;
        let config = model.config();
        let timing = Timing::of(config);
        let bins = config.audio_config.num_mel_bins;
        let towers = Towers::new(settings.towers.clone(), settings.towers_bytes, identity.towers, bins)?;
        let first = |words: [&str; 4]| {
            let ids = words.map(|word| tokenizer.encode(word).map(|ids| ids.first().copied()));
            let ids = ids.into_iter().collect::<Result<Vec<_>, _>>()?;
            let mut ids: Vec<usize> = ids.into_iter().flatten().map(|id| id as usize).collect();
            ids.sort_unstable();
            ids.dedup();
            Ok::<_, counterpoint_omni::inputs::tokenizer::TokenizerError>(ids)
        };
        let (yes, no) = (first(["Yes", "yes", " Yes", " yes"])?, first(["No", "no", " No", " no"])?);
        let facts = ModelFacts { name: called(name), identity: named, input: ModelInput::FramesAndSound };
        Ok(Self {
            facts,
            model,
            tokenizer: Arc::new(tokenizer),
            timing,
            towers,
            batch: settings.batch,
            yes,
            no,
            stop: stop.clone(),
        })
    }

    /// The network.
    pub fn network(&self) -> &Model {
        &self.model
    }

    /// Tokens that begin the answers yes and no.
    pub fn yes_and_no(&self) -> [&[usize]; 2] {
        [&self.yes, &self.no]
    }

    /// The token that ends an answer.
    pub(crate) fn end(&self) -> i64 {
        i64::from(self.tokenizer.special().get(Special::TurnEnd))
    }
}

impl fmt::Debug for OmniModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OmniModel").field("facts", &self.facts).finish_non_exhaustive()
    }
}

fn called(name: &LocalModel) -> String {
    match &name.adapter {
        Some(adapter) => format!("{}+{}", name.checkpoint.display(), adapter.display()),
        None => name.checkpoint.display().to_string(),
    }
}

/// Pixels are cut into patches before the model is asked, so it has to take patches of that size.
fn check_patches(config: &ThinkerConfig) -> Result<(), counterpoint_omni::ModelError> {
    let vision = &config.vision_config;
    let sizes = [
        ("vision_config.patch_size", vision.patch_size, patches::PATCH, "patches are of 14 pixels"),
        (
            "vision_config.temporal_patch_size",
            vision.temporal_patch_size,
            patches::FRAMES,
            "patches are of 2 frames",
        ),
        (
            "vision_config.spatial_merge_size",
            vision.spatial_merge_size,
            patches::MERGE,
            "tokens are of 2 x 2 patches",
        ),
    ];
    match sizes.into_iter().find(|(_, found, wanted, _)| found != wanted) {
        Some((field, found, _, wanted)) => {
            Err(counterpoint_omni::ModelError::Config { field, value: found.to_string(), wanted })
        }
        None => Ok(()),
    }
}
