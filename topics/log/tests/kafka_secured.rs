//! Connections that are secured, and users that prove who they are.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

mod common;

use std::{path::Path, process::Command};

use counterpoint_log::{
    Event, Group, Headers, LogError, Membership, Outgoing, TopicLog,
    kafka::{KafkaLog, KafkaOptions},
};
use counterpoint_messages::{Fingerprint, StageName, Topic};
use counterpoint_servers::kafka::KafkaSetup;
use futures::StreamExt;

use common::{address, options};

/// Users and what they may know, as the broker is told.
fn with_users() -> KafkaSetup {
    let login = "org.apache.kafka.common.security.plain.PlainLoginModule required user_reader=\"right\";";
    KafkaSetup::new()
        .protocol("SASL_PLAINTEXT")
        .property("sasl.enabled.mechanisms", "PLAIN")
        .property("listener.name.clients.plain.sasl.jaas.config", login)
}

fn as_user(brokers: &str, password: &str) -> KafkaOptions {
    let properties = [
        ("security_protocol", "SASL_PLAINTEXT"),
        ("sasl_mechanism", "PLAIN"),
        ("sasl_username", "reader"),
        ("sasl_password", password),
    ];
    with_properties(brokers, properties)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_with_the_right_password_works_and_one_with_a_wrong_one_is_told() {
    let server = with_users().start().unwrap();
    let error = KafkaLog::open(&as_user(&address(&server), "wrong")).err().unwrap();
    assert!(matches!(error, LogError::Invalid { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("refuses the user or the password") && text.contains("topics.kafka.sasl_"),
        "{text}"
    );
    assert!(!text.contains("wrong"), "{text}");
    works(&as_user(&address(&server), "right")).await;
}

/// Reads back what it writes, and owns a group.
async fn works(options: &KafkaOptions) {
    let log = KafkaLog::open(options).unwrap();
    let record = Outgoing {
        topic: Topic::Samples,
        partition: 0,
        key: b"k".to_vec(),
        value: b"7".to_vec(),
        headers: Headers::default(),
    };
    log.append(vec![record]).await.unwrap();
    let read: Vec<_> = log.scan(Topic::Samples).collect().await;
    assert_eq!(read[0].as_ref().unwrap().value, b"7");
    let membership = Membership {
        group: Group { stage: StageName::Composer, fingerprint: Fingerprint([1; 8]) },
        instance: "a".into(),
        inputs: vec![Topic::Clips],
        exclusive: true,
        max_records: 10,
        max_bytes: 1 << 20,
    };
    let (mut events, member) = log.join(membership).await.unwrap();
    assert!(matches!(events.next().await, Some(Ok(Event::Assigned { .. }))));
    member.leave().await.unwrap();
}

fn run(folder: &Path, program: &str, arguments: &str) {
    let output = Command::new(program).args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Makes `NAME.pem` and its key, for this machine.
fn certify(folder: &Path, name: &str) {
    run(
        folder,
        "openssl",
        &format!(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -keyout {name}.key -out {name}.pem -subj /CN=127.0.0.1 \
             -addext subjectAltName=IP:127.0.0.1"
        ),
    );
}

/// A broker that shows `cert.pem`, made in `folder`.
fn with_certificate(folder: &Path) -> KafkaSetup {
    certify(folder, "cert");
    run(
        folder,
        "openssl",
        "pkcs12 -export -in cert.pem -inkey cert.key -out store.p12 -password pass:secret",
    );
    KafkaSetup::new()
        .property("ssl.keystore.type", "PKCS12")
        .property("ssl.keystore.location", folder.join("store.p12").to_str().unwrap())
        .property("ssl.keystore.password", "secret")
}

fn with_properties<const N: usize>(brokers: &str, properties: [(&str, &str); N]) -> KafkaOptions {
    let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned()));
    KafkaOptions { properties: properties.into(), ..options(brokers, "secured") }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_secured_by_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_certificate(folder.path()).protocol("SSL").start().unwrap();
    certify(folder.path(), "other");
    let trusting = |authority: &str| {
        let authority = folder.path().join(authority);
        with_properties(
            &address(&server),
            [("security_protocol", "SSL"), ("ssl_ca_location", authority.to_str().unwrap())],
        )
    };
    works(&trusting("cert.pem")).await;
    let error = KafkaLog::open(&trusting("other.pem")).err().unwrap();
    let text = error.to_string();
    assert!(text.contains("no secure connection") && text.contains("topics.kafka.ssl_"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_proves_a_password_that_the_secured_broker_does_not_keep() {
    let folder = tempfile::tempdir().unwrap();
    let login = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    let server = with_certificate(folder.path())
        .protocol("SASL_SSL")
        .property("sasl.enabled.mechanisms", "SCRAM-SHA-512")
        .property("listener.name.clients.scram-sha-512.sasl.jaas.config", login)
        .user("reader", "right")
        .start()
        .unwrap();
    let authority = folder.path().join("cert.pem");
    let proving = |password: &str| {
        let properties = [
            ("security_protocol", "SASL_SSL"),
            ("ssl_ca_location", authority.to_str().unwrap()),
            ("sasl_mechanism", "SCRAM-SHA-512"),
            ("sasl_username", "reader"),
            ("sasl_password", password),
        ];
        with_properties(&address(&server), properties)
    };
    let error = KafkaLog::open(&proving("wrong")).err().unwrap();
    assert!(error.to_string().contains("refuses the user or the password"), "{error}");
    works(&proving("right")).await;
}
