//! The token ids of a whole prompt: `<system> vision_bos [audio_bos] chunks [audio_eos] vision_eos <question>`, as
//! `Qwen2_5OmniProcessor` expands its placeholders
//! (`transformers/models/qwen2_5_omni/processing_qwen2_5_omni.py`, `replace_multimodal_special_tokens`).
//!
//! A prompt is two lists: a prefix, the same for every question on a clip, which the model reads once, and the
//! question's suffix. Both are cut at a special token, so their ids are those of the whole.

use thiserror::Error;

use super::{
    patches::MERGE,
    template::{self, Medium, Piece},
    tokenizer::{Special, SpecialIds, Tokenizer, TokenizerError},
};
use crate::config::ThinkerConfig;

/// A prompt that cannot be laid out.
#[derive(Debug, Error)]
pub enum LayoutError {
    /// Text that the tokenizer refuses.
    #[error(transparent)]
    Text(#[from] TokenizerError),
    /// A grid that does not divide into tokens.
    #[error("a grid of {}x{}x{} patches does not divide into tokens of {MERGE}x{MERGE}", .grid[0], .grid[1], .grid[2])]
    Grid {
        /// Patches over time, height and width.
        grid: [usize; 3],
    },
    /// Seconds between steps that are no positive number.
    #[error("{seconds} seconds between two steps of a video: a positive number is needed")]
    Pace {
        /// The seconds.
        seconds: f64,
    },
    /// More tokens than the model has positions for.
    #[error(
        "the prompt has {tokens} tokens, the model reads {most} at most: take fewer frames, smaller ones, or less sound"
    )]
    TooLong {
        /// Tokens of the prompt.
        tokens: usize,
        /// Tokens that the model can read.
        most: usize,
    },
}

/// The timing of a model (`config.json`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// Positions a second (`position_id_per_seconds`).
    pub positions_per_second: f64,
    /// Seconds of video, then of sound, that stand together (`seconds_per_chunk`).
    pub seconds_per_chunk: f64,
    /// Tokens that a prompt may have (`max_position_embeddings`).
    pub most_tokens: usize,
}

impl Timing {
    /// That of a model.
    pub fn of(config: &ThinkerConfig) -> Self {
        Self {
            positions_per_second: config.position_id_per_seconds as f64,
            seconds_per_chunk: config.seconds_per_chunk as f64,
            most_tokens: config.text_config.max_position_embeddings,
        }
    }
}

impl Default for Timing {
    /// That of Qwen2.5-Omni.
    fn default() -> Self {
        Self { positions_per_second: 25.0, seconds_per_chunk: 2.0, most_tokens: 32_768 }
    }
}

/// One part of the user's turn before the question.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Media {
    /// Pictures only.
    Video {
        /// Patches over time, height and width.
        grid: [usize; 3],
        /// Seconds from one step of the grid to the next: two frames' time.
        seconds_per_grid: f64,
    },
    /// Sound only.
    Audio {
        /// Frames of log-mel.
        frames: usize,
    },
    /// Pictures with their sound in between (`use_audio_in_video`).
    VideoWithAudio {
        /// Patches over time, height and width.
        grid: [usize; 3],
        /// Seconds from one step of the grid to the next.
        seconds_per_grid: f64,
        /// Frames of log-mel.
        frames: usize,
    },
}

impl Media {
    /// What the template sees.
    fn medium(&self) -> Medium {
        match self {
            Self::Video { .. } | Self::VideoWithAudio { .. } => Medium::Video,
            Self::Audio { .. } => Medium::Audio,
        }
    }
}

/// Tokens of a sound of so many log-mel frames: 25 a second (`_get_feat_extract_output_lengths`).
pub fn audio_tokens(frames: usize) -> usize {
    frames.div_ceil(2) / 2
}

/// Tokens of a video with this grid, or `None` if it does not divide or has absurdly many.
pub fn video_tokens([steps, rows, columns]: [usize; 3]) -> Option<usize> {
    let divides = rows.is_multiple_of(MERGE) && columns.is_multiple_of(MERGE);
    let tokens = steps.checked_mul(rows / MERGE)?.checked_mul(columns / MERGE)?;
    (divides && tokens > 0).then_some(tokens)
}

/// Token ids of a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// The same for every question on the same media.
    pub prefix: Vec<u32>,
    /// The question and the beginning of the answer.
    pub suffix: Vec<u32>,
}

