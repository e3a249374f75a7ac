//! Numbers in headers that no film has: sizes, clocks, lengths, handlers.

use super::{Cases, Films};

const MVHD: &str = "moov/mvhd";
const TKHD: &str = "moov/trak/tkhd";
const MDHD: &str = "moov/trak/mdia/mdhd";
const SOUND_MDHD: &str = "moov/trak:1/mdia/mdhd";
const STSD: &str = "moov/trak/mdia/minf/stbl/stsd";

/// Where fields stand in the content of their boxes (ISO/IEC 14496-12, version 0).
const MOVIE_CLOCK: usize = 12;
const MOVIE_LENGTH: usize = 16;
const TRACK_ID: usize = 12;
const TRACK_LENGTH: usize = 20;
const MATRIX: usize = 40;
const SHOWN_SIZE: usize = 76;
const STORED_SIZE: usize = 40;

pub(super) fn cases(films: &Films, cases: &mut Cases) {
    cases.edited(
        &films.late,
        &[
            ("tkhd-65535x65535", |film| film.at(TKHD).put(SHOWN_SIZE, &[0xff; 8])),
            ("tkhd-0x0", |film| film.at(TKHD).put(SHOWN_SIZE, &[0; 8])),
            ("avc1-65535x65535", |film| film.at(STSD).put(STORED_SIZE, &[0xff; 4])),
            ("avc1-0x0", |film| film.at(STSD).put(STORED_SIZE, &[0; 4])),
            ("avc1-1x65535", |film| film.at(STSD).put(STORED_SIZE, &[0, 1, 0xff, 0xff])),
            ("avc1-8192x4320", |film| film.at(STSD).put(STORED_SIZE, &[0x20, 0, 0x10, 0xe0])),
            ("all-65535x65535", |film| {
                film.at(TKHD).put(SHOWN_SIZE, &[0xff; 8]);
                film.at(STSD).put(STORED_SIZE, &[0xff; 4]);
            }),
            ("matrix-zero", |film| film.at(TKHD).put(MATRIX, &[0; 36])),
            ("matrix-ones", |film| film.at(TKHD).put(MATRIX, &[0xff; 36])),
            ("track-id-zero", |film| film.at(TKHD).put_u32(TRACK_ID, 0)),
            ("track-id-twice", |film| film.at("moov/trak:1/tkhd").put_u32(TRACK_ID, 1)),
            ("track-id-greatest", |film| film.at(TKHD).put_u32(TRACK_ID, u32::MAX)),
            ("tracks-disabled", |film| {
                film.at(TKHD).put_u32(0, 0);
                film.at("moov/trak:1/tkhd").put_u32(0, 0);
            }),
            ("movie-clock-0", |film| film.at(MVHD).put_u32(MOVIE_CLOCK, 0)),
            ("movie-clock-1", |film| film.at(MVHD).put_u32(MOVIE_CLOCK, 1)),
            ("movie-clock-greatest", |film| film.at(MVHD).put_u32(MOVIE_CLOCK, u32::MAX)),
            ("movie-length-0", |film| film.at(MVHD).put_u32(MOVIE_LENGTH, 0)),
            ("movie-length-greatest", |film| film.at(MVHD).put_u32(MOVIE_LENGTH, u32::MAX)),
            ("track-length-0", |film| film.at(TKHD).put_u32(TRACK_LENGTH, 0)),
            ("track-length-greatest", |film| film.at(TKHD).put_u32(TRACK_LENGTH, u32::MAX)),
            ("picture-clock-0", |film| film.at(MDHD).put_u32(MOVIE_CLOCK, 0)),
            ("picture-clock-1", |film| film.at(MDHD).put_u32(MOVIE_CLOCK, 1)),
            ("picture-clock-greatest", |film| film.at(MDHD).put_u32(MOVIE_CLOCK, u32::MAX)),
            ("picture-length-greatest", |film| film.at(MDHD).put_u32(MOVIE_LENGTH, u32::MAX)),
            ("sound-clock-0", |film| film.at(SOUND_MDHD).put_u32(MOVIE_CLOCK, 0)),
            ("sound-clock-1", |film| film.at(SOUND_MDHD).put_u32(MOVIE_CLOCK, 1)),
            ("sound-clock-greatest", |film| film.at(SOUND_MDHD).put_u32(MOVIE_CLOCK, u32::MAX)),
            ("sound-length-greatest", |film| film.at(SOUND_MDHD).put_u32(MOVIE_LENGTH, u32::MAX)),
            ("wide-lengths", |film| {
                for path in [MVHD, MDHD, SOUND_MDHD] {
                    let header = film.at(path);
                    let clock = header.data[MOVIE_CLOCK..MOVIE_CLOCK + 4].to_vec();
                    let rest = header.data[MOVIE_LENGTH + 4..].to_vec();
                    let head = [vec![1, 0, 0, 0], vec![0xff; 16], clock, vec![0xff; 8]].concat();
                    header.data = [head, rest].concat();
                }
            }),
            ("version-of-headers-unknown", |film| {
                for path in [MVHD, TKHD, MDHD] {
                    film.at(path).put(0, &[0x7f]);
                }
            }),
            ("handler-unknown", |film| film.at("moov/trak/mdia/hdlr").put(8, b"\0\0\0\0")),
            ("handlers-exchanged", |film| {
                film.at("moov/trak/mdia/hdlr").put(8, b"soun");
                film.at("moov/trak:1/mdia/hdlr").put(8, b"vide");
            }),
            ("handler-name-endless", |film| film.at("moov/trak/mdia/hdlr").data.extend(vec![b'A'; 200_000])),
            ("headers-short", |film| {
                for path in [MVHD, TKHD, MDHD] {
                    film.at(path).data.truncate(9);
                }
            }),
            ("headers-empty", |film| {
                for path in [MVHD, TKHD, MDHD, SOUND_MDHD] {
                    film.at(path).data.clear();
                }
            }),
        ],
    );
    for (name, sps) in [("sps-65535x65535", vast_sps(4096, 4096)), ("sps-16384x16", vast_sps(1024, 1))] {
        let mut film = super::boxes::Movie::parse(&films.late);
        let entry = film.at(STSD);
        let at = entry.data.windows(4).position(|kind| kind == b"avcC").expect("the film is H.264") + 4;
        let old = u16::from_be_bytes([entry.data[at + 6], entry.data[at + 7]]) as usize;
        let grown = sps.len() as i64 - old as i64;
        let head = [&[1, 66, 0, 51, 0xff, 0xe1][..], &(sps.len() as u16).to_be_bytes(), &sps].concat();
        entry.data.splice(at..at + 8 + old, head);
        for place in [at - 8, 8] {
            let size = i64::from(entry.u32(place)) + grown;
            entry.put_u32(place, size as u32);
        }
        cases.add(name, "mp4", &film.bytes());
    }
}

/// A sequence parameter set of the baseline profile, level 5.1, for a picture of so many macroblocks.
fn vast_sps(width: u32, height: u32) -> Vec<u8> {
    let mut bits = String::new();
    // sps id, frame number bits, order type 2, references, gaps, width, height, frames only, 8x8, no crop, no vui
    for value in [0, 0, 2, 1] {
        exp_golomb(&mut bits, value);
    }
    bits.push('0');
    exp_golomb(&mut bits, width - 1);
    exp_golomb(&mut bits, height - 1);
    bits.push_str("11001");
    while !bits.len().is_multiple_of(8) {
        bits.push('0');
    }
    let body = bits.as_bytes().chunks(8).map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | (bit - b'0')));
    [0x67, 66, 0, 51].into_iter().chain(body).collect()
}

fn exp_golomb(bits: &mut String, value: u32) {
    let code = format!("{:b}", value + 1);
    bits.push_str(&"0".repeat(code.len() - 1));
    bits.push_str(&code);
}
