//! Boxes in the wrong place: the index absent, twice, behind garbage; odd brands.

use super::boxes::{Movie, Node};
use super::{Cases, Films};

pub(super) fn cases(films: &Films, cases: &mut Cases) {
    cases.edited(
        &films.late,
        &[
            ("unchanged-late", |_| {}),
            ("no-moov", |film| {
                film.take("moov");
            }),
            ("no-mdat", |film| {
                film.take("mdat");
            }),
            ("no-ftyp", |film| {
                film.take("ftyp");
            }),
            ("moov-only", |film| film.boxes.retain(|node| node.kind == *b"moov")),
            ("ftyp-only", |film| film.boxes.retain(|node| node.kind == *b"ftyp")),
            ("mdat-only", |film| film.boxes.retain(|node| node.kind == *b"mdat")),
            ("moov-twice", |film| {
                let moov = film.at("moov").clone();
                film.boxes.push(moov);
            }),
            ("moov-first-and-last", |film| {
                let moov = film.at("moov").clone();
                film.boxes.insert(0, moov);
            }),
            ("moov-empty-then-whole", |film| film.boxes.insert(1, Node::new(b"moov", []))),
            ("moov-in-front-with-late-offsets", |film| {
                let moov = film.take("moov");
                film.boxes.insert(1, moov);
            }),
            ("moov-in-moov", |film| {
                let moov = film.take("moov");
                film.boxes.push(Node::of(b"moov", vec![moov]));
            }),
            ("moov-in-free", |film| {
                let moov = film.take("moov");
                film.boxes.push(Node::of(b"free", vec![moov]));
            }),
            ("moov-in-mdat", |film| {
                let moov = film.take("moov").bytes();
                film.at("mdat").data.extend(moov);
            }),
            ("garbage-before-moov", |film| {
                let moov = film.take("moov");
                film.boxes.push(Node::new(b"\xff\xfe\xfd\xfc", vec![0xaa; 3000]));
                film.boxes.push(moov);
            }),
            ("garbage-before-ftyp", |film| film.boxes.insert(0, Node::new(b"junk", vec![0x55; 500]))),
            ("thousands-of-free", |film| {
                let free = vec![Node::new(b"free", []); 20_000];
                film.boxes.splice(1..1, free);
            }),
            ("thousands-of-moov", |film| {
                let moov = vec![film.at("moov").clone(); 300];
                film.boxes.extend(moov);
            }),
            ("compressed-moov", |film| {
                let cmov = Node::of(
                    b"cmov",
                    vec![
                        Node::new(b"dcom", *b"zlib"),
                        Node::new(b"cmvd", [0xff, 0xff, 0xff, 0xff, 0x78, 0x9c, 3, 0, 0, 0, 0, 1]),
                    ],
                );
                film.at("moov").boxes = vec![cmov];
            }),
            ("reference-movie", |film| {
                let text = b"\0\0\0\0url \0\0\0\x1ahttp://127.0.0.1:9/film.mp4";
                let rmda = Node::of(b"rmda", vec![Node::new(b"rdrf", *text)]);
                film.at("moov").boxes = vec![Node::of(b"rmra", vec![rmda])];
            }),
            ("ftyp-empty", |film| film.at("ftyp").data.clear()),
            ("ftyp-unknown", |film| film.at("ftyp").put(0, b"\0\0\0\0\0\0\0\0")),
            ("ftyp-picture", |film| film.at("ftyp").put(0, b"heic")),
            ("ftyp-of-thousands", |film| film.at("ftyp").data.extend(b"isom".repeat(50_000))),
            ("ftyp-twice", |film| {
                let ftyp = film.at("ftyp").clone();
                film.boxes.push(ftyp);
            }),
        ],
    );
    let without = |path: &str| {
        let mut film = Movie::parse(&films.late);
        film.take(path);
        film.bytes()
    };
    for path in [
        "moov/mvhd",
        "moov/trak/tkhd",
        "moov/trak/mdia",
        "moov/trak/mdia/mdhd",
        "moov/trak/mdia/hdlr",
        "moov/trak/mdia/minf",
        "moov/trak/mdia/minf/vmhd",
        "moov/trak/mdia/minf/dinf",
        "moov/trak/mdia/minf/stbl",
        "moov/trak:1/mdia/minf/stbl",
    ] {
        let name = path.replace(['/', ':'], "-");
        cases.add(format!("without-{name}"), "mp4", &without(path));
    }
    let garbage = [vec![0xff; 64], films.early.clone()].concat();
    cases.add("early-behind-garbage", "mp4", &garbage);
    cases.add("early-before-garbage", "mp4", &[films.early.clone(), vec![0xff; 4096]].concat());
    cases.add("two-films", "mp4", &[films.early.clone(), films.late.clone()].concat());
    cases.add("early-named-mkv", "mkv", &films.early);
    cases.add("mkv-named-mp4", "mp4", &films.mkv);
}
