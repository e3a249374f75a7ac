//! The eight real clips through the whole worker.
#![allow(clippy::unwrap_used, reason = "a test fails where its helpers do")]

mod common;

use common::{pool, prepared, real_clips, rejected, sampled};
use counterpoint_core::media_job::{PrepareRequest, SampleRequest, ShortClips};
use counterpoint_messages::{RejectReason, Segment};

/// Clips that are shorter than ten seconds.
const SHORT: [&str; 2] = ["Glass", "Frog"];

#[test]
fn the_real_clips_are_prepared_or_rejected_as_too_short() {
    let (pool, scratch) = (pool(), tempfile::tempdir().unwrap());
    let mut files: Vec<_> =
        std::fs::read_dir(real_clips()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 8);
    let request = PrepareRequest {
        segment: Some(Segment { start_ms: 30_000, end_ms: 40_000 }),
        ..PrepareRequest::default()
    };
    for file in &files {
        if SHORT.iter().any(|name| file.to_string_lossy().contains(name)) {
            assert_eq!(rejected(&pool, file, &request).reason, RejectReason::TooShort);
            let pad = PrepareRequest { short: ShortClips::Pad, ..request.clone() };
            let padded = prepared(&pool, file, &pad, scratch.path());
            assert!(padded.padded_ms > 900 && padded.duration_ms == 10_000, "{padded:?}");
            continue;
        }
        let clip = prepared(&pool, file, &request, scratch.path());
        assert_eq!((clip.duration_ms, clip.padded_ms), (10_000, 0));
        assert_eq!(
            (clip.container.video_codec.as_str(), clip.container.audio_codec.as_str()),
            ("h264", "aac")
        );
        assert!(clip.statistics.motion > 0.0 && clip.statistics.loudness_lufs > -70.0, "{clip:?}");
        let seen = sampled(&pool, &clip.video, &SampleRequest::default());
        assert_eq!((seen.time.len(), seen.rgb.len(), seen.pcm.len()), (20, 20 * 504 * 504 * 3, 160_000));
    }
}
