//! What all messages share: ids, envelope, topics, partitions, trace headers.

mod envelope;
mod format_level;
mod ids;
mod stage_name;
mod topic;
mod trace;

pub(crate) use envelope::Unsayable;
pub use envelope::{
    DecodeError, EncodeError, MAX_DEAD_LETTER_BYTES, MAX_MESSAGE_BYTES, Message, MessageKind,
};
pub use format_level::FormatLevel;
pub use ids::{Cause, ContentHash, Fingerprint, IdSum, ParseIdError, RecordId, partition_of};
pub use stage_name::StageName;
pub use topic::Topic;
pub use trace::TraceParent;
