//! Parameters by their path: drawn, followed, cast, read and put back.

use std::collections::BTreeMap;

use burn::{
    Tensor,
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    tensor::{DType, TensorData},
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{error::ModelError, thinker::Thinker};

/// The numbers of a tensor, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Values {
    pub(super) shape: Vec<usize>,
    pub(super) numbers: Vec<f32>,
}

/// Reads a tensor's numbers back.
pub(super) fn values<const D: usize>(tensor: Tensor<D>) -> Result<Values, ModelError> {
    let shape = tensor.dims().to_vec();
    let data = tensor.inner().into_data().convert::<f32>();
    let numbers = data.try_into_vec::<f32>();
    let numbers =
        numbers.map_err(|error| ModelError::input(format!("a tensor cannot be read: {error:?}")))?;
    Ok(Values { shape, numbers })
}

/// The parameters that are trained, or all of them.
pub(super) fn read(thinker: &Thinker, trained_only: bool) -> Result<BTreeMap<String, Values>, ModelError> {
    let mut reader = Read { trained_only, path: Vec::new(), found: BTreeMap::new(), failed: None };
    thinker.visit(&mut reader);
    reader.failed.map_or(Ok(reader.found), Err)
}

struct Read {
    trained_only: bool,
    path: Vec<String>,
    found: BTreeMap<String, Values>,
    failed: Option<ModelError>,
}

impl ModuleVisitor for Read {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.failed.is_some() || (self.trained_only && !param.is_require_grad()) {
            return;
        }
        match values(param.val()) {
            Ok(values) => {
                self.found.insert(self.path.join("."), values);
            }
            Err(error) => self.failed = Some(error),
        }
    }
}

/// What is done to each parameter.
enum Change {
    /// Its gradient is wanted.
    Follow,
    /// It becomes another kind of number.
    Cast(DType),
    /// It takes these values, where there are any.
    Put(BTreeMap<String, Values>),
    /// It is drawn: matrices from a normal distribution ([`spread`]), biases 0, norms 1.
    Draw {
        seed: u64,
        /// Parameters that were drawn.
        drawn: u64,
    },
}

/// A model whose parameters are followed, all of them.
pub(super) fn follow(thinker: Thinker) -> Thinker {
    thinker.map(&mut Changer::new(Change::Follow))
}

/// A model whose parameters are of that kind of number.
pub(super) fn cast(thinker: Thinker, numbers: DType) -> Thinker {
    thinker.map(&mut Changer::new(Change::Cast(numbers)))
}

/// A model with these values at these paths, followed as before.
pub(super) fn put(thinker: Thinker, values: BTreeMap<String, Values>) -> Thinker {
    thinker.map(&mut Changer::new(Change::Put(values)))
}

/// A model that knows nothing. The same seed draws the same, whatever else this process draws.
pub(super) fn draw(thinker: Thinker, seed: u64) -> Thinker {
    thinker.map(&mut Changer::new(Change::Draw { seed, drawn: 0 }))
}

struct Changer {
    change: Change,
    path: Vec<String>,
}

impl Changer {
    fn new(change: Change) -> Self {
        Self { change, path: Vec::new() }
    }
}

impl ModuleMapper for Changer {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match &mut self.change {
            Change::Follow => {
                let value = Tensor::from_inner(param.val().inner()).require_grad();
                Param::initialized(param.id, value)
            }
            Change::Cast(numbers) => param.map(|tensor| tensor.cast(*numbers)),
            Change::Put(values) => {
                let Some(Values { shape, numbers }) = values.remove(&self.path.join(".")) else {
                    return param;
                };
                let followed = param.is_require_grad();
                let device = param.lazy_device().inner();
                let value = Tensor::<D>::from_data(TensorData::new(numbers, shape), &device);
                let value = if followed { Tensor::from_inner(value).require_grad() } else { value };
                Param::initialized(param.id, value)
            }
            Change::Draw { seed, drawn } => {
                let mut chance = ChaCha8Rng::seed_from_u64(*seed);
                chance.set_stream(*drawn);
                *drawn += 1;
                let shape = param.lazy_shape().dims::<D>();
                let is_bias = self.path.last().is_some_and(|name| name == "bias");
                let count = shape.iter().product();
                let numbers: Vec<f32> = match (is_bias, D) {
                    (true, _) => vec![0.0; count],
                    (false, 1) => vec![1.0; count],
                    _ => {
                        let spread = spread(shape[1..].iter().product());
                        (0..count).map(|_| spread * normal(&mut chance)).collect()
                    }
                };
                let value = Tensor::from_data(TensorData::new(numbers, shape), &param.lazy_device());
                Param::initialized(param.id, value)
            }
        }
    }
}

/// Spread of the weights of a layer with so many inputs. Each output is then about as large as the inputs are (LeCun et
/// al., Efficient BackProp, 1998). At the published width, 3584, that is near the published `initializer_range` of 0.02,
/// which in a layer of a hundred inputs makes products of queries and keys, and of gates and values, so small that a model
/// stands still for thousands of examples before it compares a question with what it sees.
fn spread(inputs: usize) -> f32 {
    (inputs.max(1) as f32).sqrt().recip()
}

/// A number of the standard normal distribution (Box and Muller).
fn normal(chance: &mut ChaCha8Rng) -> f32 {
    let radius = (-2.0 * (1.0 - chance.random::<f64>()).ln()).sqrt();
    (radius * (std::f64::consts::TAU * chance.random::<f64>()).cos()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{device::device, layers::LinearConfig};

    #[test]
    fn weights_are_spread_by_the_number_of_their_inputs_and_biases_are_zero() {
        for inputs in [96, 384] {
            let layer = LinearConfig::new(inputs, 300).init(&device("cpu").unwrap());
            let layer = layer.map(&mut Changer::new(Change::Draw { seed: 5, drawn: 0 }));
            let Values { shape, numbers } = values(layer.weight.val()).unwrap();
            assert_eq!(shape, [300, inputs]);
            let square = numbers.iter().map(|number| number * number).sum::<f32>() / numbers.len() as f32;
            assert!((square * inputs as f32 - 1.0).abs() < 0.05, "{inputs}: {square}");
            assert!(values(layer.bias.unwrap().val()).unwrap().numbers.iter().all(|number| *number == 0.0));
        }
    }
}
