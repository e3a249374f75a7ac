//! Bits of valid films turned over at places drawn by a seed.

use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Cases, Films};

/// Files of each film.
const EACH: u32 = 10;

pub(super) fn cases(films: &Films, cases: &mut Cases) {
    for (name, ending, film) in films.containers() {
        for number in 0..EACH {
            let mut bytes = film.clone();
            // One bit, a handful, hundreds.
            let flips = [1, 4, 32, 256][number as usize % 4];
            for _ in 0..flips {
                flip(&mut cases.random, &mut bytes);
            }
            cases.add(format!("{name}-{number:02}-{flips}"), ending, &bytes);
        }
    }
}

fn flip(random: &mut ChaCha8Rng, bytes: &mut [u8]) {
    let at = random.random_range(0..bytes.len());
    bytes[at] ^= 1 << random.random_range(0..8);
}

/// One of the films, changed as the seed says: bits, bytes, numbers, cuts, repeats, pieces of other films.
/// Gives the ending of its name, what was done to it, and its bytes.
pub fn mutated(films: &Films, seed: u64) -> (&'static str, String, Vec<u8>) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let all = films.containers();
    let (name, ending, film) = &all[random.random_range(0..all.len())];
    let mut bytes = (*film).clone();
    let mut done = vec![(*name).to_owned()];
    for _ in 0..random.random_range(1..=8) {
        // Heads are small and decide much: every other change goes there.
        let reach = if random.random() { bytes.len() } else { bytes.len().min(2_000) };
        let at = random.random_range(0..reach);
        let length = random.random_range(1..=64).min(bytes.len() - at);
        let what = match random.random_range(0..8) {
            0 => {
                bytes[at] ^= 1 << random.random_range(0..8);
                "bit"
            }
            1 => {
                random.fill_bytes(&mut bytes[at..at + length]);
                "noise"
            }
            2 => {
                bytes[at..at + length].fill([0, 0xff][random.random_range(0..2)]);
                "fill"
            }
            3 => {
                let number: u32 =
                    [0, 1, 0x7f, 0xff, 0x7fff_ffff, 0x8000_0000, u32::MAX][random.random_range(0..7)];
                let length = length.min(4);
                bytes[at..at + length].copy_from_slice(&number.to_be_bytes()[4 - length..]);
                "number"
            }
            4 => {
                bytes.drain(at..at + length);
                "cut"
            }
            5 => {
                let piece = bytes[at..at + length].repeat(random.random_range(1..20));
                bytes.splice(at..at, piece);
                "repeat"
            }
            6 => {
                let other = all[random.random_range(0..all.len())].2;
                let from = random.random_range(0..other.len());
                let piece = &other[from..(from + length).min(other.len())];
                bytes.splice(at..at, piece.iter().copied());
                "graft"
            }
            _ => {
                bytes.truncate(bytes.len() - length.min(bytes.len() - 1));
                "end"
            }
        };
        done.push(format!("{what}@{at}+{length}"));
        if bytes.len() < 16 {
            break;
        }
    }
    (ending, done.join(" "), bytes)
}

impl Films {
    /// Every container, with a name and the ending of its files.
    pub(super) fn containers(&self) -> [(&'static str, &'static str, &Vec<u8>); 8] {
        [
            ("early", "mp4", &self.early),
            ("late", "mp4", &self.late),
            ("fragments", "mp4", &self.fragments),
            ("mov", "mov", &self.mov),
            ("mkv", "mkv", &self.mkv),
            ("webm", "webm", &self.webm),
            ("streamed", "webm", &self.streamed),
            ("avi", "avi", &self.avi),
        ]
    }
}
