//! Flattened patches of RGB frames, as `Qwen2VLVideoProcessor` makes them
//! (`transformers/models/qwen2_vl/video_processing_qwen2_vl.py`): values scaled to 0..1 and normalised with CLIP's
//! mean and deviation, two frames a patch (the last one repeated if their number is odd), patches ordered so that the
//! four that are merged later stand together.

use thiserror::Error;

/// Rows and columns of a patch, in pixels.
pub const PATCH: usize = 14;
/// Frames of a patch.
pub const FRAMES: usize = 2;
/// Patches merged into one token, in each direction.
pub const MERGE: usize = 2;
/// Sides of a frame are multiples of this.
pub const FACTOR: usize = PATCH * MERGE;
/// Red, green and blue.
const CHANNELS: usize = 3;
/// Numbers of one patch: channel, frame, row, column.
pub const PATCH_VALUES: usize = CHANNELS * FRAMES * PATCH * PATCH;

/// OpenAI CLIP's mean and deviation of red, green and blue, of values from 0 to 1.
const MEAN: [f32; CHANNELS] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const DEVIATION: [f32; CHANNELS] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

/// Frames that cannot become patches.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PatchError {
    /// The bytes are not those of so many frames of that size.
    #[error("{bytes} bytes are not {count} RGB frames of {width}x{height}")]
    Length {
        /// Bytes there are.
        bytes: usize,
        /// Frames said to be there.
        count: usize,
        /// Their height in pixels.
        height: usize,
        /// Their width in pixels.
        width: usize,
    },
    /// No frame, or frames without a pixel.
    #[error("{count} frames of {width}x{height} hold no pixel: sample the clip again")]
    Empty {
        /// Frames.
        count: usize,
        /// Height in pixels.
        height: usize,
        /// Width in pixels.
        width: usize,
    },
    /// A side is no multiple of 28.
    #[error(
        "frames of {width}x{height} do not divide into patches: scale them to multiples of {FACTOR}, \
         here {}x{}", .fitting.1, .fitting.0
    )]
    Size {
        /// Height in pixels.
        height: usize,
        /// Width in pixels.
        width: usize,
        /// Height and width to scale to.
        fitting: (usize, usize),
    },
    /// One side is more than 200 times the other.
    #[error(
        "frames of {width}x{height} are too long and narrow: one side may be 200 times the other at most"
    )]
    Narrow {
        /// Height in pixels.
        height: usize,
        /// Width in pixels.
        width: usize,
    },
}

/// RGB frames of one clip, bytes `[count, height, width, 3]`.
#[derive(Clone, Copy)]
pub struct Frames<'a> {
    rgb: &'a [u8],
    count: usize,
    height: usize,
    width: usize,
}

impl<'a> Frames<'a> {
    /// Frames of `height` times `width` pixels, both multiples of 28.
    pub fn new(rgb: &'a [u8], count: usize, height: usize, width: usize) -> Result<Self, PatchError> {
        if count == 0 || height == 0 || width == 0 {
            return Err(PatchError::Empty { count, height, width });
        }
        let bytes = [height, width, CHANNELS].iter().try_fold(count, |bytes, &side| bytes.checked_mul(side));
        if bytes != Some(rgb.len()) {
            return Err(PatchError::Length { bytes: rgb.len(), count, height, width });
        }
        if !height.is_multiple_of(FACTOR) || !width.is_multiple_of(FACTOR) {
            let fitting = smart_resize(height, width, PixelLimits::default())?;
            return Err(PatchError::Size { height, width, fitting });
        }
        Ok(Self { rgb, count, height, width })
    }

    /// Patches over time, height and width: the reference's `video_grid_thw`.
    pub fn grid(&self) -> [usize; 3] {
        [self.count.div_ceil(FRAMES), self.height / PATCH, self.width / PATCH]
    }
}

