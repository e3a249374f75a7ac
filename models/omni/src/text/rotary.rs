//! Multimodal rotary positions: some frequencies turn with time, some with height, some with width (Qwen2-VL,
//! arXiv 2409.12191, section 2.1).

use burn::{
    Tensor,
    tensor::{Device, Int, TensorData},
};

use crate::{config::TextConfig, positions::Positions};

/// The frequencies, and which axis turns each.
#[derive(Debug, Clone)]
pub struct Rotary {
    /// `[half]`.
    frequencies: Tensor<1>,
    /// Axis of each frequency.
    axes: Vec<usize>,
}

/// Angles of the tokens of one pass, the same for all layers.
#[derive(Debug, Clone)]
pub struct Turns {
    /// `[batch, tokens, 1, half]`.
    pub(crate) cos: Tensor<4>,
    /// `[batch, tokens, 1, half]`.
    pub(crate) sin: Tensor<4>,
}

impl Turns {
    /// The same in the kind of numbers of what they turn.
    pub(crate) fn in_numbers_of(self, states: &Tensor<3>) -> Self {
        let numbers = states.dtype();
        Self { cos: self.cos.cast(numbers), sin: self.sin.cast(numbers) }
    }
}

/// `base^(-2i/width)` for i in 0..width/2, rounded as the reference rounds.
pub(crate) fn frequencies(base: f64, width: usize, device: &Device) -> Tensor<1> {
    let device = device.clone().inner();
    let exponents = (0..width / 2).map(|index| (2 * index) as f32 / width as f32);
    let exponents =
        Tensor::<1>::from_data(TensorData::from(exponents.collect::<Vec<_>>().as_slice()), &device);
    Tensor::full([width / 2], base, &device).powf(exponents).recip()
}

impl Rotary {
    /// The frequencies of a model.
    pub fn new(config: &TextConfig, device: &Device) -> Self {
        let sections = config.rope_parameters.mrope_section.iter().enumerate();
        let axes = sections.flat_map(|(section, &count)| std::iter::repeat_n(section % 3, count)).collect();
        Self { frequencies: frequencies(config.theta(), config.head_dim(), device), axes }
    }

    /// Angles of sequences of one length.
    ///
    /// # Shapes
    /// - output: `[sequences, tokens, 1, half]`
    pub fn turns(&self, sequences: &[&Positions]) -> Turns {
        let device = self.frequencies.device();
        let tokens = sequences.iter().map(|positions| positions.len()).max().unwrap_or(0);
        let half = self.axes.len();
        let mut table = Vec::with_capacity(sequences.len() * tokens * 3);
        for positions in sequences {
            for token in 0..tokens {
                table.extend((0..3).map(|axis| positions.at(axis, token) as f32));
            }
        }
        let table = Tensor::<1>::from_data(TensorData::from(table.as_slice()), &device);
        let table = table.reshape([sequences.len(), tokens, 3]);
        let axes: Vec<i64> = self.axes.iter().map(|&axis| axis as i64).collect();
        let axes = Tensor::<1, Int>::from_data(TensorData::from(axes.as_slice()), &device);
        let angles = table.select(2, axes) * self.frequencies.clone().reshape([1, 1, half]);
        let angles = angles.reshape([sequences.len(), tokens, 1, half]);
        Turns { cos: angles.clone().cos(), sin: angles.sin() }
    }
}
