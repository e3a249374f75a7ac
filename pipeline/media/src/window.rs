use counterpoint_core::media_job::{MediaReject, PrepareRequest, ShortClips};
use counterpoint_messages::RejectReason;

/// Milliseconds by which a file that is already cut may be longer than its segment.
const CUT_SLACK_MS: u64 = 500;

/// Milliseconds by which a file may fall short of its header before it counts as cut off.
const TRUNCATION_SLACK_MS: u64 = 500;

/// Milliseconds that a header may round away: two frames of a slow picture.
const HEADER_SLACK_MS: u64 = 150;

/// The part of a file that a clip is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// First millisecond.
    pub(crate) start_ms: u64,
    /// One past the last millisecond.
    pub(crate) end_ms: u64,
}

impl Window {
    /// Chooses it for a file of `duration_ms`: a file that reaches past the segment's end is the whole
    /// source video and is cut to the segment, one hardly longer than the segment is already cut.
    ///
    /// # Errors
    /// A reject when neither holds, or when the window is shorter than clips may be.
    pub(crate) fn choose(request: &PrepareRequest, duration_ms: u64) -> Result<Self, MediaReject> {
        let window = Self::place(request, duration_ms)?;
        window.require_length(request, duration_ms)?;
        Ok(window)
    }

    fn place(request: &PrepareRequest, duration_ms: u64) -> Result<Self, MediaReject> {
        let length = u64::from(request.seconds).saturating_mul(1000);
        let Some(segment) = request.segment else { return Ok(Self { start_ms: 0, end_ms: length }) };
        if duration_ms >= segment.end_ms {
            let end_ms = segment.start_ms.saturating_add(length).min(segment.end_ms);
            return Ok(Self { start_ms: segment.start_ms, end_ms });
        }
        if duration_ms <= segment.duration_ms().saturating_add(CUT_SLACK_MS) {
            return Ok(Self { start_ms: 0, end_ms: length });
        }
        let seconds = |ms: u64| ms as f64 / 1000.0;
        Err(MediaReject::new(
            RejectReason::SegmentUnclear,
            format!(
                "the file lasts {:.3} s: too short to reach the segment's end at {:.3} s, too long to be the \
                 segment of {:.3} s; give the whole video or the cut segment",
                seconds(duration_ms),
                seconds(segment.end_ms),
                seconds(segment.duration_ms())
            ),
        ))
    }

    /// Rejects early what is clearly too short.
    fn require_length(&self, request: &PrepareRequest, duration_ms: u64) -> Result<(), MediaReject> {
        let reachable = self.end_ms.min(duration_ms.saturating_add(HEADER_SLACK_MS));
        let covered_ms = reachable.saturating_sub(self.start_ms);
        if covered_ms >= u64::from(request.seconds).saturating_mul(1000) {
            return Ok(());
        }
        let covered_ms = self.end_ms.min(duration_ms).saturating_sub(self.start_ms);
        self.short(request, covered_ms).map(|_| ())
    }

    /// What is to be padded when `covered_ms` of the clip are there: nothing where at most `slack_ms` lack.
    ///
    /// # Errors
    /// Too short, where short clips are rejected.
    pub(crate) fn padding(
        &self,
        request: &PrepareRequest,
        covered_ms: u64,
        slack_ms: u64,
    ) -> Result<u64, MediaReject> {
        let length = u64::from(request.seconds).saturating_mul(1000);
        if covered_ms.saturating_add(slack_ms) >= length { Ok(0) } else { self.short(request, covered_ms) }
    }

    fn short(&self, request: &PrepareRequest, covered_ms: u64) -> Result<u64, MediaReject> {
        let length = u64::from(request.seconds).saturating_mul(1000);
        match request.short {
            ShortClips::Pad => Ok(length.saturating_sub(covered_ms)),
            ShortClips::Reject => Err(MediaReject::new(
                RejectReason::TooShort,
                format!(
                    "the clip lasts {:.3} s, less than {} s; use a longer one or pad short clips (--short pad)",
                    covered_ms as f64 / 1000.0,
                    request.seconds
                ),
            )),
        }
    }

    /// Rejects a file whose streams end well before its header says.
    ///
    /// # Errors
    /// Corrupt, with both lengths.
    pub(crate) fn require_whole(&self, reached_ms: u64, header_ms: u64) -> Result<(), MediaReject> {
        let promised = header_ms.min(self.end_ms);
        if reached_ms.saturating_add(TRUNCATION_SLACK_MS) >= promised {
            return Ok(());
        }
        Err(MediaReject::new(
            RejectReason::CorruptMedia,
            format!(
                "the data ends at {:.3} s although the header says {:.3} s; fetch the file again",
                reached_ms as f64 / 1000.0,
                header_ms as f64 / 1000.0
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use counterpoint_messages::Segment;

    use super::*;

    fn request(start_ms: u64, end_ms: u64) -> PrepareRequest {
        PrepareRequest { segment: Some(Segment { start_ms, end_ms }), ..PrepareRequest::default() }
    }

    #[test]
    fn a_whole_video_is_cut_to_its_segment() {
        let window = Window::choose(&request(30_000, 40_000), 180_000).unwrap();
        assert_eq!(window, Window { start_ms: 30_000, end_ms: 40_000 });
    }

    #[test]
    fn a_file_as_long_as_its_segment_is_already_cut() {
        for duration in [6_900, 9_980, 10_090, 10_500] {
            let request = PrepareRequest { short: ShortClips::Pad, ..request(30_000, 40_000) };
            let window = Window::choose(&request, duration).unwrap();
            assert_eq!(window, Window { start_ms: 0, end_ms: 10_000 });
        }
    }

    #[test]
    fn what_is_clearly_too_short_is_rejected_before_it_is_decoded() {
        let reject = Window::choose(&request(30_000, 40_000), 6_900).unwrap_err();
        assert_eq!(reject.reason, RejectReason::TooShort);
    }

    #[test]
    fn anything_between_is_unclear() {
        let reject = Window::choose(&request(30_000, 40_000), 10_501).unwrap_err();
        assert_eq!(reject.reason, RejectReason::SegmentUnclear);
    }

    #[test]
    fn a_long_segment_gives_its_first_seconds() {
        let window = Window::choose(&request(5_000, 65_000), 180_000).unwrap();
        assert_eq!(window, Window { start_ms: 5_000, end_ms: 15_000 });
    }

    #[test]
    fn the_slack_decides_between_full_and_short() {
        let (request, window) = (PrepareRequest::default(), Window { start_ms: 0, end_ms: 10_000 });
        assert_eq!(window.padding(&request, 9_977, 34), Ok(0));
        assert_eq!(window.padding(&request, 9_000, 34).unwrap_err().reason, RejectReason::TooShort);
        let pad = PrepareRequest { short: ShortClips::Pad, ..request };
        assert_eq!(window.padding(&pad, 9_000, 34), Ok(1000));
    }

    #[test]
    fn extreme_numbers_do_not_overflow() {
        let request = request(u64::MAX - 1, u64::MAX);
        assert!(Window::choose(&request, u64::MAX).is_err());
        let window = Window::place(&request, u64::MAX).unwrap();
        assert!(window.require_whole(u64::MAX, u64::MAX).is_ok());
    }
}
