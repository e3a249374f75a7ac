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
    Grid, Model, ModelError, VisionConfig, WeightsError,
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
    /// Where the embeddings are kept, if they are.
    pub(crate) kept: Option<Kept>,
}

/// A sound as the text model takes it.
#[derive(Debug, Clone)]
pub struct Heard {
    /// `[tokens, width]`.
    pub embeddings: Tensor<2>,
    /// Frames of log-mel.
    pub frames: usize,
    /// Where the embeddings are kept, if they are.
    pub(crate) kept: Option<Kept>,
}

/// An embedding on disk.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    path: PathBuf,
    shape: [usize; 2],
}

impl Kept {
    /// Reads it back.
    pub(crate) fn read(&self, device: &Device) -> Result<Tensor<2>, TowersError> {
        read(&self.path, self.shape, device).ok_or_else(|| TowersError::Gone { path: self.path.clone() })
    }
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
    /// An embedding that was kept is not there any more.
    #[error("the embedding {} is damaged or gone: begin again, which makes it anew", path.display())]
    Gone {
        /// Its file.
        path: PathBuf,
    },
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

    /// The same towers, keeping all they make in a folder.
    pub(crate) fn kept_in(&self, folder: PathBuf) -> Result<Self, TowersError> {
        Self::new(Some(folder), u64::MAX, self.identity.clone(), self.mel.bins())
    }

    /// What the model makes of a picture.
    ///
    /// # Errors
    /// The picture does not fit the model, or the folder cannot be used.
    pub fn see(&self, model: &Model, frames: &Frames) -> Result<Seen, TowersError> {
        let grid = grid(frames, &model.config().vision_config)?;
        let mut key = self.key("picture");
        name_picture(&mut key, frames);
        let tokens = grid.tokens(&model.config().vision_config);
        let (embeddings, kept) = self.kept(&key, model, tokens, || {
            let _span = tracing::info_span!("model.tower", stream = "picture").entered();
            Ok(model.see(patches(frames, grid, model.device())?, &[grid])?)
        })?;
        Ok(Seen { embeddings, grid, kept })
    }

    /// What the model makes of a sound.
    ///
    /// # Errors
    /// The sound does not fit the model, or the folder cannot be used.
    pub fn hear(&self, model: &Model, sound: &Sound) -> Result<Heard, TowersError> {
        check_rate(sound)?;
        let mel = self.mel.features(sound.pcm())?;
        let mut key = self.key("sound");
        name_sound(&mut key, sound);
        let frames = mel.frames;
        let (embeddings, kept) = self.kept(&key, model, counterpoint_omni::audio_tokens(frames), || {
            let _span = tracing::info_span!("model.tower", stream = "sound").entered();
            let shape = [mel.bins, mel.frames];
            let mel = Tensor::from_data(TensorData::new(mel.values, shape), model.device());
            Ok(model.hear(mel, &[frames])?)
        })?;
        Ok(Heard { embeddings, frames, kept })
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
    ) -> Result<(Tensor<2>, Option<Kept>), TowersError> {
        let Some(folder) = &self.folder else { return Ok((make()?, None)) };
        let path = folder.join(format!("{}.safetensors", key.finalize().to_hex()));
        let kept = Kept { path, shape: [tokens, model.config().text_config.hidden_size] };
        if let Some(found) = read(&kept.path, kept.shape, model.device()) {
            return Ok((found, Some(kept)));
        }
        let made = make()?;
        self.keep(folder, &kept.path, &made)?;
        Ok((made, Some(kept)))
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

/// How a picture's patches lie.
pub(crate) fn grid(frames: &Frames, config: &VisionConfig) -> Result<Grid, TowersError> {
    let [steps, rows, columns] = view(frames)?.grid();
    Ok(Grid::new(steps, rows, columns, config)?)
}

/// A picture's patches, `[patches, values of a patch]`.
pub(crate) fn patches(frames: &Frames, grid: Grid, device: &Device) -> Result<Tensor<2>, TowersError> {
    let patches = patches::patches(view(frames)?);
    let shape = [grid.patches(), patches::PATCH_VALUES];
    Ok(Tensor::from_data(TensorData::new(patches.values, shape), device))
}

fn view(frames: &Frames) -> Result<patches::Frames<'_>, PatchError> {
    patches::Frames::new(frames.rgb(), frames.count(), frames.height(), frames.width())
}

/// Refuses a sound of another rate than the model hears.
pub(crate) fn check_rate(sound: &Sound) -> Result<(), TowersError> {
    let is_known = usize::try_from(sound.rate()).is_ok_and(|rate| rate == SAMPLE_RATE);
    if is_known { Ok(()) } else { Err(TowersError::Rate { rate: sound.rate() }) }
}

/// Adds a picture's content to a hash.
pub(crate) fn name_picture(key: &mut Hasher, frames: &Frames) {
    let shape = [frames.count(), frames.height(), frames.width()];
    field(key, format!("{shape:?}").as_bytes());
    field(key, frames.rgb());
}

/// Adds a sound's content to a hash.
pub(crate) fn name_sound(key: &mut Hasher, sound: &Sound) {
    let samples: Vec<u8> = sound.pcm().iter().flat_map(|sample| sample.to_le_bytes()).collect();
    field(key, &samples);
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
