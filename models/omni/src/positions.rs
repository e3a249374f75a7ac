//! Positions in time, height and width of every token (TMRoPE of Qwen2.5-Omni, arXiv 2503.20215, section 2.2):
//! `get_rope_index` of transformers' `modeling_qwen2_5_omni.py`, as a pure function on integers.

use crate::{audio::audio_tokens, config::ThinkerConfig, error::ModelError, vision::Grid};

/// Positions of a sequence's tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Positions {
    /// Time, height, width.
    axes: [Vec<i64>; 3],
}

/// What the media tokens of a sequence stand for, in the order of the tokens.
#[derive(Debug, Clone, Default)]
pub struct MediaShapes {
    /// Patches of each image.
    pub images: Vec<Grid>,
    /// Patches of each video.
    pub videos: Vec<Grid>,
    /// Seconds that one step of each video's grid lasts.
    pub seconds_per_grid: Vec<f32>,
    /// Mel frames of each sound.
    pub audio_frames: Vec<usize>,
    /// Whether the sound of a video stands between its frames.
    pub audio_in_video: bool,
}

impl Positions {
    /// Positions of text that begins at `start`: all axes count together.
    pub fn text(start: i64, count: usize) -> Self {
        let axis: Vec<i64> = (start..).take(count).collect();
        Self { axes: [axis.clone(), axis.clone(), axis] }
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.axes[0].len()
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Time (0), height (1) or width (2) of a token; 1 beyond the end, as the reference fills up.
    pub fn at(&self, axis: usize, token: usize) -> i64 {
        self.axes[axis].get(token).copied().unwrap_or(1)
    }

    /// The position of the first token that is generated after these: beyond all of them.
    pub fn next(&self) -> i64 {
        self.axes.iter().flatten().max().map_or(0, |last| last + 1)
    }

    /// The position at which text goes on: beyond the last token, which a video that is longer than its sound may
    /// reach beyond.
    pub fn next_of_text(&self) -> i64 {
        self.axes.iter().filter_map(|axis| axis.last()).max().map_or(0, |last| last + 1)
    }

    /// These, and those after them.
    #[must_use]
    pub fn then(mut self, more: &Self) -> Self {
        for (axis, more) in self.axes.iter_mut().zip(&more.axes) {
            axis.extend(more);
        }
        self
    }

    /// The first tokens of these.
    #[must_use]
    pub fn before(&self, tokens: usize) -> Self {
        let axes = self.axes.each_ref().map(|axis| axis.iter().take(tokens).copied().collect());
        Self { axes }
    }

    /// Positions of a sequence with media.
    ///
    /// # Errors
    /// The tokens do not fit to the media they stand for.
    pub fn of(tokens: &[i64], media: &MediaShapes, config: &ThinkerConfig) -> Result<Self, ModelError> {
        let mut positions = Self::batch(&[tokens], media, config)?;
        Ok(positions.pop().unwrap_or_default())
    }

    /// Positions of sequences that use up the media one after another.
    ///
    /// # Errors
    /// The tokens do not fit to the media they stand for.
    pub fn batch(
        sequences: &[impl AsRef<[i64]>],
        media: &MediaShapes,
        config: &ThinkerConfig,
    ) -> Result<Vec<Self>, ModelError> {
        // As in the reference, sound without pictures has the positions of text.
        if media.images.is_empty() && media.videos.is_empty() {
            return Ok(sequences.iter().map(|tokens| Self::text(0, tokens.as_ref().len())).collect());
        }
        if media.videos.len() != media.seconds_per_grid.len() {
            let (videos, seconds) = (media.videos.len(), media.seconds_per_grid.len());
            return Err(ModelError::input(format!(
                "{videos} videos have {seconds} lengths of a grid's step"
            )));
        }
        let mut used = Used::default();
        sequences
            .iter()
            .map(|tokens| {
                let mut walk = Walk::new(tokens.as_ref(), media, config, used);
                walk.go()?;
                used = walk.used;
                Ok(walk.positions)
            })
            .collect()
    }
}

/// Media that have their tokens.
#[derive(Debug, Clone, Copy, Default)]
struct Used {
    images: usize,
    videos: usize,
    sounds: usize,
}

/// A way along the tokens, from medium to medium.
struct Walk<'a> {
    tokens: &'a [i64],
    media: &'a MediaShapes,
    config: &'a ThinkerConfig,
    positions: Positions,
    /// Tokens that have their positions.
    done: usize,
    /// One more than the largest position of the block that was appended last.
    next: i64,
    used: Used,
}

