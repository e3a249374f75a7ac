//! Brings a clip into its one normal form, and measures it on the way.
//!
//! Reads [`ClipCurated`]; writes [`ClipDecoded`] or [`Rejected`] (appendix C).
//!
//! 1. the file must still be the one that was found; from a bucket, a copy of it is fetched;
//! 2. a media worker normalises it and measures picture and sound;
//! 3. mp4 and FLAC go into the store, then the record that points to them is written.

use counterpoint_core::media_job::{MediaReject, PrepareOutcome, PrepareRequest};
use counterpoint_log::StateEntry;
use counterpoint_messages::{
    Cause, ClipCurated, ClipDecoded, Fingerprint, MediaFile, MediaObject, Message, RejectReason, Rejected,
    Split, StageName, Topic,
};

use crate::{
    Tools,
    media::Media,
    settings::DecoderSettings,
    source::places::{Places, Unusable},
    stage::{Effects, Fault, Order, Output, Profile, Record, Stage, StageError, Step, Work},
    store::Store,
};

const STAGE: StageName = StageName::Decoder;

/// See the module.
#[derive(Debug)]
pub struct Decoder {
    settings: DecoderSettings,
    fingerprint: Fingerprint,
}

impl Decoder {
    /// A decoder under these settings.
    pub fn new(settings: DecoderSettings, fingerprint: Fingerprint) -> Self {
        Self { settings, fingerprint }
    }
}

/// A file to be normalised.
#[derive(Debug)]
pub struct Prepare {
    media: MediaFile,
    request: PrepareRequest,
}

/// A clip in its normal form, stored.
#[derive(Debug)]
pub struct Prepared {
    media: MediaObject,
    sound: MediaObject,
    outcome: PrepareOutcome,
}

impl Work for Prepare {
    type Outcome = Result<Prepared, MediaReject>;

    fn perform(self, tools: &Tools) -> Result<Self::Outcome, Fault> {
        self.normalise(&tools.places, &*tools.media, &tools.store)
    }

    fn media_seconds(outcome: &Self::Outcome) -> f64 {
        outcome.as_ref().map_or(0.0, |prepared| prepared.outcome.duration_ms as f64 / 1000.0)
    }
}

impl Prepare {
    fn normalise(
        &self,
        places: &Places,
        media: &dyn Media,
        store: &Store,
    ) -> Result<Result<Prepared, MediaReject>, Fault> {
        let scratch = store.scratch();
        let file = match places.open(&self.media, &scratch)? {
            Ok(file) => file,
            Err(unusable) => return Ok(Err(reject(unusable, &self.media))),
        };
        let prepared = media.prepare(file.path(), &self.request, &scratch)?;
        // The worker reads the file anew: what it says counts only of the content that was hashed.
        if let Err(unusable) = file.check() {
            return Ok(Err(reject(unusable, &self.media)));
        }
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(reject) => return Ok(Err(reject)),
        };
        let media = store.take_in(&prepared.video)?;
        let sound = store.take_in(&prepared.sound)?;
        Ok(Ok(Prepared { media, sound, outcome: prepared.outcome }))
    }
}

fn reject(unusable: Unusable, found: &MediaFile) -> MediaReject {
    let (reason, detail) = match unusable {
        Unusable::Changed(bytes) => (
            RejectReason::MediaChanged,
            format!(
                "it had {} bytes when it was found and other content now ({bytes} bytes); begin a new --out",
                found.bytes
            ),
        ),
        Unusable::Missing => (
            RejectReason::MediaMissing,
            "it is gone since it was found; put it back and run again with --from decoder".to_owned(),
        ),
        Unusable::Unreadable(error) => (
            RejectReason::UnreadableFile,
            format!("{error}; mend its permissions and run again with --from decoder"),
        ),
        Unusable::TooLarge(told) => (RejectReason::TooLarge, format!("{told}; cut it first, or remove it")),
    };
    MediaReject::new(reason, detail)
}

impl Stage for Decoder {
    type Work = Prepare;

    fn profile(&self) -> Profile {
        Profile { stage: STAGE, inputs: vec![Topic::Curated], order: Order::Parallel, blameless: true }
    }

    fn restore(&mut self, _: &[StateEntry]) -> Result<(), StageError> {
        Ok(())
    }

