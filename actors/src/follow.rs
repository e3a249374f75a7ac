//! Offers a never-ending input again and again: whenever something new lies in its folder, its label lists
//! changed, a fetch may be tried again, or it is time to seal a pool.
//!
//! It looks instead of being told, so that any file system will do. Where nothing happens it writes
//! nothing, and it spends no more than a small share of the time on looking.

use std::{
    collections::{BTreeSet, HashSet, hash_map::DefaultHasher},
    convert::Infallible,
    hash::{Hash, Hasher},
    sync::Arc,
    time::{Duration, Instant},
};

use counterpoint_log::{LogError, Received, TopicLog};
use counterpoint_messages::{Follow, InputSealed, Message, RecordId, StageName, Topic};
use futures::TryStreamExt;

use crate::{
    Tools,
    pipeline::{FOLLOW_AGAIN, Offer, offered, run_finished},
    revision::Revision,
    settings::{FollowSettings, SourceSettings},
    source::{files::MediaEntry, settling::Moment},
    stage::Process,
};

/// Pause between two looks, in lengths of a look.
const IDLE_SHARE: u32 = 20;
/// Pause between an offer's end and the next one, in lengths of the source's work on it; at most this long.
const BUSY_SHARE: u32 = 10;
const LONGEST_REST: Duration = Duration::from_secs(60);
/// Shortest pause, however soon a file will have settled.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);

/// An input that never ends, and what has been seen of it.
pub struct Follower {
    /// The log.
    pub log: Arc<dyn TopicLog>,
    /// Revision that is worked on.
    pub revision: Revision,
    /// Shared with the source, so that both agree on which files have settled.
    pub tools: Arc<Tools>,
    /// What is offered.
    pub offer: Offer,
    /// Which files are media.
    pub source: SourceSettings,
    /// How often, and when pools are sealed.
    pub settings: FollowSettings,
}

/// What is known of the offers made.
struct Standing {
    /// What had settled when it was offered last.
    offered: HashSet<u64>,
    /// The offer that the source is at, and since when.
    reading: Option<(RecordId, Instant)>,
    /// No offer before this.
    rest_until: Instant,
    /// Followed inputs whose end no [`counterpoint_messages::RunFinished`] has named.
    open: BTreeSet<RecordId>,
    /// When the pool that is open was begun, or asked for last.
    open_since: Instant,
    /// When there is something to fetch again.
    retry_at_ms: Option<i64>,
    begun: bool,
    /// Inputs that were offered on this log by anybody when this began, and by this since.
    nonce: u64,
}

impl Standing {
    fn opened(&mut self, input: RecordId) {
        if self.open.is_empty() {
            self.open_since = Instant::now();
        }
        self.open.insert(input);
    }
}

/// What lies there.
struct Look {
    marks: HashSet<u64>,
    /// How long until a further file may have settled.
    next: Option<Duration>,
    took: Duration,
}

impl Follower {
    /// Follows until dropped. Rides out a log that does not answer for a moment.
    ///
    /// # Errors
    /// If the log cannot be read or written.
    pub async fn follow(self) -> Result<Infallible, LogError> {
        let nonce = loop {
            match offered(&*self.log).await {
                Ok((inputs, later)) => break (inputs.len() + later.len()) as u64,
                Err(error) if error.is_passing() => tokio::time::sleep(FOLLOW_AGAIN).await,
                Err(error) => return Err(error),
            }
        };
        let now = Instant::now();
        let mut standing = Standing {
            offered: HashSet::new(),
            reading: None,
            rest_until: now,
            open: BTreeSet::new(),
            open_since: now,
            retry_at_ms: None,
            begun: false,
            nonce,
        };
        let mut runs = self.log.follow(Topic::Runs);
        let mut pause = Duration::ZERO;
        loop {
            tokio::select! {
                record = runs.try_next() => match record {
                    Ok(Some(record)) => {
                        self.learn(&mut standing, &record);
                        pause = pause.min(SHORTEST_PAUSE);
                        continue;
                    }
                    Ok(None) => {}
                    Err(error) if error.is_passing() => {}
                    Err(error) => return Err(error),
                },
                () = tokio::time::sleep(pause) => {
                    pause = self.round(&mut standing).await?;
                    continue;
                }
            }
            tokio::time::sleep(FOLLOW_AGAIN).await;
            runs = self.log.follow(Topic::Runs);
        }
    }
}

