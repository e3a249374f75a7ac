//! What the stages ask of the media workers.

use std::path::Path;

use counterpoint_core::media_job::{
    ComposeOutcome, ComposeRequest, MediaReject, PrepareOutcome, PrepareRequest, SampleRequest,
};
use counterpoint_messages::{Parent, SampleComposed};
use counterpoint_telemetry::{events, events::Event as _, span};
pub use counterpoint_worker::Sampled;
use counterpoint_worker::{ParentPaths, WorkerFault, WorkerPool};
use tempfile::TempPath;

use crate::{
    stage::Fault,
    store::{LocalObject, Store, StoreError},
};

/// Media work, done by processes of their own; blocking, from as many threads as [`Media::parallelism`].
pub trait Media: Send + Sync {
    /// Jobs that run at once.
    fn parallelism(&self) -> usize;

    /// Brings a clip into its normal form; the two files lie in `scratch` and belong to the caller.
    ///
    /// # Errors
    /// [`Fault`] if no worker could answer; a file that is turned away is an answer.
    fn prepare(
        &self,
        input: &Path,
        request: &PrepareRequest,
        scratch: &Path,
    ) -> Result<Result<PreparedFiles, MediaReject>, Fault>;

    /// Makes a variant, complete under its name or not there at all.
    ///
    /// # Errors
    /// As for [`Media::prepare`].
    fn compose(
        &self,
        request: &ComposeRequest,
        parents: &Parents,
        output: &Path,
    ) -> Result<Result<ComposeOutcome, MediaReject>, Fault>;

    /// Reads the frames and the sound that a model is given of a file.
    ///
    /// # Errors
    /// As for [`Media::prepare`].
    fn sample(&self, input: &Path, request: &SampleRequest) -> Result<Result<Sampled, MediaReject>, Fault>;
}

/// A clip in its normal form; its files are removed with it unless they were moved away.
#[derive(Debug)]
pub struct PreparedFiles {
    /// The mp4.
    pub video: TempPath,
    /// The FLAC.
    pub sound: TempPath,
    /// What was measured.
    pub outcome: PrepareOutcome,
}

/// Files that a variant is made from.
#[derive(Debug, Clone)]
pub struct Parents {
    /// Gives the picture.
    pub host: ParentFiles,
    /// Give sound.
    pub donors: Vec<ParentFiles>,
}

/// A clip in its normal form, as files.
#[derive(Debug, Clone)]
pub struct ParentFiles {
    /// The mp4.
    pub video: LocalObject,
    /// The FLAC.
    pub sound: LocalObject,
}

impl Parents {
    /// The stored files of a sample's parents, which stay while the value lives.
    ///
    /// # Errors
    /// If the sample has no host, or an object cannot be had.
    pub fn of(sample: &SampleComposed, store: &Store) -> Result<Self, Fault> {
        let files = |parent: &Parent| -> Result<ParentFiles, StoreError> {
            Ok(ParentFiles {
                video: store.open_object(parent.media.hash)?,
                sound: store.open_object(parent.sound.hash)?,
            })
        };
        let host = sample.host().ok_or_else(|| Fault::Record(format!("sample {} has no host", sample.id)))?;
        Ok(Self { host: files(host)?, donors: sample.donors().map(files).collect::<Result<_, _>>()? })
    }
}

impl Media for WorkerPool {
    fn parallelism(&self) -> usize {
        self.settings().workers
    }

    fn prepare(
        &self,
        input: &Path,
        request: &PrepareRequest,
        scratch: &Path,
    ) -> Result<Result<PreparedFiles, MediaReject>, Fault> {
        let _span = tracing::info_span!(span::MEDIA_PREPARE).entered();
        let prepared = WorkerPool::prepare(self, input, request, scratch);
        tell_of_replaced(self);
        Ok(prepared?.map(|prepared| PreparedFiles {
            video: prepared.video,
            sound: prepared.sound,
            outcome: PrepareOutcome {
                container: prepared.container,
                statistics: prepared.statistics,
                duration_ms: prepared.duration_ms,
                padded_ms: prepared.padded_ms,
            },
        }))
    }

    fn compose(
        &self,
        request: &ComposeRequest,
        parents: &Parents,
        output: &Path,
    ) -> Result<Result<ComposeOutcome, MediaReject>, Fault> {
        let _span = tracing::info_span!(span::MEDIA_COMPOSE).entered();
        let donors: Vec<_> = parents.donors.iter().map(ParentFiles::paths).collect();
        let composed = WorkerPool::compose(self, request, parents.host.paths(), &donors, output);
        tell_of_replaced(self);
        Ok(composed?)
    }

    fn sample(&self, input: &Path, request: &SampleRequest) -> Result<Result<Sampled, MediaReject>, Fault> {
        let _span = tracing::info_span!(span::MEDIA_SAMPLE).entered();
        let sampled = WorkerPool::sample(self, input, request);
        tell_of_replaced(self);
        Ok(sampled?)
    }
}

fn tell_of_replaced(pool: &WorkerPool) {
    for reason in pool.take_replaced() {
        events::WorkerReplaced { reason }.emit();
    }
}

impl ParentFiles {
    fn paths(&self) -> ParentPaths<'_> {
        ParentPaths { video: self.video.path(), sound: self.sound.path() }
    }
}

impl From<WorkerFault> for Fault {
    fn from(fault: WorkerFault) -> Self {
        if fault.is_attempt() { Self::Record(fault.to_string()) } else { Self::Ours(fault.to_string()) }
    }
}
