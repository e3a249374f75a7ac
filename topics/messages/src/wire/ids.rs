//! Ids. A record's id is a hash of its cause, never of what came out.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::StageName;

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name(pub [u8; $bytes]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let mut bytes = [0; $bytes];
                hex::decode_to_slice(text, &mut bytes)
                    .map_err(|_| ParseIdError { text: text.to_owned(), digits: 2 * $bytes })?;
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
                } else {
                    <[u8; $bytes]>::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}

hex_id! {
    /// Id of a record: 128 bits of the BLAKE3 of its [`Cause`].
    RecordId, 16
}
hex_id! {
    /// BLAKE3 of an object's bytes, which is its name in the media store.
    ContentHash, 32
}
hex_id! {
    /// A stage's settings and those of every stage above it: records that carry the same one are of the
    /// same revision.
    Fingerprint, 8
}

/// A text that is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no id: expected {digits} hexadecimal digits")]
pub struct ParseIdError {
    text: String,
    digits: usize,
}

impl ContentHash {
    /// Hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

/// Sum of record ids modulo 2^128: equal for equal sets of ids, whatever their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IdSum([u8; 16]);

impl IdSum {
    /// With one more id.
    #[must_use]
    pub fn plus(self, id: RecordId) -> Self {
        Self(u128::from_le_bytes(self.0).wrapping_add(u128::from_le_bytes(id.0)).to_le_bytes())
    }

    /// Without one of its ids.
    #[must_use]
    pub fn minus(self, id: RecordId) -> Self {
        Self(u128::from_le_bytes(self.0).wrapping_sub(u128::from_le_bytes(id.0)).to_le_bytes())
    }
}

/// What makes a record come into being; its hash is the record's id, so a second delivery of the same
/// cause can be recognised whatever bytes it produced.
#[derive(Debug, Clone, Copy)]
pub struct Cause<'a> {
    /// Stage that writes the record.
    pub stage: StageName,
    /// Version of the transform: raised when the same input and settings give other results.
    pub transform: u32,
    /// The stage's settings and those above it.
    pub settings: Fingerprint,
    /// Ids of the records it came from.
    pub inputs: &'a [RecordId],
    /// What tells several outputs of one input apart.
    pub detail: &'a str,
}

impl Cause<'_> {
    /// The id.
    pub fn id(&self) -> RecordId {
        let mut hasher = blake3::Hasher::new_derive_key("counterpoint record id v1");
        for part in [self.stage.as_str().as_bytes(), self.detail.as_bytes()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.update(&self.transform.to_le_bytes());
        hasher.update(&self.settings.0);
        for input in self.inputs {
            hasher.update(&input.0);
        }
        let mut id = [0; 16];
        hasher.finalize_xof().fill(&mut id);
        RecordId(id)
    }
}

/// Partition of a source video's records: the same on every engine, for all topics that clips flow on.
pub fn partition_of(video: &str, partitions: u32) -> u32 {
    let hash = blake3::hash(video.as_bytes());
    let mut head = [0; 8];
    head.copy_from_slice(&hash.as_bytes()[..8]);
    (u64::from_le_bytes(head) % u64::from(partitions.max(1))) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_depends_on_every_part_of_its_cause() {
        let cause = Cause {
            stage: StageName::Curator,
            transform: 1,
            settings: Fingerprint([1; 8]),
            inputs: &[RecordId([2; 16])],
            detail: "a",
        };
        let id = cause.id();
        assert_eq!(id, cause.id());
        for other in [
            Cause { stage: StageName::Gate, ..cause },
            Cause { transform: 2, ..cause },
            Cause { settings: Fingerprint([3; 8]), ..cause },
            Cause { inputs: &[], ..cause },
            Cause { detail: "b", ..cause },
        ] {
            assert_ne!(id, other.id());
        }
    }

    #[test]
    fn ids_read_back_what_they_print() {
        let hash = ContentHash::of(b"x");
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert!("xyz".parse::<RecordId>().unwrap_err().to_string().contains("32 hexadecimal digits"));
    }
}
