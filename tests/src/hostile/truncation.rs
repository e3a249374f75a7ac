//! Files that end early: where each box or element begins, just behind its head, and in its middle.

use super::{Cases, Films, boxes, ebml};

pub(super) fn cases(films: &Films, cases: &mut Cases) {
    for (film, bytes) in [("early", &films.early), ("late", &films.late)] {
        let places = boxes::places(bytes);
        let ends = places.iter().skip(1).map(|(at, _)| *at).chain([bytes.len()]);
        for (number, ((at, name), end)) in places.iter().zip(ends).enumerate() {
            let name =
                format!("{film}-{number:03}-{}", name.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
            cases.add(format!("{name}-head"), "mp4", &bytes[..(at + 8).min(bytes.len())]);
            cases.add(format!("{name}-middle"), "mp4", &bytes[..(at + 8 + end) / 2]);
        }
    }
    for (film, ending, bytes) in [("mkv", "mkv", &films.mkv), ("streamed", "webm", &films.streamed)] {
        let places = ebml::places(bytes);
        // Every element of the head, and some of the many blocks.
        let some = places.iter().enumerate().filter(|(number, _)| *number < 24 || number % 12 == 0);
        for (number, (at, id)) in some {
            cases.add(format!("{film}-{number:03}-{id:x}"), ending, &bytes[..(at + 5).min(bytes.len())]);
        }
    }
    for (film, ending, bytes) in
        [("fragments", "mp4", &films.fragments), ("mov", "mov", &films.mov), ("avi", "avi", &films.avi)]
    {
        for share in [1, 10, 30, 50, 70, 90, 99] {
            cases.add(format!("{film}-{share:02}"), ending, &bytes[..bytes.len() * share / 100]);
        }
    }
}
