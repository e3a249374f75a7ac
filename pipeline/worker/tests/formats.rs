//! Containers, codecs and the shapes that pictures and sounds come in.
#![allow(clippy::unwrap_used, reason = "a test fails where its helpers do")]

mod common;

use std::path::Path;

use common::*;
use counterpoint_core::media_job::PrepareRequest;
use counterpoint_messages::Segment;

/// Seconds of a test clip.
const SECONDS: u32 = 10;

fn picture() -> String {
    ball(96, 64, "15/1", 150)
}

#[test]
fn every_container_and_codec_becomes_the_same_normal_form() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool();
    let xvid = "avenc_mpeg4";
    let vp8 = "vp8enc deadline=1 cpu-used=8";
    let vp9 = "vp9enc deadline=1 cpu-used=8 lag-in-frames=0";
    let vorbis = "vorbisenc";
    let opus = "opusenc";
    let mp3 = "lamemp3enc ! mpegaudioparse";
    let pcm = "audio/x-raw,format=S16LE";
    // File, container, muxer, video coder and name, audio coder and name, audio rate.
    let cases = [
        ("a.mp4", "mp4", "mp4mux", H264, "h264", AAC, "aac", 44_100),
        ("b.mp4", "mp4", "mp4mux", H264, "h264", mp3, "mp3", 44_100),
        ("c.m4v", "mp4", "mp4mux", H264, "h264", opus, "opus", 48_000),
        ("d.mov", "mov", "qtmux", H264, "h264", pcm, "pcm", 44_100),
        ("e.mkv", "matroska", "matroskamux", H264, "h264", vorbis, "vorbis", 44_100),
        ("f.mkv", "matroska", "matroskamux", xvid, "mpeg4", mp3, "mp3", 16_000),
        ("g.webm", "webm", "webmmux", vp8, "vp8", vorbis, "vorbis", 44_100),
        ("h.webm", "webm", "webmmux", vp9, "vp9", opus, "opus", 48_000),
        ("i.avi", "avi", "avimux", xvid, "mpeg4", mp3, "mp3", 44_100),
        ("j.avi", "avi", "avimux", H264, "h264", pcm, "pcm", 22_050),
    ];
    for (name, container, muxer, video, video_name, audio, audio_name, rate) in cases {
        let file = folder.path().join(name);
        let video = if name.ends_with("avi") && video == H264 {
            "x264enc speed-preset=ultrafast threads=1 bframes=0 ! h264parse ! video/x-h264,stream-format=byte-stream"
        } else {
            video
        };
        if video == xvid && muxer != "avimux" {
            // The MPEG-4 encoder's own times start far from zero: stored as AVI first, which counts frames.
            let counted = folder.path().join("counted.avi");
            clip(&picture(), video, &tone(440, 2, rate, SECONDS), audio, "avimux", &counted);
            remux_mpeg4(&counted, muxer, &file);
        } else {
            clip(&picture(), video, &tone(440, 2, rate, SECONDS), audio, muxer, &file);
        }
        let clip = prepared(&pool, &file, &small(), folder.path());
        let facts = &clip.container;
        let found = (facts.container.as_str(), facts.video_codec.as_str(), facts.audio_codec.as_str());
        assert_eq!(found, (container, video_name, audio_name), "{name}");
        assert_eq!((facts.width, facts.height, facts.channels), (96, 64, 2), "{name}");
        assert!((facts.frame_rate - 15.0).abs() < 0.2, "{name}: {}", facts.frame_rate);
        assert_eq!((clip.duration_ms, clip.padded_ms), (10_000, 0), "{name}");
        assert!(clip.statistics.motion > 0.001, "{name}: {:?}", clip.statistics);
        assert!((-20.0..-5.0).contains(&clip.statistics.loudness_lufs), "{name}: {:?}", clip.statistics);
        let seen = sampled(&pool, &clip.video, &tiny_sample(2.0));
        assert_eq!((seen.time.len(), seen.pcm.len()), (20, 160_000), "{name}");
        let own = sampled(&pool, &file, &tiny_sample(2.0));
        assert!((20..=21).contains(&own.time.len()), "{name}: {}", own.time.len());
    }
}

