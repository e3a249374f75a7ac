//! Clips of four classes that a model of a few thousand parameters can tell apart, drawn from a seed.

use std::path::Path;

use burn::{
    Tensor,
    tensor::{Device, TensorData},
};
use counterpoint_omni::{
    Asked, Example, Examples, Grid, MediaShapes, Model, Sequence, Streams, TinyConfig, TrainError, device,
    inputs::{
        layout::{self, Media, Timing},
        patches::PATCH_VALUES,
        template::SYSTEM,
        tiny,
        tokenizer::Tokenizer,
    },
    set_threads,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub const CLASSES: [&str; 4] = ["Cat", "Rain", "Typing", "Whale"];
const QUESTIONS: [&str; 2] = ["Which class is seen?", "Which class is heard?"];
const BANDS: usize = 128;
const FRAMES: usize = 40;

/// The CPU, one thread: these models are too small to share.
pub fn cpu() -> Device {
    set_threads(1);
    device("cpu").unwrap()
}

pub fn tokenizer_json() -> String {
    let texts: Vec<&str> =
        QUESTIONS.into_iter().chain(CLASSES).chain([SYSTEM, "user assistant system"]).collect();
    tiny::learn(&texts, 600).unwrap()
}

pub fn tokenizer() -> Tokenizer {
    Tokenizer::from_json(&tokenizer_json(), Path::new("tiny")).unwrap()
}

pub fn model(seed: u64) -> Model {
    let config = TinyConfig { width: 48, layers: 2, tower_width: 32, tower_layers: 1 };
    Model::from_nothing(config.thinker(&tokenizer()).unwrap(), seed, &cpu()).unwrap()
}

/// Both streams of a clip, and a question about one of them.
#[derive(Clone, Copy)]
struct Clip {
    seen: usize,
    heard: usize,
    question: usize,
    seed: u64,
}

/// Clips that are made when they are asked for.
pub struct Clips {
    clips: Vec<Clip>,
    groups: Vec<String>,
    tokenizer: Tokenizer,
    model: Model,
    /// Whether towers have seen them already.
    embedded: bool,
    /// The clip that is no number.
    pub broken: Option<usize>,
    patterns: [Vec<f32>; 2],
}

impl Clips {
    /// So many clips whose streams fit together (group `aligned`), and as many that do not.
    pub fn new(aligned: usize, misaligned: usize, embedded: bool) -> Self {
        let mut chance = ChaCha8Rng::seed_from_u64(11);
        let mut pattern = |length: usize| (0..4 * length).map(|_| chance.random_range(-1.0..1.0)).collect();
        let patterns = [pattern(PATCH_VALUES), pattern(BANDS)];
        let clips = (0..aligned + misaligned).map(|number| {
            let seen = number % 4;
            let heard = if number < aligned { seen } else { (seen + 1 + number / 4 % 3) % 4 };
            Clip { seen, heard, question: number / 4 % 2, seed: number as u64 }
        });
        let mut groups = vec!["aligned".to_owned(); aligned];
        groups.resize(aligned + misaligned, "misaligned".to_owned());
        let (clips, tokenizer, model) = (clips.collect(), tokenizer(), model(1));
        Self { clips, groups, tokenizer, model, embedded, broken: None, patterns }
    }

    fn features(&self, clip: Clip) -> (Tensor<2>, Tensor<2>) {
        let mut chance = ChaCha8Rng::seed_from_u64(clip.seed);
        let mut noisy = |value: f32| value + chance.random_range(-0.5..0.5);
        let seen = &self.patterns[0][clip.seen * PATCH_VALUES..][..PATCH_VALUES];
        let patches: Vec<f32> = (0..4).flat_map(|_| seen).map(|&value| noisy(value)).collect();
        let heard = &self.patterns[1][clip.heard * BANDS..][..BANDS];
        let mel: Vec<f32> = heard.iter().flat_map(|&value| [value; FRAMES]).map(&mut noisy).collect();
        let tensor = |values, shape| Tensor::from_data(TensorData::new(values, shape), &cpu());
        (tensor(patches, [4, PATCH_VALUES]), tensor(mel, [BANDS, FRAMES]))
    }
}

impl Examples for Clips {
    fn groups(&self) -> &[String] {
        &self.groups
    }

    fn identity(&self) -> String {
        format!("{} clips of one kind", self.clips.len())
    }

    fn example(&self, index: usize) -> Result<Example, TrainError> {
        Ok(self.asked(index, &[self.clips[index].question]))
    }
}

/// Both questions on each of the clips, together or one by one.
pub struct Both {
    pub clips: Clips,
    pub together: bool,
    groups: Vec<String>,
}

impl Both {
    pub fn new(clips: Clips, together: bool) -> Self {
        let times = if together { 1 } else { 2 };
        let groups = vec!["both".to_owned(); times * clips.clips.len()];
        Self { clips, together, groups }
    }
}

impl Examples for Both {
    fn groups(&self) -> &[String] {
        &self.groups
    }

    fn questions(&self, _: usize) -> usize {
        if self.together { 2 } else { 1 }
    }

    fn identity(&self) -> String {
        "both questions".to_owned()
    }

    fn example(&self, index: usize) -> Result<Example, TrainError> {
        let asked = |clip, questions: &[usize]| Ok(self.clips.asked(clip, questions));
        if self.together { asked(index, &[0, 1]) } else { asked(index / 2, &[index % 2]) }
    }
}

impl Clips {
    /// A clip with some of the questions.
    fn asked(&self, index: usize, questions: &[usize]) -> Example {
        let clip = self.clips[index];
        let config = self.model.config();
        let grid = Grid::new(1, 2, 2, &config.vision_config).unwrap();
        let shapes = MediaShapes {
            images: Vec::new(),
            videos: vec![grid],
            seconds_per_grid: vec![1.0],
            audio_frames: vec![FRAMES],
            audio_in_video: true,
        };
        let media = Media::VideoWithAudio { grid: [1, 2, 2], seconds_per_grid: 1.0, frames: FRAMES };
        let wide = |tokens: Vec<u32>| tokens.into_iter().map(i64::from).collect::<Vec<i64>>();
        let prefix = layout::prefix(&self.tokenizer, &Timing::default(), SYSTEM, &[media]).unwrap();
        let prefix = Sequence::new(wide(prefix), &shapes, config).unwrap();
        let questions = questions.iter().map(|&question| {
            let mut tokens = layout::suffix(&self.tokenizer, true, QUESTIONS[question]).unwrap();
            let class = [clip.seen, clip.heard][question];
            let answer = layout::answer(&self.tokenizer, CLASSES[class]).unwrap();
            tokens.extend(&answer);
            let sequence = Sequence::text(wide(tokens), prefix.positions.next_of_text());
            Asked { sequence, answer: answer.len() }
        });
        let questions = questions.collect();
        let (patches, mut mel) = self.features(clip);
        if self.broken == Some(index) {
            mel = mel.mul_scalar(f32::NAN);
        }
        let streams = if self.embedded {
            let video = self.model.see(patches, &[grid]).unwrap();
            let sound = self.model.hear(mel, &[FRAMES]).unwrap();
            Streams::Embedded { video: Some(video), sound: Some(sound) }
        } else {
            Streams::Features { video: Some((patches, grid)), sound: Some(mel) }
        };
        Example { id: format!("clip-{index}"), prefix, questions, streams }
    }
}
