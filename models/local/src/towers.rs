//! What the towers make of pictures and sounds, kept on disk by content.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use blake3::Hasher;
use burn::{
    Tensor,
    tensor::{Device, TensorData},
};
use counterpoint_models::{Frames, Sound};
use counterpoint_omni::{
    Grid, Model, ModelError, WeightsError,
    inputs::{
        mel::{LogMel, MelError, SAMPLE_RATE},
        patches::{self, PatchError},
    },
    weights::{shard::Shard, write},
};

use crate::identity::field;

/// Name of the tensor in a kept file.
const TENSOR: &str = "embeddings";

/// The towers of a model, each picture and each sound brought through them once.
///
/// An embedding is kept under the hash of the towers' weights and of the pixels or samples, so variants that share a
/// stream share its embedding, and so do models that differ in their text part or adapters only.
pub struct Towers {
    folder: Option<PathBuf>,
    most_bytes: u64,
    identity: String,
    mel: LogMel,
}

/// A picture as the text model takes it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// `[tokens, width]`.
    pub embeddings: Tensor<2>,
    /// Patches over time, height and width.
    pub grid: Grid,
}

/// A sound as the text model takes it.
#[derive(Debug, Clone)]
pub struct Heard {
    /// `[tokens, width]`.
    pub embeddings: Tensor<2>,
    /// Frames of log-mel.
    pub frames: usize,
}