/// Patches of one clip.
#[derive(Clone, Debug, PartialEq)]
pub struct Patches {
    /// `[t * h * w, 1176]`, the reference's `pixel_values_videos`.
    pub values: Vec<f32>,
    /// Patches over time, height and width.
    pub grid: [usize; 3],
}

/// Patches of these frames.
pub fn patches(frames: Frames<'_>) -> Patches {
    let tables = tables();
    let grid = frames.grid();
    let [steps, rows, columns] = grid;
    let mut values = vec![0.0; steps * rows * columns * PATCH_VALUES];
    let row_bytes = frames.width * CHANNELS;
    let frame_bytes = frames.height * row_bytes;
    let mut places = order(grid);
    for patch in values.chunks_exact_mut(PATCH_VALUES) {
        let Some((step, row, column)) = places.next() else { break };
        for frame in 0..FRAMES {
            let source = (step * FRAMES + frame).min(frames.count - 1);
            let corner = source * frame_bytes + row * PATCH * row_bytes + column * PATCH * CHANNELS;
            for line in 0..PATCH {
                let start = corner + line * row_bytes;
                let pixels = &frames.rgb[start..start + PATCH * CHANNELS];
                for (channel, table) in tables.iter().enumerate() {
                    let to = ((channel * FRAMES + frame) * PATCH + line) * PATCH;
                    let out = &mut patch[to..to + PATCH];
                    for (out, pixel) in out.iter_mut().zip(pixels.chunks_exact(CHANNELS)) {
                        *out = table[usize::from(pixel[channel])];
                    }
                }
            }
        }
    }
    Patches { values, grid }
}

/// Time, row and column of every patch, in the order of the reference: the four of a token together.
fn order([steps, rows, columns]: [usize; 3]) -> impl Iterator<Item = (usize, usize, usize)> {
    let tokens = move |step| {
        (0..rows / MERGE).flat_map(move |row| (0..columns / MERGE).map(move |column| (step, row, column)))
    };
    let parts = |(step, row, column): (usize, usize, usize)| {
        (0..MERGE).flat_map(move |y| (0..MERGE).map(move |x| (step, row * MERGE + y, column * MERGE + x)))
    };
    (0..steps).flat_map(tokens).flat_map(parts)
}

/// What each byte becomes, by channel: scaling and normalising fused, rounded where the reference rounds.
fn tables() -> [[f32; 256]; CHANNELS] {
    let mut tables = [[0.0; 256]; CHANNELS];
    for ((table, mean), deviation) in tables.iter_mut().zip(MEAN).zip(DEVIATION) {
        for (value, byte) in table.iter_mut().zip(0_u8..=255) {
            *value = (f32::from(byte) - mean * 255.0) / (deviation * 255.0);
        }
    }
    tables
}

/// Pixels that a frame may have after resizing (`size` of the video processor).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PixelLimits {
    /// Fewer are scaled up.
    pub least: usize,
    /// More are scaled down.
    pub most: usize,
}

impl Default for PixelLimits {
    /// Those of Qwen2.5-Omni: 128 to 768 tokens a frame.
    fn default() -> Self {
        Self { least: 128 * FACTOR * FACTOR, most: 768 * FACTOR * FACTOR }
    }
}

