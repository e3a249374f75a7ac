//! Files that try to hang, crash, fill or fool whoever reads them, made anew for each test.
//!
//! One family of attacks a file. Everything comes from a few valid films ([`films`]) by edits of bytes,
//! boxes ([`boxes`]) and elements ([`ebml`]); what is drawn by chance depends on a seed alone.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a broken expectation is how a test fails")]

mod avi;
mod bombs;
mod boxes;
mod codecs;
mod ebml;
mod films;
mod flips;
mod fragments;
mod headers;
mod layout;
mod matroska;
mod nesting;
mod strangers;
mod streams;
mod tables;
mod times;
mod truncation;

use std::{
    env,
    fmt::Display,
    fs,
    hash::{BuildHasher, RandomState},
    path::{Path, PathBuf},
};

use counterpoint_worker::WorkerPool;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

pub use films::{Films, SECONDS};
pub use flips::mutated;

/// Environment variable that sets the seed.
const SEED: &str = "HOSTILE_SEED";

/// Seed of the corpus where the environment gives none.
const USUAL_SEED: u64 = 20_260_401;

/// Makes the files of a family.
type Family = fn(&Films, &mut Cases);

/// What is done to an mp4.
type Edit = fn(&mut boxes::Movie);

/// A hostile file.
#[derive(Debug, Clone)]
pub struct Hostile {
    /// Which attack it belongs to.
    pub family: &'static str,
    /// The file.
    pub path: PathBuf,
}

/// The seed of the corpus: the one in the environment, or always the same.
pub fn usual_seed() -> u64 {
    given_seed().unwrap_or(USUAL_SEED)
}

/// The seed in the environment, or another one each time.
pub fn fresh_seed() -> u64 {
    given_seed().unwrap_or_else(|| RandomState::new().hash_one(std::process::id()))
}

fn given_seed() -> Option<u64> {
    let given = env::var(SEED).ok()?;
    Some(given.parse().unwrap_or_else(|_| panic!("{SEED} is {given}: give a number")))
}

/// Makes the whole corpus in `folder`, in order of the names of its files.
///
/// # Panics
/// If a file cannot be made.
pub fn corpus(pool: &WorkerPool, folder: &Path, seed: u64) -> Vec<Hostile> {
    let films = Films::make(pool, folder);
    let families: [(&'static str, Family); 14] = [
        ("avi", avi::cases),
        ("bombs", bombs::cases),
        ("codecs", codecs::cases),
        ("flips", flips::cases),
        ("fragments", fragments::cases),
        ("headers", headers::cases),
        ("layout", layout::cases),
        ("matroska", matroska::cases),
        ("nesting", nesting::cases),
        ("strangers", strangers::cases),
        ("streams", streams::cases),
        ("tables", tables::cases),
        ("times", times::cases),
        ("truncation", truncation::cases),
    ];
    let mut files = Vec::new();
    for (family, make) in families {
        let seed = seed ^ family.bytes().fold(0, |sum, byte| sum * 31 + u64::from(byte));
        let mut cases = Cases {
            family,
            folder: folder.to_owned(),
            random: ChaCha8Rng::seed_from_u64(seed),
            files: Vec::new(),
        };
        make(&films, &mut cases);
        files.append(&mut cases.files);
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut names: Vec<_> = files.iter().map(|file| file.path.file_stem()).collect();
    names.dedup();
    assert_eq!(names.len(), files.len(), "every file has a name of its own");
    files
}

/// The files of a family as they are made.
struct Cases {
    family: &'static str,
    folder: PathBuf,
    random: ChaCha8Rng,
    files: Vec<Hostile>,
}

impl Cases {
    /// A path for the file of this name; its family stands in front.
    fn path(&mut self, name: impl Display, ending: &str) -> PathBuf {
        let path = self.folder.join(format!("hostile-{}-{name}.{ending}", self.family));
        self.files.push(Hostile { family: self.family, path: path.clone() });
        path
    }

    /// Adds a file of these bytes.
    fn add(&mut self, name: impl Display, ending: &str, bytes: &[u8]) {
        let path = self.path(name, ending);
        fs::write(&path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Adds a film for each of these edits of an mp4.
    fn edited(&mut self, film: &[u8], edits: &[(&str, Edit)]) {
        for (name, edit) in edits {
            let mut movie = boxes::Movie::parse(film);
            edit(&mut movie);
            self.add(name, "mp4", &movie.bytes());
        }
    }
}