impl Prompt {
    /// Both in one.
    pub fn ids(&self) -> Vec<u32> {
        [self.prefix.as_slice(), &self.suffix].concat()
    }
}

/// The ids of one medium, without its start and end: what one placeholder of the template becomes.
pub fn media_ids(special: &SpecialIds, timing: &Timing, media: Media) -> Result<Vec<u32>, LayoutError> {
    let (video, audio) = (special.get(Special::Video), special.get(Special::Audio));
    let count = |grid| video_tokens(grid).ok_or(LayoutError::Grid { grid });
    let fits = |tokens: usize| {
        let most = timing.most_tokens;
        if tokens > most { Err(LayoutError::TooLong { tokens, most }) } else { Ok(tokens) }
    };
    match media {
        Media::Video { grid, .. } => Ok(vec![video; fits(count(grid)?)?]),
        Media::Audio { frames } => Ok(vec![audio; fits(audio_tokens(frames))?]),
        Media::VideoWithAudio { grid, seconds_per_grid, frames } => {
            if !(seconds_per_grid.is_finite() && seconds_per_grid > 0.0) {
                return Err(LayoutError::Pace { seconds: seconds_per_grid });
            }
            let sounds = audio_tokens(frames);
            let pictures = count(grid)?;
            let all = fits(pictures.saturating_add(sounds))?;
            let per_step = pictures / grid[0];
            let chunk = (timing.positions_per_second * timing.seconds_per_chunk).trunc();
            let time =
                |token: usize| (token / per_step) as f64 * seconds_per_grid * timing.positions_per_second;
            let pictures = chunks(pictures, chunk, time);
            let sounds = chunks(sounds, chunk, |token| token as f64);
            let mut ids = Vec::with_capacity(all + 2);
            ids.push(special.get(Special::AudioStart));
            for number in 0..pictures.len().max(sounds.len()) {
                ids.extend(std::iter::repeat_n(video, pictures.get(number).copied().unwrap_or(0)));
                ids.extend(std::iter::repeat_n(audio, sounds.get(number).copied().unwrap_or(0)));
            }
            ids.push(special.get(Special::AudioEnd));
            Ok(ids)
        }
    }
}

/// How many of `count` tokens, whose times never fall, stand in each chunk (`get_chunked_index`). As in the
/// reference, a token opens one chunk at most, also where it jumps over several.
fn chunks(count: usize, length: f64, time: impl Fn(usize) -> f64) -> Vec<usize> {
    let mut lengths = Vec::new();
    let mut start = 0;
    for token in 0..count {
        if time(token) >= (lengths.len() + 1) as f64 * length {
            lengths.push(token - start);
            start = token;
        }
    }
    lengths.push(count - start);
    lengths
}

/// The ids that every question on these media begins with.
pub fn prefix(
    tokenizer: &Tokenizer,
    timing: &Timing,
    system: &str,
    media: &[Media],
) -> Result<Vec<u32>, LayoutError> {
    let mediums: Vec<_> = media.iter().map(Media::medium).collect();
    let expand = |number: usize| match media.get(number) {
        Some(&media) => media_ids(tokenizer.special(), timing, media),
        None => Ok(Vec::new()),
    };
    write(tokenizer, expand, &template::prefix(system, &mediums))
}

/// The ids of a question that follows a prefix, with media in it or without, up to where the answer begins.
pub fn suffix(tokenizer: &Tokenizer, has_media: bool, question: &str) -> Result<Vec<u32>, LayoutError> {
    let no_media = |_| Ok(Vec::new());
    write(tokenizer, no_media, &template::suffix(has_media, question))
}

/// The ids of an answer as the model would end it: what training is scored on.
pub fn answer(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>, LayoutError> {
    let mut ids = tokenizer.encode(text)?;
    ids.push(tokenizer.special().get(Special::TurnEnd));
    Ok(ids)
}

/// Prefix and suffix of one question on some media, within the model's length.
pub fn prompt(
    tokenizer: &Tokenizer,
    timing: &Timing,
    system: &str,
    media: &[Media],
    question: &str,
) -> Result<Prompt, LayoutError> {
    let prefix = prefix(tokenizer, timing, system, media)?;
    let suffix = suffix(tokenizer, !media.is_empty(), question)?;
    let (tokens, most) = (prefix.len() + suffix.len(), timing.most_tokens);
    if tokens > most {
        return Err(LayoutError::TooLong { tokens, most });
    }
    Ok(Prompt { prefix, suffix })
}

/// The ids of these pieces; `expand` gives those of the medium with this number.
fn write(
    tokenizer: &Tokenizer,
    expand: impl Fn(usize) -> Result<Vec<u32>, LayoutError>,
    pieces: &[Piece],
) -> Result<Vec<u32>, LayoutError> {
    let mut ids = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Special(token) => ids.push(tokenizer.special().get(*token)),
            Piece::Text(text) => ids.extend(tokenizer.encode(text)?),
            Piece::Medium(number) => ids.extend(expand(*number)?),
        }
    }
    Ok(ids)
}

