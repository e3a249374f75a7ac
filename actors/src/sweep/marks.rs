//! Which of the objects are named in some bytes.

use std::collections::HashMap;

use counterpoint_messages::ContentHash;

use crate::store::Entry;

/// Bits of the filter, a power of two: most places in a record are told by it alone to name no object.
const FILTER_BITS: u64 = 1 << 22;

const HASH_BYTES: usize = 32;
const HEX_DIGITS: usize = 2 * HASH_BYTES;

/// Objects, and whether a name of each was seen.
#[derive(Debug)]
pub(super) struct Marks {
    entries: Vec<(Entry, bool)>,
    /// By the hash.
    places: HashMap<[u8; HASH_BYTES], usize>,
    filter: Vec<u64>,
}

impl Marks {
    /// Nothing is marked yet.
    pub(super) fn new(objects: Vec<Entry>) -> Self {
        let mut filter = vec![0; usize::try_from(FILTER_BITS / 64).unwrap_or(0)];
        for object in &objects {
            if let Some((word, bit)) = bit_of(&object.hash.0) {
                filter[word] |= bit;
            }
        }
        let places = objects.iter().enumerate().map(|(place, object)| (object.hash.0, place)).collect();
        Self { entries: objects.into_iter().map(|object| (object, false)).collect(), places, filter }
    }

    /// Marks every object whose hash stands anywhere in `bytes`, raw as the codec writes it or as lower-case
    /// hexadecimal digits as JSON does.
    pub(super) fn mark_all_in(&mut self, bytes: &[u8]) {
        for window in bytes.windows(HASH_BYTES) {
            self.mark(window);
        }
        let mut digits = 0;
        for (place, byte) in bytes.iter().enumerate() {
            digits = if matches!(byte, b'0'..=b'9' | b'a'..=b'f') { digits + 1 } else { 0 };
            if digits >= HEX_DIGITS {
                let text = std::str::from_utf8(&bytes[place + 1 - HEX_DIGITS..=place]).unwrap_or_default();
                if let Ok(ContentHash(hash)) = text.parse() {
                    self.mark(&hash);
                }
            }
        }
    }

    fn mark(&mut self, hash: &[u8]) {
        let is_perhaps_one = bit_of(hash).is_some_and(|(word, bit)| self.filter[word] & bit != 0);
        if is_perhaps_one && let Some(place) = self.places.get(hash) {
            self.entries[*place].1 = true;
        }
    }

    /// Each object, and whether it is marked.
    pub(super) fn into_entries(self) -> impl Iterator<Item = (Entry, bool)> {
        self.entries.into_iter()
    }
}

/// Word and bit of the filter for a hash, which is as good as random.
fn bit_of(hash: &[u8]) -> Option<(usize, u64)> {
    let bit = u64::from_le_bytes(*hash.first_chunk::<8>()?) % FILTER_BITS;
    Some((usize::try_from(bit / 64).ok()?, 1 << (bit % 64)))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn marked(bytes: &[u8], objects: &[ContentHash]) -> Vec<bool> {
        let entry = |hash: &ContentHash| Entry { hash: *hash, bytes: 1, modified: SystemTime::now() };
        let mut marks = Marks::new(objects.iter().map(entry).collect());
        marks.mark_all_in(bytes);
        marks.into_entries().map(|(_, is_marked)| is_marked).collect()
    }

    #[test]
    fn a_hash_is_found_raw_and_as_digits_at_any_place_and_no_other_is() {
        let [a, b, c] = [b"a", b"b", b"c"].map(|bytes| ContentHash::of(bytes));
        let raw = [b"xyz".as_slice(), &a.0, b"!"].concat();
        let text = format!("{{\"sound\":\"{b}\",\"more\":[]}}");
        assert_eq!(marked(&raw, &[a, b, c]), [true, false, false]);
        assert_eq!(marked(text.as_bytes(), &[a, b, c]), [false, true, false]);
        // Digits may stand before it without a word between.
        assert_eq!(marked(format!("00{c}ff").as_bytes(), &[a, b, c]), [false, false, true]);
        for cut in [&raw[..raw.len() - 2], &text.as_bytes()[..70], b"", &a.0[1..]] {
            assert_eq!(marked(cut, &[a, b, c]), [false; 3]);
        }
    }

    #[test]
    fn hashes_that_share_their_beginning_are_told_apart() {
        let a = ContentHash([7; 32]);
        let mut b = a;
        b.0[31] = 8;
        assert_eq!(marked(&b.0, &[a, b]), [false, true]);
    }
}
