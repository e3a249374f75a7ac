//! The contract on the engine on Kafka: all rules on one broker, each under a prefix of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

mod common;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use counterpoint_log::{
    TopicLog,
    contract::{Engine, SLEEPER},
    kafka::{KafkaLog, KafkaOptions},
};

use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
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
        // Nobody is taken for dead but the sleeper.
        self.open(&[("heartbeat_interval_ms", "200"), ("session_timeout_ms", "240000")])
    }

    async fn open_and_suspend(&self) -> Arc<dyn TopicLog> {
        // It joins, and is not heard of again. A short session would not do: its own client keeps time as well,
        // and would join once more as soon as that is over.
        let log = self.open(&[
            ("heartbeat_interval_ms", NEVER),
            ("session_timeout_ms", NEVER),
            ("max_poll_interval_ms", NEVER),
        ]);
        tokio::spawn(dismiss(self.0.clone()));
        log
    }
}

/// Longer than any test, and no longer than a broker lets a session be.
const NEVER: &str = "1700000";

/// Takes the group of a log from the sleeper as soon as another member is there, and tells it nothing.
async fn dismiss(options: KafkaOptions) {
    let client: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", &options.brokers).create().unwrap();
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let Ok(groups) = client.fetch_group_list(None, Duration::from_secs(5)) else { continue };
        let Some(group) = groups.groups().iter().find(|group| group.name().starts_with(&options.prefix))
        else {
            continue;
        };
        let sleeper = group.members().iter().find(|member| member.id().contains(SLEEPER));
        if let Some(sleeper) = sleeper
            && group.members().len() > 1
        {
            return leave(&options.brokers, group.name(), sleeper.id());
        }
    }
}

/// Says in the name of a member that it leaves (`LeaveGroup`, version 1).
fn leave(broker: &str, group: &str, member: &str) {
    let text = |text: &str| [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat();
    let body = [vec![0, 13, 0, 1, 0, 0, 0, 7], text("test"), text(group), text(member)].concat();
    let mut stream = TcpStream::connect(broker).unwrap();
    stream.write_all(&u32::try_from(body.len()).unwrap().to_be_bytes()).unwrap();
    stream.write_all(&body).unwrap();
    let mut answer = [0; 14];
    stream.read_exact(&mut answer).unwrap();
    // Length, the number of the request, no throttling, no error.
    assert_eq!(answer, [0, 0, 0, 10, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0]);
}

counterpoint_log::contract_tests!(Kafka::new());