/// Positions of one block of tokens.
type Block = [Vec<i64>; 3];

impl<'a> Walk<'a> {
    fn new(tokens: &'a [i64], media: &'a MediaShapes, config: &'a ThinkerConfig, used: Used) -> Self {
        Self { tokens, media, config, positions: Positions::default(), done: 0, next: 0, used }
    }

    fn go(&mut self) -> Result<(), ModelError> {
        let config = self.config;
        let after_start = |wanted: i64| {
            let pairs = self.tokens.windows(2);
            pairs.filter(|pair| pair[0] == config.vision_start_token_id && pair[1] == wanted).count()
        };
        let images = self.used.images + after_start(config.image_token_index);
        let inside = self.media.audio_in_video;
        let videos = self.used.videos
            + after_start(if inside { config.audio_start_token_id } else { config.video_token_index });
        let starts = self.tokens.iter().filter(|&&token| token == config.audio_start_token_id);
        let sounds = self.used.sounds + starts.count();
        while self.used.images < images || self.used.sounds < sounds || (!inside && self.used.videos < videos)
        {
            let image = self.find(config.image_token_index, self.used.images < images)?;
            let video = self.find(config.video_token_index, self.used.videos < videos)?;
            let sound = self.find(config.audio_token_index, self.used.sounds < sounds)?;
            let first = image.min(video).min(sound);
            if first == sound {
                self.sound(first)?;
            } else if first == image {
                self.image(first)?;
            } else if inside {
                self.video_with_sound(first)?;
            } else {
                self.video(first)?;
            }
        }
        self.text(self.tokens.len().saturating_sub(self.done));
        if self.positions.len() != self.tokens.len() {
            let (found, wanted) = (self.tokens.len(), self.positions.len());
            return Err(ModelError::input(format!(
                "the sequence has {found} tokens, but its media and the text around them take {wanted}"
            )));
        }
        Ok(())
    }

    /// Where a kind's next token is; at the end of all if none of that kind is left.
    fn find(&self, token: i64, left: bool) -> Result<usize, ModelError> {
        if !left {
            return Ok(usize::MAX);
        }
        let rest = self.tokens.get(self.done..).unwrap_or_default();
        let place = rest.iter().position(|&found| found == token).map(|place| self.done + place);
        place.ok_or_else(|| {
            let done = self.done;
            ModelError::input(format!(
                "media begins after token {done}, but none of the tokens {token} follows"
            ))
        })
    }

    fn append(&mut self, block: Block) {
        if let Some(last) = block.iter().flatten().max() {
            self.next = last + 1;
        }
        self.done += block[0].len();
        for (axis, mut more) in self.positions.axes.iter_mut().zip(block) {
            axis.append(&mut more);
        }
    }

    fn text(&mut self, count: usize) {
        self.append(Positions::text(self.next, count).axes);
    }

    /// Text up to a medium, and `marks` tokens that all stand at the next position.
    fn begin(&mut self, first: usize, marks: usize) -> Result<i64, ModelError> {
        let text = first.checked_sub(self.done + marks).ok_or_else(|| {
            ModelError::input(format!("the media token {first} does not follow the token that begins media"))
        })?;
        self.text(text);
        self.marks(marks);
        Ok(self.next)
    }

    fn marks(&mut self, count: usize) {
        let marks = vec![self.next; count];
        self.append([marks.clone(), marks.clone(), marks]);
    }

