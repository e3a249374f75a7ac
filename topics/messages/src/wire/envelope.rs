//! The envelope every record's value is wrapped in.
//!
//! ```text
//! magic "CNPT" | kind u16 | version u16 | payload length u32 | crc32c u32 | payload
//! ```
//!
//! All integers are little endian; the checksum covers kind, version, length and payload. The payload is
//! bincode 2 (standard configuration) by way of serde.

use serde::{Serialize, de::DeserializeOwned};

use crate::{input_offered::InputOfferedV1, input_sealed::InputSealedV1, *};

/// Largest payload that is written or read.
pub const MAX_MESSAGE_BYTES: usize = 1 << 20;

/// Largest payload of a dead letter, which holds another record whole.
pub const MAX_DEAD_LETTER_BYTES: usize = 3 << 20;

const MAGIC: [u8; 4] = *b"CNPT";
const HEADER_BYTES: usize = 16;

/// Most memory a payload may ask for while it is read. The codec counts every number at its full width,
/// which is up to eight times what was written: less would refuse messages that were written.
const MAX_DECODED_BYTES: usize = 8 * MAX_DEAD_LETTER_BYTES;

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

macro_rules! messages {
    ($($kind:ident = $number:literal, version $version:literal $(, $older:literal was $was:ty)?;)*) => {
        /// What a record is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u16)]
        #[allow(missing_docs)]
        pub enum MessageKind { $($kind = $number,)* }

        impl MessageKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$kind),)* _ => None }
            }

            /// Newest schema version that this program reads and writes.
            pub fn version(self) -> u16 {
                match self { $(Self::$kind => $version,)* }
            }
        }

        /// Any message.
        #[derive(Debug, Clone, PartialEq)]
        #[allow(missing_docs)]
        pub enum Message { $($kind($kind),)* }

        $(impl From<$kind> for Message {
            fn from(message: $kind) -> Self { Self::$kind(message) }
        })*

        impl Message {
            /// What it is.
            pub fn kind(&self) -> MessageKind {
                match self { $(Self::$kind(_) => MessageKind::$kind,)* }
            }

            /// The message in its envelope.
            ///
            /// # Errors
            /// [`DecodeError::TooLarge`] if the payload exceeds [`MAX_MESSAGE_BYTES`] (for a dead letter
            /// [`MAX_DEAD_LETTER_BYTES`]).
            pub fn encode(&self) -> Result<Vec<u8>, DecodeError> {
                match self { $(Self::$kind(message) => seal(MessageKind::$kind, message),)* }
            }

            /// The message in these bytes, which hold one envelope and nothing else.
            ///
            /// # Errors
            /// What is wrong with the bytes; never panics, whatever they are.
            pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
                let (kind, version, payload) = open(bytes)?;
                match (kind, version) {
                    $($((MessageKind::$kind, $older) => {
                        read::<$was>(kind, payload).map(|old| Self::$kind(old.into()))
                    })?)*
                    $((MessageKind::$kind, _) => read(kind, payload).map(Self::$kind),)*
                }
            }
        }
    };
}

messages! {
    InputOffered = 1, version 2, 1 was InputOfferedV1;
    ClipFound = 2, version 1;
    ClipCurated = 3, version 1;
    ClipDecoded = 4, version 1;
    ClipAccepted = 5, version 1;
    InputSealed = 6, version 2, 1 was InputSealedV1;
    PoolSealed = 7, version 1;
    PoolComposed = 8, version 1;
    SampleComposed = 9, version 1;
    RecipeSkipped = 10, version 1;
    RunFinished = 11, version 1;
    Rejected = 12, version 2;
    DeadLetter = 13, version 2;
    RevisionDeclared = 14, version 2;
    RecordRequeued = 15, version 2;
    InputFetched = 16, version 1;
}

fn seal<T: Serialize>(kind: MessageKind, message: &T) -> Result<Vec<u8>, DecodeError> {
    let payload = bincode::serde::encode_to_vec(message, bincode::config::standard())
        .map_err(|error| DecodeError::Payload { kind, reason: error.to_string() })?;
    let limit = limit(kind as u16);
    if payload.len() > limit {
        return Err(DecodeError::TooLarge { found: payload.len(), limit });
    }
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&(kind as u16).to_le_bytes());
    bytes.extend_from_slice(&kind.version().to_le_bytes());
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
    let (length, limit) = (number(8..12) as usize, limit(number(4..6) as u16));
    if length > limit {
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
    let (kind, version) = (number(4..6) as u16, number(6..8) as u16);
    let kind = MessageKind::from_number(kind).ok_or(DecodeError::UnknownKind(kind))?;
    if version > kind.version() {
        return Err(DecodeError::Newer { kind, version, known: kind.version() });
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
