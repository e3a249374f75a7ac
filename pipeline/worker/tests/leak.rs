//! Clips with picture and sound must not be told apart by how they were made (design section 7): a small
//! classifier that sees packet sizes and container fields, but no content, stays at chance.
#![allow(clippy::unwrap_used, reason = "a test fails where its helpers do")]

mod common;

use std::path::Path;

use common::*;
use counterpoint_core::corpus::{ClipFormat, ClipScript, ToyClass};
use counterpoint_core::media_job::ComposeRequest;
use counterpoint_media::{Mp4, Pcm, encode_aac, read_flac};
use counterpoint_messages::Recipe;
use counterpoint_worker::{ParentPaths, Prepared, WorkerPool};

/// Hosts, each of a source of its own.
const HOSTS: usize = 40;

/// Folds of the cross-validation. Both files of a host are in the same one, and donors stand a multiple of the
/// folds away, so that a sound met in training is not met again.
const FOLDS: usize = 5;

/// Accuracy that counts as chance: one half and 2.7 standard errors of 80 answers.
const CHANCE: f64 = 0.65;

#[test]
fn packet_sizes_do_not_tell_how_a_clip_was_made() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool();
    let clips = corpus(&pool, folder.path());
    let aligned: Vec<Vec<f64>> = clips.iter().map(|clip| features(&read(&clip.video))).collect();
    let output = folder.path().join("variant.mp4");
    let recipes = [
        (Recipe::Misaligned, FOLDS),
        (Recipe::Swapped, 4 * FOLDS),
        // The default plan's shift, its mirror image, and the one that moves the seam farthest.
        (Recipe::Shift { offset_ms: 2_000 }, 0),
        (Recipe::Shift { offset_ms: -2_000 }, 0),
        (Recipe::Shift { offset_ms: 5_000 }, 0),
        (Recipe::Mixup { snr_db: 3.0 }, FOLDS),
    ];
    for (recipe, step) in recipes {
        let made: Vec<Vec<f64>> = (0..clips.len())
            .map(|host| {
                compose(&pool, recipe, &clips[host], &clips[(host + step) % clips.len()], &output);
                features(&read(&output))
            })
            .collect();
        let accuracy = accuracy(&aligned, &made);
        println!("{recipe:?}: {accuracy}");
        assert!(accuracy < CHANCE, "{recipe:?} is told from aligned with accuracy {accuracy}");
    }

    // What the classifier is there to find: silence where a shifted sound begins.
    let filled: Vec<Vec<f64>> = clips.iter().map(|clip| features(&shifted_with_silence(clip))).collect();
    let accuracy = accuracy(&aligned, &filled);
    assert!(accuracy > 0.9, "the classifier is blind: {accuracy}");
}

/// Synthetic clips of four classes in turn, in the normal form.
fn corpus(pool: &WorkerPool, folder: &Path) -> Vec<Prepared> {
    gstreamer::init().unwrap();
    let file = folder.join("source.mp4");
    let format = ClipFormat { size: 64, frame_rate: 10, sound_noise: 0.12, ..ClipFormat::default() };
    (0..HOSTS)
        .map(|number| {
            let class = ToyClass::ALL[number % 4];
            let script = ClipScript {
                picture: class,
                sound: class,
                fault: None,
                seed: number as u64,
                format: format.clone(),
            };
            pool.synthesize(&script, &file).unwrap();
            prepared(pool, &file, &small(), folder)
        })
        .collect()
}

fn compose(pool: &WorkerPool, recipe: Recipe, host: &Prepared, donor: &Prepared, output: &Path) {
    let parent = |clip: &Prepared| (clip.video.to_path_buf(), clip.sound.to_path_buf());
    let (host, donor) = (parent(host), parent(donor));
    let donors = [ParentPaths { video: &donor.0, sound: &donor.1 }];
    let request = ComposeRequest { recipe, loudness_lufs: -23.0 };
    let host = ParentPaths { video: &host.0, sound: &host.1 };
    pool.compose(&request, host, &donors, output).unwrap().unwrap();
}