/// Prompts of different lengths as one rectangle, padded on the left: every prompt ends at the last column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Prompts.
    pub rows: usize,
    /// Tokens of the longest.
    pub columns: usize,
    /// `[rows, columns]`, the reference's `input_ids`.
    pub ids: Vec<u32>,
    /// `[rows, columns]`, the reference's `attention_mask`: 1 at tokens, 0 at padding.
    pub mask: Vec<u8>,
    /// Tokens of each prompt.
    pub lengths: Vec<usize>,
}

impl Batch {
    /// These prompts, padded with [`Special::EndOfText`].
    pub fn new(prompts: &[impl AsRef<[u32]>], special: &SpecialIds) -> Self {
        let lengths: Vec<_> = prompts.iter().map(|prompt| prompt.as_ref().len()).collect();
        let (rows, columns) = (prompts.len(), lengths.iter().copied().max().unwrap_or(0));
        let mut ids = Vec::with_capacity(rows * columns);
        let mut mask = Vec::with_capacity(rows * columns);
        for prompt in prompts {
            let prompt = prompt.as_ref();
            let padding = columns - prompt.len();
            ids.extend(std::iter::repeat_n(special.get(Special::EndOfText), padding));
            ids.extend_from_slice(prompt);
            mask.extend(std::iter::repeat_n(0, padding));
            mask.extend(std::iter::repeat_n(1, prompt.len()));
        }
        Self { rows, columns, ids, mask, lengths }
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, path::Path, sync::LazyLock};

    use proptest::prelude::*;

    use super::*;
    use crate::inputs::{template::SYSTEM, tiny};

    const V: u32 = Special::Video as u32;
    const A: u32 = Special::Audio as u32;

    fn special() -> SpecialIds {
        let Ok(ids) = SpecialIds::try_new(|token| Ok::<_, Infallible>(token as u32));
        ids
    }

    static TINY: LazyLock<Tokenizer> = LazyLock::new(|| {
        Tokenizer::from_json(&tiny::learn(&[SYSTEM], 400).unwrap(), Path::new("tiny")).unwrap()
    });

    /// Runs of equal ids, between the start and the end of the sound.
    fn runs(ids: &[u32]) -> Vec<(u32, usize)> {
        let inner = &ids[1..ids.len() - 1];
        inner.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect()
    }

    fn interleaved(grid: [usize; 3], seconds_per_grid: f64, frames: usize) -> Vec<(u32, usize)> {
        let media = Media::VideoWithAudio { grid, seconds_per_grid, frames };
        runs(&media_ids(&special(), &Timing::default(), media).unwrap())
    }

    #[test]
    fn picture_and_sound_take_turns_every_two_seconds() {
        // 5 seconds at two frames a second, one token of picture a step.
        let turns = interleaved([5, 2, 2], 1.0, 500);
        assert_eq!(turns, [(V, 2), (A, 50), (V, 2), (A, 50), (V, 1), (A, 25)]);
    }

    #[test]
    fn a_stream_that_ends_first_leaves_the_rest_to_the_other() {
        assert_eq!(interleaved([2, 2, 2], 1.0, 600), [(V, 2), (A, 150)]);
        assert_eq!(interleaved([6, 2, 2], 1.0, 100), [(V, 2), (A, 25), (V, 4)]);
    }

    #[test]
    fn a_sparse_video_opens_one_chunk_a_token_as_the_reference_does() {
        // Steps of 8 s jump over chunks of 2 s. Runs printed by the reference's get_chunked_index.
        let turns = interleaved([2, 4, 4], 8.0, 1000);
        assert_eq!(
            turns,
            [(V, 4), (A, 50), (V, 1), (A, 50), (V, 1), (A, 50), (V, 1), (A, 50), (V, 1), (A, 50)]
        );
    }

