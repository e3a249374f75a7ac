//! `ask`: one question about one media file.

use std::{path::Path, process::ExitCode, sync::Arc};

use anyhow::Context as _;
use counterpoint_core::media_job::SampleRequest;
use counterpoint_models::{Answer, Ask, Clip, Decoding, Frames, Question, Sound};
use serde::Serialize;

use crate::{
    args::{self, Common},
    config::Config,
    context::workers,
    local::{LocalModels, open},
    output::{Failure, Outcome, print, print_json},
};

/// Samples a second that models take.
const RATE: u32 = 16_000;

pub fn run(
    arguments: &args::models::Ask,
    common: &Common,
    local: Option<&'static dyn LocalModels>,
) -> Outcome {
    let config = Config::load(common)?;
    let question = question(arguments)?;
    let decoding = Decoding {
        max_new_tokens: arguments.max_tokens,
        temperature: arguments.temperature,
        top_p: 1.0,
        seed: arguments.seed,
    };
    decoding.check().map_err(|error| Failure::usage(error.to_string()))?;
    let clip = clip(arguments, &config)?;
    let model = open(&arguments.model, &config, &common.device, local).map_err(anyhow::Error::from)?;
    let name = model.facts().name.clone();
    let ask = Ask { clip: Arc::new(clip), questions: vec![question], decoding };
    let mut answers = model.ask_blocking(ask).map_err(anyhow::Error::from)?;
    let answer = answers.pop().context("the model gave no answer")?.map_err(anyhow::Error::from)?;
    if common.json {
        print_json(&Told::new(&name, arguments, &answer))?;
    } else {
        print(&answer.text);
        if let Some(probability) = answer.yes_probability {
            print(&format!("yes: {:.1} %", 100.0 * probability));
        }
        for (option, score) in arguments.options.iter().zip(answer.option_scores.iter().flatten()) {
            print(&format!("{option}: {:.1} %", 100.0 * score.exp()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn question(arguments: &args::models::Ask) -> Result<Question, Failure> {
    let text = arguments.question.clone();
    let question = if arguments.yes_no {
        Question::yes_no(text)
    } else if arguments.options.is_empty() {
        Question::free(text)
    } else {
        Question::options(text, arguments.options.clone())
    };
    question.map_err(|error| Failure::usage(error.to_string()))
}

/// The file as frames and sound, and as it is.
fn clip(arguments: &args::models::Ask, config: &Config) -> Result<Clip, Failure> {
    let path = &arguments.path;
    let request = SampleRequest { frames_per_second: arguments.fps, size: arguments.size, rate: RATE };
    super::sample::check(&request)?;
    let content = hash(path)?;
    let sampled = workers(&config.effort)?.sample(path, &request).map_err(anyhow::Error::from)?;
    let sampled = sampled.map_err(|reject| {
        anyhow::anyhow!("{}: {}: {}", path.display(), reject.reason.as_str(), reject.detail)
    })?;
    let made = || -> anyhow::Result<Clip> {
        let size = sampled.size as usize;
        let frames = Frames::new(sampled.rgb, [sampled.time.len(), size, size], arguments.fps)?;
        let mut clip = Clip::new(content.parse()?).with_frames(frames).with_file(path);
        if let Some(stem) = path.file_stem() {
            clip = clip.with_sample(stem.to_string_lossy());
        }
        if !sampled.pcm.is_empty() {
            clip = clip.with_sound(Sound::new(sampled.pcm, RATE)?);
        }
        Ok(clip)
    };
    Ok(made().with_context(|| format!("{} cannot be asked about", path.display()))?)
}

fn hash(path: &Path) -> anyhow::Result<String> {
    let mut hasher = blake3::Hasher::new();
    let read = std::fs::File::open(path).and_then(|file| hasher.update_reader(file).map(drop));
    read.with_context(|| format!("cannot read {}; check the path and its permissions", path.display()))?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// One answer as a line of JSON.
#[derive(Serialize)]
struct Told<'a> {
    model: &'a str,
    path: &'a Path,
    question: &'a str,
    answer: &'a str,
    options: Option<Vec<(&'a str, f32)>>,
    yes_probability: Option<f32>,
    prompt_tokens: Option<u32>,
    text_tokens: Option<u32>,
    video_tokens: Option<u32>,
    audio_tokens: Option<u32>,
    answer_tokens: Option<u32>,
    latency_seconds: f64,
    requests: u32,
    cost_usd: Option<f64>,
}

impl<'a> Told<'a> {
    fn new(model: &'a str, arguments: &'a args::models::Ask, answer: &'a Answer) -> Self {
        let shares = answer.option_scores.as_ref().map(|scores| {
            let options = arguments.options.iter().map(String::as_str);
            options.zip(scores.iter().map(|score| score.exp())).collect()
        });
        Self {
            model,
            path: &arguments.path,
            question: &arguments.question,
            answer: &answer.text,
            options: shares,
            yes_probability: answer.yes_probability,
            prompt_tokens: answer.tokens.prompt,
            text_tokens: answer.tokens.text,
            video_tokens: answer.tokens.video,
            audio_tokens: answer.tokens.audio,
            answer_tokens: answer.tokens.answer,
            latency_seconds: answer.latency.as_secs_f64(),
            requests: answer.requests,
            cost_usd: answer.cost_usd,
        }
    }
}
