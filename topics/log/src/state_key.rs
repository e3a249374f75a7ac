//! Keys of the state topics: fingerprint of the group (8 bytes), partition (4 bytes, big endian), the
//! stage's own key. The topic names the stage, so the three together are unique, and all of a group's
//! state lies side by side, ordered by partition and key.

use counterpoint_messages::Fingerprint;

/// Bytes before the stage's own key.
pub(crate) const PREFIX_BYTES: usize = 12;

/// Key of a state entry.
pub(crate) fn encode(fingerprint: Fingerprint, partition: u32, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(PREFIX_BYTES + key.len());
    bytes.extend_from_slice(&fingerprint.0);
    bytes.extend_from_slice(&partition.to_be_bytes());
    bytes.extend_from_slice(key);
    bytes
}

/// A key of a state topic in its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateKey<'a> {
    /// The group's.
    pub fingerprint: Fingerprint,
    /// Partition that the entry belongs to.
    pub partition: u32,
    /// The stage's own key.
    pub key: &'a [u8],
}

impl<'a> StateKey<'a> {
    /// Stands for a partition where the entry is the engine's own, and is larger than any.
    pub const OF_ENGINE: u32 = u32::MAX;

    /// Takes a key apart; `None` where the bytes are no such key.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (fingerprint, rest) = bytes.split_first_chunk()?;
        let (partition, key) = rest.split_first_chunk()?;
        Some(Self { fingerprint: Fingerprint(*fingerprint), partition: u32::from_be_bytes(*partition), key })
    }
}

/// Partition and own key of a state entry; `None` where the bytes are no such key.
pub(crate) fn decode(bytes: &[u8]) -> Option<(u32, &[u8])> {
    StateKey::parse(bytes).map(|StateKey { partition, key, .. }| (partition, key))
}

/// First key of a group's state and the first behind it.
pub(crate) fn range(fingerprint: Fingerprint) -> (Vec<u8>, Vec<u8>) {
    (encode(fingerprint, 0, &[]), encode(fingerprint, u32::MAX, &[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_and_lies_in_the_range_of_its_group_alone() {
        let (mine, other) =
            (Fingerprint([1, 0xff, 0, 0, 0, 0, 0, 7]), Fingerprint([1, 0xff, 0, 0, 0, 0, 0, 8]));
        let key = encode(mine, 3, b"pool");
        assert_eq!(decode(&key), Some((3, b"pool".as_slice())));
        let (first, end) = range(mine);
        assert!(first <= key && key < end);
        let (first, _) = range(other);
        assert!(key < first);
        assert_eq!(decode(&key[..PREFIX_BYTES - 1]), None);
    }
}
