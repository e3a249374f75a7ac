//! How far each stage is behind, measured from time to time for the metrics.

use std::{sync::Arc, time::Duration};

use counterpoint_log::{Group, LogError, TopicLog};
use counterpoint_messages::Topic;
use counterpoint_telemetry::{Event, events, metric::are_read};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

const INTERVAL: Duration = Duration::from_secs(5);
/// How much longer a measurement is rested from than it took: counting a long topic is work for the log.
const REST: u32 = 200;

/// What a stage reads, and as which group.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    pub group: Group,
    pub inputs: Vec<Topic>,
}

/// Measures the lag of these readers for as long as the value lives.
pub(crate) struct LagWatch {
    log: Arc<dyn TopicLog>,
    readers: Arc<Vec<Reader>>,
    _watching: JoinSet<()>,
}

impl LagWatch {
    /// Begins; needs a running tokio runtime. Does nothing where nobody reads metrics.
    pub fn start(log: Arc<dyn TopicLog>, readers: Vec<Reader>) -> Self {
        let readers = Arc::new(readers);
        let mut watching = JoinSet::new();
        if are_read() {
            watching.spawn(watch(Arc::clone(&log), Arc::clone(&readers)));
        }
        Self { log, readers, _watching: watching }
    }

    /// Measures once more, so that what is read last is how the run ended.
    pub async fn finish(&self) {
        if are_read() {
            // A log that does not answer any more has been complained of by those who needed it.
            let _ = measure(&*self.log, &self.readers).await;
        }
    }
}

async fn watch(log: Arc<dyn TopicLog>, readers: Arc<Vec<Reader>>) {
    loop {
        let start = Instant::now();
        // As in `finish`.
        let _ = measure(&*log, &readers).await;
        sleep(INTERVAL.max(start.elapsed() * REST)).await;
    }
}

async fn measure(log: &dyn TopicLog, readers: &[Reader]) -> Result<(), LogError> {
    let groups = log.groups().await?;
    let known = |reader: &Reader, topic: Topic| {
        let group = groups.iter().find(|group| group.group == reader.group)?;
        group.lag_by_topic.iter().find_map(|(of, lag)| (*of == topic).then_some(*lag))
    };
    // A topic of which a stage has committed nothing yet waits for it as a whole.
    let is_new = |reader: &Reader| reader.inputs.iter().any(|topic| known(reader, *topic).is_none());
    let topics = if readers.iter().any(is_new) { log.topics().await? } else { Vec::new() };
    let whole = |topic| topics.iter().find(|described| described.topic == topic).map_or(0, |all| all.records);
    for reader in readers {
        for topic in &reader.inputs {
            let records = known(reader, *topic).unwrap_or_else(|| whole(*topic));
            events::LagObserved { stage: reader.group.stage, topic: *topic, records }.emit();
        }
    }
    Ok(())
}