    #[test]
    fn what_cannot_be_laid_out_is_refused() {
        let ids = |media| media_ids(&special(), &Timing::default(), media);
        let video = |grid| ids(Media::Video { grid, seconds_per_grid: 1.0 });
        assert!(matches!(video([2, 3, 4]), Err(LayoutError::Grid { grid: [2, 3, 4] })));
        assert!(matches!(video([0, 4, 4]), Err(LayoutError::Grid { .. })));
        assert!(matches!(video([usize::MAX, 4, 4]), Err(LayoutError::Grid { .. })));
        assert!(matches!(video([1000, 36, 36]), Err(LayoutError::TooLong { tokens: 324_000, most: 32_768 })));
        let pace = Media::VideoWithAudio { grid: [1, 2, 2], seconds_per_grid: f64::NAN, frames: 100 };
        assert!(matches!(ids(pace), Err(LayoutError::Pace { .. })));
    }

    #[test]
    fn a_spelled_placeholder_in_a_question_adds_no_medium() {
        let media = [Media::Audio { frames: 100 }];
        let prompt = prompt(&TINY, &Timing::default(), SYSTEM, &media, "What is <|AUDIO|>?").unwrap();
        let audio = TINY.special().get(Special::Audio);
        assert_eq!(prompt.ids().iter().filter(|&&id| id == audio).count(), 25);
    }

    fn media() -> impl Strategy<Value = Media> {
        let grid = (1_usize..12, 1_usize..5, 1_usize..5).prop_map(|(t, h, w)| [t, h * 2, w * 2]);
        (grid, 0_usize..1200, 0.1_f64..9.0, 0..3).prop_map(
            |(grid, frames, seconds_per_grid, kind)| match kind {
                0 => Media::Video { grid, seconds_per_grid },
                1 => Media::Audio { frames },
                _ => Media::VideoWithAudio { grid, seconds_per_grid, frames },
            },
        )
    }

    proptest! {
        #[test]
        fn every_tower_output_has_exactly_one_place(media in prop::collection::vec(media(), 0..4)) {
            let ids = prompt(&TINY, &Timing::default(), SYSTEM, &media, "What?").unwrap().ids();
            let count = |token| ids.iter().filter(|&&id| id == TINY.special().get(token)).count();
            let [mut videos, mut sounds] = [0, 0];
            for media in &media {
                match *media {
                    Media::Video { grid, .. } => videos += video_tokens(grid).unwrap(),
                    Media::Audio { frames } => sounds += audio_tokens(frames),
                    Media::VideoWithAudio { grid, frames, .. } => {
                        videos += video_tokens(grid).unwrap();
                        sounds += audio_tokens(frames);
                    }
                }
            }
            prop_assert_eq!((count(Special::Video), count(Special::Audio)), (videos, sounds));
            prop_assert_eq!(count(Special::AudioStart), count(Special::AudioEnd));
            prop_assert_eq!(count(Special::VisionStart), count(Special::VisionEnd));
        }

        #[test]
        fn questions_on_the_same_media_share_their_whole_prefix(a in "[ -~\n]{0,30}", b in "[ -~\n]{0,30}") {
            let media = [Media::Audio { frames: 200 }];
            let ask = |question: &str| prompt(&TINY, &Timing::default(), SYSTEM, &media, question).unwrap();
            prop_assert_eq!(ask(&a).prefix, ask(&b).prefix);
        }

        #[test]
        fn a_batch_holds_every_prompt_at_its_right_edge(prompts in prop::collection::vec(prop::collection::vec(20_u32..99, 0..9), 1..6)) {
            let batch = Batch::new(&prompts, &special());
            for (row, prompt) in prompts.iter().enumerate() {
                let ids = &batch.ids[row * batch.columns..(row + 1) * batch.columns];
                let mask = &batch.mask[row * batch.columns..(row + 1) * batch.columns];
                prop_assert_eq!(&ids[batch.columns - batch.lengths[row]..], prompt.as_slice());
                prop_assert_eq!(mask.iter().map(|&m| usize::from(m)).sum::<usize>(), prompt.len());
                prop_assert!(mask.is_sorted());
            }
        }

        #[test]
        fn sound_has_the_reference_s_number_of_tokens(frames in 0_i64..100_000) {
            let reference = (((frames - 1).div_euclid(2) + 1) - 2).div_euclid(2) + 1;
            prop_assert_eq!(audio_tokens(frames as usize) as i64, reference);
        }
    }
}
