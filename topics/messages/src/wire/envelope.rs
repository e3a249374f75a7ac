//! The envelope every record's value is wrapped in.
//!
//! ```text
//! magic "CNPT" | kind u16 | version u16 | payload length u32 | crc32c u32 | payload
//! ```
//!
//! All integers are little endian; the checksum covers kind, version, length and payload. The payload is
//! bincode 2 (standard configuration) by way of serde.

use serde::{Serialize, de::DeserializeOwned};

use super::FormatLevel;
use crate::*;

/// Largest payload that is written or read.
pub const MAX_MESSAGE_BYTES: usize = 1 << 20;

/// Largest payload of a dead letter, which holds another record whole.
pub const MAX_DEAD_LETTER_BYTES: usize = 3 << 20;

const MAGIC: [u8; 4] = *b"CNPT";
const HEADER_BYTES: usize = 16;

/// Most memory a payload may ask for while it is read. The codec counts every number at its full width,
/// which is up to eight times what was written: less would refuse messages that were written.
const MAX_DECODED_BYTES: usize = 8 * MAX_DEAD_LETTER_BYTES;

/// A message that cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Is larger than [`MAX_MESSAGE_BYTES`], or [`MAX_DEAD_LETTER_BYTES`].
    #[error("is of {found} bytes, more than the {limit} it may have")]
    TooLarge {
        /// Bytes of its payload.
        found: usize,
        /// Most it may have.
        limit: usize,
    },
    /// Says what no version of the log's format level has words for.
    #[error(
        "({kind:?}) tells of {what}, for which format level {level} of this log has no words: raise the level \
         by `counterpoint topics upgrade`, once every program on this log is of this release"
    )]
    LevelTooLow {
        /// Kind.
        kind: MessageKind,
        /// Level of the log.
        level: FormatLevel,
        /// What it says.
        what: &'static str,
    },
    /// The codec refused.
    #[error("({kind:?}) cannot be written: {reason}")]
    Payload {
        /// Kind.
        kind: MessageKind,
        /// What the codec said.
        reason: String,
    },
}

impl EncodeError {
    /// Whether the message can be written once the log is raised to a newer format level.
    pub fn is_mended_by_upgrade(&self) -> bool {
        matches!(self, Self::LevelTooLow { .. })
    }
}

/// What an older version of a message has no words for; its text says what, as in "tells of TEXT".
pub(crate) struct Unsayable(pub &'static str);

/// Bytes that are no message of ours, or not one this version can read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Too few bytes for the envelope or its payload.
    #[error("ends after {found} bytes of {expected}")]
    Truncated {
        /// Bytes there are.
        found: usize,
        /// Bytes there should be.
        expected: usize,
    },
    /// Does not begin with our magic.
    #[error("is no counterpoint message: begins with {0:02x?}")]
    Foreign([u8; 4]),
    /// Is larger than [`MAX_MESSAGE_BYTES`], or [`MAX_DEAD_LETTER_BYTES`].
    #[error("is of {found} bytes, more than the {limit} it may have")]
    TooLarge {
        /// Bytes of its payload.
        found: usize,
        /// Most it may have.
        limit: usize,
    },
    /// More bytes than declared.
    #[error("is followed by {0} bytes that belong to nothing")]
    TrailingBytes(usize),
    /// The checksum does not match.
    #[error("has checksum {found:08x} where {expected:08x} was expected")]
    Checksum {
        /// Checksum of the bytes.
        found: u32,
        /// Checksum in the envelope.
        expected: u32,
    },
    /// A kind this version does not know.
    #[error("is of kind {0}, which this version does not know: upgrade counterpoint")]
    UnknownKind(u16),
    /// A later version of a known kind.
    #[error(
        "is version {version} of {kind:?}, newer than the {known} this program reads: upgrade counterpoint"
    )]
    Newer {
        /// Kind.
        kind: MessageKind,
        /// Its version.
        version: u16,
        /// Newest version known.
        known: u16,
    },
    /// The payload is not what its kind says.
    #[error("holds no {kind:?}: {reason}")]
    Payload {
        /// Kind.
        kind: MessageKind,
        /// What the decoder said.
        reason: String,
    },
}

