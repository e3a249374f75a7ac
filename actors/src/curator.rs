//! Maps a clip's labels to the one class it shows, or turns it away.
//!
//! Reads [`counterpoint_messages::ClipFound`]; writes [`ClipCurated`] or [`Rejected`] (paper section 3.3,
//! appendix A and B).

use std::sync::Arc;

use counterpoint_core::curation::Curator as Rulebook;
use counterpoint_log::StateEntry;
use counterpoint_messages::{Cause, ClipCurated, Fingerprint, Message, Rejected, StageName, Topic};

use crate::stage::{Effects, NoWork, Order, Output, Profile, Record, Stage, StageError, Step};

const STAGE: StageName = StageName::Curator;

/// See the module.
#[derive(Debug)]
pub struct Curator {
    rulebook: Arc<Rulebook>,
    fingerprint: Fingerprint,
}

impl Curator {
    /// A curator under these rules.
    pub fn new(rulebook: Arc<Rulebook>, fingerprint: Fingerprint) -> Self {
        Self { rulebook, fingerprint }
    }
}

impl Stage for Curator {
    type Work = NoWork;

    fn profile(&self) -> Profile {
        Profile { stage: STAGE, inputs: vec![Topic::Clips], order: Order::Parallel, blameless: false }
    }

    fn restore(&mut self, _: &[StateEntry]) -> Result<(), StageError> {
        Ok(())
    }

    fn plan(&mut self, record: &Record) -> Result<Step<NoWork>, StageError> {
        let Message::ClipFound(found) = &record.message else {
            return Err(StageError::unexpected(STAGE, &record.message));
        };
        let clip = found.clip.clone();
        let id =
            Cause { stage: STAGE, transform: 1, settings: self.fingerprint, inputs: &[clip.id], detail: "" }
                .id();
        let (clip_id, video) = (clip.id, clip.video.clone());
        let output = match self.rulebook.curate(&clip.labels) {
            Ok(curated) => {
                let media = found.media.clone();
                let mids = curated.mids.into_iter().map(str::to_owned).collect();
                let message = ClipCurated { id, clip, media, class: curated.class.to_owned(), mids };
                Output::of_clip(Topic::Curated, id, clip_id, &video, message)
            }
            Err(reject) => {
                let message = Rejected {
                    id,
                    clip: clip_id,
                    video: video.clone(),
                    path: found.media.path.clone(),
                    split: Some(clip.split),
                    stage: STAGE,
                    reason: reject.reason(),
                    detail: reject.to_string(),
                };
                Output::of_clip(Topic::Rejected, id, clip_id, &video, message)
            }
        };
        Ok(Step::Done(Effects::output(output)))
    }

    fn conclude(&mut self, _: &Record, outcome: NoWork) -> Result<Effects, StageError> {
        match outcome {}
    }
}