/// Why a stream has no embedding.
#[derive(Debug, thiserror::Error)]
pub enum TowersError {
    /// The picture does not fit the model.
    #[error(transparent)]
    Picture(#[from] PatchError),
    /// The sound does not fit the model.
    #[error(transparent)]
    Sound(#[from] MelError),
    /// A sound of another rate.
    #[error("the sound has {rate} samples a second: resample it to {SAMPLE_RATE}")]
    Rate {
        /// Samples a second.
        rate: u32,
    },
    /// The model refuses the shapes.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// An embedding cannot be kept or read back.
    #[error(transparent)]
    Kept(#[from] WeightsError),
    /// The folder of embeddings cannot be used.
    #[error("embeddings cannot be kept in {}: {source}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Towers {
    /// The towers of that identity, keeping at most so many bytes in a folder.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(
        folder: Option<PathBuf>,
        most_bytes: u64,
        identity: String,
        mel_bins: usize,
    ) -> Result<Self, TowersError> {
        if let Some(folder) = &folder {
            fs::create_dir_all(folder)
                .map_err(|source| TowersError::Folder { folder: folder.clone(), source })?;
        }
        Ok(Self { folder, most_bytes, identity, mel: LogMel::new(mel_bins) })
    }

    /// What the model makes of a picture.
    ///
    /// # Errors
    /// The picture does not fit the model, or the folder cannot be used.
    pub fn see(&self, model: &Model, frames: &Frames) -> Result<Seen, TowersError> {
        let shape = [frames.count(), frames.height(), frames.width()];
        let view = patches::Frames::new(frames.rgb(), shape[0], shape[1], shape[2])?;
        let [steps, rows, columns] = view.grid();
        let grid = Grid::new(steps, rows, columns, &model.config().vision_config)?;
        let mut key = self.key("picture");
        field(&mut key, format!("{shape:?}").as_bytes());
        field(&mut key, frames.rgb());
        let tokens = grid.tokens(&model.config().vision_config);
        let embeddings = self.kept(&key, model, tokens, || {
            let patches = patches::patches(view);
            let shape = [grid.patches(), patches::PATCH_VALUES];
            let patches = Tensor::from_data(TensorData::new(patches.values, shape), model.device());
            Ok(model.see(patches, &[grid])?)
        })?;
        Ok(Seen { embeddings, grid })
    }

    /// What the model makes of a sound.
    ///
    /// # Errors
    /// The sound does not fit the model, or the folder cannot be used.
    pub fn hear(&self, model: &Model, sound: &Sound) -> Result<Heard, TowersError> {
        if usize::try_from(sound.rate()).ok() != Some(SAMPLE_RATE) {
            return Err(TowersError::Rate { rate: sound.rate() });
        }
        let mel = self.mel.features(sound.pcm())?;
        let mut key = self.key("sound");
        let samples: Vec<u8> = sound.pcm().iter().flat_map(|sample| sample.to_le_bytes()).collect();
        field(&mut key, &samples);
        let frames = mel.frames;
        let embeddings = self.kept(&key, model, counterpoint_omni::audio_tokens(frames), || {
            let shape = [mel.bins, mel.frames];
            let mel = Tensor::from_data(TensorData::new(mel.values, shape), model.device());
            Ok(model.hear(mel, &[frames])?)
        })?;
        Ok(Heard { embeddings, frames })
    }

    fn key(&self, what: &str) -> Hasher {
        let mut hasher = Hasher::new_derive_key("counterpoint embedding");
        field(&mut hasher, self.identity.as_bytes());
        field(&mut hasher, what.as_bytes());
        hasher
    }

    /// The embedding of that key, made if it is not kept.
    fn kept(
        &self,
        key: &Hasher,
        model: &Model,
        tokens: usize,
        make: impl FnOnce() -> Result<Tensor<2>, TowersError>,
    ) -> Result<Tensor<2>, TowersError> {
        let Some(folder) = &self.folder else { return make() };
        let path = folder.join(format!("{}.safetensors", key.finalize().to_hex()));
        let width = model.config().text_config.hidden_size;
        if let Some(found) = read(&path, [tokens, width], model.device()) {
            return Ok(found);
        }
        let made = make()?;
        self.keep(folder, &path, &made)?;
        Ok(made)
    }

    fn keep(&self, folder: &Path, path: &Path, made: &Tensor<2>) -> Result<(), TowersError> {
        let values = made.to_data().convert::<f32>().try_into_vec::<f32>();
        let values = values.map_err(|error| {
            let source = std::io::Error::other(format!("an embedding cannot be read back: {error:?}"));
            TowersError::Folder { folder: folder.to_owned(), source }
        })?;
        self.make_room(folder, 4 * values.len() as u64)
            .map_err(|source| TowersError::Folder { folder: folder.to_owned(), source })?;
        let failed = |source| TowersError::Folder { folder: folder.to_owned(), source };
        let partial = tempfile::Builder::new().prefix(".partial-").tempfile_in(folder).map_err(failed)?;
        let tensor = write::Tensor::f32(&made.dims(), &values);
        write::write_tensors(partial.path(), &[(TENSOR, &tensor)])?;
        partial.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    /// Removes what was used least lately, until so many more bytes fit.
    fn make_room(&self, folder: &Path, bytes: u64) -> std::io::Result<()> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // Another process may have removed it meanwhile.
            let Ok(facts) = entry.metadata() else { continue };
            if entry.path().extension().is_some_and(|ending| ending == "safetensors") {
                kept.push((facts.modified()?, facts.len(), entry.path()));
            }
        }
        let mut total: u64 = kept.iter().map(|(_, length, _)| length).sum::<u64>().saturating_add(bytes);
        kept.sort();
        for (_, length, path) in kept {
            if total <= self.most_bytes {
                break;
            }
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => total = total.saturating_sub(length),
            }
        }
        Ok(())
    }
}

/// A kept embedding, marked as used now. One that is damaged counts as missing and is made again.
fn read(path: &Path, shape: [usize; 2], device: &Device) -> Option<Tensor<2>> {
    let shard = Shard::open(path).ok()?;
    let view = shard.get(TENSOR).filter(|view| view.shape == shape)?;
    let values = view.to_f32().ok()?;
    if let Ok(file) = fs::File::options().append(true).open(path) {
        // Only its turn to be removed depends on it.
        let _ = file.set_modified(SystemTime::now());
    }
    Some(Tensor::from_data(TensorData::new(values, shape), device))
}
