//! What is no film at all, under the name of one.

use std::{fs::File, io::Write, os::unix::fs::symlink};

use rand::RngCore;

use super::{Cases, Films};

pub(super) fn cases(films: &Films, cases: &mut Cases) {
    for length in [1, 7, 8, 9, 100, 100_000] {
        let mut noise = vec![0; length];
        cases.random.fill_bytes(&mut noise);
        cases.add(format!("noise-{length}"), "mp4", &noise);
    }
    cases.add("zeros", "mp4", &[0; 50_000]);
    cases.add("ones", "mkv", &[0xff; 50_000]);
    for (name, text) in [
        ("text", "this is no film\n".repeat(500)),
        ("html", format!("<!DOCTYPE html><html><title>404</title>{}</html>", "<p>gone</p>".repeat(500))),
        ("json", "{\"error\": \"not found\", \"films\": []}".to_owned()),
        ("xml", format!("<?xml version=\"1.0\"?><a>{}</a>", "<b/>".repeat(900))),
        (
            "svg",
            "<svg xmlns=\"http://www.w3.org/2000/svg\"><rect width=\"9\" height=\"9\"/></svg>".to_owned(),
        ),
        ("smil", "<smil><body><video src=\"http://127.0.0.1:9/film.mp4\"/></body></smil>".to_owned()),
        ("dash", "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\"></MPD>".to_owned()),
        ("playlist", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/film.ts\n".to_owned()),
        ("sdp", "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nm=video 9 RTP/AVP 96\r\n".to_owned()),
        ("subtitles", "1\n00:00:00,000 --> 99:59:59,999\nhello\n\n".repeat(200)),
        ("uris", "file:///etc/passwd\nhttp://127.0.0.1:9/\n".to_owned()),
        ("shell", "#!/bin/sh\necho no film\n".to_owned()),
    ] {
        cases.add(name, "mp4", text.as_bytes());
    }
    for (name, head) in [
        ("zip", &b"PK\x03\x04\x14\0\0\0\x08\0"[..]),
        ("gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\x03"),
        ("bzip2", b"BZh91AY&SY"),
        ("pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"),
        ("jpeg", b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01"),
        ("gif", b"GIF89a\xff\xff\xff\xff\xf7\0\0"),
        ("elf", b"\x7fELF\x02\x01\x01\0\0\0"),
        ("flac", b"fLaC\0\0\0\x22\x10\0\x10\0\xff\xff\xff\xff\xff\xff"),
        ("mp3", b"ID3\x04\0\0\x7f\x7f\x7f\x7f\xff\xfb\x90\x64"),
        ("mpeg-ts", b"\x47\x40\0\x10\0\0\xb0\x0d\0\x01"),
        ("mpeg-ps", b"\0\0\x01\xba\x44\0\x04\0\x04\x01"),
        ("flv", b"FLV\x01\x05\0\0\0\x09\0\0\0\0"),
        ("asf", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c"),
        ("swf", b"CWS\x0a\xff\xff\xff\x7f"),
        ("midi", b"MThd\0\0\0\x06\0\x01\x7f\xff"),
        ("h264", b"\0\0\0\x01\x67\x42\0\x0a\xf8\x41\xa2\0\0\0\x01\x68\xce\x38\x80"),
        ("riff", b"RIFF\xff\xff\xff\xffAVI LIST\xff\xff\xff\xff"),
        ("ebml", b"\x1a\x45\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xff"),
    ] {
        let mut rest = vec![0; 5_000];
        cases.random.fill_bytes(&mut rest);
        cases.add(format!("head-of-{name}"), "mp4", &[head, &rest].concat());
    }
    for (name, bytes) in &films.strangers {
        cases.add(format!("whole-{name}"), "mp4", bytes);
    }
    cases.add("empty", "mp4", b"");
    let real = cases.path("film-at-the-end-of-a-link", "mp4");
    let target = cases.folder.join("linked.film");
    std::fs::write(&target, &films.late).expect("a film is written");
    symlink(&target, real).expect("a link is made");
    let text = cases.path("text-at-the-end-of-a-link", "mp4");
    symlink("/etc/passwd", text).expect("a link is made");
    sparse(cases, "sparse-64-megabytes", b"", 64 << 20);
    sparse(cases, "sparse-terabyte", b"", 1 << 40);
    sparse(cases, "sparse-terabyte-behind-a-film", &films.late, 1 << 40);
    sparse(cases, "sparse-terabyte-of-media", b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\0mdat", 1 << 40);
}

/// A file with a beginning and a hole behind it.
fn sparse(cases: &mut Cases, name: &str, head: &[u8], length: u64) {
    let path = cases.path(name, "mp4");
    let mut file = File::create(path).expect("a file is made");
    file.write_all(head).and_then(|()| file.set_len(length)).expect("a hole is made");
}
