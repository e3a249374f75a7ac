//! Samples as files: recipes of the log made into mp4s.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::Write,
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use counterpoint_core::{media_job::ComposeRequest, variants::LineageCard};
use counterpoint_messages::{ContentHash, RecordId, SampleComposed};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{
    Tools,
    media::Parents,
    projection::{PROGRAM, manifest},
    stage::Fault,
    store::{StoreError, hash_file, write_atomically},
};

const INDEX: &str = "made.jsonl";

/// Files that were made, by sample.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MadeSamples(BTreeMap<RecordId, MadeSample>);

/// A sample's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeSample {
    /// Sample.
    pub sample: RecordId,
    /// Path, relative to the folder of the manifest.
    pub path: String,
    /// BLAKE3 of its bytes.
    pub blake3: ContentHash,
    /// Length in bytes.
    pub bytes: u64,
}

impl MadeSamples {
    /// A sample's file, if it was made.
    pub fn get(&self, sample: RecordId) -> Option<&MadeSample> {
        self.0.get(&sample)
    }

    /// Files made.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none was made.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads which files were made below `folder`, with paths relative to `base`; those that are gone or
    /// have another length count as not made.
    pub fn read(folder: &Path, base: &Path) -> Self {
        let text = fs::read_to_string(folder.join(INDEX)).unwrap_or_default();
        let made = text
            .lines()
            // A crash may have torn the last line; its file is made again.
            .filter_map(|line| serde_json::from_str::<MadeSample>(line).ok())
            .filter(|made| {
                fs::metadata(folder.join(&made.path)).is_ok_and(|metadata| metadata.len() == made.bytes)
            })
            .map(|made| (made.sample, MadeSample { path: relative(&folder.join(&made.path), base), ..made }))
            .collect();
        Self(made)
    }
}

fn relative(path: &Path, base: &Path) -> String {
    path.strip_prefix(base).unwrap_or(path).to_string_lossy().into_owned()
}

/// Makes the files of `samples` that are not there yet, below `folder`, and beside each its lineage card;
/// several at once. Ends early, without error, when `stop` is set. `progress` is told of every sample.
/// Returns a sentence for each sample that cannot be made; the others are made all the same.
///
/// # Errors
/// The first fault of ours; what was made stays and is not made again.
pub fn materialise(
    tools: &Tools,
    samples: &[SampleComposed],
    folder: &Path,
    stop: &AtomicBool,
    progress: &(dyn Fn() + Sync),
) -> Result<Vec<String>, Fault> {
    fs::create_dir_all(folder).map_err(|error| StoreError::io("make folder", folder, error))?;
    let made = MadeSamples::read(folder, folder);
    let index_path = folder.join(INDEX);
    let index = open_index(&index_path).map_err(|error| StoreError::io("open", &index_path, error))?;
    let next = AtomicUsize::new(0);
    let (failed, unmade) = (Mutex::new(None), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..tools.media.parallelism() {
            scope.spawn(|| {
                while let Some(sample) = samples.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    if made.get(sample.id).is_none() {
                        let noted =
                            make(tools, sample, folder).and_then(|file| note(&index, &file, &index_path));
                        match noted {
                            Ok(()) => {}
                            Err(Fault::Record(reason)) => unmade.lock().push(reason),
                            Err(fault) => {
                                next.store(samples.len(), Ordering::Relaxed);
                                failed.lock().get_or_insert(fault);
                                return;
                            }
                        }
                    }
                    progress();
                }
            });
        }
    });
    match failed.into_inner() {
        Some(fault) => Err(fault),
        None => Ok(unmade.into_inner()),
    }
}

/// The index, ready for whole lines: a crash may have torn its last one.
fn open_index(path: &Path) -> std::io::Result<Mutex<File>> {
    let is_torn = fs::read(path).is_ok_and(|bytes| bytes.last().is_some_and(|last| *last != b'\n'));
    let mut index = OpenOptions::new().create(true).append(true).open(path)?;
    if is_torn {
        index.write_all(b"\n")?;
    }
    Ok(Mutex::new(index))
}

/// Makes one sample's file and its lineage card.
pub(crate) fn make(tools: &Tools, sample: &SampleComposed, folder: &Path) -> Result<MadeSample, Fault> {
    let name = format!("{}/{}", sample.recipe.name(), sample.id);
    let path = folder.join(format!("{name}.mp4"));
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|error| StoreError::io("make folder", parent, error))?;
    }
    let parents = Parents::of(sample, &tools.store)?;
    let request = ComposeRequest { recipe: sample.recipe, loudness_lufs: tools.loudness_lufs };
    tools.media.compose(&request, &parents, &path)?.map_err(|reject| {
        Fault::Record(format!(
            "sample {} cannot be made: {}; run again with --from decoder",
            sample.id, reject.detail
        ))
    })?;
    let card = serde_json::to_vec_pretty(&LineageCard::of(sample, PROGRAM))
        .map_err(|error| Fault::Record(error.to_string()))?;
    write_atomically(&folder.join(format!("{name}.json")), &card)?;
    let (blake3, bytes) = hash_file(&path).map_err(|error| StoreError::io("read", &path, error))?;
    Ok(MadeSample { sample: sample.id, path: format!("{name}.mp4"), blake3, bytes })
}

fn note(index: &Mutex<File>, made: &MadeSample, path: &Path) -> Result<(), Fault> {
    let mut line = serde_json::to_vec(made).map_err(|error| Fault::Record(error.to_string()))?;
    line.push(b'\n');
    // One write a line: two processes on one folder do not mix theirs.
    index.lock().write_all(&line).map_err(|error| StoreError::io("write", path, error).into())
}

/// Writes the manifest of samples that were made below `folder`.
///
/// # Errors
/// If it cannot be written.
pub fn write_manifest(samples: &[SampleComposed], folder: &Path) -> Result<(), Fault> {
    let made = MadeSamples::read(folder, folder);
    let lines = manifest(samples, &made).map_err(|error| Fault::Record(error.to_string()))?;
    Ok(write_atomically(&folder.join("manifest.jsonl"), &lines)?)
}
