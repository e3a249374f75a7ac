//! What flows between the stages: one message a file, named for what it is now.
//!
//! The files beside this one are the messages, in the order in which a clip meets them; [`wire`] holds
//! what every one of them shares: ids, the envelope and its codec, topics, partitions and trace headers.
//! Nothing here does IO, and nothing here depends on another crate of the project, so a message can be
//! read by any program that links this crate alone.

mod answer_given;
mod checkpoint_saved;
mod clip_accepted;
mod clip_curated;
mod clip_decoded;
mod clip_found;
mod clip_probed;
mod dead_letter;
mod format_declared;
mod input_fetched;
mod input_offered;
mod input_sealed;
mod pool_composed;
mod pool_sealed;
mod recipe_skipped;
mod record_requeued;
mod rejected;
mod revision_declared;
mod run_finished;
mod sample_composed;
mod training_failed;
mod training_planned;
pub mod wire;

pub use answer_given::{AnswerGiven, Chosen, Tokens};
pub use checkpoint_saved::{CheckpointSaved, Losses};
pub use clip_accepted::ClipAccepted;
pub use clip_curated::ClipCurated;
pub use clip_decoded::{ClipDecoded, ContainerFacts, SignalStatistics};
pub use clip_found::{Clip, ClipFound, MediaFile, Segment, Split};
pub use clip_probed::{ClipProbed, ProbeAnswer, ProbeAnswers};
pub use dead_letter::DeadLetter;
pub use format_declared::FormatDeclared;
pub use input_fetched::InputFetched;
pub use input_offered::{Follow, InputOffered, LabelList};
pub use input_sealed::InputSealed;
pub use pool_composed::PoolComposed;
pub use pool_sealed::PoolSealed;
pub use recipe_skipped::{RecipeSkipped, SkipReason};
pub use record_requeued::RecordRequeued;
pub use rejected::{RejectReason, Rejected};
pub use revision_declared::RevisionDeclared;
pub use run_finished::RunFinished;
pub use sample_composed::{MediaObject, Parent, ParentRole, Recipe, RecipeName, SampleComposed};
pub use training_failed::{TrainingFailed, TrainingFault};
pub use training_planned::TrainingPlanned;
pub use wire::{
    Cause, ContentHash, DecodeError, EncodeError, Fingerprint, FormatLevel, IdSum, Message, MessageKind,
    RecordId, StageName, Topic, TraceParent, partition_of,
};
