//! Campaigns against exactly once: known clips are run under kills and other disturbances until nothing
//! disturbs them any more, and what came of it is held against an undisturbed run and against the log.
//!
//! The oracle of a round: `status --audit` finds nothing lost, nothing twice and no media missing at rest;
//! the manifest is that of the undisturbed run; no process is left behind.

#![allow(clippy::expect_used, clippy::print_stderr, reason = "a broken expectation is how a test fails")]

mod disturbance;
mod growth;
mod tally;

use std::{
    path::PathBuf,
    sync::Mutex,
    time::{Duration, Instant},
};

use counterpoint_servers::{
    ServerError,
    kafka::{KafkaServer, KafkaSetup},
};
use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

pub use self::{disturbance::Disturbance, tally::Tally};
use crate::{
    disk::SmallDisk,
    out::{Out, number},
    program::Program,
    topics::Topics,
    workplace::Workplace,
};

/// Clips of a round: enough that every stage has several under way at once.
const CLIPS: u32 = 8;

/// Disturbances of a round, so that the later stages are disturbed as well.
const A_ROUND: usize = 8;

/// Where the topics of a round are, and what breaks there.
pub trait Ground {
    /// Topics that hold nothing yet.
    fn fresh(&self, round: u32) -> Topics;

    /// Ends the broker as an operator would, and starts it again; whether there is one.
    fn restart_broker(&self) -> bool;
}

/// The engine that needs no server.
#[derive(Debug)]
pub struct EmbeddedGround;

impl Ground for EmbeddedGround {
    fn fresh(&self, _: u32) -> Topics {
        Topics::Embedded
    }

    fn restart_broker(&self) -> bool {
        false
    }
}

/// A Kafka broker of its own.
#[derive(Debug)]
pub struct KafkaGround {
    server: Mutex<KafkaServer>,
}

impl KafkaGround {
    /// Starts the broker.
    ///
    /// # Errors
    /// What kept it from starting.
    pub fn start() -> Result<Self, ServerError> {
        Ok(Self { server: Mutex::new(KafkaSetup::default().start()?) })
    }
}

impl Ground for KafkaGround {
    fn fresh(&self, round: u32) -> Topics {
        let broker = self.server.lock().expect("the broker").broker();
        Topics::Kafka { broker, prefix: format!("round-{round}") }
    }

    fn restart_broker(&self) -> bool {
        let mut server = self.server.lock().expect("the broker");
        server.restart().expect("the broker comes up again");
        true
    }
}

/// A number of kills, given a seed.
pub struct Campaign<'a> {
    ground: &'a dyn Ground,
    rng: ChaCha8Rng,
    workplace: Workplace,
    /// How long an undisturbed run takes.
    length: Duration,
    tally: Tally,
}

/// One run into one folder, from its first disturbance to rest.
pub(crate) struct Round<'a> {
    pub ground: &'a dyn Ground,
    pub workplace: &'a Workplace,
    pub folder: PathBuf,
    pub topics: Topics,
    pub length: Duration,
    /// The small disk that its folder is on, if it is.
    pub disk: Option<SmallDisk>,
    /// Whether the broker was restarted meanwhile.
    pub broker_restarted: bool,
}

impl Round<'_> {
    /// The run as the instance of this name.
    pub fn run(&self, instance: &str) -> Program {
        self.topics.of(self.workplace.run_into(&self.folder)).env("COUNTERPOINT_TOPICS__INSTANCE", instance)
    }

    /// What it has come to.
    pub fn out(&self) -> Out {
        Out::at(&self.folder).on(self.topics.clone())
    }
}

impl<'a> Campaign<'a> {
    /// Makes the clips and runs them undisturbed.
    pub fn new(ground: &'a dyn Ground, seed: u64) -> Self {
        let workplace = Workplace::with_clips(CLIPS);
        let started = Instant::now();
        workplace.run().run().done();
        let length = started.elapsed();
        Self { ground, rng: ChaCha8Rng::seed_from_u64(seed), workplace, length, tally: Tally::default() }
    }

    /// Disturbs by what is on the menu, until so many processes were killed; with `whole`, until all of the menu
    /// was met as well.
    ///
    /// # Panics
    /// With the round and what it did, if the guarantee does not hold.
    pub fn run(mut self, kills: u32, menu: &[Disturbance], whole: bool) -> Tally {
        let Self { ground, rng, workplace, length, tally } = &mut self;
        let mut menus = 0;
        let mut ahead = Vec::new();
        while tally.kills < kills || (whole && menus < 2) {
            let number = tally.rounds;
            let folder = workplace.path(&format!("round-{number}"));
            let topics = ground.fresh(number);
            let mut round = Round {
                ground: *ground,
                workplace,
                folder,
                topics,
                length: *length,
                disk: None,
                broker_restarted: false,
            };
            for _ in 0..A_ROUND {
                let disturbance: Disturbance = ahead.pop().unwrap_or_else(|| {
                    menus += 1;
                    ahead = menu.to_vec();
                    ahead.shuffle(rng);
                    ahead.pop().expect("a menu")
                });
                if disturbance == Disturbance::FullDisk && round.folder.exists() {
                    // The disk comes first, so it begins the next round.
                    ahead.push(disturbance);
                    break;
                }
                eprintln!("round {number}: {disturbance:?}");
                if disturbance.strike(&mut round, rng, tally) {
                    break;
                }
            }
            tally.rounds += 1;
            tally.check(&round, &workplace.out());
        }
        self.tally
    }
}

/// A moment within the length of a run.
fn moment(length: Duration, rng: &mut ChaCha8Rng) -> Duration {
    length.mul_f64(rng.random())
}

/// Dead letters of a round.
fn dead_letters(out: &Out) -> u64 {
    number(&out.summary()["dead_letters"])
}
