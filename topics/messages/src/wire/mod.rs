//! What all messages share: ids, envelope, topics, partitions, trace headers.

mod envelope;
mod ids;
mod stage_name;
mod topic;
mod trace;

pub use envelope::{DecodeError, MAX_DEAD_LETTER_BYTES, MAX_MESSAGE_BYTES, Message, MessageKind};
pub use ids::{Cause, ContentHash, Fingerprint, IdSum, ParseIdError, RecordId, partition_of};
pub use stage_name::StageName;
pub use topic::Topic;
pub use trace::TraceParent;
