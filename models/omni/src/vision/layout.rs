//! In which order patches are computed, and who sees whom. `get_vision_window_index` and `get_vision_position_ids`
//! of transformers' `vision_utils.py`.

use burn::{
    Tensor,
    tensor::{Device, TensorData},
};

use super::THETA;
use crate::{
    config::VisionConfig,
    error::ModelError,
    text::{Turns, frequencies},
};

/// Patches of an image or a video: frames (pairs of pictures), rows, columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Patches along time.
    pub frames: usize,
    /// Patches along the height.
    pub rows: usize,
    /// Patches along the width.
    pub columns: usize,
}

impl Grid {
    /// A grid of that size for a model.
    ///
    /// # Errors
    /// A side is no multiple of the merged patches, or the number of patches is absurd.
    pub fn new(
        frames: usize,
        rows: usize,
        columns: usize,
        config: &VisionConfig,
    ) -> Result<Self, ModelError> {
        let merge = config.spatial_merge_size;
        let count = frames.checked_mul(rows).and_then(|count| count.checked_mul(columns));
        let sides = rows.is_multiple_of(merge) && columns.is_multiple_of(merge);
        if count.is_none_or(|count| count == 0 || count > 1 << 24) || !sides {
            let what = format!(
                "a grid of {frames} x {rows} x {columns} patches is not possible: sides are multiples of {merge}, above 0"
            );
            return Err(ModelError::input(what));
        }
        Ok(Self { frames, rows, columns })
    }

    /// Number of patches.
    pub fn patches(&self) -> usize {
        self.frames * self.rows * self.columns
    }

    /// Number of embeddings, and so of tokens.
    pub fn tokens(&self, config: &VisionConfig) -> usize {
        self.patches() / config.merge_unit()
    }
}

/// Segments of one length that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// How many.
    pub(crate) count: usize,
    /// Tokens in each.
    pub(crate) length: usize,
}

/// The order of all grids' units (patches that are merged) and what they see.
#[derive(Debug)]
pub(super) struct Layout {
    /// Unit at each place when windows stand together.
    pub(super) windows: Vec<usize>,
    /// The way back: place of each unit.
    pub(super) back: Vec<usize>,
    /// Windows, in patches.
    pub(super) window_runs: Vec<Run>,
    /// Frames, in patches.
    pub(super) frame_runs: Vec<Run>,
    /// Row and column of each unit's first patch.
    corners: Vec<[usize; 2]>,
}

impl Layout {
    pub(super) fn new(config: &VisionConfig, grids: &[Grid]) -> Self {
        let merge = config.spatial_merge_size;
        let side = config.window_units();
        let mut corners = Vec::new();
        let mut frame_runs = Vec::new();
        let mut windows: Vec<Vec<usize>> = Vec::new();
        for grid in grids {
            let (rows, columns) = (grid.rows / merge, grid.columns / merge);
            push_run(&mut frame_runs, grid.frames, grid.rows * grid.columns);
            for _ in 0..grid.frames {
                let first = corners.len();
                corners.extend(
                    (0..rows).flat_map(|row| (0..columns).map(move |column| [row * merge, column * merge])),
                );
                for top in (0..rows).step_by(side) {
                    for left in (0..columns).step_by(side) {
                        let inside = (top..rows.min(top + side)).flat_map(|row| {
                            (left..columns.min(left + side)).map(move |column| first + row * columns + column)
                        });
                        windows.push(inside.collect());
                    }
                }
            }
        }
        windows.sort_by_key(Vec::len);
        let mut window_runs = Vec::new();
        for window in &windows {
            push_run(&mut window_runs, 1, window.len() * config.merge_unit());
        }
        let windows = windows.concat();
        let mut back = vec![0; windows.len()];
        for (place, &unit) in windows.iter().enumerate() {
            back[unit] = place;
        }
        Self { windows, back, window_runs, frame_runs, corners }
    }

    /// The units as they came.
    pub(super) fn natural(&self) -> Vec<usize> {
        (0..self.corners.len()).collect()
    }

    /// Angles of the patches of units in that order: half of them turn with rows, half with columns.
    ///
    /// # Shapes
    /// - output: `[1, patches, 1, head width / 2]`
    pub(super) fn turns(&self, config: &VisionConfig, order: &[usize], device: &Device) -> Turns {
        let merge = config.spatial_merge_size;
        let mut table = Vec::with_capacity(order.len() * config.merge_unit() * 2);
        for &unit in order {
            let [top, left] = self.corners[unit];
            for row in top..top + merge {
                table.extend((left..left + merge).flat_map(|column| [row as f32, column as f32]));
            }
        }
        let patches = table.len() / 2;
        let table =
            Tensor::<1>::from_data(TensorData::from(table.as_slice()), device).reshape([patches, 2, 1]);
        let half = config.head_dim() / 2;
        let angles = table * frequencies(THETA, half, device).reshape([1, 1, half / 2]);
        let angles = angles.reshape([1, patches, 1, half]);
        Turns { cos: angles.clone().cos(), sin: angles.sin() }
    }
}

fn push_run(runs: &mut Vec<Run>, count: usize, length: usize) {
    match runs.last_mut() {
        Some(run) if run.length == length => run.count += count,
        _ => runs.push(Run { count, length }),
    }
}
