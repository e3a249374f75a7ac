//! Boxes in boxes without end, thousands of tracks, and lengths that lie.

use super::boxes::{Movie, Node, Size, u32s};
use super::{Cases, Films};

/// Boxes whose lengths lie, from the outermost inwards.
const LYING: [&str; 8] = [
    "ftyp",
    "mdat",
    "moov",
    "moov/trak",
    "moov/trak/mdia",
    "moov/trak/mdia/minf/stbl",
    "moov/trak/mdia/minf/stbl/stsd",
    "moov/trak/mdia/minf/stbl/stsz",
];

pub(super) fn cases(films: &Films, cases: &mut Cases) {
    cases.edited(
        &films.late,
        &[
            ("tracks-by-the-thousand", |film| {
                let track = film.at("moov/trak").clone();
                film.at("moov").boxes.extend(vec![track; 2_000]);
            }),
            ("tracks-of-sound-by-the-thousand", |film| {
                let track = film.at("moov/trak:1").clone();
                film.at("moov").boxes.extend(vec![track; 2_000]);
            }),
            ("tracks-empty-by-the-thousand", |film| {
                film.at("moov").boxes.extend(vec![Node::new(b"trak", []); 20_000]);
            }),
            ("tracks-forty", |film| {
                for number in 0..20 {
                    for track in ["moov/trak", "moov/trak:1"] {
                        let mut track = film.at(track).clone();
                        track.boxes[0].put_u32(12, 10 + number);
                        film.at("moov").boxes.push(track);
                    }
                }
            }),
            ("headers-of-tracks-by-the-thousand", |film| {
                let header = film.at("moov/trak/tkhd").clone();
                film.at("moov/trak").boxes.extend(vec![header; 5_000]);
            }),
            ("tags-endless", |film| {
                let tag = [u32s(&[100_000, 1]), vec![b'A'; 100_000]].concat();
                let name = Node::of(b"\xa9nam", vec![Node::new(b"data", tag)]);
                let list = Node::of(b"ilst", vec![name; 20]);
                let meta = Node { data: vec![0; 4], ..Node::of(b"meta", vec![list]) };
                film.at("moov").boxes.push(Node::of(b"udta", vec![meta]));
            }),
            ("tags-of-broken-text", |film| {
                let tag = [u32s(&[1, 0]), vec![0xff, 0xfe, 0xc0, 0x80, 0xed, 0xa0, 0x80, 0xf8]].concat();
                let kinds = [b"\xa9nam", b"\xa9ART", b"\xa9day", b"\xa9gen", b"\xa9cmt", b"covr", b"disk"];
                let tags = kinds.map(|kind| Node::of(kind, vec![Node::new(b"data", tag.clone())])).to_vec();
                let meta = Node { data: vec![0; 4], ..Node::of(b"meta", vec![Node::of(b"ilst", tags)]) };
                film.at("moov").boxes.push(Node::of(b"udta", vec![meta]));
            }),
            ("id3-promised", |film| {
                let tag = [&[0, 0, 0, 0, 0x15, 0xc7][..], b"ID3\x04\0\0\x7f\x7f\x7f\x7f"].concat();
                film.at("moov").boxes.push(Node::of(
                    b"meta",
                    vec![Node { data: vec![0; 4], ..Node::of(b"ID32", vec![Node::new(b"ID32", tag)]) }],
                ));
            }),
            ("protection-headers", |film| {
                let pssh = [u32s(&[0x0100_0000]), vec![7; 16], u32s(&[u32::MAX, u32::MAX])].concat();
                film.at("moov").boxes.extend(vec![Node::new(b"pssh", pssh); 1_000]);
            }),
        ],
    );
    for (name, path, kind) in [
        ("moov-deep", "moov", b"moov"),
        ("tracks-deep", "moov", b"trak"),
        ("udta-deep", "moov", b"udta"),
        ("meta-deep", "moov/trak", b"meta"),
        ("wave-deep", "moov/trak/mdia", b"wave"),
        ("tables-deep", "moov/trak/mdia/minf", b"stbl"),
        ("data-deep", "moov", b"dinf"),
    ] {
        for depth in [50, 20_000] {
            let mut film = Movie::parse(&films.late);
            film.at(path).boxes.push(deep(kind, depth));
            cases.add(format!("{name}-{depth}"), "mp4", &film.bytes());
        }
    }
    for path in LYING {
        for (name, size) in [
            ("0", Size::Claimed(0)),
            ("1", Size::Claimed(1)),
            ("7", Size::Claimed(7)),
            ("9", Size::Claimed(9)),
            ("greatest", Size::Claimed(u32::MAX)),
            ("2-gigabytes", Size::Claimed(0x7fff_ffff)),
            ("wide-0", Size::Wide(0)),
            ("wide-greatest", Size::Wide(u64::MAX)),
            ("wide-negative", Size::Wide(1 << 63)),
            ("wide-a-terabyte", Size::Wide(1 << 40)),
        ] {
            let mut film = Movie::parse(&films.late);
            film.at(path).size = size;
            cases.add(format!("{}-of-{name}", path.replace('/', "-")), "mp4", &film.bytes());
        }
    }
}

/// A box in a box in a box.
fn deep(kind: &[u8; 4], depth: u32) -> Node {
    let mut bytes = Vec::new();
    for left in (1..depth).rev() {
        bytes.extend((left * 8).to_be_bytes());
        bytes.extend(kind);
    }
    Node::new(kind, bytes)
}
