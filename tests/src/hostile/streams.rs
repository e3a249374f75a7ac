//! Streams that are missing, empty, odd, or change on the way.

use super::boxes::{Movie, Node, u32s};
use super::{Cases, Films};

pub(super) fn cases(films: &Films, cases: &mut Cases) {
    cases.add("mute", "mp4", &films.mute);
    cases.add("blind", "mp4", &films.blind);
    cases.add("eight-channels-at-192-kilohertz", "mkv", &films.wide);
    cases.add("picture-changes-size", "mp4", &joined(&films.late, &films.other, &[0]));
    cases.add("sound-changes-rate-and-channels", "mp4", &joined(&films.late, &films.other, &[1]));
    cases.add("everything-changes", "mp4", &joined(&films.late, &films.other, &[0, 1]));
    cases.add("everything-changes-back", "mp4", &joined(&films.other, &films.late, &[0, 1]));
    cases.add("picture-becomes-vast", "mp4", &joined(&films.late, &films.vast, &[0]));
    cases.edited(
        &films.late,
        &[
            ("no-tracks", |film| film.at("moov").boxes.retain(|node| node.kind != *b"trak")),
            ("only-picture", |film| {
                film.take("moov/trak:1");
            }),
            ("only-sound", |film| {
                film.take("moov/trak");
            }),
            ("no-samples", |film| {
                for track in ["moov/trak", "moov/trak:1"] {
                    empty(film, track);
                }
            }),
            ("no-samples-of-picture", |film| empty(film, "moov/trak")),
            ("no-samples-of-sound", |film| empty(film, "moov/trak:1")),
            ("sound-first", |film| {
                let track = film.take("moov/trak");
                film.at("moov").boxes.push(track);
            }),
            ("two-pictures", |film| {
                let track = film.at("moov/trak").clone();
                film.at("moov").boxes[2] = track;
            }),
            ("text-beside", |film| {
                let mut track = film.at("moov/trak:1").clone();
                track.boxes[0].put_u32(12, 3);
                film.at("moov").boxes.push(track);
                film.at("moov/trak:2/mdia/hdlr").put(8, b"text");
                film.at("moov/trak:2/mdia/minf/stbl/stsd").put(12, b"tx3g");
            }),
            ("one-packet-of-sound", |film| {
                let tables = "moov/trak:1/mdia/minf/stbl";
                let size = film.at(&format!("{tables}/stsz")).u32(12);
                film.at(&format!("{tables}/stsz")).data = u32s(&[0, 0, 1, size]);
                film.at(&format!("{tables}/stts")).data = u32s(&[0, 1, 1, 1024]);
                film.at(&format!("{tables}/stsc")).data = u32s(&[0, 1, 1, 1, 1]);
                film.at(&format!("{tables}/stco")).put_u32(4, 1);
            }),
        ],
    );
}

/// Takes every sample of a track away.
fn empty(film: &mut Movie, track: &str) {
    let tables = film.at(&format!("{track}/mdia/minf/stbl"));
    for table in tables.boxes.iter_mut().filter(|table| table.kind != *b"stsd") {
        table.data = if table.kind == *b"stsz" { vec![0; 12] } else { vec![0; 8] };
    }
}

/// A film that goes on as another, for these of its tracks; formats change on the way.
fn joined(first: &[u8], second: &[u8], tracks: &[usize]) -> Vec<u8> {
    let (mut film, mut other) = (Movie::parse(first), Movie::parse(second));
    let start = |film: &Movie| {
        let before = film.boxes.iter().take_while(|node| node.kind != *b"mdat");
        before.map(|node| node.bytes().len() as u32).sum::<u32>() + 8
    };
    let moved = start(&film) + film.at("mdat").data.len() as u32 - start(&other);
    let media = other.at("mdat").data.clone();
    film.at("mdat").data.extend(media);
    for track in tracks {
        let tables = format!("moov/trak:{track}/mdia/minf/stbl");
        let chunks = film.at(&format!("{tables}/stco")).u32(4);
        let samples = film.at(&format!("{tables}/stsz")).u32(8);
        film.at(&tables).boxes.retain(|table| table.kind != *b"ctts");
        film.at(&format!("moov/trak:{track}")).boxes.retain(|node| node.kind != *b"edts");
        for (table, head, change) in [
            ("stsd", 8, None),
            ("stts", 8, None),
            ("stss", 8, Some((1, samples))),
            ("stsc", 8, Some((3, chunks))),
            ("stco", 8, Some((1, moved))),
            ("stsz", 12, None),
        ] {
            let path = format!("{tables}/{table}");
            if !film.at(&tables).boxes.iter().any(|node| node.kind == *table.as_bytes()) {
                continue;
            }
            let added: Node = other.at(&path).clone();
            let mut rows = added.data[head..].to_vec();
            if let Some((width, change)) = change {
                for row in rows.chunks_exact_mut(4 * width) {
                    let value = row.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
                    row[..4].copy_from_slice(&value.wrapping_add(change).to_be_bytes());
                    if width == 3 {
                        row[8..12].copy_from_slice(&2_u32.to_be_bytes());
                    }
                }
            }
            let table = film.at(&path);
            let count = table.u32(head - 4) + added.u32(head - 4);
            table.put_u32(head - 4, count);
            table.data.extend(rows);
        }
    }
    film.bytes()
}