impl DecodeError {
    /// Whether the bytes are a message of a later release: whole, and not to be judged by this program.
    pub fn is_of_later_release(&self) -> bool {
        matches!(self, Self::UnknownKind(_) | Self::Newer { .. })
    }
}

macro_rules! messages {
    ($($kind:ident = $number:literal, written as [$($version:literal),*] $(, once { $($old:literal: $older:ty),* })?;)*) => {
        /// What a record is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u16)]
        #[allow(missing_docs, reason = "the kinds are documented where they are")]
        pub enum MessageKind { $($kind = $number,)* }

        impl MessageKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$kind),)* _ => None }
            }

            /// The version written at each format level; 0 at levels that do not have the kind.
            fn versions(self) -> [u16; FormatLevel::COUNT] {
                match self { $(Self::$kind => [$($version),*],)* }
            }

            /// Newest schema version that this program reads and writes.
            pub fn version(self) -> u16 {
                self.versions()[FormatLevel::COUNT - 1]
            }

            /// Schema version that is written at a format level; `None` where the level lacks the kind.
            pub fn version_at(self, level: FormatLevel) -> Option<u16> {
                Some(self.versions()[level.index()]).filter(|version| *version > 0)
            }
        }

        /// Any message, as its newest version.
        #[derive(Debug, Clone, PartialEq)]
        #[allow(
            missing_docs,
            clippy::large_enum_variant,
            reason = "the kinds are documented where they are; messages are read one at a time, so none waits in a box"
        )]
        pub enum Message { $($kind($kind),)* }

        $(impl From<$kind> for Message {
            fn from(message: $kind) -> Self { Self::$kind(message) }
        })*

        impl Message {
            /// What it is.
            pub fn kind(&self) -> MessageKind {
                match self { $(Self::$kind(_) => MessageKind::$kind,)* }
            }

            /// The message in its envelope, in the version of it that belongs to the log's format level.
            ///
            /// # Errors
            /// [`EncodeError::TooLarge`] if the payload exceeds [`MAX_MESSAGE_BYTES`] (for a dead letter
            /// [`MAX_DEAD_LETTER_BYTES`]); [`EncodeError::LevelTooLow`] for what that version cannot say.
            pub fn encode(&self, level: FormatLevel) -> Result<Vec<u8>, EncodeError> {
                let kind = self.kind();
                let lacking = |what| EncodeError::LevelTooLow { kind, level, what };
                let version = kind.version_at(level).ok_or_else(|| lacking("something new"))?;
                match (self, version) {
                    $($($((Self::$kind(message), $old) => {
                        let older = <$older>::try_from(message).map_err(|Unsayable(what)| lacking(what))?;
                        seal(kind, version, &older)
                    })*)?)*
                    $((Self::$kind(message), _) => seal(kind, version, message),)*
                }
            }

            /// The message in these bytes, which hold one envelope and nothing else. A message of an older
            /// version comes back as its newest one says the same.
            ///
            /// # Errors
            /// What is wrong with the bytes; never panics, whatever they are.
            pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
                let (kind, version, payload) = open(bytes)?;
                match (kind, version) {
                    $($($((MessageKind::$kind, $old) => {
                        read::<$older>(kind, payload).map(|older| Self::$kind(older.into()))
                    })*)?)*
                    $((MessageKind::$kind, _) => read(kind, payload).map(Self::$kind),)*
                }
            }
        }
    };
}

