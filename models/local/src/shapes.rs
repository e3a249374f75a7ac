//! What a clip's streams look like to the text model.

use counterpoint_models::Frames;
use counterpoint_omni::{
    Grid, MediaShapes,
    inputs::{layout::Media, patches},
};

/// Sizes of a clip's streams, at least one of which is there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Shapes {
    grid: Option<Grid>,
    seconds_per_grid: f64,
    frames: Option<usize>,
}

impl Shapes {
    /// Those of a clip with these frames, of which this grid was made, and so many frames of log-mel.
    pub(crate) fn new(pictures: Option<(&Frames, Grid)>, frames: Option<usize>) -> Self {
        let seconds_per_grid = pictures.map_or(1.0, |(pictures, _)| patches::FRAMES as f64 / pictures.fps());
        Self { grid: pictures.map(|(_, grid)| grid), seconds_per_grid, frames }
    }

    /// As prompts are laid out.
    pub(crate) fn media(&self) -> Media {
        let seconds_per_grid = self.seconds_per_grid;
        let grid = self.grid.map(|grid| [grid.frames, grid.rows, grid.columns]);
        match (grid, self.frames) {
            (Some(grid), Some(frames)) => Media::VideoWithAudio { grid, seconds_per_grid, frames },
            (Some(grid), None) => Media::Video { grid, seconds_per_grid },
            (None, frames) => Media::Audio { frames: frames.unwrap_or(0) },
        }
    }

    /// As positions are counted.
    pub(crate) fn positions(&self) -> MediaShapes {
        MediaShapes {
            images: Vec::new(),
            videos: self.grid.into_iter().collect(),
            seconds_per_grid: vec![self.seconds_per_grid as f32; usize::from(self.grid.is_some())],
            audio_frames: self.frames.into_iter().collect(),
            audio_in_video: self.grid.is_some() && self.frames.is_some(),
        }
    }
}
