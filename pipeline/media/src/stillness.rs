use std::time::Duration;

use counterpoint_messages::RejectReason;

use crate::file_source::FileSource;
use crate::{MediaError, process_cpu};

/// Looks in a row that find nothing done before a file is given up: ten seconds of the reader's.
const MOST_STILL: u32 = 100;

/// Processor time for one look at budget and bus, with plenty to spare; less means that nothing is decoded.
const LOOK: Duration = Duration::from_millis(5);

/// Reads that may bring nothing, and the bytes of the file for each further one. A demuxer that walks a file
/// without an index reads more at a time.
const FREE_READS: u64 = 10_000;
const BYTES_A_READ: u64 = 16;

/// Notices a graph that gets nowhere: its threads wait for each other for ever, or its demuxer reads the same
/// places again and again. Both happen where a file contradicts itself.
///
/// Looks and reads are counted, not seconds, so a machine that sleeps proves nothing, and neither does one that
/// waits for its disk.
#[derive(Debug)]
pub(crate) struct Stillness {
    looks: u32,
    cpu: Duration,
    reads: u64,
    most_reads: u64,
}

impl Stillness {
    /// Nothing was looked at yet; the file has so many bytes.
    pub(crate) fn new(bytes: u64) -> Self {
        let most_reads = FREE_READS.saturating_add(bytes / BYTES_A_READ);
        Self { looks: 0, cpu: Duration::ZERO, reads: 0, most_reads }
    }

    /// Something came out of the graph.
    pub(crate) fn moved(&mut self, source: &FileSource) {
        (self.looks, self.reads) = (0, source.reads());
    }

    /// Looks once more; to be called each time nothing has come.
    ///
    /// # Errors
    /// A reject once it is clear that nothing will.
    pub(crate) fn look(&mut self, source: &FileSource) -> Result<(), MediaError> {
        self.judge(process_cpu(), source.reads(), source.is_reading())
    }

    fn judge(&mut self, cpu: Duration, reads: u64, is_reading: bool) -> Result<(), MediaError> {
        let is_still = cpu.saturating_sub(self.cpu) < LOOK && !is_reading;
        self.cpu = cpu;
        self.looks = if is_still { self.looks.saturating_add(1) } else { 0 };
        let why = if reads.saturating_sub(self.reads) > self.most_reads {
            "its index leads in circles"
        } else if self.looks >= MOST_STILL {
            "its streams wait for each other"
        } else {
            return Ok(());
        };
        Err(MediaError::reject(
            RejectReason::CorruptMedia,
            format!("decoding the file gets nowhere, as {why}; remux or re-encode it"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_without_work_is_given_up_after_as_many_looks() {
        let mut still = Stillness::new(1_000);
        for _ in 1..MOST_STILL {
            still.judge(Duration::ZERO, 5, false).unwrap();
        }
        assert!(
            still.judge(Duration::ZERO, 5, false).unwrap_err().to_string().contains("wait for each other")
        );
    }

    #[test]
    fn work_and_waiting_for_the_disk_are_no_standstill() {
        let mut still = Stillness::new(1_000);
        for look in 0..u64::from(MOST_STILL) * 3 {
            still.judge(Duration::from_millis(20 * look), 5, false).unwrap();
        }
        for _ in 0..MOST_STILL * 3 {
            still.judge(Duration::from_secs(60), 5, true).unwrap();
        }
    }

    #[test]
    fn reading_the_same_places_without_end_is_given_up() {
        let mut still = Stillness::new(160_000);
        still.judge(Duration::ZERO, 20_000, false).unwrap();
        assert!(still.judge(Duration::ZERO, 20_001, false).unwrap_err().to_string().contains("in circles"));
    }
}