// For each kind the version that is written at each format level, 0 where the level lacks the kind. A new
// version of a kind keeps the older form, in the message's own file, which converts into the newest and, as
// far as it has words for it, back. An older form with the same fields and fewer values of an enum is a
// `#[serde(transparent)]` struct around the newest.
messages! {
    InputOffered = 1, written as [1, 2, 2, 2], once { 1: input_offered::V1 };
    ClipFound = 2, written as [1, 1, 1, 1];
    ClipCurated = 3, written as [1, 1, 1, 1];
    ClipDecoded = 4, written as [1, 1, 1, 1];
    ClipAccepted = 5, written as [1, 1, 1, 1];
    InputSealed = 6, written as [1, 2, 2, 2], once { 1: input_sealed::V1 };
    PoolSealed = 7, written as [1, 1, 1, 1];
    PoolComposed = 8, written as [1, 1, 1, 1];
    SampleComposed = 9, written as [1, 1, 1, 1];
    RecipeSkipped = 10, written as [1, 1, 1, 1];
    RunFinished = 11, written as [1, 1, 1, 1];
    Rejected = 12, written as [1, 2, 3, 3], once { 1: rejected::V1, 2: rejected::V2 };
    DeadLetter = 13, written as [1, 2, 3, 4],
        once { 1: dead_letter::V1, 2: dead_letter::V2, 3: dead_letter::V3 };
    RevisionDeclared = 14, written as [1, 2, 3, 4],
        once { 1: revision_declared::V1, 2: revision_declared::V2, 3: revision_declared::V3 };
    RecordRequeued = 15, written as [1, 2, 3, 4],
        once { 1: record_requeued::V1, 2: record_requeued::V2, 3: record_requeued::V3 };
    FormatDeclared = 16, written as [0, 1, 1, 1];
    InputFetched = 17, written as [0, 1, 1, 1];
    ClipProbed = 18, written as [0, 0, 1, 1];
    AnswerGiven = 19, written as [0, 0, 1, 1];
    TrainingPlanned = 20, written as [0, 0, 0, 1];
    CheckpointSaved = 21, written as [0, 0, 0, 1];
    TrainingFailed = 22, written as [0, 0, 0, 1];
}

fn seal<T: Serialize>(kind: MessageKind, version: u16, message: &T) -> Result<Vec<u8>, EncodeError> {
    let payload = bincode::serde::encode_to_vec(message, bincode::config::standard())
        .map_err(|error| EncodeError::Payload { kind, reason: error.to_string() })?;
    let limit = limit(kind as u16);
    if payload.len() > limit {
        return Err(EncodeError::TooLarge { found: payload.len(), limit });
    }
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&(kind as u16).to_le_bytes());
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&bytes[4..12]), &payload);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes.extend_from_slice(&payload);
    Ok(bytes)
}

fn limit(kind: u16) -> usize {
    if kind == MessageKind::DeadLetter as u16 { MAX_DEAD_LETTER_BYTES } else { MAX_MESSAGE_BYTES }
}

fn open(bytes: &[u8]) -> Result<(MessageKind, u16, &[u8]), DecodeError> {
    let Some((header, payload)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Err(DecodeError::Truncated { found: bytes.len(), expected: HEADER_BYTES });
    };
    let number = |range: std::ops::Range<usize>| {
        header[range].iter().rev().fold(0_u32, |value, byte| value << 8 | u32::from(*byte))
    };
    if header[..4] != MAGIC {
        return Err(DecodeError::Foreign([header[0], header[1], header[2], header[3]]));
    }
    let (number_of_kind, version) = (number(4..6) as u16, number(6..8) as u16);
    let kind = MessageKind::from_number(number_of_kind)
        .ok_or(DecodeError::UnknownKind(number_of_kind))
        .and_then(|kind| match kind.version() {
            known if version > known => Err(DecodeError::Newer { kind, version, known }),
            _ => Ok(kind),
        });
    let (length, limit) = (number(8..12) as usize, limit(number_of_kind));
    // A later release may have raised the limit together with the version.
    if kind.is_ok() && length > limit {
        return Err(DecodeError::TooLarge { found: length, limit });
    }
    if payload.len() < length {
        return Err(DecodeError::Truncated { found: bytes.len(), expected: HEADER_BYTES + length });
    }
    if payload.len() > length {
        return Err(DecodeError::TrailingBytes(payload.len() - length));
    }
    let found = crc32c::crc32c_append(crc32c::crc32c(&header[4..12]), payload);
    let expected = number(12..16);
    if found != expected {
        return Err(DecodeError::Checksum { found, expected });
    }
    let kind = kind?;
    if version == 0 {
        return Err(DecodeError::Payload { kind, reason: "there is no version 0".to_owned() });
    }
    Ok((kind, version, payload))
}

fn read<T: DeserializeOwned>(kind: MessageKind, payload: &[u8]) -> Result<T, DecodeError> {
    let limits = bincode::config::standard().with_limit::<MAX_DECODED_BYTES>();
    let (message, used) = bincode::serde::decode_from_slice(payload, limits)
        .map_err(|error| DecodeError::Payload { kind, reason: error.to_string() })?;
    if used < payload.len() {
        return Err(DecodeError::TrailingBytes(payload.len() - used));
    }
    Ok(message)
}
