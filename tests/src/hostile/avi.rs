//! AVI: rates of nothing, lengths that lie, an index of nonsense.

use super::{Cases, Films};

pub(super) fn cases(films: &Films, cases: &mut Cases) {
    cases.add("unchanged", "avi", &films.avi);
    // Name, chunk, which of its kind, offset in its content, what is written there.
    let greatest = &[0xff; 4][..];
    let zero = &[0; 4][..];
    let edits = [
        ("riff-of-0", "RIFF", 0, -4, zero),
        ("riff-greatest", "RIFF", 0, -4, greatest),
        ("list-greatest", "LIST", 0, -4, greatest),
        ("list-of-0", "LIST", 0, -4, zero),
        ("movi-greatest", "movi", 0, -8, greatest),
        ("head-greatest", "avih", 0, -4, greatest),
        ("head-frames-of-no-length", "avih", 0, 0, zero),
        ("head-streams-greatest", "avih", 0, 24, greatest),
        ("head-65535x65535", "avih", 0, 32, &[0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0]),
        ("stream-scale-0", "strh", 0, 20, zero),
        ("stream-rate-0", "strh", 0, 24, zero),
        ("stream-scale-greatest", "strh", 0, 20, greatest),
        ("stream-rate-greatest", "strh", 0, 24, greatest),
        ("stream-starts-late", "strh", 0, 28, greatest),
        ("stream-length-greatest", "strh", 0, 32, greatest),
        ("stream-length-0", "strh", 0, 32, zero),
        ("stream-samples-greatest", "strh", 0, 44, greatest),
        ("stream-of-no-kind", "strh", 0, 0, b"none"),
        ("stream-codec-unknown", "strh", 0, 4, b"????"),
        ("sound-scale-0", "strh", 1, 20, zero),
        ("sound-rate-0", "strh", 1, 24, zero),
        ("sound-samples-0", "strh", 1, 44, zero),
        ("sound-samples-greatest", "strh", 1, 44, greatest),
        ("format-65535x65535", "strf", 0, 4, &[0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0]),
        ("format-negative", "strf", 0, 4, &[0, 0, 0, 0x80, 0, 0, 0, 0x80]),
        ("format-codec-unknown", "strf", 0, 16, b"zzzz"),
        ("format-greatest", "strf", 0, -4, greatest),
        ("sound-format-of-0-channels", "strf", 1, 2, &[0, 0]),
        ("sound-format-of-65535-channels", "strf", 1, 2, &[0xff, 0xff]),
        ("sound-format-of-0-hertz", "strf", 1, 4, zero),
        ("sound-format-unknown", "strf", 1, 0, &[0xfe, 0xff]),
        ("sound-format-of-0-bits", "strf", 1, 12, &[0, 0, 0, 0]),
        ("index-greatest", "idx1", 0, -4, greatest),
        ("index-of-0", "idx1", 0, -4, zero),
        ("index-of-nobody", "idx1", 0, 0, b"99zz"),
        ("index-outside", "idx1", 0, 8, greatest),
        ("index-sizes-greatest", "idx1", 0, 12, greatest),
    ];
    for (name, chunk, nth, offset, bytes) in edits {
        let mut film = films.avi.clone();
        // Behind the name stand four bytes of length, then the content; of a list, its kind.
        let head: i64 = if chunk == "movi" { 4 } else { 8 };
        let mut places = film.windows(4).enumerate().filter(|(_, found)| *found == chunk.as_bytes());
        let at = places.nth(nth).map(|(at, _)| at as i64).expect("the film has the chunk");
        let at = (at + head + offset) as usize;
        film[at..at + bytes.len()].copy_from_slice(bytes);
        cases.add(name, "avi", &film);
    }
    let index = films.avi.windows(4).position(|found| found == b"idx1").expect("the film has an index");
    cases.add("without-index", "avi", &films.avi[..index]);
    let mut film = films.avi.clone();
    film[index + 8..].fill(0xff);
    cases.add("index-of-ones", "avi", &film);
    cases.add("twice", "avi", &films.avi.repeat(2));
}