/// Height and width that the reference scales a frame to (`smart_resize` in
/// `transformers/models/qwen2_vl/image_processing_qwen2_vl.py`): multiples of 28, between the limits, with nearly the
/// same aspect ratio.
pub fn smart_resize(height: usize, width: usize, limits: PixelLimits) -> Result<(usize, usize), PatchError> {
    if height == 0 || width == 0 {
        return Err(PatchError::Empty { count: 1, height, width });
    }
    let (tall, wide, factor) = (height as f64, width as f64, FACTOR as f64);
    if tall.max(wide) / tall.min(wide) > 200.0 {
        return Err(PatchError::Narrow { height, width });
    }
    // Ties to even, as Python rounds.
    let round = |side: f64| (side / factor).round_ties_even() * factor;
    let (least, most) = (limits.least as f64, limits.most as f64);
    let pixels = round(tall) * round(wide);
    let (tall, wide) = if pixels > most {
        let shrink = (tall * wide / most).sqrt();
        let fit = |side: f64| ((side / shrink / factor).floor() * factor).max(factor);
        (fit(tall), fit(wide))
    } else if pixels < least {
        let grow = (least / (tall * wide)).sqrt();
        let fit = |side: f64| (side * grow / factor).ceil() * factor;
        (fit(tall), fit(wide))
    } else {
        (round(tall), round(wide))
    };
    Ok((tall as usize, wide as usize))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_patch_holds_the_pixels_of_its_place() {
        let (count, height, width) = (3, 56, 84);
        let rgb: Vec<u8> = (0..count * height * width * 3).map(|i| (i * 7 % 251) as u8).collect();
        let patches = patches(Frames::new(&rgb, count, height, width).unwrap());
        assert_eq!(patches.grid, [2, 4, 6]);
        // Element by element from the definition: permute(0, 1, 4, 7, 5, 8, 3, 2, 6, 9) of the reference.
        let mut at = 0;
        for t in 0..2 {
            for block_y in 0..2 {
                for block_x in 0..3 {
                    for (y, x) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                        for channel in 0..3 {
                            for frame in 0..2 {
                                for (py, px) in (0..14).flat_map(|py| (0..14).map(move |px| (py, px))) {
                                    let source = (t * 2 + frame).min(count - 1);
                                    let row = (block_y * 2 + y) * 14 + py;
                                    let column = (block_x * 2 + x) * 14 + px;
                                    let byte = rgb[((source * height + row) * width + column) * 3 + channel];
                                    let plain =
                                        (f32::from(byte) / 255.0 - MEAN[channel]) / DEVIATION[channel];
                                    assert!((patches.values[at] - plain).abs() < 1e-5, "element {at}");
                                    at += 1;
                                }
                            }
                        }
                    }
                }
            }
        }
        assert_eq!(at, patches.values.len());
    }

    #[test]
    fn frames_that_do_not_fit_are_refused_with_the_size_that_does() {
        let sized = |count, height, width| {
            Frames::new(&vec![0; count * height * width * 3], count, height, width).err()
        };
        assert_eq!(sized(1, 504, 504), None);
        let error = sized(2, 360, 640).unwrap();
        assert_eq!(error, PatchError::Size { height: 360, width: 640, fitting: (364, 644) });
        assert!(error.to_string().contains("here 644x364"), "{error}");
        assert_eq!(sized(0, 504, 504), Some(PatchError::Empty { count: 0, height: 504, width: 504 }));
        let wrong = Frames::new(&[0; 10], usize::MAX, usize::MAX, 28).err();
        assert!(matches!(wrong, Some(PatchError::Length { bytes: 10, .. })), "{wrong:?}");
    }

    #[test]
    fn sizes_are_those_of_the_reference() {
        // Printed by smart_resize of transformers 5.23 with these limits.
        let limits = PixelLimits::default();
        for (given, wanted) in [
            ((504, 504), (504, 504)),
            ((360, 640), (364, 644)),
            ((1080, 1920), (560, 1008)),
            ((100, 100), (336, 336)),
            ((42, 70), (252, 420)),
            ((14, 2800), (28, 4480)),
        ] {
            assert_eq!(smart_resize(given.0, given.1, limits), Ok(wanted), "{given:?}");
        }
        assert_eq!(smart_resize(1, 201, limits), Err(PatchError::Narrow { height: 1, width: 201 }));
    }

    proptest! {
        #[test]
        fn a_resized_frame_always_fits(height in 1_usize..5000, width in 1_usize..5000) {
            if let Ok((tall, wide)) = smart_resize(height, width, PixelLimits::default()) {
                prop_assert!(tall % FACTOR == 0 && wide % FACTOR == 0 && tall > 0 && wide > 0);
            }
        }
    }
}