#[test]
fn mono_and_surround_sound_become_stereo() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool();
    for channels in [1, 2, 6] {
        let file = folder.path().join(format!("{channels}.mkv"));
        let vorbis = "vorbisenc";
        clip(&picture(), H264, &tone(440, channels, 48_000, SECONDS), vorbis, "matroskamux", &file);
        let clip = prepared(&pool, &file, &small(), folder.path());
        assert_eq!(clip.container.channels, channels);
        let heard = sampled(&pool, &clip.video, &tiny_sample(2.0)).pcm;
        let rms = (heard.iter().map(|v| v * v).sum::<f32>() / heard.len() as f32).sqrt();
        assert!((0.04..0.12).contains(&rms), "{channels} channels: rms {rms}");
    }
}

#[test]
fn odd_sizes_and_tiny_pictures_are_squared() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool();
    for (width, height) in [(97, 65), (65, 97), (17, 129)] {
        let file = folder.path().join(format!("{width}x{height}.webm"));
        let vp8 = "videoconvert ! vp8enc deadline=1 cpu-used=8";
        clip(
            &ball(width, height, "10/1", 100),
            vp8,
            &tone(440, 1, 16_000, SECONDS),
            "vorbisenc",
            "webmmux",
            &file,
        );
        let clip = prepared(&pool, &file, &small(), folder.path());
        assert_eq!((clip.container.width, clip.container.height), (width, height));
    }
}

#[test]
fn a_rotated_picture_is_seen_upright() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool();
    // White at the top, black at the bottom, stored lying down: a player turns it back by the tag.
    let stored = |direction: &str| {
        format!(
            "videotestsrc pattern=gradient num-buffers=100 ! video/x-raw,format=I420,width=96,height=96,\
             framerate=10/1 ! videoflip video-direction={direction}"
        )
    };
    let upright = folder.path().join("upright.mp4");
    clip(&stored("identity"), H264, &tone(440, 1, 16_000, SECONDS), AAC, "mp4mux", &upright);
    let expected = sampled(&pool, &upright, &tiny_sample(1.0));
    assert!(brightness_of_row(&expected.rgb, 0) + 60.0 < brightness_of_row(&expected.rgb, 15));
    for (turns, undone) in [(1, "90l"), (2, "180"), (3, "90r")] {
        let file = folder.path().join(format!("{turns}.mp4"));
        clip(&stored(undone), H264, &tone(440, 1, 16_000, SECONDS), AAC, "mp4mux", &file);
        turn_by_tag(&file, turns);
        let seen = sampled(&pool, &file, &tiny_sample(1.0));
        let worst = seen.rgb.iter().zip(&expected.rgb).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst < 24, "{turns}: differs by {worst}");
        let clip = prepared(&pool, &file, &small(), folder.path());
        let normal = sampled(&pool, &clip.video, &tiny_sample(1.0));
        assert!(brightness_of_row(&normal.rgb, 0) + 60.0 < brightness_of_row(&normal.rgb, 15), "{turns}");
    }
}

#[test]
fn width_and_height_are_those_displayed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("portrait.mp4");
    clip(&ball(96, 64, "10/1", 100), H264, &tone(440, 1, 16_000, SECONDS), AAC, "mp4mux", &file);
    turn_by_tag(&file, 1);
    let clip = prepared(&pool(), &file, &small(), folder.path());
    assert_eq!((clip.container.width, clip.container.height), (64, 96));
}

#[test]
fn a_whole_video_is_cut_to_its_segment_and_a_cut_one_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let (pool, file) = (pool(), folder.path().join("whole.mp4"));
    // Brightness counts the seconds, so a frame says where it is from.
    counting_clip(&file, 30, 5);
    let request =
        |start_ms, end_ms| PrepareRequest { segment: Some(Segment { start_ms, end_ms }), ..small() };
    let clip = prepared(&pool, &file, &request(12_000, 22_000), folder.path());
    assert_eq!(clip.container.duration_ms / 100, 300);
    let seen = sampled(&pool, &clip.video, &tiny_sample(1.0));
    let seconds: Vec<u32> = (0..10).map(|frame| index_of(&seen.rgb, frame)).collect();
    assert_eq!(seconds, (60..110).step_by(5).collect::<Vec<u32>>());
    let reject = rejected(&pool, &file, &request(25_000, 35_000));
    assert_eq!(reject.reason, counterpoint_messages::RejectReason::SegmentUnclear);
    let cut = folder.path().join("cut.mp4");
    counting_clip(&cut, 10, 5);
    let clip = prepared(&pool, &cut, &request(300_000, 310_000), folder.path());
    assert_eq!(index_of(&sampled(&pool, &clip.video, &tiny_sample(1.0)).rgb, 0), 0);
}

