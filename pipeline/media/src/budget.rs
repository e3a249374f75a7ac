use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::LazyLock;
use std::time::Duration;

use counterpoint_core::media_job::Limits;
use counterpoint_messages::RejectReason;
use rustix::time::{ClockId, clock_gettime};

use crate::MediaError;

/// What one job may still spend; asked between frames, so that a file which costs too much is turned
/// away with its reason long before the limits of the operating system end the process.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    cpu_at_start: Duration,
    frames: u64,
    decoded_bytes: u64,
    stored_bytes: u64,
}

/// What the kernel says of this process's memory. It is opened once, while paths can still be opened.
static STATM: LazyLock<Option<File>> = LazyLock::new(|| File::open("/proc/self/statm").ok());

/// Decoded bytes below which the ratio to the stored ones says nothing.
const RATIO_FLOOR: u64 = 1 << 30;

impl Budget {
    /// A full budget for a job on a file of `stored_bytes`; the processor time starts to count now.
    pub fn new(limits: Limits, stored_bytes: u64) -> Self {
        Self { limits, cpu_at_start: process_cpu(), frames: 0, decoded_bytes: 0, stored_bytes }
    }

    /// The limits it counts against.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Counts one decoded frame of `bytes`.
    ///
    /// # Errors
    /// A reject once the frames, or the decoded bytes for each stored one, are past their limit.
    pub fn count_frame(&mut self, bytes: usize) -> Result<(), MediaError> {
        self.frames = self.frames.saturating_add(1);
        self.decoded_bytes = self.decoded_bytes.saturating_add(bytes as u64);
        if self.frames > self.limits.frames {
            return Err(MediaError::reject(
                RejectReason::TooLarge,
                format!("more than {} frames had to be decoded; cut the file first", self.limits.frames),
            ));
        }
        let ratio = self.decoded_bytes / self.stored_bytes.max(1);
        if self.decoded_bytes > RATIO_FLOOR && ratio > self.limits.decoded_ratio {
            return Err(MediaError::reject(
                RejectReason::TooLarge,
                format!(
                    "each stored byte decodes to {ratio} bytes of picture, more than {}; re-encode the file",
                    self.limits.decoded_ratio
                ),
            ));
        }
        Ok(())
    }

    /// Compares processor time and resident memory with their limits.
    ///
    /// # Errors
    /// A reject once one of them is spent.
    pub fn check(&self) -> Result<(), MediaError> {
        let cpu = process_cpu().saturating_sub(self.cpu_at_start);
        if cpu > Duration::from_secs(self.limits.cpu_seconds) {
            return Err(MediaError::reject(
                RejectReason::CpuLimit,
                format!(
                    "decoding took more than {} s of processor time; re-encode the file at a lower resolution",
                    self.limits.cpu_seconds
                ),
            ));
        }
        let resident = resident_bytes();
        if resident > self.limits.memory_bytes {
            return Err(MediaError::reject(
                RejectReason::MemoryLimit,
                format!(
                    "decoding took {} MiB of memory, more than {} MiB; re-encode the file at a lower resolution",
                    resident >> 20,
                    self.limits.memory_bytes >> 20
                ),
            ));
        }
        Ok(())
    }
}

/// Processor time this process has used so far, over all its threads.
pub fn process_cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Resident memory of this process; 0 where /proc cannot be read.
pub(crate) fn resident_bytes() -> u64 {
    let mut text = [0; 128];
    let read = STATM.as_ref().and_then(|statm| statm.read_at(&mut text, 0).ok()).unwrap_or(0);
    let pages = std::str::from_utf8(&text[..read])
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok())
        .unwrap_or(0);
    pages.saturating_mul(rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(result: Result<(), MediaError>) -> Option<RejectReason> {
        match result {
            Err(MediaError::Reject(reject)) => Some(reject.reason),
            _ => None,
        }
    }

    #[test]
    fn frames_past_the_limit_are_too_large() {
        let mut budget = Budget::new(Limits { frames: 2, ..Limits::default() }, 1000);
        assert!(budget.count_frame(10).is_ok());
        assert!(budget.count_frame(10).is_ok());
        assert_eq!(reason(budget.count_frame(10)), Some(RejectReason::TooLarge));
    }

    #[test]
    fn a_tiny_file_that_decodes_to_gigabytes_is_too_large() {
        let mut budget = Budget::new(Limits { decoded_ratio: 1000, ..Limits::default() }, 1000);
        assert!(budget.count_frame(1 << 30).is_ok());
        assert_eq!(reason(budget.count_frame(1 << 20)), Some(RejectReason::TooLarge));
    }

    #[test]
    fn memory_past_the_limit_is_a_memory_reject() {
        let budget = Budget::new(Limits { memory_bytes: 1, ..Limits::default() }, 1000);
        assert_eq!(reason(budget.check()), Some(RejectReason::MemoryLimit));
    }

    #[test]
    fn processor_time_past_the_limit_is_a_cpu_reject() {
        let budget = Budget::new(Limits { cpu_seconds: 0, ..Limits::default() }, 1000);
        let mut sum = 0_u64;
        while process_cpu() - budget.cpu_at_start < Duration::from_millis(2) {
            sum = sum.wrapping_mul(31).wrapping_add(7);
        }
        assert_eq!(reason(budget.check()), Some(RejectReason::CpuLimit), "{sum}");
    }
}