    fn plan(&mut self, record: &Record) -> Result<Step<Prepare>, StageError> {
        let curated = curated(record)?;
        let settings = &self.settings;
        let request = PrepareRequest {
            segment: curated.clip.segment,
            size: settings.size,
            seconds: settings.seconds,
            frame_rate: settings.frame_rate,
            short: match curated.clip.split {
                Split::Train => settings.short_train,
                Split::Eval => settings.short_eval,
            },
            loudness_lufs: settings.loudness_lufs,
        };
        Ok(Step::Work(Prepare { media: curated.media.clone(), request }))
    }

    fn conclude(
        &mut self,
        record: &Record,
        outcome: Result<Prepared, MediaReject>,
    ) -> Result<Effects, StageError> {
        let curated = curated(record)?;
        let clip = curated.clip.clone();
        let id = Cause {
            stage: STAGE,
            transform: counterpoint_core::media_job::PREPARE_TRANSFORM,
            settings: self.fingerprint,
            inputs: &[curated.id],
            detail: "",
        }
        .id();
        let (clip_id, video) = (clip.id, clip.video.clone());
        let output = match outcome {
            Ok(Prepared { media, sound, outcome }) => {
                let message = ClipDecoded {
                    id,
                    clip,
                    class: curated.class.clone(),
                    origin: curated.media.clone(),
                    media,
                    sound,
                    container: outcome.container,
                    statistics: outcome.statistics,
                    duration_ms: outcome.duration_ms,
                    padded_ms: outcome.padded_ms,
                };
                Output::of_clip(Topic::Decoded, id, clip_id, &video, message)
            }
            Err(MediaReject { reason, detail }) => {
                let message = Rejected {
                    id,
                    clip: clip_id,
                    video: clip.video,
                    path: curated.media.path.clone(),
                    split: Some(clip.split),
                    stage: STAGE,
                    reason,
                    detail,
                };
                Output::of_clip(Topic::Rejected, id, clip_id, &video, message)
            }
        };
        Ok(Effects::output(output))
    }
}

fn curated(record: &Record) -> Result<&ClipCurated, StageError> {
    match &record.message {
        Message::ClipCurated(curated) => Ok(curated),
        other => Err(StageError::unexpected(STAGE, other)),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use counterpoint_core::media_job::{ComposeOutcome, ComposeRequest, SampleRequest};
    use counterpoint_messages::ContentHash;

    use super::*;
    use crate::media::{Parents, PreparedFiles, Sampled};

    /// Workers during whose work the input is written over in place.
    struct Overtaken;

    impl Media for Overtaken {
        fn parallelism(&self) -> usize {
            1
        }

        fn prepare(
            &self,
            input: &Path,
            _: &PrepareRequest,
            _: &Path,
        ) -> Result<Result<PreparedFiles, MediaReject>, Fault> {
            fs::write(input, "other content").unwrap();
            Ok(Err(MediaReject::new(RejectReason::CorruptMedia, "half of this and half of that")))
        }

        fn compose(
            &self,
            _: &ComposeRequest,
            _: &Parents,
            _: &Path,
        ) -> Result<Result<ComposeOutcome, MediaReject>, Fault> {
            Err(Fault::Ours("nothing is composed here".to_owned()))
        }

        fn sample(&self, _: &Path, _: &SampleRequest) -> Result<Result<Sampled, MediaReject>, Fault> {
            Err(Fault::Ours("nothing is read here".to_owned()))
        }
    }

    #[test]
    fn a_file_that_changes_while_it_is_normalised_is_rejected_as_changed_whatever_came_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mp4");
        fs::write(&path, "content").unwrap();
        let media =
            MediaFile { path: path.display().to_string(), hash: ContentHash::of(b"content"), bytes: 7 };
        let work = Prepare { media, request: PrepareRequest::default() };
        let store = Store::in_memory().unwrap();
        let rejected = work.normalise(&Places::default(), &Overtaken, &store).unwrap().unwrap_err();
        assert_eq!(rejected.reason, RejectReason::MediaChanged, "{}", rejected.detail);
        assert!(rejected.detail.contains("other content now (13 bytes)"), "{}", rejected.detail);
    }
}
