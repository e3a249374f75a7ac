//! A broker that the tests of one program share.

#![allow(dead_code, reason = "not every test program uses all of it")]

use std::{
    hash::{BuildHasher, RandomState},
    sync::OnceLock,
};

use counterpoint_log::kafka::KafkaOptions;
use counterpoint_servers::kafka::{KafkaServer, KafkaSetup};

/// The address of a broker that lives as long as this program.
pub fn broker() -> String {
    static SHARED: OnceLock<KafkaServer> = OnceLock::new();
    address(SHARED.get_or_init(|| KafkaSetup::new().start().unwrap()))
}

/// `host:port` of a broker.
pub fn address(server: &KafkaServer) -> String {
    format!("127.0.0.1:{}", server.port())
}

/// A log of its own on a shared cluster.
pub fn random_prefix() -> String {
    // The standard library's hashers begin at random.
    let random = RandomState::new().hash_one(std::process::id());
    format!("test-{random:016x}")
}

pub fn options(brokers: &str, prefix: &str) -> KafkaOptions {
    KafkaOptions { brokers: brokers.to_owned(), prefix: prefix.to_owned(), ..KafkaOptions::default() }
}