fn shifted_with_silence(clip: &Prepared) -> Mp4 {
    let mut pcm: Pcm = read_flac(&std::fs::File::open(&clip.sound).unwrap()).unwrap();
    let moved = 2 * 48_000 * 5 / 2;
    pcm.samples.rotate_right(moved);
    pcm.samples[..moved].fill(0);
    Mp4 { sound: Some(encode_aac(&pcm).unwrap()), ..read(&clip.video) }
}

fn read(path: &Path) -> Mp4 {
    Mp4::read(&std::fs::read(path).unwrap()).unwrap()
}

/// What can be seen of a file without decoding it: its length and that of its header, sizes of the first and
/// last packets of its sound, their mean and spread, and the mean over each tenth.
fn features(clip: &Mp4) -> Vec<f64> {
    let bytes = clip.to_bytes().unwrap();
    let header = bytes.windows(4).position(|name| name == b"mdat").unwrap();
    let picture: usize = clip.picture.packets.iter().map(|packet| packet.data.len()).sum();
    let sound = clip.sound.as_ref().unwrap();
    let sizes: Vec<f64> = sound.packets.iter().map(|packet| packet.len() as f64).collect();
    let (mean, spread) = mean_and_spread(&sizes);
    let mut features =
        vec![bytes.len() as f64, header as f64, picture as f64, sizes.len() as f64, mean, spread];
    features.extend(&sizes[..4]);
    features.extend(&sizes[sizes.len() - 4..]);
    features.extend(sizes.chunks(sizes.len() / 10).map(|tenth| mean_and_spread(tenth).0));
    features
}

fn mean_and_spread(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
    (mean, variance.sqrt())
}

/// Accuracy of logistic regression on files of hosts it has not seen.
fn accuracy(aligned: &[Vec<f64>], made: &[Vec<f64>]) -> f64 {
    let mut right = 0;
    for fold in 0..FOLDS {
        let of = |held_out: bool| {
            let hosts = (0..aligned.len()).filter(move |host| (host % FOLDS == fold) == held_out);
            hosts.flat_map(|host| [(&aligned[host], 0.0), (&made[host], 1.0)]).collect::<Vec<_>>()
        };
        let (training, held_out) = (of(false), of(true));
        let model = Logistic::fit(&training);
        right += held_out.iter().filter(|(x, y)| (model.probability(x) > 0.5) == (*y > 0.5)).count();
    }
    right as f64 / (2 * aligned.len()) as f64
}

/// Logistic regression on standardised features with a ridge.
struct Logistic {
    scale: Vec<(f64, f64)>,
    weights: Vec<f64>,
}

impl Logistic {
    fn fit(rows: &[(&Vec<f64>, f64)]) -> Self {
        let columns = rows[0].0.len();
        let scale: Vec<(f64, f64)> = (0..columns)
            .map(|column| {
                let values: Vec<f64> = rows.iter().map(|(row, _)| row[column]).collect();
                let (mean, spread) = mean_and_spread(&values);
                (mean, spread.max(1e-9))
            })
            .collect();
        let mut model = Self { scale, weights: vec![0.0; columns] };
        for _ in 0..500 {
            let mut gradient: Vec<f64> = model.weights.iter().map(|weight| 0.01 * weight).collect();
            for (row, label) in rows {
                let error = model.probability(row) - label;
                let inputs = model.standardised(row);
                gradient.iter_mut().zip(inputs).for_each(|(sum, x)| *sum += error * x / rows.len() as f64);
            }
            model.weights.iter_mut().zip(&gradient).for_each(|(weight, slope)| *weight -= 0.3 * slope);
        }
        model
    }

    fn standardised(&self, row: &[f64]) -> Vec<f64> {
        row.iter().zip(&self.scale).map(|(value, (mean, spread))| (value - mean) / spread).collect()
    }

    fn probability(&self, row: &[f64]) -> f64 {
        let sum: f64 = self.standardised(row).iter().zip(&self.weights).map(|(x, weight)| x * weight).sum();
        1.0 / (1.0 + (-sum).exp())
    }
}
