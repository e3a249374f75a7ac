//! A few samples made into files, so that people can look and listen.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::atomic::AtomicBool,
};

use counterpoint_actors::{
    Tools,
    materialise::{MadeSamples, materialise},
    stage::Fault,
    store::StoreError,
};
use counterpoint_messages::{ClipDecoded, Parent, RecipeName, RecordId, SampleComposed};
use counterpoint_pages::report::{GalleryClip, GalleryGroup, GalleryVariant};

/// Hosts shown.
const HOSTS: usize = 3;

/// Media bytes of a page: more makes it slow to open on a phone.
const MEDIA_BYTES: u64 = 12 << 20;

/// The hosts with the most kinds of samples, one class after the other, each with a sample a recipe.
///
/// # Errors
/// A fault of ours.
pub fn gallery(
    samples: &[SampleComposed],
    decoded: &[ClipDecoded],
    tools: &Tools,
) -> Result<Vec<GalleryGroup>, Fault> {
    let hosts = choose(samples);
    let wanted: Vec<_> = hosts.iter().flatten().map(|sample| (*sample).clone()).collect();
    let folder = tools.publisher.out.join("gallery");
    // What cannot be made is shown as missing; the report is worth having all the same.
    for reason in materialise(tools, &wanted, &folder, &AtomicBool::new(false), &|| ())? {
        tracing::warn!("the gallery lacks a player: {reason}");
    }
    let made = MadeSamples::read(&folder, &folder);
    let decoded: BTreeMap<RecordId, &ClipDecoded> = decoded.iter().map(|clip| (clip.clip.id, clip)).collect();
    let mut groups = Vec::new();
    let mut shown = Shown::default();
    for samples in hosts {
        let Some(host) = samples.first().and_then(|sample| sample.host()) else { continue };
        shown.count(&samples, &made);
        if !groups.is_empty() && shown.bytes > MEDIA_BYTES {
            break;
        }
        let clip = |parent: &Parent| -> Result<GalleryClip, Fault> {
            Ok(GalleryClip {
                video: parent.video.clone(),
                segment: decoded.get(&parent.clip).and_then(|clip| clip.clip.segment),
                class: parent.class.clone(),
                mp4: stored(tools, parent)?,
            })
        };
        let variants = samples.iter().map(|sample| {
            Ok(GalleryVariant {
                sample: sample.id.to_string(),
                recipe: sample.recipe,
                class_seen: sample.class_seen.clone(),
                classes_heard: sample.classes_heard.clone(),
                split: sample.split,
                donors: sample.donors().map(clip).collect::<Result<_, Fault>>()?,
                seed: sample.seed,
                mp4: made.get(sample.id).and_then(|file| read(&folder.join(&file.path))),
            })
        });
        groups.push(GalleryGroup { host: clip(host)?, variants: variants.collect::<Result<_, Fault>>()? });
    }
    Ok(groups)
}

/// An object that is missing is shown as missing; a store that does not answer is waited for.
fn stored(tools: &Tools, parent: &Parent) -> Result<Option<Vec<u8>>, Fault> {
    match tools.store.get(parent.media.hash) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(StoreError::Missing { .. } | StoreError::Damaged { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    // Shown as missing on the page, which is what it is.
    fs::read(path).ok()
}

/// Distinct media of the groups so far; the page embeds equal bytes once.
#[derive(Default)]
struct Shown {
    bytes: u64,
    files: BTreeSet<String>,
}

impl Shown {
    fn count(&mut self, samples: &[&SampleComposed], made: &MadeSamples) {
        for sample in samples {
            if let Some(file) = made.get(sample.id) {
                self.add(file.blake3.to_string(), file.bytes);
            }
            for parent in &sample.parents {
                self.add(parent.media.hash.to_string(), parent.media.bytes);
            }
        }
    }

    fn add(&mut self, name: String, bytes: u64) {
        if self.files.insert(name) {
            self.bytes += bytes;
        }
    }
}

/// For each chosen host one sample a recipe, in the order of the recipes.
fn choose(samples: &[SampleComposed]) -> Vec<Vec<&SampleComposed>> {
    let mut hosts: BTreeMap<RecordId, BTreeMap<RecipeName, &SampleComposed>> = BTreeMap::new();
    for sample in samples {
        if let Some(host) = sample.host() {
            hosts.entry(host.clip).or_default().entry(sample.recipe.name()).or_insert(sample);
        }
    }
    let mut by_class: BTreeMap<&str, Vec<Vec<&SampleComposed>>> = BTreeMap::new();
    for recipes in hosts.into_values() {
        let recipes: Vec<_> = recipes.into_values().collect();
        if let Some(host) = recipes.first().and_then(|sample| sample.host()) {
            by_class.entry(&host.class).or_default().push(recipes);
        }
    }
    let mut chosen: Vec<_> = by_class
        .into_values()
        .filter_map(|hosts| hosts.into_iter().max_by_key(|recipes| recipes.len()))
        .collect();
    chosen.sort_by_key(|recipes| std::cmp::Reverse(recipes.len()));
    chosen.truncate(HOSTS);
    chosen
}
