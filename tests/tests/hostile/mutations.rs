//! Valid films changed at random, others each time: what the corpus does not think of.

use std::{fs, time::Duration};

use counterpoint_tests::hostile::{self, Films};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    alone,
    outcomes::{Outcome, pool, prepare, sample},
};

/// Films that are tried.
const FILMS: usize = 200;

#[test]
fn films_changed_at_random_have_outcomes_like_any_other() {
    let _turn = alone();
    let seed = hostile::fresh_seed();
    println!("HOSTILE_SEED={seed} makes the same films again");
    let folder = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let pool = pool(Duration::from_secs(120));
    let films = Films::make(&pool, folder.path());
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let seeds: Vec<u64> = (0..FILMS).map(|_| random.next_u64()).collect();
    let one_half = |half: &[u64], number: usize| {
        let mut done = 0;
        for film_seed in half {
            let (ending, change, bytes) = hostile::mutated(&films, *film_seed);
            let path = folder.path().join(format!("half{number}.{ending}"));
            fs::write(&path, bytes).unwrap();
            for outcome in [prepare(&pool, &path, scratch.path()), sample(&pool, &path)] {
                match outcome {
                    Outcome::Done => done += 1,
                    Outcome::Rejected { reason, detail } => {
                        assert!(detail.contains("; "), "{reason}: {detail}: {change} (HOSTILE_SEED={seed})");
                    }
                    Outcome::Dead(fault) => {
                        panic!("{change}, seed {film_seed}, kills: {fault} (HOSTILE_SEED={seed})")
                    }
                }
            }
        }
        done
    };
    let (first, second) = seeds.split_at(FILMS / 2);
    let done: usize = std::thread::scope(|scope| {
        let halves = [scope.spawn(|| one_half(first, 0)), scope.spawn(|| one_half(second, 1))];
        halves.map(|half| half.join().unwrap()).into_iter().sum()
    });
    println!("{done} of {} jobs were done, the others told why not", FILMS * 2);
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
}
