//! What a model is shown of a sample or a clip.

use std::{fs::File, path::Path};

use counterpoint_core::media_job::{ComposeRequest, SampleRequest};
use counterpoint_messages::{ClipDecoded, ContentHash, Recipe, SampleComposed};
use counterpoint_models::{Clip, ClipError, ContentId, Frames, ModelInput, Sound};
use tempfile::TempPath;

use crate::{
    Reading,
    media::{ParentFiles, Parents, Sampled},
    stage::Fault,
    store::StoreError,
};

/// A clip to be shown; a file that it needs is removed with it.
pub(crate) struct Shown {
    pub clip: Clip,
    _file: Option<TempPath>,
}

/// A sample in the form that a model reads. Its file is composed anew: what the model gets is what an exported
/// file holds.
pub(crate) fn show(
    reading: &Reading,
    sample: &SampleComposed,
    input: ModelInput,
    request: &SampleRequest,
) -> Result<Shown, Fault> {
    let name = sample.id.to_string();
    if input == ModelInput::Ids {
        let clip = Clip::new(content(ContentHash::of(name.as_bytes()))?).with_sample(name);
        return Ok(Shown { clip, _file: None });
    }
    let parents = Parents::of(sample, &reading.store)?;
    let file = compose(reading, sample.recipe, &parents, &name)?;
    let mut hasher = blake3::Hasher::new();
    File::open(&file)
        .and_then(|opened| hasher.update_reader(opened).map(drop))
        .map_err(|error| StoreError::io("read", &file, error))?;
    let mut clip = Clip::new(content(ContentHash(*hasher.finalize().as_bytes()))?).with_sample(&name);
    if input != ModelInput::File {
        let sampled = read(reading, &file, &name, request)?;
        if let Some(sound) = sound_of(&sampled, request)? {
            clip = clip.with_sound(sound);
        }
        if input == ModelInput::FramesAndSound {
            clip = clip.with_frames(frames_of(sampled, request)?);
        }
    }
    if input != ModelInput::FramesAndSound {
        clip = clip.with_file(&*file);
    }
    Ok(Shown { clip, _file: Some(file) })
}

/// A clip as a judge is shown it; files that it needs are removed with it.
pub(crate) struct ShownClip {
    pub without_sound: Clip,
    pub without_picture: Clip,
    pub whole: Clip,
    _files: Vec<TempPath>,
}

/// A clip in its normal form, whole and with one stream alone, in the form that a model reads. Read once: a picture
/// or a sound that is shown twice is the same to the last bit. By name they are `VIDEO/RECIPE`, or
/// `VIDEO_START/RECIPE` of a segment that starts so many milliseconds into the video.
pub(crate) fn show_clip(
    reading: &Reading,
    decoded: &ClipDecoded,
    input: ModelInput,
    request: &SampleRequest,
) -> Result<ShownClip, Fault> {
    let video = &decoded.clip.video;
    let segment = decoded.clip.segment.map(|segment| format!("_{}", segment.start_ms)).unwrap_or_default();
    let bare = |recipe: Recipe| {
        let id = ContentHash::of(format!("{} {}", decoded.media.hash, recipe.name()).as_bytes());
        Ok::<_, Fault>(Clip::new(content(id)?).with_sample(format!("{video}{segment}/{}", recipe.name())))
    };
    let mut without_sound = bare(Recipe::AudioRemoved)?;
    let mut without_picture = bare(Recipe::FramesZeroed)?;
    let mut whole = bare(Recipe::Aligned)?;
    let mut files = Vec::new();
    if input == ModelInput::Ids {
        return Ok(ShownClip { without_sound, without_picture, whole, _files: files });
    }
    let host = ParentFiles {
        video: reading.store.open_object(decoded.media.hash)?,
        sound: reading.store.open_object(decoded.sound.hash)?,
    };
    if input != ModelInput::File {
        let sampled = read(reading, host.video.path(), video, request)?;
        if let Some(sound) = sound_of(&sampled, request)? {
            without_picture = without_picture.with_sound(sound.clone());
            whole = whole.with_sound(sound);
        }
        if input == ModelInput::FramesAndSound {
            let frames = frames_of(sampled, request)?;
            let shape = [frames.count(), frames.height(), frames.width()];
            let black = Frames::new(vec![0; frames.rgb().len()], shape, frames.fps()).map_err(of_record)?;
            without_picture = without_picture.with_frames(black);
            without_sound = without_sound.with_frames(frames.clone());
            whole = whole.with_frames(frames);
        }
    }
    if input != ModelInput::FramesAndSound {
        let parents = Parents { host, donors: Vec::new() };
        let mut with_file = |clip: Clip, recipe| {
            let file = compose(reading, recipe, &parents, video)?;
            let clip = clip.with_file(&*file);
            files.push(file);
            Ok::<_, Fault>(clip)
        };
        without_sound = with_file(without_sound, Recipe::AudioRemoved)?;
        without_picture = with_file(without_picture, Recipe::FramesZeroed)?;
        whole = with_file(whole, Recipe::Aligned)?;
    }
    Ok(ShownClip { without_sound, without_picture, whole, _files: files })
}

fn compose(reading: &Reading, recipe: Recipe, parents: &Parents, name: &str) -> Result<TempPath, Fault> {
    let scratch = reading.store.scratch();
    let named = tempfile::Builder::new().prefix("shown-").suffix(".mp4").tempfile_in(&scratch);
    let path = named.map_err(|error| StoreError::io("write in", &scratch, error))?.into_temp_path();
    let request = ComposeRequest { recipe, loudness_lufs: reading.loudness_lufs };
    let composed = reading.media.compose(&request, parents, &path)?;
    composed.map_err(|reject| {
        Fault::Record(format!("{} of {name} cannot be made: {}", recipe.name(), reject.detail))
    })?;
    Ok(path)
}

fn read(reading: &Reading, file: &Path, name: &str, request: &SampleRequest) -> Result<Sampled, Fault> {
    let sampled = reading.media.sample(file, request)?;
    sampled.map_err(|reject| Fault::Record(format!("{name} cannot be read: {}", reject.detail)))
}

fn frames_of(sampled: Sampled, request: &SampleRequest) -> Result<Frames, Fault> {
    let size = sampled.size as usize;
    let shape = [sampled.time.len(), size, size];
    Frames::new(sampled.rgb, shape, request.frames_per_second).map_err(of_record)
}

/// `None` of a file without sound.
fn sound_of(sampled: &Sampled, request: &SampleRequest) -> Result<Option<Sound>, Fault> {
    if sampled.pcm.is_empty() {
        return Ok(None);
    }
    Sound::new(sampled.pcm.clone(), request.rate).map(Some).map_err(of_record)
}

fn content(hash: ContentHash) -> Result<ContentId, Fault> {
    hash.to_string().parse().map_err(of_record)
}

fn of_record(error: ClipError) -> Fault {
    Fault::Record(error.to_string())
}
