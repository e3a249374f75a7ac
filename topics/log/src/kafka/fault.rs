//! What librdkafka says, as errors of the log.

use std::fmt;

use parking_lot::Mutex;
use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::{KafkaError, RDKafkaErrorCode as Code},
    message::DeliveryResult,
    producer::ProducerContext,
};

use crate::LogError;

/// The cluster, as people name it.
#[derive(Debug, Clone)]
pub(super) struct Place(String);

impl Place {
    pub(super) fn of(brokers: &str) -> Self {
        Self(format!("kafka://{brokers}"))
    }

    pub(super) fn unavailable(&self, detail: impl fmt::Display) -> LogError {
        LogError::Unavailable { place: self.0.clone(), detail: detail.to_string() }
    }

    pub(super) fn corrupt(&self, detail: impl fmt::Display) -> LogError {
        LogError::Corrupt { place: self.0.clone(), detail: detail.to_string() }
    }

    pub(super) fn invalid(&self, detail: impl fmt::Display) -> LogError {
        LogError::invalid(format!("{}: {detail}", self.0))
    }

    /// What an error of the client comes to.
    pub(super) fn fault(&self, error: &KafkaError) -> LogError {
        let code = match error {
            KafkaError::AdminOp(code) => Some(*code),
            error => error.rdkafka_error_code(),
        };
        match code {
            Some(code) => self.code(code, error),
            None => match error {
                // Its text would hold the value, which may be a secret.
                KafkaError::ClientConfig(_, _, name, _) => {
                    self.invalid(format!("the client does not take its property {name}"))
                }
                KafkaError::AdminOpCreation(_) | KafkaError::Canceled => self.unavailable(error),
                error => self.invalid(error),
            },
        }
    }

    /// What an error code comes to; `words` say more.
    pub(super) fn code(&self, code: Code, words: impl fmt::Display) -> LogError {
        match code {
            Code::Authentication | Code::SaslAuthenticationFailed => self.invalid(format!(
                "the broker refuses the user or the password ({words}): mend settings topics.kafka.sasl_*"
            )),
            Code::SSL => self.invalid(format!(
                "no secure connection ({words}): mend settings topics.kafka.ssl_* and security_protocol"
            )),
            Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed => {
                self.invalid(format!("the user lacks a right ({words}): have it granted"))
            }
            Code::AutoOffsetReset | Code::OffsetOutOfRange => self.corrupt(format!(
                "records behind the committed position are gone: a topic was emptied or made anew ({words})"
            )),
            Code::InvalidReplicationFactor => self.invalid(format!(
                "fewer brokers run than copies of a topic are wanted ({words}): start them, or mend setting \
                 topics.replication"
            )),
            Code::MessageSizeTooLarge
            | Code::MessageBatchTooLarge
            | Code::UnsupportedVersion
            | Code::UnsupportedFeature
            | Code::InvalidConfig
            | Code::PolicyViolation
            | Code::InvalidPartitions
            | Code::InvalidTopic
            | Code::InvalidArgument => self.invalid(words),
            Code::LogDirNotFound | Code::KafkaStorageError => {
                self.unavailable(format!("a disk of a broker fails ({words})"))
            }
            _ => self.unavailable(words),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a client had to complain of last.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<Option<(Code, String)>>);

impl Complaints {
    pub(super) fn take(&self) -> Option<(Code, String)> {
        self.0.lock().take()
    }
}

/// librdkafka's log lines are for those who look for a fault of their own set-up.
pub(super) fn log_line(level: RDKafkaLogLevel, facility: &str, line: &str) {
    tracing::debug!(target: "librdkafka", ?level, facility, "{line}");
}

impl ClientContext for Complaints {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, "{reason}");
        if let Some(code) = error.rdkafka_error_code() {
            let mut last = self.0.lock();
            // That no broker is left is what follows from the complaint that came before it.
            if code != Code::AllBrokersDown || last.is_none() {
                *last = Some((code, reason.to_owned()));
            }
        }
    }
}

impl ConsumerContext for Complaints {}

impl ProducerContext for Complaints {
    type DeliveryOpaque = ();

    /// A record that was not delivered fails its transaction, which tells.
    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}
