//! Media workers that copy instead of decoding, and fail when they are told to.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use counterpoint_actors::{
    media::{Media, Parents, PreparedFiles, Sampled},
    stage::Fault as Failed,
};
use counterpoint_core::media_job::{
    ComposeOutcome, ComposeRequest, MediaReject, PrepareRequest, SampleRequest,
};
use counterpoint_messages::RejectReason;

use crate::{
    faults::{Fault, Faults},
    prepared::prepared,
    scheduler::Scheduler,
};

pub struct SimulatedWorkers {
    pub scheduler: Arc<Scheduler>,
    pub faults: Arc<Faults>,
}

impl SimulatedWorkers {
    fn write(&self, scratch: &Path, what: &str, bytes: &[u8]) -> Result<tempfile::TempPath, Failed> {
        let ours = |error: std::io::Error| Failed::Ours(error.to_string());
        // Encoding the same clip again need not give the same bytes.
        let take = self.scheduler.pick(2);
        let path: PathBuf = scratch.join(format!("{what}-{}", self.scheduler.pick(usize::MAX)));
        fs::write(&path, [format!("{what}, take {take}, of ").as_bytes(), bytes].concat()).map_err(ours)?;
        tempfile::TempPath::try_from_path(path).map_err(ours)
    }
}

impl Media for SimulatedWorkers {
    fn parallelism(&self) -> usize {
        2
    }

    fn prepare(
        &self,
        input: &Path,
        _: &PrepareRequest,
        scratch: &Path,
    ) -> Result<Result<PreparedFiles, MediaReject>, Failed> {
        if self.faults.strikes(Fault::WorkerLost) {
            return Err(Failed::Ours("the media worker does not answer".to_owned()));
        }
        if self.faults.strikes(Fault::WorkerCrash) {
            return Err(Failed::Record("the media worker died of signal 11".to_owned()));
        }
        let bytes = fs::read(input).map_err(|error| Failed::Ours(error.to_string()))?;
        if bytes.starts_with(b"bad") {
            return Ok(Err(MediaReject::new(RejectReason::NotMedia, "it holds text")));
        }
        let outcome = prepared(&bytes);
        let (video, sound) = (self.write(scratch, "picture", &bytes)?, self.write(scratch, "sound", &bytes)?);
        Ok(Ok(PreparedFiles { video, sound, outcome }))
    }

    fn compose(
        &self,
        _: &ComposeRequest,
        _: &Parents,
        _: &Path,
    ) -> Result<Result<ComposeOutcome, MediaReject>, Failed> {
        Err(Failed::Record("no sample is made into a file here".to_owned()))
    }

    fn sample(&self, _: &Path, _: &SampleRequest) -> Result<Result<Sampled, MediaReject>, Failed> {
        Err(Failed::Record("nothing is shown to a model here".to_owned()))
    }
}
