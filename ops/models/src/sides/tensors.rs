//! The plain pass: both towers, the text model, and the logits of all tokens.

use anyhow::Context as _;
use burn::{
    Tensor,
    tensor::{Device, TensorData},
};
use counterpoint_cli::{Job, Prompt, Side, SideOutcome};
use counterpoint_omni::{
    Embeddings, Grid, MediaShapes, Model, Sequence, ThinkerConfig, device,
    inputs::{
        layout::Media,
        mel::{LogMel, Mel},
        patches::{self, Patches},
        tokenizer::Tokenizer,
    },
};

use super::{CHECKPOINT, begin, drawn::Drawn};

/// Logits that are compared: so many places, spread evenly, and so many of the first tokens.
const PLACES: usize = 8;
const TOKENS: usize = 32;

/// A clip as a model takes it.
pub struct Features {
    pub patches: Patches,
    /// By number of the sound.
    pub mels: Vec<(usize, Mel)>,
}

impl Features {
    /// Two frames at two a second.
    pub const SECONDS_PER_GRID: f64 = 1.0;

    pub fn of(drawn: &Drawn, sounds: &[usize], config: &ThinkerConfig) -> anyhow::Result<Self> {
        let frames = drawn.frames()?;
        let patches = patches::patches(patches::Frames::new(
            frames.rgb(),
            frames.count(),
            frames.height(),
            frames.width(),
        )?);
        let mel = LogMel::new(config.audio_config.num_mel_bins);
        let mels = sounds.iter().map(|&sound| Ok((sound, mel.features(drawn.sound(sound)?.pcm())?)));
        Ok(Self { patches, mels: mels.collect::<anyhow::Result<_>>()? })
    }

    fn mel(&self, sound: usize) -> anyhow::Result<&Mel> {
        let found = self.mels.iter().find(|(number, _)| *number == sound);
        Ok(&found.with_context(|| format!("there is no sound {sound}"))?.1)
    }

    /// The streams as prompts are laid out.
    pub fn media(&self, sound: usize) -> anyhow::Result<Media> {
        let frames = self.mel(sound)?.frames;
        Ok(Media::VideoWithAudio {
            grid: self.patches.grid,
            seconds_per_grid: Self::SECONDS_PER_GRID,
            frames,
        })
    }
}

/// A prompt on the clip, in tensors.
pub struct Given {
    pub patches: Tensor<2>,
    pub grid: Grid,
    pub mel: Tensor<2>,
    pub sequence: Sequence,
    /// Tokens of the answer.
    pub answer: usize,
}

impl Given {
    pub fn new(job: &Job, prompt: &Prompt, model: &Model, device: &Device) -> anyhow::Result<Self> {
        let config = model.config();
        let features = Features::of(&Drawn::new(job.scale), &[prompt.sound], config)?;
        let tokenizer = Tokenizer::open(&job.folder.join(CHECKPOINT))?;
        let tokens = begin::tokens(prompt, features.media(prompt.sound)?, config, &tokenizer)?;
        let [steps, rows, columns] = features.patches.grid;
        let grid = Grid::new(steps, rows, columns, &config.vision_config)?;
        let mel = features.mel(prompt.sound)?.clone();
        let shapes = MediaShapes {
            images: Vec::new(),
            videos: vec![grid],
            seconds_per_grid: vec![Features::SECONDS_PER_GRID as f32],
            audio_frames: vec![mel.frames],
            audio_in_video: true,
        };
        let tokens_all = tokens.all.into_iter().map(i64::from).collect();
        let patches = TensorData::new(features.patches.values, [grid.patches(), patches::PATCH_VALUES]);
        Ok(Self {
            patches: Tensor::from_data(patches, device),
            grid,
            mel: Tensor::from_data(TensorData::new(mel.values, [mel.bins, mel.frames]), device),
            sequence: Sequence::new(tokens_all, &shapes, config)?,
            answer: tokens.answer,
        })
    }
}

pub fn forward(job: &Job, name: &str) -> anyhow::Result<Side> {
    let device = device(name)?;
    let model = Model::open(&job.folder.join(CHECKPOINT), &device)?;
    let prompt = job.prompts.first().context("a pass needs a prompt")?;
    let given = Given::new(job, prompt, &model, &device)?;
    Ok(Box::new(move |_| {
        let Given { patches, grid, mel, sequence, .. } = &given;
        let frames = mel.dims()[1];
        let media = Embeddings {
            images: None,
            videos: Some(model.see(patches.clone(), &[*grid])?),
            sounds: Some(model.hear(mel.clone(), &[frames])?),
        };
        let embeddings = model.embed(&[&sequence.tokens], &media)?;
        let logits = model.logits(model.states(embeddings, &[&sequence.positions], None, None));
        let tokens = sequence.tokens.len();
        let mut outcome = SideOutcome::default();
        for place in 0..PLACES {
            let row = (place + 1) * tokens / PLACES - 1;
            let some = logits.clone().narrow(1, row, 1).narrow(2, 0, TOKENS).into_data();
            let some = some.try_into_vec::<f32>().map_err(|error| anyhow::anyhow!("{error:?}"))?;
            outcome.numbers.extend(some.into_iter().map(f64::from));
        }
        Ok(outcome)
    }))
}