#[test]
fn frame_i_is_the_one_displayed_at_i_over_the_rate() {
    let folder = tempfile::tempdir().unwrap();
    let (pool, file) = (pool(), folder.path().join("count.mp4"));
    counting_clip(&file, 10, 12);
    for rate in [2.0, 3.0, 0.5, 7.3, 24.0] {
        let seen = sampled(&pool, &file, &tiny_sample(rate));
        let frames = (10.0 * rate - 1e-9_f64).floor() as usize + 1;
        assert_eq!(seen.time.len(), frames, "at {rate}");
        for (frame, time) in seen.time.iter().enumerate() {
            assert!((time - frame as f64 / rate).abs() < 1e-12);
            assert_eq!(
                index_of(&seen.rgb, frame),
                (time * 12.0 + 1e-6).floor() as u32,
                "at {rate}, {time} s"
            );
        }
    }
}

#[test]
fn a_variable_frame_rate_keeps_its_times() {
    let folder = tempfile::tempdir().unwrap();
    let (pool, file) = (pool(), folder.path().join("vfr.mkv"));
    let times: Vec<u64> = (0..60).map(|index: u64| index * index * 10_000 / 3600).collect();
    gray_clip(&file, &times, 10_000, "matroskamux");
    let expected =
        |time: f64| times.iter().filter(|start| **start as f64 <= time * 1000.0 + 1e-6).count() as u32 - 1;
    let own = sampled(&pool, &file, &tiny_sample(4.0));
    for (frame, time) in own.time.iter().enumerate() {
        assert_eq!(index_of(&own.rgb, frame), expected(*time), "at {time} s");
    }
    let clip = prepared(&pool, &file, &small(), folder.path());
    let normal = sampled(&pool, &clip.video, &tiny_sample(4.0));
    for (frame, time) in normal.time.iter().enumerate() {
        let tick = (time * 25.0 + 1e-6).floor() / 25.0;
        assert_eq!(index_of(&normal.rgb, frame), expected(tick), "normalised, at {time} s");
    }
}

/// A clip whose frame `i` is a grey of its own; see [`index_of`].
fn counting_clip(file: &Path, seconds: u64, rate: u64) {
    let times: Vec<u64> = (0..seconds * rate).map(|index| index * 1000 / rate).collect();
    gray_frames(file, &times, seconds * 1000, Some(rate), "mp4mux");
}

fn gray_clip(file: &Path, times: &[u64], end: u64, muxer: &str) {
    gray_frames(file, times, end, None, muxer);
}

/// Moves MPEG-4 picture and MP3 sound from an AVI to another container.
fn remux_mpeg4(from: &Path, muxer: &str, to: &Path) {
    let queue = "queue max-size-time=0 max-size-buffers=0 max-size-bytes=0";
    launch(&format!(
        "filesrc location={} ! avidemux name=demux {muxer} name=mux ! filesink location={} \
         demux.video_0 ! {queue} ! mux. demux.audio_0 ! {queue} ! mpegaudioparse ! mux.",
        from.display(),
        to.display()
    ));
}

/// Writes into the tracks of an mp4 that a player turns them by quarters to the right.
fn turn_by_tag(file: &Path, quarters: u32) {
    let one = 0x0001_0000_i32;
    let (a, b) = [(one, 0), (0, one), (-one, 0), (0, -one)][quarters as usize];
    let matrix: Vec<u8> =
        [a, b, 0, -b, a, 0, 0, 0, 1 << 30].iter().flat_map(|value: &i32| value.to_be_bytes()).collect();
    let mut bytes = std::fs::read(file).unwrap();
    let boxes: Vec<usize> = (0..bytes.len() - 4).filter(|at| &bytes[*at..at + 4] == b"tkhd").collect();
    assert_eq!(boxes.len(), 2);
    for at in boxes {
        bytes[at + 44..at + 80].copy_from_slice(&matrix);
    }
    std::fs::write(file, bytes).unwrap();
}

/// Mean brightness of a row of the first frame of 16 x 16 pixels.
fn brightness_of_row(rgb: &[u8], row: usize) -> f64 {
    let row = &rgb[row * 16 * 3..(row + 1) * 16 * 3];
    row.iter().map(|value| f64::from(*value)).sum::<f64>() / row.len() as f64
}
