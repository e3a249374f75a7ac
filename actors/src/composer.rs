//! Plans the samples of a sealed pool.
//!
//! Reads [`PoolSealed`]; writes [`counterpoint_messages::SampleComposed`],
//! [`counterpoint_messages::RecipeSkipped`] and, at the end, [`PoolComposed`].
//!
//! Samples are recipes, not files, and a pure function of the seal, the plan and the seed, so a pool is
//! composed a few hosts at a time and goes on where it was.

use std::sync::Arc;

use counterpoint_core::{
    plan::Plan,
    pool::PoolListing,
    variants::{self, Composition, Relations},
};
use counterpoint_log::StateEntry;
use counterpoint_messages::{
    Cause, ContentHash, Fingerprint, Message, PoolComposed, PoolSealed, RecordId, Split, StageName, Topic,
};
use counterpoint_telemetry::span;
use serde::{Deserialize, Serialize};

use crate::{
    Tools,
    stage::{
        Effects, Fault, Order, Output, Profile, Record, Stage, StageError, Step, Trace, Work, read_state,
        state_entry,
    },
};

/// Hosts composed before what came of them is committed.
const HOSTS_A_STEP: usize = 64;

const STAGE: StageName = StageName::Composer;

/// See the module.
pub struct Composer {
    plan: Plan,
    seed: u64,
    relations: Arc<dyn Relations + Send + Sync>,
    fingerprint: Fingerprint,
    progress: Option<Progress>,
    current: Option<(RecordId, variants::Composer)>,
}

/// How far a pool is composed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    pool: RecordId,
    hosts: usize,
    samples: u64,
    skipped: u64,
}

/// Loads the listing that a seal names.
#[derive(Debug)]
pub struct LoadListing {
    split: Split,
    listing: ContentHash,
}

impl Work for LoadListing {
    type Outcome = PoolListing;

    fn perform(self, tools: &Tools) -> Result<PoolListing, Fault> {
        let bytes = tools.store.get(self.listing)?;
        PoolListing::from_bytes(self.split, &bytes, self.listing)
            .map_err(|error| Fault::Record(error.to_string()))
    }
}

impl Composer {
    /// A composer for this plan and seed.
    pub fn new(
        plan: Plan,
        seed: u64,
        relations: Arc<dyn Relations + Send + Sync>,
        fingerprint: Fingerprint,
    ) -> Self {
        Self { plan, seed, relations, fingerprint, progress: None, current: None }
    }

    fn compose_some(&mut self, sealed: &PoolSealed) -> Result<Effects, StageError> {
        let _span = tracing::info_span!(span::POOL_COMPOSE).entered();
        let Some((_, composer)) = &mut self.current else {
            return Err(StageError::Content(format!("pool {} has no listing", sealed.id)));
        };
        let mut progress = match self.progress.filter(|progress| progress.pool == sealed.id) {
            Some(progress) => progress,
            None => Progress { pool: sealed.id, hosts: 0, samples: 0, skipped: 0 },
        };
        let mut effects = Effects::default();
        for host in composer.by_ref().take(HOSTS_A_STEP) {
            progress.hosts += 1;
            for composition in host.compositions {
                let output = match composition {
                    Composition::Sample(sample) => {
                        progress.samples += 1;
                        let video = sample.host().map(|host| host.video.clone()).unwrap_or_default();
                        Output::of_clip(Topic::Samples, sample.id, host.host, &video, sample)
                    }
                    Composition::Skipped(skipped) => {
                        progress.skipped += 1;
                        let video = skipped.video.clone();
                        Output::of_clip(Topic::Skipped, skipped.id, host.host, &video, skipped)
                    }
                };
                effects.outputs.push(output.in_trace(Trace::Clip(host.trace)));
            }
        }
        effects.more = composer.len() > 0;
        if effects.more {
            self.progress = Some(progress);
        } else {
            let Progress { pool, samples, skipped, .. } = progress;
            let composed = PoolComposed { pool, samples, skipped };
            let key = Cause {
                stage: STAGE,
                transform: variants::TRANSFORM,
                settings: self.fingerprint,
                inputs: &[pool],
                detail: "composed",
            }
            .id();
            effects.outputs.push(Output::of_run(Topic::Runs, key, composed));
            self.progress = None;
            self.current = None;
        }
        effects.state.push(match &self.progress {
            Some(progress) => state_entry(STAGE, "progress", progress)?,
            None => StateEntry { partition: 0, key: b"progress".to_vec(), value: None },
        });
        Ok(effects)
    }
}

impl Stage for Composer {
    type Work = LoadListing;

    fn profile(&self) -> Profile {
        Profile { stage: STAGE, inputs: vec![Topic::Pools], order: Order::Sequential, blameless: false }
    }

    fn restore(&mut self, state: &[StateEntry]) -> Result<(), StageError> {
        (self.progress, self.current) = (None, None);
        for entry in state.iter().filter(|entry| entry.key == b"progress") {
            self.progress = Some(read_state(STAGE, entry)?);
        }
        Ok(())
    }

    fn plan(&mut self, record: &Record) -> Result<Step<LoadListing>, StageError> {
        let sealed = sealed(record)?;
        match &self.current {
            Some((pool, _)) if *pool == sealed.id => self.compose_some(sealed).map(Step::Done),
            _ => Ok(Step::Work(LoadListing { split: sealed.split, listing: sealed.listing })),
        }
    }

    fn conclude(&mut self, record: &Record, listing: PoolListing) -> Result<Effects, StageError> {
        let sealed = sealed(record)?;
        let relations = &*self.relations;
        let composer = variants::compose(listing, sealed, &self.plan, self.seed, relations, self.fingerprint)
            .map_err(|error| StageError::Content(error.to_string()))?;
        let done =
            self.progress.filter(|progress| progress.pool == sealed.id).map_or(0, |progress| progress.hosts);
        self.current = Some((sealed.id, composer.from_host(done)));
        Ok(Effects { more: true, ..Effects::default() })
    }
}

fn sealed(record: &Record) -> Result<&PoolSealed, StageError> {
    match &record.message {
        Message::PoolSealed(sealed) => Ok(sealed),
        other => Err(StageError::unexpected(STAGE, other)),
    }
}
