//! Codecs that are not what they are called, and configurations that lie.

use super::boxes::{Movie, u32s};
use super::{Cases, Films};

const PICTURE: &str = "moov/trak/mdia/minf/stbl/stsd";
const SOUND: &str = "moov/trak:1/mdia/minf/stbl/stsd";

/// Where an entry's codec stands.
const CODEC: usize = 12;

pub(super) fn cases(films: &Films, cases: &mut Cases) {
    for codec in
        ["hev1", "av01", "vp09", "mp4v", "jpeg", "png ", "raw ", "tx3g", "encv", "dvh1", "SVQ3", "    "]
    {
        tagged(films, cases, PICTURE, codec);
    }
    for codec in
        ["ac-3", "alac", "twos", "raw ", "enca", "samr", ".mp3", "Opus", "fLaC", "ms\0\u{2}", "lpcm", "in24"]
    {
        tagged(films, cases, SOUND, codec);
    }
    cases.edited(
        &films.late,
        &[
            ("entries-none", |film| film.at(PICTURE).data = u32s(&[0, 0])),
            ("entries-promised", |film| film.at(PICTURE).put_u32(4, u32::MAX)),
            ("entry-cut", |film| film.at(PICTURE).data.truncate(40)),
            ("entry-of-0", |film| film.at(PICTURE).put_u32(8, 0)),
            ("entry-greatest", |film| film.at(PICTURE).put_u32(8, u32::MAX)),
            ("sound-entries-none", |film| film.at(SOUND).data = u32s(&[0, 0])),
            ("sound-entries-promised", |film| film.at(SOUND).put_u32(4, u32::MAX)),
            ("sound-entry-cut", |film| film.at(SOUND).data.truncate(30)),
            ("sound-entry-greatest", |film| film.at(SOUND).put_u32(8, u32::MAX)),
            ("sound-of-0-channels", |film| film.at(SOUND).put(32, &[0, 0])),
            ("sound-of-65535-channels", |film| film.at(SOUND).put(32, &[0xff, 0xff])),
            ("sound-of-0-bits", |film| film.at(SOUND).put(34, &[0, 0])),
            ("sound-of-0-hertz", |film| film.at(SOUND).put(40, &[0; 4])),
            ("sound-of-65535-hertz", |film| film.at(SOUND).put(40, &[0xff; 4])),
            ("sound-of-another-version", |film| film.at(SOUND).put(24, &[0, 2])),
            ("avcc-without-sps", |film| configure(film, &[1, 66, 0, 30, 0xff, 0xe0, 0])),
            ("avcc-promises-31-sps", |film| configure(film, &[1, 66, 0, 30, 0xff, 0xff, 0, 1, 0x67])),
            ("avcc-sps-greatest", |film| configure(film, &[1, 66, 0, 30, 0xff, 0xe1, 0xff, 0xff])),
            ("avcc-of-lengths-of-1", |film| configure_byte(film, 4, 0xfc)),
            ("avcc-of-lengths-of-3", |film| configure_byte(film, 4, 0xfe)),
            ("avcc-of-another-profile", |film| configure_byte(film, 1, 0xf4)),
            ("avcc-of-level-255", |film| configure_byte(film, 3, 0xff)),
            ("avcc-of-version-0", |film| configure_byte(film, 0, 0)),
            ("avcc-empty", |film| rename(film, PICTURE, b"avcC", b"skip")),
            ("esds-empty", |film| rename(film, SOUND, b"esds", b"skip")),
            ("esds-greatest", |film| behind(film, SOUND, b"esds", 5, &[0xff, 0xff, 0xff, 0x7f])),
            ("esds-of-another-object", |film| object_type(film, 0x6b)),
            ("esds-of-no-object", |film| object_type(film, 0)),
            ("esds-of-vorbis", |film| object_type(film, 0xdd)),
            ("aac-config-all-ones", |film| aac(film, [0xff, 0xff])),
            ("aac-config-all-zero", |film| aac(film, [0, 0])),
            ("aac-config-of-0-channels", |film| aac(film, [0x14, 0x00])),
            ("aac-config-of-96-kilohertz", |film| aac(film, [0x10, 0x10])),
            ("aac-config-of-7-channels", |film| aac(film, [0x14, 0x38])),
            ("aac-config-of-main-profile", |film| aac(film, [0x0c, 0x08])),
        ],
    );
    // Packets that are noise, zeros, or those of the other stream.
    let mut film = Movie::parse(&films.late);
    film.at("mdat").data.fill(0);
    cases.add("packets-zero", "mp4", &film.bytes());
    film.at("mdat").data.fill(0xff);
    cases.add("packets-ones", "mp4", &film.bytes());
    let mut film = Movie::parse(&films.late);
    rand::RngCore::fill_bytes(&mut cases.random, &mut film.at("mdat").data);
    cases.add("packets-noise", "mp4", &film.bytes());
    let mut film = Movie::parse(&films.late);
    film.at("mdat").data.reverse();
    cases.add("packets-backwards", "mp4", &film.bytes());
}

fn tagged(films: &Films, cases: &mut Cases, entry: &str, codec: &str) {
    let mut film = Movie::parse(&films.late);
    film.at(entry).put(CODEC, &codec.as_bytes()[..4]);
    let stream = if entry == PICTURE { "picture" } else { "sound" };
    let name: String = codec.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    cases.add(format!("{stream}-called-{name}"), "mp4", &film.bytes());
}

/// Where the content of a box inside a sample entry begins.
fn inside(film: &mut Movie, entry: &str, kind: &[u8; 4]) -> usize {
    let data = &film.at(entry).data;
    data.windows(4).position(|found| found == kind).expect("the entry has the box") + 4
}

/// Writes over the beginning of a box inside a sample entry.
fn behind(film: &mut Movie, entry: &str, kind: &[u8; 4], skip: usize, bytes: &[u8]) {
    let at = inside(film, entry, kind) + skip;
    film.at(entry).put(at, bytes);
}

fn configure(film: &mut Movie, avcc: &[u8]) {
    behind(film, PICTURE, b"avcC", 0, avcc);
}

fn configure_byte(film: &mut Movie, at: usize, byte: u8) {
    behind(film, PICTURE, b"avcC", at, &[byte]);
}

fn rename(film: &mut Movie, entry: &str, from: &[u8; 4], to: &[u8; 4]) {
    let at = inside(film, entry, from) - 4;
    film.at(entry).put(at, to);
}

/// Writes over the kind of stream in the decoder configuration of the sound.
fn object_type(film: &mut Movie, object: u8) {
    let at = descriptor(film, 0x04);
    film.at(SOUND).put(at, &[object]);
}

/// Writes over the AudioSpecificConfig.
fn aac(film: &mut Movie, config: [u8; 2]) {
    let at = descriptor(film, 0x05);
    film.at(SOUND).put(at, &config);
}

/// Where the content of a descriptor of the sound begins, behind its tag and its length of up to four bytes.
fn descriptor(film: &mut Movie, tag: u8) -> usize {
    let esds = inside(film, SOUND, b"esds") + 4;
    let data = &film.at(SOUND).data;
    let found = (esds..data.len())
        .find(|at| data[*at] == tag && data[at + 1..].iter().take_while(|byte| **byte == 0x80).count() <= 3);
    let at = found.expect("the sound has its descriptors") + 1;
    at + data[at..].iter().take_while(|byte| **byte & 0x80 > 0).count() + 1
}
