//! Exactly once, under kills: a short campaign here, a long one by `make chaos`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

use std::{
    env,
    time::{SystemTime, UNIX_EPOCH},
};

use counterpoint_tests::chaos::{Campaign, Disturbance, EmbeddedGround, Ground, KafkaGround};

/// Set it to see the same campaign again.
const SEED: &str = "CHAOS_SEED";

/// Kills of each engine's campaign.
const KILLS: &str = "CHAOS_KILLS";

/// Kills of a short campaign.
const SHORT: u32 = 12;

fn setting(name: &str) -> Option<u64> {
    env::var(name)
        .ok()
        .map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is `{value}`: give a number")))
}

/// A campaign of `make chaos`, or else a short one by what is on this menu.
fn campaign(engine: &str, ground: &dyn Ground, short: Vec<Disturbance>) {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let seed = setting(SEED).unwrap_or_else(now);
    let (kills, menu) = match setting(KILLS) {
        Some(kills) => (u32::try_from(kills).unwrap(), Disturbance::all()),
        None => (SHORT, short),
    };
    eprintln!("{engine}: {SEED}={seed} {KILLS}={kills}");
    let tally = Campaign::new(ground, seed).run(kills, &menu, kills >= SHORT);
    eprintln!("{engine}, {SEED}={seed}: {tally}");
    assert!(tally.kills >= kills);
}

#[test]
fn kills_lose_nothing_and_double_nothing_on_the_embedded_engine() {
    campaign("embedded", &EmbeddedGround, Disturbance::all());
}

#[test]
fn kills_lose_nothing_and_double_nothing_on_kafka() {
    let menu = Disturbance::kills().into_iter().chain([Disturbance::Zombie]).collect();
    campaign("Kafka", &KafkaGround::start().unwrap(), menu);
}
