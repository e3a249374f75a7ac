//! When a log grows.

use std::{
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use counterpoint_log::TopicLog;
use tokio::runtime::{Builder, Runtime};

use crate::topics::Topics;

const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Looks at how much a log holds.
pub struct Growth {
    runtime: Runtime,
    topics: Topics,
    log: Option<Arc<dyn TopicLog>>,
}

impl Growth {
    pub fn of(topics: &Topics) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { runtime, topics: topics.clone(), log: None }
    }

    fn records(&mut self, out: &Path) -> u64 {
        if self.log.is_none() {
            self.log = self.topics.open(out);
        }
        // A log that is not there yet, or does not answer just now, has not grown.
        let Some(log) = &self.log else { return 0 };
        let described = self.runtime.block_on(log.topics()).unwrap_or_default();
        described.iter().map(|topic| topic.records).sum()
    }

    /// How long it takes until the log has grown; `None` if `is_over` first.
    pub fn next(&mut self, out: &Path, mut is_over: impl FnMut() -> bool) -> Option<Duration> {
        let (started, before) = (Instant::now(), self.records(out));
        loop {
            let ended = is_over();
            if self.records(out) > before {
                return Some(started.elapsed());
            }
            if ended {
                return None;
            }
            thread::sleep(LOOK_AGAIN);
        }
    }
}