impl Follower {
    /// Looks, and offers if there is a reason to; how long to pause then.
    async fn round(&self, standing: &mut Standing) -> Result<Duration, LogError> {
        let scan = self.settings.scan();
        let rest = standing.rest_until.saturating_duration_since(Instant::now());
        if standing.reading.is_some() || !rest.is_zero() {
            return Ok(if rest.is_zero() { scan } else { rest.min(scan) });
        }
        let look = self.look().await;
        let now_ms = Moment::now().wall_ms;
        let is_new = !standing.begun || !look.marks.is_subset(&standing.offered);
        let is_retry = standing.retry_at_ms.is_some_and(|at| at <= now_ms);
        let seal = !standing.open.is_empty() && standing.open_since.elapsed() >= self.settings.seal_after();
        if is_new || is_retry || seal {
            match self.make(standing, seal).await {
                Ok(()) => standing.offered = look.marks,
                Err(error) if error.is_passing() => return Ok(FOLLOW_AGAIN),
                Err(error) => return Err(error),
            }
        }
        let until_retry = standing.retry_at_ms.and_then(|at| u64::try_from(at.saturating_sub(now_ms)).ok());
        let soonest = [look.next, until_retry.map(Duration::from_millis)].into_iter().flatten().min();
        let pause = soonest.map_or(scan, |soonest| soonest.min(scan)).max(SHORTEST_PAUSE);
        Ok(pause.max(look.took * IDLE_SHARE))
    }

    async fn make(&self, standing: &mut Standing, seal: bool) -> Result<(), LogError> {
        let settle_ms = u64::try_from(self.settings.settle().as_millis()).unwrap_or(u64::MAX);
        let follow = Follow { settle_ms, seal_clips: self.settings.seal_clips, seal };
        let now_ms = Moment::now().wall_ms;
        let id = self.offer.make(&*self.log, Some(follow), standing.nonce, &Process::this(), now_ms).await?;
        let now = Instant::now();
        standing.opened(id);
        if seal {
            standing.open_since = now;
        }
        standing.nonce += 1;
        standing.begun = true;
        standing.reading = Some((id, now));
        standing.retry_at_ms = None;
        Ok(())
    }

    /// What a record of the runs says of the offers.
    fn learn(&self, standing: &mut Standing, record: &Received) {
        let sources = self.revision.fingerprint(StageName::Source);
        if record.headers.revision == Some(sources)
            && let Ok(Message::InputSealed(sealed)) = Message::decode(&record.value)
        {
            let InputSealed { input, follow, retry_at_ms, .. } = sealed;
            // Also one that an earlier follower offered, or the source itself.
            if follow.is_some() {
                standing.opened(input);
            }
            if let Some((_, since)) = standing.reading.take_if(|(reading, _)| *reading == input) {
                let rest = (since.elapsed() * BUSY_SHARE).min(LONGEST_REST);
                standing.rest_until = Instant::now() + rest;
                standing.retry_at_ms = retry_at_ms;
            }
            return;
        }
        // What a later release wrote is told where the run is watched.
        let finished = run_finished(record, &self.revision).unwrap_or_default();
        for input in finished.into_iter().flat_map(|run| run.inputs) {
            standing.open.remove(&input);
            // The source gave up on it.
            standing.reading.take_if(|(reading, _)| *reading == input);
        }
    }

    async fn look(&self) -> Look {
        let (tools, offer) = (Arc::clone(&self.tools), self.offer.clone());
        let (extensions, settle) = (self.source.extensions.clone(), self.settings.settle());
        let started = Instant::now();
        let look = tokio::task::spawn_blocking(move || {
            // A place that cannot be listed now shows nothing new; the source tells of it when it is read.
            let files =
                tools.places.list(&offer.clips, &extensions).map_or_else(|_| vec![], |found| found.files);
            let settled = tools.settling.look(&offer.clips, files, settle, Moment::now());
            let mut marks: HashSet<_> = settled.files.iter().map(|file| mark(file, true)).collect();
            let mut next = settled.next;
            for list in &offer.labels {
                // A list that is gone for a moment counts when it is back.
                let Ok(entry) = MediaEntry::of_file(&list.path) else { continue };
                let watched = tools.settling.look(&list.path, vec![entry.clone()], settle, Moment::now());
                marks.insert(mark(&entry, watched.next.is_none()));
                next = [next, watched.next].into_iter().flatten().min();
            }
            (marks, next)
        });
        // It panics on nothing; if it did, there would be nothing new this time.
        let (marks, next) = look.await.unwrap_or_default();
        Look { marks, next, took: started.elapsed() }
    }
}

/// Tells a file's present content from any other it had. Of a list it matters whether it has settled: its
/// last line may not have counted before.
fn mark(file: &MediaEntry, has_settled: bool) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&file.path, file.bytes, file.modified_ms, has_settled).hash(&mut hasher);
    hasher.finish()
}