    fn sound(&mut self, first: usize) -> Result<(), ModelError> {
        let frames = taken(&self.media.audio_frames, &mut self.used.sounds, "sounds")?;
        let start = self.begin(first, 1)?;
        self.append(Positions::text(start, audio_tokens(frames)).axes);
        self.marks(1);
        Ok(())
    }

    fn image(&mut self, first: usize) -> Result<(), ModelError> {
        let grid = taken(&self.media.images, &mut self.used.images, "images")?;
        let start = self.begin(first, 1)?;
        let steps = self.config.position_id_per_seconds as i64;
        let times: Vec<i64> = (0..grid.frames as i64).map(|frame| frame * steps).collect();
        self.append(self.grid(grid, &times, start));
        self.marks(1);
        Ok(())
    }

    fn video(&mut self, first: usize) -> Result<(), ModelError> {
        let seconds = self.media.seconds_per_grid.get(self.used.videos).copied().unwrap_or(1.0);
        let grid = taken(&self.media.videos, &mut self.used.videos, "videos")?;
        let start = self.begin(first, 1)?;
        self.append(self.grid(grid, &self.times(grid, seconds), start));
        self.marks(1);
        Ok(())
    }

    fn video_with_sound(&mut self, first: usize) -> Result<(), ModelError> {
        let seconds = self.media.seconds_per_grid.get(self.used.videos).copied().unwrap_or(1.0);
        let grid = taken(&self.media.videos, &mut self.used.videos, "videos")?;
        let frames = taken(&self.media.audio_frames, &mut self.used.sounds, "sounds")?;
        let start = self.begin(first, 2)?;
        let video = self.grid(grid, &self.times(grid, seconds), start);
        let sound = Positions::text(start, audio_tokens(frames)).axes;
        let chunk = (self.config.position_id_per_seconds * self.config.seconds_per_chunk) as i64;
        let of_video = chunks(&video[0], chunk, start);
        let of_sound = chunks(&sound[0], chunk, start);
        for index in 0..of_video.len().max(of_sound.len()) {
            for (block, chunks) in [(&video, &of_video), (&sound, &of_sound)] {
                if let Some(range) = chunks.get(index) {
                    self.append(block.each_ref().map(|axis| axis[range.clone()].to_vec()));
                }
            }
        }
        self.marks(2);
        Ok(())
    }

    /// Times of a video's frames, rounded as the reference rounds.
    fn times(&self, grid: Grid, seconds: f32) -> Vec<i64> {
        let steps = self.config.position_id_per_seconds as f32;
        (0..grid.frames).map(|frame| (frame as f32 * seconds * steps) as i64).collect()
    }

    fn grid(&self, grid: Grid, times: &[i64], start: i64) -> Block {
        let merge = self.config.vision_config.spatial_merge_size;
        let (rows, columns) = (grid.rows / merge, grid.columns / merge);
        let mut block = Block::default();
        for &time in times {
            for row in 0..rows as i64 {
                for column in 0..columns as i64 {
                    for (axis, place) in block.iter_mut().zip([time, row, column]) {
                        axis.push(start + place);
                    }
                }
            }
        }
        block
    }
}

/// The next of a kind.
fn taken<T: Copy>(list: &[T], index: &mut usize, kind: &str) -> Result<T, ModelError> {
    let next = list.get(*index).copied().ok_or_else(|| {
        let count = list.len();
        ModelError::input(format!("the tokens speak of more {kind} than the {count} that there are"))
    })?;
    *index += 1;
    Ok(next)
}

/// Cuts times into chunks. A time beyond the current chunk begins the next one, however far beyond.
fn chunks(times: &[i64], chunk: i64, start: i64) -> Vec<std::ops::Range<usize>> {
    let (mut first, mut end) = (0, chunk);
    let mut chunks = Vec::new();
    for (index, time) in times.iter().enumerate() {
        if time - start >= end {
            chunks.push(first..index);
            first = index;
            end += chunk;
        }
    }
    chunks.push(first..times.len());
    chunks
}
