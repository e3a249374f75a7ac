//! From a checkpoint's tensors to a model's parameters.
//!
//! A parameter's path in the model is its tensor's name in [`super::names`], but for the text model, which is `text`
//! here and `model` there, and the merger's two layers, which are numbered there.

use burn::{
    Tensor,
    module::{Module, ModuleMapper, Param},
    tensor::{Bytes, DType, TensorData},
};
use safetensors::Dtype;

use super::{Checkpoint, WeightsError, shard::View};
use crate::thinker::Thinker;

/// A model with the tensors of a checkpoint, each of them there, in its shape and finite.
pub(crate) fn load(model: Thinker, checkpoint: &Checkpoint) -> Result<Thinker, WeightsError> {
    let mut loader = Loader { checkpoint, path: Vec::new(), failed: None };
    let model = model.map(&mut loader);
    loader.failed.map_or(Ok(model), Err)
}

/// The name of the parameter with that path.
pub(crate) fn name(path: &[String]) -> String {
    let path = path.join(".").replace("mlp.first.", "mlp.0.").replace("mlp.second.", "mlp.2.");
    match path.strip_prefix("text.") {
        Some(text) => format!("model.{text}"),
        None => path,
    }
}

impl View<'_> {
    /// Its numbers as a tensor takes them: F32, F64, BF16, F16 or I64.
    pub(crate) fn data(&self) -> Result<TensorData, WeightsError> {
        let kind = match self.dtype {
            Dtype::F32 => DType::F32,
            Dtype::F64 => DType::F64,
            Dtype::BF16 => DType::BF16,
            Dtype::F16 => DType::F16,
            Dtype::I64 => DType::I64,
            dtype => {
                let (tensor, file) = (self.name.to_owned(), self.file.to_owned());
                let wanted = "F32, F64, BF16, F16 and I64";
                return Err(WeightsError::Numbers { tensor, file, dtype, wanted });
            }
        };
        Ok(TensorData::from_bytes(Bytes::from_bytes_vec(self.bytes.to_vec()), self.shape.to_vec(), kind))
    }
}

/// Puts tensors in the places of parameters.
struct Loader<'a> {
    checkpoint: &'a Checkpoint,
    path: Vec<String>,
    failed: Option<WeightsError>,
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
        let data = self.checkpoint.finite(&name(&self.path), &shape).and_then(|view| view.data());
        match data {
            Ok(data) => {
                let id = param.id;
                let tensor = Tensor::from_data(data.convert::<f32>(), &param.lazy_device());
                param.transform_for_load(tensor, id)
            }
            Err(error) => {
                self.failed = Some(error);
                param
            }
        }
    }
}
