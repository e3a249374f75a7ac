//! Fragmented mp4 with fragments missing, moved, or promising what is not there.

use super::boxes::{Movie, Node, u32s};
use super::{Cases, Films};

pub(super) fn cases(films: &Films, cases: &mut Cases) {
    cases.edited(
        &films.fragments,
        &[
            ("unchanged", |_| {}),
            ("without-the-beginning", |film| {
                film.take("moov");
            }),
            ("only-the-beginning", |film| {
                film.boxes.retain(|node| matches!(&node.kind, b"ftyp" | b"moov"));
            }),
            ("without-any-moof", |film| film.boxes.retain(|node| node.kind != *b"moof")),
            ("without-any-mdat", |film| film.boxes.retain(|node| node.kind != *b"mdat")),
            ("without-the-first-moof", |film| {
                film.take("moof");
            }),
            ("without-mvex", |film| {
                film.take("moov/mvex");
            }),
            ("first-moof-by-the-thousand", |film| {
                let moof = film.at("moof").clone();
                film.boxes.extend(vec![moof; 2_000]);
            }),
            ("backwards", |film| {
                let head = film.boxes.iter().take_while(|node| node.kind != *b"moof").count();
                film.boxes[head..].reverse();
            }),
            ("every-fragment-twice", |film| {
                let head = film.boxes.iter().take_while(|node| node.kind != *b"moof").count();
                let again = film.boxes[head..].to_vec();
                film.boxes.extend(again);
            }),
            ("moof-in-moof", |film| {
                let moof = film.at("moof").clone();
                film.at("moof").boxes.push(moof);
            }),
            ("begins-in-a-million-years", |film| begins(film, i64::MAX as u64)),
            ("begins-before-the-beginning", |film| begins(film, u64::MAX)),
            ("begins-an-hour-late", |film| begins(film, 3_600 * 16_000)),
            ("run-promised", |film| film.at("moof/traf/trun").put_u32(4, u32::MAX)),
            ("run-of-none", |film| film.at("moof/traf/trun").put_u32(4, 0)),
            ("run-points-outside", |film| film.at("moof/traf/trun").put_u32(8, 0x7fff_ffff)),
            ("run-points-backwards", |film| film.at("moof/traf/trun").put_u32(8, 0x8000_0000)),
            ("run-with-every-flag", |film| film.at("moof/traf/trun").put_u32(0, 0x01ff_ffff)),
            ("run-without-flags-promised", |film| {
                film.at("moof/traf/trun").data = u32s(&[0, 0x00ff_ffff]);
            }),
            ("run-cut", |film| film.at("moof/traf/trun").data.truncate(6)),
            ("fragment-of-no-track", |film| film.at("moof/traf/tfhd").put_u32(4, 77)),
            ("fragment-with-every-flag", |film| film.at("moof/traf/tfhd").put_u32(0, 0x00ff_ffff)),
            ("fragment-cut", |film| film.at("moof/traf/tfhd").data.truncate(5)),
            ("index-promised", |film| {
                let head = u32s(&[0, 1, 16_000, 0, 0, 0x0000_ffff]);
                film.boxes.insert(2, Node::new(b"sidx", head));
            }),
            ("index-of-itself", |film| {
                let reference = u32s(&[0x8000_0000, 16_000, 0]);
                let head = u32s(&[0, 1, 16_000, 0, 0, 0x0000_0400]);
                film.boxes.insert(2, Node::new(b"sidx", [head, reference.repeat(1_024)].concat()));
            }),
            ("index-at-the-end-promised", |film| {
                let table = Node::new(b"tfra", u32s(&[0x0100_0000, 1, 0xff, u32::MAX]));
                let offset = Node::new(b"mfro", u32s(&[0, u32::MAX]));
                film.boxes.push(Node::of(b"mfra", vec![table, offset]));
            }),
            ("defaults-greatest", |film| {
                let defaults = film.at("moov/mvex/trex");
                defaults.data[8..].fill(0xff);
            }),
            ("length-greatest", |film| {
                let length = Node::new(b"mehd", u32s(&[0x0100_0000, u32::MAX, u32::MAX]));
                film.at("moov/mvex").boxes.insert(0, length);
            }),
        ],
    );
}

/// Lets the first fragment of the first track begin elsewhere.
fn begins(film: &mut Movie, time: u64) {
    let start = Node::new(b"tfdt", [u32s(&[0x0100_0000]), time.to_be_bytes().to_vec()].concat());
    let track = film.at("moof/traf");
    track.boxes.retain(|node| node.kind != *b"tfdt");
    track.boxes.insert(1, start);
}
