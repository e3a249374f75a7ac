//! Keys and values that were computed before.

use burn::{
    Tensor,
    tensor::{Device, TensorData},
};

use crate::kernels::Sight;

/// Keys and values of all layers for a batch of sequences, and, shared by all of them, those of what they begin with.
///
/// What is shared is kept once: attention to it is computed for the whole batch as one sequence, and joined with
/// attention to a sequence's own tokens by their sums of exponentials.
#[derive(Debug, Clone)]
pub struct Cache {
    layers: Vec<LayerCache>,
    /// Tokens that all sequences share.
    shared: usize,
    /// Tokens of a sequence's own that are kept, padding included.
    kept: usize,
    /// Of each sequence, how many of its first own tokens are none: `first padding..end of padding`.
    padding: Vec<(usize, usize)>,
}

/// Keys and values, `[batch, key heads, tokens, head width]`.
#[derive(Debug, Clone)]
pub(crate) struct KeyValues {
    pub(crate) key: Tensor<4>,
    pub(crate) value: Tensor<4>,
}

/// One layer's.
#[derive(Debug, Clone, Default)]
pub(crate) struct LayerCache {
    /// Of batch 1.
    pub(crate) shared: Option<KeyValues>,
    pub(crate) own: Option<KeyValues>,
}

impl Cache {
    /// An empty cache.
    pub fn new(layers: usize) -> Self {
        Self { layers: vec![LayerCache::default(); layers], shared: 0, kept: 0, padding: Vec::new() }
    }

    /// Caches of sequences that begin with the one sequence this holds: at no cost where it shared nothing before,
    /// by one copy where it did.
    ///
    /// Gives itself back if it holds more than one sequence.
    #[must_use]
    pub fn share(self) -> Self {
        if self.layers.iter().any(|layer| layer.batch() > 1) {
            return self;
        }
        let layers = self.layers.into_iter().map(|layer| LayerCache { shared: layer.joined(), own: None });
        Self { layers: layers.collect(), shared: self.shared + self.kept, kept: 0, padding: Vec::new() }
    }

    /// Tokens that a new one sees.
    pub fn len(&self) -> usize {
        self.shared + self.kept
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn shared(&self) -> usize {
        self.shared
    }

    pub(crate) fn kept(&self) -> usize {
        self.kept
    }

    pub(crate) fn layer(&mut self, index: usize) -> &mut LayerCache {
        &mut self.layers[index]
    }

    /// Says that a pass over that many tokens has been kept, of which each sequence's first are its own.
    pub(crate) fn advance(&mut self, tokens: usize, lengths: &[usize]) {
        if self.padding.is_empty() {
            self.padding = lengths.iter().map(|&length| (self.kept + length, self.kept + tokens)).collect();
        }
        self.kept += tokens;
    }

    /// What the next tokens see of their sequences' own.
    pub(crate) fn sight(&self, tokens: usize, device: &Device) -> Sight {
        let padded = self.padding.iter().any(|(first, end)| first < end);
        match (tokens, self.kept, padded) {
            (_, 0, _) if tokens != 1 => Sight::Causal,
            (1, _, false) => Sight::All,
            _ => Sight::Mask(self.mask(tokens, device)),
        }
    }

    /// Hides padding and the future: `[batch or 1, 1, tokens, own tokens]`.
    fn mask(&self, tokens: usize, device: &Device) -> Tensor<4> {
        let length = self.kept + tokens;
        let none = [(0, 0)];
        let padding = if self.padding.is_empty() { none.as_slice() } else { self.padding.as_slice() };
        let mut mask = vec![0.0_f32; padding.len() * tokens * length];
        for (index, row) in mask.chunks_mut(length).enumerate() {
            let (first, end) = padding[index / tokens];
            row[first..end].fill(f32::NEG_INFINITY);
            row[self.kept + index % tokens + 1..].fill(f32::NEG_INFINITY);
        }
        let mask = Tensor::<1>::from_data(TensorData::from(mask.as_slice()), device);
        mask.reshape([padding.len(), 1, tokens, length])
    }
}

impl LayerCache {
    fn batch(&self) -> usize {
        self.own.as_ref().map_or(0, |own| own.key.dims()[0])
    }

    /// Of one sequence, all there is.
    fn joined(self) -> Option<KeyValues> {
        match (self.shared, self.own) {
            (Some(shared), Some(own)) => Some(KeyValues {
                key: Tensor::cat(vec![shared.key, own.key], 2),
                value: Tensor::cat(vec![shared.value, own.value], 2),
            }),
            (shared, own) => shared.or(own),
        }
    }

    /// Keeps more, and gives all that is kept of the sequences' own.
    pub(crate) fn append(&mut self, new: KeyValues) -> KeyValues {
        let own = match self.own.take() {
            None => new,
            Some(own) => KeyValues {
                key: Tensor::cat(vec![own.key, new.key], 2),
                value: Tensor::cat(vec![own.value, new.value], 2),
            },
        };
        self.own = Some(own.clone());
        own
    }
}
