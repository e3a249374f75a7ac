//! New folders on disk: made under another name beside their place, synced, and renamed, so that a folder that has
//! its name is whole.

use std::{
    borrow::Cow,
    cell::Cell,
    collections::BTreeMap,
    fs::{self, File, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::Path,
};

use safetensors::{Dtype, SafeTensorError, View};
use serde_json::{Value, json};

use super::{
    checkpoint::{INDEX, SINGLE},
    error::WeightsError,
};

/// A tensor to write. Its bytes are asked for when they are written, so one tensor is in memory at a time.
pub struct Tensor<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Box<dyn Fn() -> Cow<'a, [u8]> + 'a>,
    /// Set when it gave another number of bytes than its shape needs, which the safetensors crate does not notice.
    wrong: Cell<bool>,
}

impl<'a> Tensor<'a> {
    /// A tensor whose little-endian bytes this function gives: as many as shape and kind of number need.
    pub fn new(dtype: Dtype, shape: &[usize], bytes: impl Fn() -> Cow<'a, [u8]> + 'a) -> Self {
        Self { dtype, shape: shape.to_vec(), bytes: Box::new(bytes), wrong: Cell::new(false) }
    }

    /// Single precision.
    pub fn f32(shape: &[usize], values: &'a [f32]) -> Self {
        let bytes = || values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
        Self::new(Dtype::F32, shape, move || Cow::Owned(bytes()))
    }

    /// Bytes of it, or the most there are if its shape has no number of bytes.
    fn length(&self) -> u64 {
        let bits = self
            .shape
            .iter()
            .try_fold(self.dtype.bitsize() as u64, |bits, &side| bits.checked_mul(side as u64));
        bits.map_or(u64::MAX, |bits| bits / 8)
    }
}

impl View for &Tensor<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let bytes = (self.bytes)();
        self.wrong.set(bytes.len() as u64 != self.length());
        bytes
    }

    fn data_len(&self) -> usize {
        self.length() as usize
    }
}

/// Everything in a checkpoint folder.
pub struct NewCheckpoint<'a> {
    /// `config.json`.
    pub config: &'a Value,
    /// Weights by name.
    pub tensors: BTreeMap<String, Tensor<'a>>,
    /// Further files by name, such as `tokenizer.json`.
    pub files: Vec<(&'static str, &'a [u8])>,
    /// Bytes of weights that a shard may have; a larger tensor has a shard of its own.
    pub shard_bytes: u64,
}

impl<'a> NewCheckpoint<'a> {
    /// Writes it to `folder`, which must not exist. One shard is `model.safetensors`, several have an index.
    pub fn write(&self, folder: &Path) -> Result<(), WeightsError> {
        whole(folder, |partial| {
            write_file(&partial.join("config.json"), &pretty(self.config))?;
            for (name, bytes) in &self.files {
                write_file(&partial.join(name), bytes)?;
            }
            let shards = self.shards();
            if let [all] = shards.as_slice() {
                return write_tensors(&partial.join(SINGLE), all);
            }
            let mut places = BTreeMap::new();
            for (number, shard) in shards.iter().enumerate() {
                let file = format!("model-{:05}-of-{:05}.safetensors", number + 1, shards.len());
                write_tensors(&partial.join(&file), shard)?;
                places.extend(shard.iter().map(|(name, _)| (*name, file.clone())));
            }
            let total: u64 = self.tensors.values().map(Tensor::length).sum();
            let index = json!({ "metadata": { "total_size": total }, "weight_map": places });
            write_file(&partial.join(INDEX), &pretty(&index))
        })
    }

    /// Tensors by shard, in the order of their names.
    fn shards(&self) -> Vec<Vec<(&str, &Tensor<'a>)>> {
        let mut shards = vec![Vec::new()];
        let mut filled = 0_u64;
        for (name, tensor) in &self.tensors {
            if filled > 0 && filled.saturating_add(tensor.length()) > self.shard_bytes {
                shards.push(Vec::new());
                filled = 0;
            }
            filled = filled.saturating_add(tensor.length());
            if let Some(shard) = shards.last_mut() {
                shard.push((name.as_str(), tensor));
            }
        }
        shards
    }
}

/// Makes `folder` by filling another one beside it and renaming that; nothing is left of it on an error.
pub(crate) fn whole(
    folder: &Path,
    fill: impl FnOnce(&Path) -> Result<(), WeightsError>,
) -> Result<(), WeightsError> {
    if folder.symlink_metadata().is_ok() {
        return Err(WeightsError::Exists { path: folder.to_owned() });
    }
    let failed = |source| WeightsError::Write { path: folder.to_owned(), source };
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(failed)?;
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!(".{name}.partial-");
    // As wide as the user's mask allows, unlike other temporary folders: this one stays.
    let partial = tempfile::Builder::new()
        .prefix(&prefix)
        .permissions(Permissions::from_mode(0o777))
        .tempdir_in(parent)
        .map_err(failed)?;
    fill(partial.path())?;
    sync(partial.path()).map_err(failed)?;
    fs::rename(partial.path(), folder).map_err(failed)?;
    // It has its name, so there is nothing left to remove.
    let _ = partial.keep();
    sync(parent).map_err(failed)
}

/// Writes and syncs one safetensors file.
pub fn write_tensors(path: &Path, tensors: &[(&str, &Tensor<'_>)]) -> Result<(), WeightsError> {
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    let written = safetensors::serialize_to_file(tensors.iter().copied(), Some(metadata), path);
    let written = written.map_err(|error| match error {
        SafeTensorError::IoError(source) => source,
        other => io::Error::other(other),
    });
    if let Some((tensor, odd)) = tensors.iter().find(|(_, tensor)| tensor.wrong.get()) {
        let reason = format!("{:?} of {:?} takes {}", odd.shape, odd.dtype, odd.length());
        return Err(WeightsError::Impossible { tensor: (*tensor).to_owned(), file: path.to_owned(), reason });
    }
    let synced = written.and_then(|()| readable(path)).and_then(|()| sync(path));
    synced.map_err(|source| WeightsError::Write { path: path.to_owned(), source })
}

/// Lets those read a file who may read its folder: the safetensors crate makes files for their owner alone.
fn readable(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mode = fs::metadata(folder)?.permissions().mode() & 0o666;
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Writes and syncs one file.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), WeightsError> {
    let written = fs::write(path, bytes).and_then(|()| sync(path));
    written.map_err(|source| WeightsError::Write { path: path.to_owned(), source })
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// JSON that people can read, with a final newline.
pub(crate) fn pretty(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}
