//! A training's state on disk: one folder a state, made under another name and renamed when it is whole.
//!
//! `state.json` says what it is; `tensors.safetensors` has the trained parameters (`value.PATH`) and the optimizer's
//! memory of each (`first.PATH`, `second.PATH`). What is drawn by chance follows from the seed and the step.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use burn::{
    Tensor,
    tensor::{Device, TensorData},
};
use serde::{Deserialize, Serialize};

use super::{
    AdamW, Recipe, TrainError,
    optimizer::Moments,
    parameters::{self, Values},
    scaling::Scaling,
};
use crate::{
    thinker::Thinker,
    weights::{
        WeightsError,
        shard::{Shard, read_json},
        write,
    },
};

/// What the folder of a state begins with; the step follows.
const PREFIX: &str = "step-";
const STATE: &str = "state.json";
const TENSORS: &str = "tensors.safetensors";
/// States that are kept; older ones go.
const STATES: usize = 2;

/// What a training is, so that it is not taken for another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) recipe: Recipe,
    /// Of the examples.
    pub(super) examples: String,
    /// Of the model that it began with.
    pub(super) base: String,
}

/// A state, without its tensors.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) identity: Identity,
    /// Steps done.
    pub(super) done: u64,
    pub(super) scaling: Scaling,
    /// Steps that each parameter took.
    steps: BTreeMap<String, i32>,
}

impl State {
    pub(super) fn new(identity: Identity, done: u64, scaling: Scaling, optimizer: &AdamW) -> Self {
        let steps = optimizer.moments.iter().map(|(path, moments)| (path.clone(), moments.steps)).collect();
        Self { identity, done, scaling, steps }
    }

    /// Writes the state and removes older ones. One of this step that is there already is this very one: what comes
    /// next follows from the state alone.
    pub(super) fn write(
        &self,
        folder: &Path,
        thinker: &Thinker,
        optimizer: &AdamW,
    ) -> Result<(), TrainError> {
        let path = folder.join(format!("{PREFIX}{:08}", self.done));
        if path.exists() {
            return Ok(());
        }
        let mut values: BTreeMap<String, Values> = parameters::read(thinker, true)?
            .into_iter()
            .map(|(path, values)| (format!("value.{path}"), values))
            .collect();
        for (path, Moments { first, second, .. }) in &optimizer.moments {
            values.insert(format!("first.{path}"), parameters::values(first.clone())?);
            values.insert(format!("second.{path}"), parameters::values(second.clone())?);
        }
        let tensors: Vec<_> = values
            .iter()
            .map(|(name, Values { shape, numbers })| (name.as_str(), write::Tensor::f32(shape, numbers)))
            .collect();
        let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
        let json = serde_json::to_value(self)
            .map_err(|error| TrainError::Write { path: path.clone(), source: error.into() })?;
        write::whole(&path, |partial| {
            write::write_file(&partial.join(STATE), &write::pretty(&json))?;
            write::write_tensors(&partial.join(TENSORS), &tensors)
        })?;
        for old in states(folder)?.iter().rev().skip(STATES) {
            fs::remove_dir_all(old).map_err(|source| TrainError::Write { path: old.clone(), source })?;
        }
        Ok(())
    }

    /// The newest state in a folder, if there is one, of this training.
    pub(super) fn newest(folder: &Path, identity: &Identity) -> Result<Option<(Self, PathBuf)>, TrainError> {
        let Some(path) = states(folder)?.pop() else { return Ok(None) };
        let state: Self = read_json(&path.join(STATE))?;
        let Identity { recipe, examples, base } = &state.identity;
        let differs = [
            ("recipe", *recipe != identity.recipe),
            ("set of examples", *examples != identity.examples),
            ("model to begin with", *base != identity.base),
        ];
        match differs.into_iter().find(|(_, differs)| *differs) {
            Some((what, _)) => Err(TrainError::Other { folder: folder.to_owned(), what }),
            None => Ok(Some((state, path))),
        }
    }

    /// The model and the optimizer of the state in that folder.
    pub(super) fn restore(
        &self,
        path: &Path,
        thinker: Thinker,
        optimizer: &mut AdamW,
        device: &Device,
    ) -> Result<Thinker, TrainError> {
        let shard = Shard::open(&path.join(TENSORS))?;
        let missing = |tensor: String| WeightsError::Missing { tensor, file: shard.file().to_owned() };
        let read = |kind: &str, path: &str, shape: Option<&[usize]>| -> Result<Values, WeightsError> {
            let name = format!("{kind}.{path}");
            let view = shard.get(&name).ok_or_else(|| missing(name.clone()))?;
            if let Some(wanted) = shape.filter(|shape| view.shape != *shape) {
                let (found, wanted) = (view.shape.to_vec(), wanted.to_vec());
                return Err(WeightsError::Shape { tensor: name, file: view.file.to_owned(), found, wanted });
            }
            Ok(Values { shape: view.shape.to_vec(), numbers: view.to_f32()? })
        };
        let mut values = BTreeMap::new();
        for (path, Values { shape, .. }) in parameters::read(&thinker, true)? {
            let found = read("value", &path, Some(&shape))?;
            if let Some(&steps) = self.steps.get(&path) {
                let length = [found.numbers.len()];
                let flat = |kind| {
                    let Values { numbers, .. } = read(kind, &path, Some(&length))?;
                    Ok::<_, WeightsError>(Tensor::from_data(TensorData::new(numbers, length), device))
                };
                let moments = Moments { steps, first: flat("first")?, second: flat("second")? };
                optimizer.moments.insert(path.clone(), moments);
            }
            values.insert(path, found);
        }
        Ok(parameters::put(thinker, values))
    }
}

/// The folders of whole states, oldest first.
fn states(folder: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let failed = |source: io::Error| TrainError::Read { path: folder.to_owned(), source };
    let mut states = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            states.push(entry.path());
        }
    }
    states.sort();
    Ok(states)
}
