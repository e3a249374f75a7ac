//! All weights of a checkpoint folder: one `model.safetensors`, or the shards that `model.safetensors.index.json`
//! names. Everything the files claim is checked when the folder is opened; numbers are read when asked for.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    path::{Component, Path, PathBuf},
};

use safetensors::Dtype;
use serde::Deserialize;

use super::{
    error::WeightsError,
    names::canonical,
    shapes::Sizes,
    shard::{Pairs, Shard, View, read_json},
};

/// The file of a folder that has one.
pub(super) const SINGLE: &str = "model.safetensors";
/// Which tensor is in which shard.
pub(super) const INDEX: &str = "model.safetensors.index.json";

/// The weights of one model.
pub struct Checkpoint {
    folder: PathBuf,
    shards: Vec<Shard>,
    /// The shard of each tensor and its name there, by its name here.
    places: BTreeMap<String, (usize, String)>,
    ignored: usize,
}

#[derive(Deserialize)]
struct Index {
    weight_map: Pairs<String>,
}

impl Checkpoint {
    /// The weights in `folder`. Shards that hold only the talker need not be there.
    pub fn open(folder: &Path) -> Result<Self, WeightsError> {
        let (index, single) = (folder.join(INDEX), folder.join(SINGLE));
        if index.exists() {
            return Self::sharded(folder, &index);
        }
        if !single.exists() {
            return Err(WeightsError::NoWeights { folder: folder.to_owned() });
        }
        let mut checkpoint = Self::empty(folder);
        checkpoint.add(Shard::open(&single)?)?;
        Ok(checkpoint)
    }

    fn empty(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), shards: Vec::new(), places: BTreeMap::new(), ignored: 0 }
    }

    fn sharded(folder: &Path, index: &Path) -> Result<Self, WeightsError> {
        let damaged = |reason| WeightsError::Damaged { file: index.to_owned(), reason };
        let map: Index = read_json(index)?;
        let mut promised = BTreeMap::new();
        for (tensor, shard) in map.weight_map.0 {
            let mut parts = Path::new(&shard).components();
            if !matches!((parts.next(), parts.next()), (Some(Component::Normal(name)), None) if name == shard.as_str())
            {
                return Err(WeightsError::Outside { index: index.to_owned(), tensor, shard });
            }
            if promised.insert(tensor.clone(), shard).is_some() {
                return Err(damaged(format!("it names {tensor} twice")));
            }
        }
        let needed: BTreeSet<_> = promised
            .iter()
            .filter(|(tensor, _)| canonical(tensor).is_some())
            .map(|(_, shard)| shard)
            .collect();
        let mut checkpoint = Self::empty(folder);
        let mut opened = BTreeMap::new();
        for shard in needed {
            opened.insert(shard, checkpoint.shards.len());
            checkpoint.add(Shard::open(&folder.join(shard))?)?;
        }
        for (tensor, shard) in &promised {
            match opened.get(shard).and_then(|number| checkpoint.shards.get(*number)) {
                Some(opened) if opened.has(tensor) => {}
                Some(_) => {
                    let (tensor, file) = (tensor.clone(), folder.join(shard));
                    return Err(WeightsError::NotInShard { tensor, file });
                }
                None => checkpoint.ignored += 1,
            }
        }
        Ok(checkpoint)
    }

    /// Takes the tensors of one more file.
    fn add(&mut self, shard: Shard) -> Result<(), WeightsError> {
        let number = self.shards.len();
        for name in shard.names() {
            let Some(tensor) = canonical(name) else {
                self.ignored += 1;
                continue;
            };
            match self.places.entry(tensor) {
                Entry::Vacant(place) => {
                    place.insert((number, name.to_owned()));
                }
                Entry::Occupied(place) => {
                    let other = self.shards.get(place.get().0).unwrap_or(&shard);
                    let (first, second) = (other.file().to_owned(), shard.file().to_owned());
                    return Err(WeightsError::Twice { tensor: place.key().clone(), first, second });
                }
            }
        }
        self.shards.push(shard);
        Ok(())
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Tensors of the talker that are there and not read. Who opens a checkpoint says so.
    pub fn ignored(&self) -> usize {
        self.ignored
    }

    /// The names of all tensors, as [`super::names`] gives them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// Bytes of all tensors.
    pub fn bytes(&self) -> u64 {
        self.places.keys().filter_map(|name| self.get(name)).map(|view| view.bytes.len() as u64).sum()
    }

    /// The tensor of this name, whatever it is.
    pub fn get(&self, name: &str) -> Option<View<'_>> {
        let (shard, name) = self.places.get(name)?;
        self.shards.get(*shard)?.get(name)
    }

    /// The weights of this name and shape: F32, BF16 or F16.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<View<'_>, WeightsError> {
        let missing = || WeightsError::Missing { tensor: name.to_owned(), file: self.folder.clone() };
        let view = self.get(name).ok_or_else(missing)?;
        let (tensor, file) = (view.name.to_owned(), view.file.to_owned());
        if view.shape != shape {
            let (found, wanted) = (view.shape.to_vec(), shape.to_vec());
            return Err(WeightsError::Shape { tensor, file, found, wanted });
        }
        if !matches!(view.dtype, Dtype::F32 | Dtype::BF16 | Dtype::F16) {
            let wanted = "F32, BF16 and F16";
            return Err(WeightsError::Numbers { tensor, file, dtype: view.dtype, wanted });
        }
        Ok(view)
    }

    /// The weights of this name and shape in single precision, every number of them finite.
    pub fn finite(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        self.tensor(name, shape)?.to_finite_f32()
    }

    /// Whether every tensor of a model of these sizes is there in its shape, without reading a number.
    pub fn check(&self, sizes: &Sizes) -> Result<(), WeightsError> {
        sizes.tensors()?.iter().try_for_each(|(name, shape)| self.tensor(name, shape).map(|_| ()))
    }
}
