//! Matroska and WebM: lengths unknown or absurd, lacing, clocks, compression.

use super::ebml::{Element, Length, id};
use super::{Cases, Films};

const TRACK: [u32; 3] = [id::SEGMENT, id::TRACKS, id::TRACK];
const CLUSTER: [u32; 2] = [id::SEGMENT, id::CLUSTER];
const INFO: [u32; 2] = [id::SEGMENT, id::INFO];

/// What is done to a film.
type Edit = fn(&mut Element);

pub(super) fn cases(films: &Films, cases: &mut Cases) {
    cases.add("unchanged", "mkv", &films.mkv);
    cases.add("unchanged-webm", "webm", &films.webm);
    cases.add("unchanged-streamed", "webm", &films.streamed);
    let edits: &[(&str, Edit)] = &[
        ("segment-of-unknown-length", |film| film.at(&[id::SEGMENT]).length = Length::Unknown),
        ("clusters-of-unknown-length", |film| {
            film.at(&[id::SEGMENT]).length = Length::Unknown;
            let clusters = film.at(&[id::SEGMENT]).elements.iter_mut();
            clusters.filter(|element| element.id == id::CLUSTER).for_each(|c| c.length = Length::Unknown);
        }),
        ("tracks-of-unknown-length", |film| film.at(&[id::SEGMENT, id::TRACKS]).length = Length::Unknown),
        ("block-of-unknown-length", |film| {
            film.at(&[id::SEGMENT, id::CLUSTER, id::BLOCK]).length = Length::Unknown;
        }),
        ("head-of-unknown-length", |film| film.at(&[id::EBML]).length = Length::Unknown),
        ("segment-greatest", |film| film.at(&[id::SEGMENT]).length = Length::Claimed((1 << 56) - 2)),
        ("segment-of-0", |film| film.at(&[id::SEGMENT]).length = Length::Claimed(0)),
        ("tracks-greatest", |film| {
            film.at(&[id::SEGMENT, id::TRACKS]).length = Length::Claimed((1 << 56) - 2);
        }),
        ("track-of-3-gigabytes", |film| film.at(&TRACK).length = Length::Claimed(3 << 30)),
        ("cluster-greatest", |film| film.at(&CLUSTER).length = Length::Claimed((1 << 56) - 2)),
        ("block-of-a-gigabyte", |film| {
            film.at(&[id::SEGMENT, id::CLUSTER, id::BLOCK]).length = Length::Claimed(1 << 30);
        }),
        ("block-of-0", |film| film.at(&[id::SEGMENT, id::CLUSTER, id::BLOCK]).data.clear()),
        ("blocks-cut", |film| {
            film.at(&CLUSTER).elements.iter_mut().for_each(|element| element.data.truncate(3));
        }),
        ("doc-type-unknown", |film| film.at(&[id::EBML]).set(id::DOC_TYPE, *b"movie")),
        ("doc-type-endless", |film| film.at(&[id::EBML]).set(id::DOC_TYPE, vec![b'w'; 100_000])),
        ("no-head", |film| film.elements.retain(|element| element.id != id::EBML)),
        ("no-tracks", |film| without(film, id::TRACKS)),
        ("no-clusters", |film| without(film, id::CLUSTER)),
        ("no-info", |film| without(film, id::INFO)),
        ("no-index", |film| without(film, id::CUES)),
        ("index-outside", |film| {
            let cue = |id, data: &[u8]| Element::new(id, data);
            let place = Element::of(0xb7, vec![cue(0xf7, &[1]), cue(0xf1, &[0x7f; 8])]);
            let point = Element::of(0xbb, vec![cue(0xb3, &[0xff; 8]), place]);
            without(film, id::CUES);
            film.at(&[id::SEGMENT]).elements.push(Element::of(id::CUES, vec![point; 500]));
        }),
        ("seek-head-of-itself", |film| {
            let entry = vec![Element::new(0x53ab, [0x11, 0x4d, 0x9b, 0x74]), Element::new(0x53ac, [0])];
            without(film, id::SEEK_HEAD);
            let head = Element::of(id::SEEK_HEAD, vec![Element::of(0x4dbb, entry); 200]);
            film.at(&[id::SEGMENT]).elements.insert(0, head);
        }),
        ("clock-0", |film| film.at(&INFO).set(id::SCALE, [0])),
        ("clock-greatest", |film| film.at(&INFO).set(id::SCALE, [0xff; 8])),
        ("clock-of-an-hour", |film| film.at(&INFO).set(id::SCALE, 3_600_000_000_000_u64.to_be_bytes())),
        ("length-not-a-number", |film| film.at(&INFO).set(id::DURATION, f64::NAN.to_be_bytes())),
        ("length-infinite", |film| film.at(&INFO).set(id::DURATION, f64::INFINITY.to_be_bytes())),
        ("length-negative", |film| film.at(&INFO).set(id::DURATION, (-1.0_f64).to_be_bytes())),
        ("length-of-years", |film| film.at(&INFO).set(id::DURATION, 1e18_f64.to_be_bytes())),
        ("length-of-three-bytes", |film| film.at(&INFO).set(id::DURATION, [1, 2, 3])),
        ("65535x65535", |film| {
            let picture = film.at(&[&TRACK[..], &[id::VIDEO]].concat());
            picture.set(id::WIDTH, [0xff, 0xff]);
            picture.set(id::HEIGHT, [0xff, 0xff]);
        }),
        ("pixels-greatest", |film| {
            let picture = film.at(&[&TRACK[..], &[id::VIDEO]].concat());
            picture.set(id::WIDTH, [0xff; 8]);
            picture.set(id::HEIGHT, [0xff; 8]);
        }),
        ("0x0", |film| film.at(&[&TRACK[..], &[id::VIDEO]].concat()).set(id::WIDTH, [0])),
        ("frames-of-no-length", |film| film.at(&TRACK).set(id::FRAME_LENGTH, [0])),
        ("frames-of-years", |film| film.at(&TRACK).set(id::FRAME_LENGTH, [0x7f; 8])),
        ("sound-of-0-hertz", |film| sound(film).set(id::RATE, 0.0_f64.to_be_bytes())),
        ("sound-of-no-number-of-hertz", |film| sound(film).set(id::RATE, f64::NAN.to_be_bytes())),
        ("sound-of-a-gigahertz", |film| sound(film).set(id::RATE, 1e9_f64.to_be_bytes())),
        ("sound-of-0-channels", |film| sound(film).set(id::CHANNELS, [0])),
        ("sound-of-255-channels", |film| sound(film).set(id::CHANNELS, [0xff])),
        ("track-number-0", |film| film.at(&TRACK).set(id::TRACK_NUMBER, [0])),
        ("track-number-greatest", |film| film.at(&TRACK).set(id::TRACK_NUMBER, [0xff; 8])),
        ("track-number-twice", |film| tracks(film)[1].set(id::TRACK_NUMBER, [1])),
        ("track-of-no-kind", |film| film.at(&TRACK).set(id::TRACK_TYPE, [0x55])),
        ("tracks-by-the-thousand", |film| {
            let track = film.at(&TRACK).clone();
            film.at(&[id::SEGMENT, id::TRACKS]).elements.extend(vec![track; 3_000]);
        }),
        ("tracks-forty", |film| {
            for number in 10..50 {
                let mut track = film.at(&TRACK).clone();
                track.set(id::TRACK_NUMBER, [number]);
                film.at(&[id::SEGMENT, id::TRACKS]).elements.push(track);
            }
        }),
        ("codec-unknown", |film| film.at(&TRACK).set(id::CODEC, *b"V_UNCOMPRESSED")),
        ("codec-other", |film| film.at(&TRACK).set(id::CODEC, *b"V_MPEGH/ISO/HEVC")),
        ("codec-of-windows", |film| {
            film.at(&TRACK).set(id::CODEC, *b"V_MS/VFW/FOURCC");
            film.at(&TRACK).set(id::CODEC_PRIVATE, vec![0xff; 40]);
        }),
        ("codec-without-setup", |film| film.at(&TRACK).set(id::CODEC_PRIVATE, [])),
        ("codec-with-noise-for-setup", |film| film.at(&TRACK).set(id::CODEC_PRIVATE, vec![0xa5; 5_000])),
        ("lacing-xiph", |film| lace(film, 0b010, &[0xff; 600])),
        ("lacing-ebml", |film| lace(film, 0b110, &[0xff, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])),
        ("lacing-fixed", |film| lace(film, 0b100, &[0xff])),
        ("lacing-of-nothing", |film| lace(film, 0b010, &[])),
        ("cluster-time-greatest", |film| film.at(&CLUSTER).set(id::TIME, [0xff; 8])),
        ("cluster-an-hour-late", |film| film.at(&CLUSTER).set(id::TIME, 3_600_000_u32.to_be_bytes())),
        ("clusters-backwards", |film| film.at(&[id::SEGMENT]).elements.reverse()),
        ("blocks-backwards", |film| film.at(&CLUSTER).elements.reverse()),
        ("compressed-by-zlib", |film| compress(film, 0)),
        ("compressed-by-bzip2", |film| compress(film, 1)),
        ("compressed-by-lzo", |film| compress(film, 2)),
        ("compressed-by-nobody", |film| compress(film, 9)),
        ("void-deep", |film| {
            let mut deep = Element::new(id::VOID, []);
            (0..300).for_each(|_| deep = Element::of(id::CLUSTER, vec![deep.clone()]));
            film.at(&[id::SEGMENT]).elements.insert(1, deep);
        }),
        ("void-by-the-thousand", |film| {
            let void = vec![Element::new(id::VOID, []); 20_000];
            film.at(&[id::SEGMENT]).elements.splice(1..1, void);
        }),
        ("tags-deep", |film| {
            let mut deep = Element::new(0x67c8, []);
            (0..300).for_each(|_| deep = Element::of(0x67c8, vec![deep.clone()]));
            film.at(&[id::SEGMENT])
                .elements
                .push(Element::of(id::TAGS, vec![Element::of(0x7373, vec![deep])]));
        }),
        ("attachment-promised", |film| {
            let data = Element { length: Length::Claimed(1 << 40), ..Element::new(0x465c, [0; 10]) };
            let file = Element::of(0x61a7, vec![Element::new(0x466e, *b"../../x"), data]);
            film.at(&[id::SEGMENT]).elements.insert(1, Element::of(id::ATTACHMENTS, vec![file]));
        }),
    ];
    for (name, edit) in edits {
        let mut film = Element::parse(&films.mkv);
        edit(&mut film);
        cases.add(name, "mkv", &film.bytes());
    }
}

