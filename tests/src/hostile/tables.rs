//! Tables that promise billions of entries, point outside the file, or contradict each other.

use super::boxes::{Movie, Node, u32s};
use super::{Cases, Films};

const STBL: &str = "moov/trak/mdia/minf/stbl";
const SOUND_STBL: &str = "moov/trak:1/mdia/minf/stbl";

/// A table and where its fields stand.
const STSZ: &str = "moov/trak/mdia/minf/stbl/stsz";
const STCO: &str = "moov/trak/mdia/minf/stbl/stco";
const STSC: &str = "moov/trak/mdia/minf/stbl/stsc";
const STSS: &str = "moov/trak/mdia/minf/stbl/stss";
const SOUND_STSZ: &str = "moov/trak:1/mdia/minf/stbl/stsz";
const SOUND_STCO: &str = "moov/trak:1/mdia/minf/stbl/stco";
const SOUND_STSC: &str = "moov/trak:1/mdia/minf/stbl/stsc";

pub(super) fn cases(films: &Films, cases: &mut Cases) {
    cases.edited(
        &films.late,
        &[
            ("sizes-promised", |film| film.at(STSZ).put_u32(8, u32::MAX)),
            ("sizes-promised-of-one-length", |film| film.at(STSZ).data = u32s(&[0, 100, u32::MAX])),
            ("sizes-greatest-of-one-length", |film| film.at(STSZ).data = u32s(&[0, u32::MAX, 15])),
            ("sizes-none", |film| film.at(STSZ).data = u32s(&[0, 0, 0])),
            ("sizes-zero", |film| film.at(STSZ).data[12..].fill(0)),
            ("sizes-greatest", |film| film.at(STSZ).data[12..].fill(0xff)),
            ("sizes-of-half-a-gigabyte", |film| film.at(STSZ).put_u32(12, 1 << 29)),
            ("sizes-one-too-many", |film| {
                let count = film.at(STSZ).u32(8);
                film.at(STSZ).put_u32(8, count + 1);
                film.at(STSZ).data.extend(u32s(&[500]));
            }),
            ("sound-sizes-promised", |film| film.at(SOUND_STSZ).put_u32(8, u32::MAX)),
            ("sound-sizes-promised-of-one-length", |film| {
                film.at(SOUND_STSZ).data = u32s(&[0, 1, u32::MAX]);
            }),
            ("sound-sizes-zero", |film| film.at(SOUND_STSZ).data[12..].fill(0)),
            ("sound-sizes-greatest", |film| film.at(SOUND_STSZ).data[12..].fill(0xff)),
            ("chunks-promised", |film| film.at(STCO).put_u32(4, u32::MAX)),
            ("chunks-none", |film| film.at(STCO).data = u32s(&[0, 0])),
            ("chunks-at-zero", |film| film.at(STCO).data[8..].fill(0)),
            ("chunks-outside", |film| film.at(STCO).data[8..].fill(0xff)),
            ("chunks-in-the-index", |film| {
                let at = film.boxes.iter().take_while(|node| node.kind != *b"moov");
                let at = at.map(|node| node.bytes().len() as u32).sum::<u32>();
                let chunks = film.at(STCO).data.len() / 4 - 2;
                film.at(STCO).data = [u32s(&[0, chunks as u32]), u32s(&vec![at; chunks])].concat();
            }),
            ("chunks-at-the-last-byte", |film| {
                let end = film.bytes().len() as u32 - 1;
                let chunks = film.at(STCO).data.len() / 4 - 2;
                film.at(STCO).data = [u32s(&[0, chunks as u32]), u32s(&vec![end; chunks])].concat();
            }),
            ("sound-chunks-outside", |film| film.at(SOUND_STCO).data[8..].fill(0xff)),
            ("sound-chunks-at-zero", |film| film.at(SOUND_STCO).data[8..].fill(0)),
            ("chunks-in-64-bits-outside", |film| far_chunks(film, u64::MAX)),
            ("chunks-in-64-bits-negative", |film| far_chunks(film, 1 << 63)),
            ("chunks-in-64-bits-beyond-the-disk", |film| far_chunks(film, 1 << 48)),
            ("runs-promised", |film| film.at(STSC).put_u32(4, u32::MAX)),
            ("runs-from-zero", |film| film.at(STSC).data = u32s(&[0, 1, 0, 1, 1])),
            ("runs-of-none", |film| film.at(STSC).data = u32s(&[0, 1, 1, 0, 1])),
            ("runs-greatest", |film| film.at(STSC).data = u32s(&[0, 1, 1, u32::MAX, 1])),
            ("runs-backwards", |film| film.at(STSC).data = u32s(&[0, 3, 3, 1, 1, 2, 1, 1, 1, 1, 1])),
            ("runs-far-away", |film| {
                film.at(STSC).data = u32s(&[0, 2, 1, 1, 1, u32::MAX, 1, 1]);
            }),
            ("runs-of-another-format", |film| film.at(STSC).data = u32s(&[0, 1, 1, 15, 77])),
            ("runs-without-format", |film| film.at(STSC).data = u32s(&[0, 1, 1, 15, 0])),
            ("sound-runs-greatest", |film| {
                film.at(SOUND_STSC).data = u32s(&[0, 1, 1, u32::MAX, 1]);
            }),
            ("keys-promised", |film| film.at(STSS).put_u32(4, u32::MAX)),
            ("keys-none", |film| film.at(STSS).data = u32s(&[0, 0])),
            ("keys-at-zero", |film| film.at(STSS).data = u32s(&[0, 1, 0])),
            ("keys-far-away", |film| film.at(STSS).data = u32s(&[0, 2, u32::MAX, 1])),
            ("tables-of-sound-for-the-picture", |film| {
                film.at(STBL).boxes = film.at(SOUND_STBL).boxes.clone();
            }),
            ("tables-twice", |film| {
                let tables = film.at(STBL).boxes.clone();
                film.at(STBL).boxes.extend(tables);
            }),
            ("tables-cut", |film| {
                film.at(STBL).boxes.iter_mut().for_each(|table| table.data.truncate(6));
            }),
            ("groups-promised", |film| {
                let entry = [u32s(&[0x0100_0000]), b"roll".to_vec(), u32s(&[2, u32::MAX])].concat();
                film.at(STBL).boxes.push(Node::new(b"sgpd", entry));
            }),
            ("dependencies-promised", |film| {
                film.at(STBL).boxes.push(Node::new(b"sdtp", vec![0xff; 100_000]));
                film.at(STBL).boxes.push(Node::new(b"saiz", u32s(&[0, u32::MAX, u32::MAX])));
                film.at(STBL).boxes.push(Node::new(b"saio", u32s(&[0, u32::MAX, u32::MAX])));
            }),
        ],
    );
    for table in ["stsd", "stts", "stsz", "stsc", "stco", "stss", "ctts"] {
        let mut film = Movie::parse(&films.late);
        film.take(&format!("{STBL}/{table}"));
        cases.add(format!("without-{table}"), "mp4", &film.bytes());
    }
    for table in ["stsd", "stts", "stsz", "stsc", "stco"] {
        let mut film = Movie::parse(&films.late);
        film.take(&format!("{SOUND_STBL}/{table}"));
        cases.add(format!("sound-without-{table}"), "mp4", &film.bytes());
    }
}

/// Moves the picture's chunks to an offset of 64 bits.
fn far_chunks(film: &mut Movie, offset: u64) {
    film.take(STCO);
    let table = [u32s(&[0, 1]), offset.to_be_bytes().to_vec()].concat();
    film.at(STBL).boxes.push(Node::new(b"co64", table));
}
