//! What a pretended media worker finds out about a clip.

use counterpoint_core::media_job::PrepareOutcome;
use counterpoint_messages::{ContainerFacts, SignalStatistics};

/// A good clip of 10 s, or one in which nothing moves if its file begins with `still`.
pub fn prepared(file: &[u8]) -> PrepareOutcome {
    PrepareOutcome {
        container: ContainerFacts {
            container: "mp4".to_owned(),
            video_codec: "h264".to_owned(),
            audio_codec: "aac".to_owned(),
            width: 64,
            height: 48,
            frame_rate: 25.0,
            duration_ms: 10_000,
            sample_rate: 48_000,
            channels: 2,
        },
        statistics: SignalStatistics {
            loudness_lufs: -20.0,
            silent_share: 0.0,
            black_share: 0.0,
            motion: if file.starts_with(b"still") { 0.0 } else { 0.1 },
            cuts: 0,
        },
        duration_ms: 10_000,
        padded_ms: 0,
    }
}
