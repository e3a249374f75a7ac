/// Side in pixels of the blocks over which luma is averaged before frames are compared: sensor noise and
/// coding noise vanish, motion stays.
const BLOCK: usize = 8;

/// Mean luma code below which a frame is black: limited-range black and 2 % of full scale.
const BLACK: f64 = 16.0 + 0.02 * 255.0;

/// Luma codes between black and white in limited range.
const FULL_SCALE: f64 = 219.0;

/// Bins of the luma histogram.
const BINS: usize = 32;

/// A cut changes at least this share of full scale on average ...
const CUT_CHANGE: f64 = 0.08;
/// ... moves at least this share of the blocks to another histogram bin ...
const CUT_HISTOGRAM: f64 = 0.35;
/// ... and changes this many times more than the frame before it did.
const CUT_JUMP: f64 = 3.0;

/// Blackness, motion and cuts of a picture, frame by frame, from its luma alone.
#[derive(Debug, Default)]
pub(crate) struct PictureStatistics {
    frames: u64,
    black: u64,
    changes: f64,
    cuts: u32,
    last: Option<Summary>,
    last_change: f64,
}

/// A frame's luma in blocks.
#[derive(Debug)]
struct Summary {
    blocks: Vec<f32>,
    histogram: [f64; BINS],
    mean: f64,
}

impl PictureStatistics {
    /// Counts a frame of `width` x `height` luma codes that is shown `times` times in a row.
    pub(crate) fn add(&mut self, luma: &[u8], stride: usize, width: usize, height: usize, times: u64) {
        if times == 0 {
            return;
        }
        let summary = Summary::of(luma, stride, width, height);
        self.frames += times;
        if summary.mean < BLACK {
            self.black += times;
        }
        if let Some(last) = &self.last {
            let change = summary.change_from(last);
            let jumped = change >= CUT_JUMP * self.last_change;
            if change >= CUT_CHANGE && jumped && summary.histogram_distance(last) >= CUT_HISTOGRAM {
                self.cuts = self.cuts.saturating_add(1);
            }
            self.changes += change;
            self.last_change = change;
        }
        self.last = Some(summary);
    }

    /// Share of black frames, 0 to 1.
    pub(crate) fn black_share(&self) -> f64 {
        self.black as f64 / self.frames.max(1) as f64
    }

    /// Mean absolute change of block luma between consecutive frames, 0 to 1 of full scale.
    pub(crate) fn motion(&self) -> f64 {
        self.changes / self.frames.saturating_sub(1).max(1) as f64
    }

    /// Hard cuts.
    pub(crate) fn cuts(&self) -> u32 {
        self.cuts
    }
}

impl Summary {
    fn of(luma: &[u8], stride: usize, width: usize, height: usize) -> Self {
        let mut blocks = Vec::with_capacity(width.div_ceil(BLOCK) * height.div_ceil(BLOCK));
        for top in (0..height).step_by(BLOCK) {
            let rows = top..(top + BLOCK).min(height);
            for left in (0..width).step_by(BLOCK) {
                let columns = left..(left + BLOCK).min(width);
                let count = (rows.len() * columns.len()) as f32;
                let sum: u32 = rows
                    .clone()
                    .filter_map(|row| luma.get(row * stride + columns.start..row * stride + columns.end))
                    .map(|pixels| pixels.iter().map(|pixel| u32::from(*pixel)).sum::<u32>())
                    .sum();
                blocks.push(sum as f32 / count);
            }
        }
        let share = 1.0 / blocks.len().max(1) as f64;
        let mut histogram = [0.0; BINS];
        for block in &blocks {
            histogram[(*block as usize * BINS / 256).min(BINS - 1)] += share;
        }
        let mean = blocks.iter().map(|block| f64::from(*block)).sum::<f64>() * share;
        Self { blocks, histogram, mean }
    }

    fn change_from(&self, last: &Self) -> f64 {
        let sum: f64 =
            self.blocks.iter().zip(&last.blocks).map(|(now, then)| f64::from((now - then).abs())).sum();
        sum / self.blocks.len().max(1) as f64 / FULL_SCALE
    }

    /// Half the L1 distance: 0 for the same histogram, 1 for disjoint ones.
    fn histogram_distance(&self, last: &Self) -> f64 {
        self.histogram.iter().zip(&last.histogram).map(|(now, then)| (now - then).abs()).sum::<f64>() / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient(shift: usize) -> Vec<u8> {
        (0..64 * 64).map(|index| ((index % 64 * 3 + shift) % 220 + 16) as u8).collect()
    }

    #[test]
    fn a_still_picture_has_no_motion_and_no_cut() {
        let mut statistics = PictureStatistics::default();
        (0..10).for_each(|_| statistics.add(&gradient(0), 64, 64, 64, 1));
        assert_eq!((statistics.motion(), statistics.cuts(), statistics.black_share()), (0.0, 0, 0.0));
    }

    #[test]
    fn noise_is_hardly_motion() {
        let mut statistics = PictureStatistics::default();
        let mut state = 1_u32;
        for _ in 0..20 {
            let noisy: Vec<u8> = gradient(0)
                .iter()
                .map(|pixel| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    pixel.saturating_add((state >> 30) as u8)
                })
                .collect();
            statistics.add(&noisy, 64, 64, 64, 1);
        }
        assert!(statistics.motion() < 0.002, "{}", statistics.motion());
    }

    #[test]
    fn a_jump_from_dark_to_bright_is_one_cut() {
        let mut statistics = PictureStatistics::default();
        (0..5).for_each(|_| statistics.add(&[30; 64 * 64], 64, 64, 64, 1));
        (0..5).for_each(|_| statistics.add(&[200; 64 * 64], 64, 64, 64, 1));
        assert_eq!(statistics.cuts(), 1);
    }

    #[test]
    fn a_steady_pan_is_motion_without_cuts() {
        let mut statistics = PictureStatistics::default();
        (0..20).for_each(|step| statistics.add(&gradient(step * 8), 64, 64, 64, 1));
        assert!(statistics.motion() > 0.02, "{}", statistics.motion());
        assert_eq!(statistics.cuts(), 0);
    }

    #[test]
    fn black_frames_are_counted_as_often_as_they_are_shown() {
        let mut statistics = PictureStatistics::default();
        statistics.add(&[16; 64 * 64], 64, 64, 64, 3);
        statistics.add(&[100; 64 * 64], 64, 64, 64, 1);
        assert_eq!(statistics.black_share(), 0.75);
    }
}
