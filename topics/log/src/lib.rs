//! The topic log: one trait, one contract test suite, several engines.
//!
//! A stage [joins](TopicLog::join) a [`Group`] and reads [`Event`]s from a stream; it works, then hands
//! everything that came out of the work to [`Member::commit`], which makes outputs, state and positions
//! durable at once or not at all. Positions are opaque and increasing, never dense; order holds inside
//! one partition.
//!
//! Engines: [`sqlite::SqliteLog`] for several processes on one host, [`kafka::KafkaLog`] for many hosts,
//! [`memory::MemoryLog`] for tests and simulation. All pass `contract`, the one suite that says what the trait means; [`open`] picks the
//! engine from the text of `--broker`.

mod broker;
mod checks;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod cursors;
mod error;
pub mod failpoints;
mod group;
pub mod kafka;
pub mod memory;
pub mod process;
mod record;
mod session;
pub mod sqlite;
mod state_key;
mod topic_log;

pub use broker::{Broker, TopicOptions, open, open_existing};
pub use error::LogError;
pub use group::{Commit, Epoch, Event, EventStream, Group, Member, Membership, StateEntry};
pub use record::{Headers, MAX_RECORD_BYTES, Outgoing, Position, Received, RecordStream};
pub use state_key::StateKey;
pub use topic_log::{GroupDescription, TopicDescription, TopicLog};