/// The tracks, in order.
fn tracks(film: &mut Element) -> &mut [Element] {
    &mut film.at(&[id::SEGMENT, id::TRACKS]).elements
}

/// What the second track says of its sound.
fn sound(film: &mut Element) -> &mut Element {
    tracks(film)[1].at(&[id::AUDIO])
}

fn without(film: &mut Element, id: u32) {
    film.at(&[id::SEGMENT]).elements.retain(|element| element.id != id);
}

/// Lets every block claim that it holds 256 frames, with this before them.
fn lace(film: &mut Element, kind: u8, sizes: &[u8]) {
    let blocks = film.at(&CLUSTER).elements.iter_mut().filter(|element| element.id == id::BLOCK);
    for block in blocks.filter(|block| block.data.len() > 4) {
        block.data[3] |= kind;
        block.data.splice(4..4, [&[0xff], sizes].concat());
    }
}

/// Lets every track claim that its frames are compressed.
fn compress(film: &mut Element, algorithm: u8) {
    let method = Element::of(id::COMPRESSION, vec![Element::new(id::ALGORITHM, [algorithm])]);
    let encodings = Element::of(id::ENCODINGS, vec![Element::of(id::ENCODING, vec![method])]);
    tracks(film).iter_mut().for_each(|track| track.elements.push(encodings.clone()));
}
