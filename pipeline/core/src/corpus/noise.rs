//! White noise for pixels and samples, of which a clip has many: a xorshift generator.

/// Uniform numbers from -1 to 1.
pub(super) struct Noise {
    state: u64,
}

impl Noise {
    /// Two seeds give noises that have nothing to do with each other.
    pub(super) fn new(seed: u64, index: u64) -> Self {
        // Neighbouring indices must not begin alike, and a state of zero would stay zero.
        let spread = (seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        Self { state: (spread ^ (spread >> 31)) | 1 }
    }

    fn step(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    /// The next number.
    pub(super) fn next(&mut self) -> f32 {
        (self.step() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// Three numbers at the cost of one, coarse but good enough for a pixel.
    pub(super) fn next_pixel(&mut self) -> [f32; 3] {
        let bits = self.step();
        [bits >> 52, (bits >> 36) & 0xfff, (bits >> 20) & 0xfff].map(|level| level as f32 / 2048.0 - 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_uniform_and_neighbouring_indices_have_nothing_in_common() {
        let numbers = |index| {
            let mut noise = Noise::new(5, index);
            (0..10_000).map(|_| noise.next()).collect::<Vec<f32>>()
        };
        let (one, other) = (numbers(1), numbers(2));
        let mean = |of: &[f32]| of.iter().sum::<f32>() / of.len() as f32;
        let power: Vec<f32> = one.iter().map(|x| x * x).collect();
        let product: Vec<f32> = one.iter().zip(&other).map(|(x, y)| x * y).collect();
        assert!(one.iter().all(|x| (-1.0..=1.0).contains(x)));
        assert!(
            mean(&one).abs() < 0.03 && (mean(&power) - 1.0 / 3.0).abs() < 0.02 && mean(&product).abs() < 0.02
        );
        let mut noise = Noise::new(5, 1);
        let pixels: Vec<f32> = (0..10_000).flat_map(|_| noise.next_pixel()).collect();
        assert!(pixels.iter().all(|x| (-1.0..=1.0).contains(x)) && mean(&pixels).abs() < 0.03);
    }
}
