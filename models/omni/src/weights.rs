//! A checkpoint's tensors, and a model made of them.
//!
//! A parameter's path in the model is its tensor's name: `text.layers.0.self_attn.q_proj.weight` is
//! `model.layers.0.self_attn.q_proj.weight` in the public checkpoint, where `thinker.` stands before it, and
//! `model.language_model.layers.0.self_attn.q_proj.weight` in what newer versions of transformers write. The towers
//! are `visual.*` and `audio_tower.*`, with or without `model.` or `thinker.`; the output layer is `lm_head`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use burn::{
    Tensor,
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    tensor::{Bytes, DType, Device, TensorData},
};
use safetensors::{Dtype, SafeTensors};

use crate::{error::ModelError, thinker::Thinker};

/// The tensors of a folder.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Checkpoint {
    /// Opens `model.safetensors` of a folder.
    ///
    /// # Errors
    /// The file cannot be read, or is no safetensors file.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        Self::open_file(&folder.join("model.safetensors"))
    }

    /// Opens one safetensors file.
    ///
    /// # Errors
    /// The file cannot be read, or is no safetensors file.
    pub fn open_file(path: &Path) -> Result<Self, ModelError> {
        let path = path.to_owned();
        let bytes = fs::read(&path).map_err(|source| ModelError::Read { path: path.clone(), source })?;
        let checkpoint = Self { path, bytes };
        checkpoint.parsed()?;
        Ok(checkpoint)
    }

    fn parsed(&self) -> Result<SafeTensors<'_>, ModelError> {
        SafeTensors::deserialize(&self.bytes)
            .map_err(|error| ModelError::Tensors { path: self.path.clone(), what: error.to_string() })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of all tensors.
    ///
    /// # Errors
    /// The file is no safetensors file.
    pub fn names(&self) -> Result<Vec<String>, ModelError> {
        Ok(self.parsed()?.names().into_iter().map(str::to_owned).collect())
    }

    /// A tensor's values and shape; `None` if there is no such tensor.
    ///
    /// # Errors
    /// The tensor holds numbers of a kind that models do not have.
    pub fn data(&self, name: &str) -> Result<Option<TensorData>, ModelError> {
        let parsed = self.parsed()?;
        let Ok(view) = parsed.tensor(name) else { return Ok(None) };
        let kind = match view.dtype() {
            Dtype::F32 => DType::F32,
            Dtype::F64 => DType::F64,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            Dtype::I64 => DType::I64,
            other => {
                return Err(ModelError::TensorKind {
                    name: name.to_owned(),
                    path: self.path.clone(),
                    found: format!("{other:?}"),
                    wanted: "F32, F64, F16, BF16 or I64",
                });
            }
        };
        let bytes = Bytes::from_bytes_vec(view.data().to_vec());
        Ok(Some(TensorData::from_bytes(bytes, view.shape().to_vec(), kind)))
    }

    /// A tensor of a shape, as the first of these names that there is.
    ///
    /// # Errors
    /// There is no such tensor, or it has another shape.
    pub fn tensor<const D: usize>(
        &self,
        names: &[String],
        shape: [usize; D],
        device: &Device,
    ) -> Result<Tensor<D>, ModelError> {
        for name in names {
            let Some(data) = self.data(name)? else { continue };
            if data.shape().as_slice() != shape {
                return Err(ModelError::TensorShape {
                    name: name.clone(),
                    path: self.path.clone(),
                    found: data.shape().to_vec(),
                    wanted: shape.to_vec(),
                });
            }
            return Ok(Tensor::from_data(data.convert::<f32>(), device));
        }
        let name = names.first().cloned().unwrap_or_default();
        Err(ModelError::TensorMissing { name, path: self.path.clone() })
    }
}

/// Names under which checkpoints have the parameter of that path, the public one's first.
fn names(path: &str) -> Vec<String> {
    let path = path.replace("mlp.first.", "mlp.0.").replace("mlp.second.", "mlp.2.");
    if let Some(text) = path.strip_prefix("text.") {
        return vec![
            format!("thinker.model.{text}"),
            format!("model.language_model.{text}"),
            format!("model.{text}"),
        ];
    }
    vec![format!("thinker.{path}"), format!("model.{path}"), path]
}

/// Puts a checkpoint's tensors in the places of a model's parameters.
struct Loader<'a> {
    checkpoint: &'a Checkpoint,
    path: Vec<String>,
    failed: Option<ModelError>,
}

impl ModuleMapper for Loader<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.failed.is_some() {
            return param;
        }
        let shape = param.lazy_shape().dims::<D>();
        let device = param.lazy_device();
        match self.checkpoint.tensor(&names(&self.path.join(".")), shape, &device) {
            Ok(tensor) => {
                let id = param.id;
                param.transform_for_load(tensor, id)
            }
            Err(error) => {
                self.failed = Some(error);
                param
            }
        }
    }
}

/// A model with the tensors of a checkpoint.
pub(crate) fn load(model: Thinker, checkpoint: &Checkpoint) -> Result<Thinker, ModelError> {
    let mut loader = Loader { checkpoint, path: Vec::new(), failed: None };
    let model = model.map(&mut loader);
    loader.failed.map_or(Ok(model), Err)
}

/// Numbers that a model consists of, by part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ParameterCounts {
    /// The text model with its output layer.
    pub text: u64,
    /// The vision tower.
    pub vision: u64,
    /// The audio tower.
    pub audio: u64,
}

impl ParameterCounts {
    /// Of a model whose weights need not be there.
    pub fn of(model: &Thinker) -> Self {
        let mut counter = Counter::default();
        model.text.visit(&mut counter);
        if let Some(head) = &model.lm_head {
            head.visit(&mut counter);
        }
        let text = counter.taken();
        model.visual.visit(&mut counter);
        let vision = counter.taken();
        model.audio_tower.visit(&mut counter);
        Self { text, vision, audio: counter.taken() }
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.text + self.vision + self.audio
    }
}

#[derive(Default)]
struct Counter(u64);

impl Counter {
    fn taken(&mut self) -> u64 {
        std::mem::take(&mut self.0)
    }
}

impl ModuleVisitor for Counter {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0 += param.lazy_shape().dims::<D>().iter().map(|&size| size as u64).product::<u64>();
    }
}
