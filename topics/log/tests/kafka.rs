//! The contract on the engine on Kafka: all rules on one broker, each under a prefix of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

mod common;

use std::sync::Arc;

use async_trait::async_trait;
use counterpoint_log::{
    TopicLog,
    contract::Engine,
    kafka::{KafkaLog, KafkaOptions},
};

use common::{broker, options, random_prefix};

struct Kafka(KafkaOptions);

impl Kafka {
    fn new() -> Self {
        let options = options(&broker(), &random_prefix());
        Self(KafkaOptions { partitions: 2, ..options })
    }

    fn open(&self, properties: &[(&str, &str)]) -> Arc<dyn TopicLog> {
        let mut options = self.0.clone();
        options
            .properties
            .extend(properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Arc::new(KafkaLog::open(&options).unwrap())
    }
}

#[async_trait]
impl Engine for Kafka {
    async fn open(&self) -> Arc<dyn TopicLog> {
        self.open(&[("heartbeat_interval_ms", "200")])
    }

    async fn open_and_suspend(&self) -> Arc<dyn TopicLog> {
        // It joins, and is not heard of again.
        self.open(&[("heartbeat_interval_ms", "600000"), ("session_timeout_ms", "3000")])
    }
}

counterpoint_log::contract_tests!(Kafka::new());
