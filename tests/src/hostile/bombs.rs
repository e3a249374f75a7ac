//! A few kilobytes that claim hours, or decode to gigabytes.

use super::boxes::{Movie, Node, u32s};
use super::ebml::{Element, id};
use super::{Cases, Films};

const STBL: &str = "moov/trak/mdia/minf/stbl";

pub(super) fn cases(films: &Films, cases: &mut Cases) {
    cases.add("frame-60000-times-in-a-second", "mp4", &repeated(&films.late, 60_000, 0));
    cases.add("frame-60000-times-in-hours", "mp4", &repeated(&films.late, 60_000, 1_000));
    cases.add("frame-60000-times-at-once", "mp4", &repeated(&films.late, 60_000, u32::MAX));
    cases.add("vast-frame-once", "mp4", &films.vast);
    cases.add("vast-frame-100-times", "mp4", &repeated(&films.vast, 100, 1));
    cases.add("sound-packet-200000-times", "mp4", &sound_repeated(&films.late, 200_000));
    let mut film = Element::parse(&films.mkv);
    let cluster = film.at(&[id::SEGMENT, id::CLUSTER]).clone();
    film.at(&[id::SEGMENT]).elements.extend(vec![cluster; 300]);
    cases.add("cluster-300-times", "mkv", &film.bytes());
    cases.add("zlib", "mkv", &inflating(&films.mkv));
}

/// The film with its first frame so many times; each takes the next `step` thousandths of a second, or with 0
/// all share the second.
fn repeated(film: &[u8], times: u32, step: u32) -> Vec<u8> {
    let mut film = Movie::parse(film);
    film.at("moov/trak").boxes.retain(|node| node.kind != *b"edts");
    let clock = film.at("moov/trak/mdia/mdhd").u32(12);
    let (at, size) = {
        let sizes = film.at(&format!("{STBL}/stsz"));
        let size = if sizes.u32(4) > 0 { sizes.u32(4) } else { sizes.u32(12) };
        (film.at(&format!("{STBL}/stco")).u32(8), size)
    };
    let length = match step {
        0 => (clock / times).max(1),
        u32::MAX => 0,
        step => clock / 1_000 * step,
    };
    let tables = film.at(STBL);
    tables.boxes.retain(|node| node.kind == *b"stsd");
    tables.boxes.extend([
        Node::new(b"stts", u32s(&[0, 1, times, length])),
        Node::new(b"stsz", u32s(&[0, size, times])),
        Node::new(b"stsc", u32s(&[0, 1, 1, 1, 1])),
        Node::new(b"stco", [u32s(&[0, times]), u32s(&vec![at; times as usize])].concat()),
    ]);
    film.at("moov/trak/mdia/mdhd").put_u32(16, times.saturating_mul(length));
    film.bytes()
}

/// The film with its first packet of sound so many times.
fn sound_repeated(film: &[u8], times: u32) -> Vec<u8> {
    let tables = "moov/trak:1/mdia/minf/stbl";
    let mut film = Movie::parse(film);
    let size = film.at(&format!("{tables}/stsz")).u32(16);
    let at = film.at(&format!("{tables}/stco")).u32(8) + film.at(&format!("{tables}/stsz")).u32(12);
    film.at(&format!("{tables}/stsz")).data = u32s(&[0, size, times]);
    film.at(&format!("{tables}/stts")).data = u32s(&[0, 1, times, 1024]);
    film.at(&format!("{tables}/stsc")).data = u32s(&[0, 1, 1, 1, 1]);
    film.at(&format!("{tables}/stco")).data = [u32s(&[0, times]), u32s(&vec![at; times as usize])].concat();
    film.bytes()
}

/// A film whose blocks are zlib streams of 64 MiB of zeros each.
fn inflating(film: &[u8]) -> Vec<u8> {
    let mut film = Element::parse(film);
    let method = Element::of(id::COMPRESSION, vec![Element::new(id::ALGORITHM, [0])]);
    let encodings = Element::of(id::ENCODINGS, vec![Element::of(id::ENCODING, vec![method])]);
    for track in &mut film.at(&[id::SEGMENT, id::TRACKS]).elements {
        track.elements.push(encodings.clone());
    }
    let zeros = zlib_zeros(1 << 26);
    let cluster = film.at(&[id::SEGMENT, id::CLUSTER]);
    for block in cluster.elements.iter_mut().filter(|element| element.id == id::BLOCK).take(4) {
        block.data.truncate(4);
        block.data.extend(&zeros);
    }
    film.bytes()
}

/// A zlib stream of so many zeros: one literal, then copies of 258 bytes of two bits each.
fn zlib_zeros(count: u32) -> Vec<u8> {
    let mut bits = BitWriter { bytes: vec![0x78, 0xda], used: 0 };
    // One last block of dynamic codes. Lengths: literal 0 and end of block in two bits, copies of 258 in one.
    bits.put(0b1, 1);
    bits.put(0b10, 2);
    bits.put(286 - 257, 5);
    bits.put(0, 5);
    bits.put(18 - 4, 4);
    // Code lengths of the code lengths, in the order of RFC 1951: 16 17 18 0 8 7 9 6 10 5 11 4 12 3 13 2 14 1.
    let lengths = [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2];
    for length in lengths {
        bits.put(length, 3);
    }
    // Canonical: 18 is `0`, 1 is `10`, 2 is `11`, most significant bit first.
    let zeros = |bits: &mut BitWriter, run: u32| {
        bits.put(0, 1);
        bits.put(run - 11, 7);
    };
    let one = 0b01;
    let two = 0b11;
    bits.put(two, 2);
    zeros(&mut bits, 138);
    zeros(&mut bits, 117);
    bits.put(two, 2);
    zeros(&mut bits, 28);
    bits.put(one, 2);
    // One distance of one bit: the byte before.
    bits.put(one, 2);
    // Codes: 285 is `0`, literal 0 `10`, end `11`; the distance is `0`.
    bits.put(0b01, 2);
    for _ in 0..(count - 1) / 258 {
        bits.put(0, 2);
    }
    bits.put(0b11, 2);
    let mut bytes = bits.bytes;
    let length = (count - 1) / 258 * 258 + 1;
    // Adler-32 of zeros: the first sum stays 1, the second is the length.
    bytes.extend(((length % 65_521) << 16 | 1).to_be_bytes());
    bytes
}

/// Bits, least significant first.
struct BitWriter {
    bytes: Vec<u8>,
    used: u32,
}

impl BitWriter {
    fn put(&mut self, value: u32, count: u32) {
        for bit in 0..count {
            if self.used == 0 {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= (value >> bit & 1) as u8 * (1 << self.used);
            }
            self.used = (self.used + 1) % 8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_of_zeros_is_a_thousandth_of_what_it_holds() {
        let stream = zlib_zeros(1 << 26);
        assert!(stream.len() < (1 << 26) / 1_000, "{}", stream.len());
    }
}
