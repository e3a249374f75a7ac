//! What a model is shown of a file.

use std::{fs::File, path::Path};

use counterpoint_core::media_job::{ComposeRequest, SampleRequest};
use counterpoint_messages::{ContentHash, SampleComposed};
use counterpoint_models::{Clip, ClipError, ContentId, Frames, ModelInput, Sound};
use tempfile::TempPath;

use crate::{Tools, media::Parents, stage::Fault, store::StoreError};

/// A clip to be shown; a file that it needs is removed with it.
pub(crate) struct Shown {
    pub clip: Clip,
    _file: Option<TempPath>,
}

/// A sample in the form that a model reads. Its file is composed anew: what the model gets is what an exported
/// file holds.
pub(crate) fn show(
    tools: &Tools,
    sample: &SampleComposed,
    input: ModelInput,
    request: &SampleRequest,
) -> Result<Shown, Fault> {
    let name = sample.id.to_string();
    if input == ModelInput::Ids {
        let clip = Clip::new(content(ContentHash::of(name.as_bytes()))?).with_sample(name);
        return Ok(Shown { clip, _file: None });
    }
    let file = compose(tools, sample)?;
    let mut hasher = blake3::Hasher::new();
    File::open(&file)
        .and_then(|opened| hasher.update_reader(opened).map(drop))
        .map_err(|error| StoreError::io("read", &file, error))?;
    let mut clip = Clip::new(content(ContentHash(*hasher.finalize().as_bytes()))?).with_sample(name);
    if input != ModelInput::File {
        clip = read(tools, clip, &file, input, request)?;
    }
    if input != ModelInput::FramesAndSound {
        clip = clip.with_file(&*file);
    }
    Ok(Shown { clip, _file: Some(file) })
}

fn compose(tools: &Tools, sample: &SampleComposed) -> Result<TempPath, Fault> {
    let scratch = tools.store.scratch();
    let named = tempfile::Builder::new().prefix("shown-").suffix(".mp4").tempfile_in(&scratch);
    let path = named.map_err(|error| StoreError::io("write in", &scratch, error))?.into_temp_path();
    let request = ComposeRequest { recipe: sample.recipe, loudness_lufs: tools.loudness_lufs };
    let parents = Parents::of(sample, &tools.store)?;
    tools.media.compose(&request, &parents, &path)?.map_err(|reject| {
        Fault::Record(format!("sample {} cannot be made: {}", sample.id, reject.detail))
    })?;
    Ok(path)
}

/// Adds the sound, and the frames where the model takes them as numbers.
fn read(
    tools: &Tools,
    clip: Clip,
    file: &Path,
    input: ModelInput,
    request: &SampleRequest,
) -> Result<Clip, Fault> {
    let sampled = tools.media.sample(file, request)?.map_err(|reject| {
        Fault::Record(format!("{}: {}", clip.sample().unwrap_or_default(), reject.detail))
    })?;
    let size = sampled.size as usize;
    let shape = [sampled.time.len(), size, size];
    let mut clip = clip;
    if input == ModelInput::FramesAndSound {
        clip = clip.with_frames(Frames::new(sampled.rgb, shape, request.frames_per_second).map_err(of_record)?);
    }
    if !sampled.pcm.is_empty() {
        clip = clip.with_sound(Sound::new(sampled.pcm, request.rate).map_err(of_record)?);
    }
    Ok(clip)
}

fn content(hash: ContentHash) -> Result<ContentId, Fault> {
    hash.to_string().parse().map_err(of_record)
}

fn of_record(error: ClipError) -> Fault {
    Fault::Record(error.to_string())
}
