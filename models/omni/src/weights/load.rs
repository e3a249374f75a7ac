//! From a checkpoint's tensors to a model's parameters.
//!
//! A parameter's path in the model is its tensor's name in [`super::names`], but for the text model, which is `text`
//! here and `model` there, and the merger's two layers, which are numbered there.

use std::{
    sync::mpsc::{Receiver, sync_channel},
    thread,
};

use burn::{
    Tensor,
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    tensor::{Bytes, DType, TensorData},
};
use safetensors::Dtype;

use super::{Checkpoint, WeightsError, shard::View};
use crate::thinker::Thinker;

/// Threads that read at most: each holds a tensor, and memory is soon busier than they are.
const READERS: usize = 4;

/// A tensor in single precision, or why there is none.
type Read = Result<Vec<f32>, WeightsError>;

/// A model with the tensors of a checkpoint, each of them there, in its shape and finite.
///
/// Threads read, convert and check ahead of the one that fills the model.
pub(crate) fn load(model: Thinker, checkpoint: &Checkpoint) -> Result<Thinker, WeightsError> {
    let mut wanted = Wanted::default();
    model.visit(&mut wanted);
    let wanted = wanted.tensors;
    let readers = thread::available_parallelism().map_or(1, usize::from).min(READERS);
    thread::scope(|scope| {
        // Each reads every so-manieth tensor and hands it over itself, so they come in their order.
        let queues = (0..readers).map(|first| {
            let (sender, queue) = sync_channel(0);
            let mine = wanted.iter().skip(first).step_by(readers);
            scope.spawn(move || {
                for (name, shape) in mine {
                    // Nobody waits for the rest where one of them failed.
                    if sender.send(checkpoint.finite(name, shape)).is_err() {
                        return;
                    }
                }
            });
            queue
        });
        let mut loader = Loader { queues: queues.collect(), taken: 0, failed: None };
        let model = model.map(&mut loader);
        loader.failed.take().map_or(Ok(model), Err)
    })
}

/// Name and shape of every parameter, in their order.
#[derive(Default)]
struct Wanted {
    path: Vec<String>,
    tensors: Vec<(String, Vec<usize>)>,
}

impl ModuleVisitor for Wanted {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.tensors.push((name(&self.path), param.lazy_shape().dims::<D>().to_vec()));
    }
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
struct Loader {
    queues: Vec<Receiver<Read>>,
    taken: usize,
    failed: Option<WeightsError>,
}

impl ModuleMapper for Loader {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let queue = self.queues.get(self.taken % self.queues.len().max(1));
        // A reader that gave up has said why.
        let Some(read) = queue.and_then(|queue| queue.recv().ok()) else { return param };
        self.taken += 1;
        match read {
            Ok(values) => {
                let (id, shape) = (param.id, param.lazy_shape());
                let tensor = Tensor::from_data(TensorData::new(values, shape), &param.lazy_device());
                param.transform_for_load(tensor, id)
            }
            Err(error) => {
                self.failed = Some(error);
                self.queues.clear();
                param
            }
        }
    }
}
