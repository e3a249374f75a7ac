//! Times that run backwards, overflow or last for hours.

use super::boxes::{Node, u32s};
use super::films::FRAMES;
use super::{Cases, Films};

const STTS: &str = "moov/trak/mdia/minf/stbl/stts";
const SOUND_STTS: &str = "moov/trak:1/mdia/minf/stbl/stts";
const CTTS: &str = "moov/trak/mdia/minf/stbl/ctts";
const PICTURE: &str = "moov/trak";
const SOUND: &str = "moov/trak:1";

/// Bits of an edit's normal speed.
const SPEED: u32 = 0x1_0000;

pub(super) fn cases(films: &Films, cases: &mut Cases) {
    cases.edited(
        &films.late,
        &[
            ("edit-of-an-hour", |film| edit(film.at(PICTURE), &[[36_000_000, 0, SPEED]])),
            ("edit-of-an-hour-on-one-frame", |film| {
                edit(film.at(PICTURE), &[[36_000_000, 0, SPEED]]);
                one_frame(film.at(PICTURE));
            }),
            ("edit-empty-for-an-hour", |film| {
                edit(film.at(PICTURE), &[[36_000_000, u32::MAX, SPEED], [10_000, 0, SPEED]]);
            }),
            ("edit-empty-for-an-hour-of-sound", |film| {
                edit(film.at(SOUND), &[[36_000_000, u32::MAX, SPEED], [10_000, 0, SPEED]]);
            }),
            ("edit-empty-for-days", |film| {
                edit(film.at(PICTURE), &[[u32::MAX, u32::MAX, SPEED], [10_000, 0, SPEED]]);
                edit(film.at(SOUND), &[[u32::MAX, u32::MAX, SPEED], [10_000, 0, SPEED]]);
            }),
            ("edit-before-the-beginning", |film| {
                edit(film.at(PICTURE), &[[10_000, 0x8000_0000, SPEED]]);
            }),
            ("edit-behind-the-end", |film| edit(film.at(PICTURE), &[[10_000, 0x7fff_ffff, SPEED]])),
            ("edit-of-no-length", |film| edit(film.at(PICTURE), &[[0, 0, SPEED]])),
            ("edit-stopped", |film| edit(film.at(PICTURE), &[[10_000, 0, 0]])),
            ("edit-backwards", |film| edit(film.at(PICTURE), &[[10_000, 0, 0xffff_0000]])),
            ("edit-at-thirty-thousand-times-the-speed", |film| {
                edit(film.at(PICTURE), &[[10_000, 0, 0x7fff_ffff]]);
            }),
            ("edits-by-the-thousand", |film| edit(film.at(PICTURE), &[[10, 0, SPEED]; 10_000])),
            ("edits-by-the-thousand-of-hours", |film| {
                edit(film.at(PICTURE), &[[36_000_000, 0, SPEED]; 1_000]);
            }),
            ("edits-promised", |film| {
                edit(film.at(PICTURE), &[[10_000, 0, SPEED]]);
                film.at("moov/trak/edts/elst").put_u32(4, u32::MAX);
            }),
            ("edits-in-64-bits-overflow", |film| {
                edit(film.at(PICTURE), &[]);
                let list = &mut film.at("moov/trak/edts/elst").data;
                *list = u32s(&[0x0100_0000, 1]);
                list.extend([0x7f; 16]);
                list.extend(u32s(&[SPEED]));
            }),
            ("frames-of-no-length", |film| film.at(STTS).data = u32s(&[0, 1, FRAMES, 0])),
            ("frames-of-days", |film| film.at(STTS).data = u32s(&[0, 1, FRAMES, u32::MAX])),
            ("frames-of-ten-minutes", |film| {
                film.at(STTS).data = u32s(&[0, 1, FRAMES, FRAMES * 100 * 600]);
            }),
            ("frames-backwards", |film| {
                film.at(STTS).data = u32s(&[0, 2, 5, 100, FRAMES - 5, 0xffff_ff00]);
            }),
            ("frames-promised", |film| film.at(STTS).data = u32s(&[0, 1, u32::MAX, 100])),
            ("frames-of-no-length-promised", |film| film.at(STTS).data = u32s(&[0, 1, u32::MAX, 0])),
            ("frames-one-behind-a-gap-of-hours", |film| {
                film.at(STTS).data = u32s(&[0, 2, 1, 360_000_000, FRAMES - 1, 100]);
            }),
            ("sound-of-no-length", |film| film.at(SOUND_STTS).data = u32s(&[0, 1, 100, 0])),
            ("sound-of-hours-a-packet", |film| {
                film.at(SOUND_STTS).data = u32s(&[0, 1, 100, 16_000 * 3_600]);
            }),
            ("sound-with-gaps-of-hours", |film| {
                film.at(SOUND_STTS).data = u32s(&[0, 3, 3, 1024, 1, 0x7fff_ffff, 100, 1024]);
            }),
            ("sound-with-a-gap-of-seconds", |film| {
                film.at(SOUND_STTS).data = u32s(&[0, 3, 3, 1024, 1, 320_000, 100, 1024]);
            }),
            ("order-negative", |film| ctts(film, 1, &[FRAMES, 0x8000_0000])),
            ("order-behind-the-end", |film| ctts(film, 0, &[FRAMES, 0x7fff_ffff])),
            ("order-greatest", |film| ctts(film, 0, &[FRAMES, u32::MAX])),
            ("order-promised", |film| film.at(CTTS).put_u32(4, u32::MAX)),
            ("order-of-nothing", |film| ctts(film, 0, &[0, 0])),
            ("order-jumps", |film| {
                ctts(film, 1, &[1, 0x7fff_ffff, 1, 0x8000_0001, FRAMES - 2, 0]);
            }),
        ],
    );
}

/// Gives a track this edit list: length on the film's clock, place on the track's, speed.
fn edit(track: &mut Node, entries: &[[u32; 3]]) {
    let mut list = u32s(&[0, entries.len() as u32]);
    list.extend(u32s(entries.as_flattened()));
    track.boxes.retain(|node| node.kind != *b"edts");
    track.boxes.insert(1, Node::of(b"edts", vec![Node::new(b"elst", list)]));
}

/// Leaves a track its first frame.
fn one_frame(track: &mut Node) {
    fn table<'a>(node: &'a mut Node, path: &[&[u8; 4]]) -> &'a mut Node {
        path.iter().fold(node, |node, kind| {
            node.boxes.iter_mut().find(|inner| inner.kind == **kind).expect("the track has its tables")
        })
    }
    let tables = table(track, &[b"mdia", b"minf", b"stbl"]);
    tables.boxes.retain(|node| node.kind != *b"ctts");
    let size = table(tables, &[b"stsz"]).u32(12);
    table(tables, &[b"stsz"]).data = u32s(&[0, 0, 1, size]);
    table(tables, &[b"stts"]).data = u32s(&[0, 1, 1, 100]);
    table(tables, &[b"stsc"]).data = u32s(&[0, 1, 1, 1, 1]);
    table(tables, &[b"stco"]).put_u32(4, 1);
}

fn ctts(film: &mut super::boxes::Movie, version: u32, entries: &[u32]) {
    let mut table = u32s(&[version << 24, entries.len() as u32 / 2]);
    table.extend(u32s(entries));
    film.at(CTTS).data = table;
}
