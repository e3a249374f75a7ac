//! Finds clips: joins the files of a folder to the rows of the label lists.
//!
//! Reads [`InputOffered`]; writes [`ClipFound`] for each labelled file it has not brought before,
//! [`Rejected`] for each file that cannot become a clip, and [`InputSealed`] at the end.
//!
//! 1. list the folder and read the lists (a row is kept only if its clip is there);
//! 2. hash a handful of files at a time, and decide for each: new, known, repeated or conflicting;
//! 3. seal the input.
//!
//! What it has brought is its state, so an input read again, whether after a crash or as a later input,
//! brings nothing twice.

mod listing;

use std::{
    collections::{BTreeMap, HashMap},
    io,
};

use counterpoint_log::StateEntry;
use counterpoint_messages::{
    Cause, Clip, ClipFound, ContentHash, Fingerprint, IdSum, InputOffered, InputSealed, MediaFile, Message,
    RecordId, RejectReason, Rejected, Split, StageName, Topic,
};
use serde::{Deserialize, Serialize};

use self::listing::{Candidate, LabelledClip, Listing};
use crate::{
    Tools,
    settings::SourceSettings,
    stage::{
        Effects, Fault, Order, Output, Profile, Record, Stage, StageError, Step, Work, read_state,
        state_entry,
    },
    store::hash_file,
};

/// Files hashed before what they brought is committed: enough to make a commit worth its sync, few enough
/// that little is done again after a crash.
const FILES_A_STEP: usize = 32;

const STAGE: StageName = StageName::Source;

/// See the module.
#[derive(Debug)]
pub struct Source {
    settings: SourceSettings,
    fingerprint: Fingerprint,
    /// By video and segment.
    known: HashMap<String, KnownClip>,
    /// By path.
    turned_away: HashMap<String, TurnedAway>,
    totals: Totals,
    reading: Option<Reading>,
}

/// An input on its way.
#[derive(Debug)]
struct Reading {
    input: RecordId,
    listing: Listing,
    next: usize,
    already_known: u64,
}

/// A clip that was brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KnownClip {
    input: RecordId,
    path: String,
    hash: ContentHash,
    bytes: u64,
    modified_ms: i64,
    split: Split,
    labels: Vec<String>,
}

/// A file that did not become a clip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct TurnedAway {
    reason: RejectReason,
    bytes: u64,
    modified_ms: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Totals {
    total: u64,
    total_ids: IdSum,
    input: RecordId,
    of_input: u64,
}

/// IO of the source.
#[derive(Debug)]
pub enum SourceWork {
    /// List a folder and join the label lists.
    List(InputOffered, Vec<String>),
    /// Hash files.
    Hash(Vec<Candidate>),
}

/// What came of it.
#[derive(Debug)]
pub enum SourceOutcome {
    /// Files and their labels.
    Listed(Listing),
    /// Files and their hashes.
    Hashed(Vec<(Candidate, io::Result<(ContentHash, u64)>)>),
}

impl Work for SourceWork {
    type Outcome = SourceOutcome;

    fn perform(self, _: &Tools) -> Result<SourceOutcome, Fault> {
        match self {
            Self::List(input, extensions) => {
                listing::list(&input, &extensions).map(SourceOutcome::Listed).map_err(Fault::Record)
            }
            Self::Hash(files) => Ok(SourceOutcome::Hashed(
                files
                    .into_iter()
                    .map(|file| {
                        let hashed = hash_file(file.path.as_ref());
                        (file, hashed)
                    })
                    .collect(),
            )),
        }
    }
}

impl Source {
    /// A source that has brought nothing yet.
    pub fn new(settings: SourceSettings, fingerprint: Fingerprint) -> Self {
        Self {
            settings,
            fingerprint,
            known: HashMap::new(),
            turned_away: HashMap::new(),
            totals: Totals::default(),
            reading: None,
        }
    }

    /// The next files that have to be looked at; passes over those that have not changed.
    fn next_files(&self, reading: &mut Reading) -> Vec<Candidate> {
        let mut files = Vec::new();
        while let Some(file) = reading.listing.files.get(reading.next).cloned() {
            if files.len() == FILES_A_STEP {
                break;
            }
            reading.next += 1;
            match &file.clip {
                Some(clip) => match self.known.get(&clip.key()) {
                    Some(known) if known.is_unchanged(&file) => {
                        reading.already_known += u64::from(known.input != reading.input);
                        if (known.split, &known.labels) != (clip.split, &clip.labels) {
                            reading.listing.explain(format!(
                                "{}: the lists say otherwise than when it was first read, which stands; use \
                                 --from source to read everything anew",
                                file.path
                            ));
                        }
                    }
                    // Whether a file can be read does not show in its length and time.
                    _ if self.was_turned_away(&file, |reason| {
                        !matches!(reason, RejectReason::Unlabelled | RejectReason::UnreadableFile)
                    }) => {}
                    _ => files.push(file),
                },
                None if self.was_turned_away(&file, |reason| reason == RejectReason::Unlabelled) => {}
                None => files.push(file),
            }
        }
        files
    }

    fn was_turned_away(&self, file: &Candidate, holds: impl Fn(RejectReason) -> bool) -> bool {
        self.turned_away.get(&file.path).is_some_and(|before| {
            before.bytes == file.bytes && before.modified_ms == file.modified_ms && holds(before.reason)
        })
    }

    fn decide(
        &mut self,
        input: RecordId,
        file: &Candidate,
        hashed: io::Result<(ContentHash, u64)>,
        effects: &mut Effects,
    ) -> Result<(), StageError> {
        let (hash, bytes) = match hashed {
            Ok(hashed) => hashed,
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                let detail = format!("{error}; cut it first, or remove it");
                return self.turn_away(file, RejectReason::TooLarge, detail, effects);
            }
            Err(error) => {
                let detail = format!("{error}; mend its permissions or remove it, then run again");
                return self.turn_away(file, RejectReason::UnreadableFile, detail, effects);
            }
        };
        let Some(labelled) = &file.clip else {
            let detail = format!(
                "no label list names `{}`; name the file by its YouTube id, or add a row for it",
                file.video
            );
            return self.turn_away(file, RejectReason::Unlabelled, detail, effects);
        };
        let key = labelled.key();
        match self.known.get(&key) {
            Some(known) if known.hash == hash && known.path == file.path => {
                // Touched, not changed.
                let known = KnownClip { modified_ms: file.modified_ms, bytes, ..known.clone() };
                effects.state.push(state_entry(STAGE, format!("clip/{key}"), &known)?);
                self.known.insert(key, known);
                Ok(())
            }
            Some(known) if known.hash == hash => {
                let detail = format!("{} holds the same bytes and was read first", known.path);
                self.turn_away(file, RejectReason::RepeatedClip, detail, effects)
            }
            Some(known) if known.path == file.path => {
                let detail = "it has other bytes than when it was first read; put the first ones back, or begin a new --out";
                self.turn_away(file, RejectReason::ConflictingMedia, detail.to_owned(), effects)
            }
            Some(known) => {
                let detail = format!(
                    "{} was read first with other bytes and is kept; begin a new --out to use this one instead",
                    known.path
                );
                self.turn_away(file, RejectReason::ConflictingMedia, detail, effects)
            }
            None => self.bring(input, file, labelled, hash, bytes, effects),
        }
    }

    fn bring(
        &mut self,
        input: RecordId,
        file: &Candidate,
        labelled: &LabelledClip,
        hash: ContentHash,
        bytes: u64,
        effects: &mut Effects,
    ) -> Result<(), StageError> {
        let key = labelled.key();
        let id = self.id("clip", &key);
        let clip = Clip {
            id,
            video: labelled.video.clone(),
            segment: labelled.segment,
            split: labelled.split,
            labels: labelled.labels.clone(),
        };
        let media = MediaFile { path: file.path.clone(), hash, bytes };
        let mut output = Output::of_clip(Topic::Clips, id, id, &labelled.video, ClipFound { clip, media });
        output.begins_trace = true;
        effects.outputs.push(output);
        let known = KnownClip {
            input,
            path: file.path.clone(),
            hash,
            bytes,
            modified_ms: file.modified_ms,
            split: labelled.split,
            labels: labelled.labels.clone(),
        };
        effects.state.push(state_entry(STAGE, format!("clip/{key}"), &known)?);
        self.known.insert(key, known);
        if self.totals.input != input {
            (self.totals.input, self.totals.of_input) = (input, 0);
        }
        self.totals.of_input += 1;
        self.totals.total += 1;
        self.totals.total_ids = self.totals.total_ids.plus(id);
        effects.state.push(state_entry(STAGE, "totals", &self.totals)?);
        Ok(())
    }

    fn turn_away(
        &mut self,
        file: &Candidate,
        reason: RejectReason,
        detail: String,
        effects: &mut Effects,
    ) -> Result<(), StageError> {
        let clip = self.id("file", &file.path);
        let rejected = Rejected {
            id: self.id(reason.as_str(), &file.path),
            clip,
            video: file.video.clone(),
            path: file.path.clone(),
            split: file.clip.as_ref().map(|clip| clip.split),
            stage: STAGE,
            reason,
            detail,
        };
        let mut output = Output::of_clip(Topic::Rejected, rejected.id, clip, &file.video, rejected);
        output.begins_trace = true;
        effects.outputs.push(output);
        let turned_away = TurnedAway { reason, bytes: file.bytes, modified_ms: file.modified_ms };
        effects.state.push(state_entry(STAGE, format!("file/{}", file.path), &turned_away)?);
        self.turned_away.insert(file.path.clone(), turned_away);
        Ok(())
    }

    fn id(&self, kind: &str, name: &str) -> RecordId {
        let detail = format!("{kind}/{name}");
        Cause { stage: STAGE, transform: 1, settings: self.fingerprint, inputs: &[], detail: &detail }.id()
    }

    fn seal(&self, reading: Reading) -> Effects {
        let Reading { input, listing, already_known, .. } = reading;
        let of_input = if self.totals.input == input { self.totals.of_input } else { 0 };
        let sealed = InputSealed {
            input,
            count: of_input,
            total: self.totals.total,
            total_ids: self.totals.total_ids,
            found: listing.files.len() as u64,
            already_known,
            labels_without_clip: listing.labels_without_clip,
            broken_rows: listing.broken_rows,
            unknown_mids: listing.unknown_mids,
            repeated_rows: listing.repeated_rows,
            explanations: listing.explanations,
        };
        let key = self.id("sealed", &input.to_string());
        Effects::output(Output::of_run(Topic::Runs, key, sealed))
    }
}

impl KnownClip {
    fn is_unchanged(&self, file: &Candidate) -> bool {
        (self.path.as_str(), self.bytes, self.modified_ms) == (&file.path, file.bytes, file.modified_ms)
    }
}

impl Stage for Source {
    type Work = SourceWork;

    fn profile(&self) -> Profile {
        Profile { stage: STAGE, inputs: vec![Topic::Inputs], order: Order::Sequential, blameless: true }
    }

    fn restore(&mut self, state: &[StateEntry]) -> Result<(), StageError> {
        *self = Self::new(self.settings.clone(), self.fingerprint);
        for entry in state {
            let key = String::from_utf8_lossy(&entry.key);
            if let Some(clip) = key.strip_prefix("clip/") {
                self.known.insert(clip.to_owned(), read_state(STAGE, entry)?);
            } else if let Some(path) = key.strip_prefix("file/") {
                self.turned_away.insert(path.to_owned(), read_state(STAGE, entry)?);
            } else if key == "totals" {
                self.totals = read_state(STAGE, entry)?;
            }
        }
        Ok(())
    }

    fn plan(&mut self, record: &Record) -> Result<Step<SourceWork>, StageError> {
        let Message::InputOffered(input) = &record.message else {
            return Err(StageError::unexpected(STAGE, &record.message));
        };
        match self.reading.take().filter(|reading| reading.input == input.id) {
            None => Ok(Step::Work(SourceWork::List(input.clone(), self.settings.extensions.clone()))),
            Some(mut reading) => {
                let files = self.next_files(&mut reading);
                if files.is_empty() {
                    return Ok(Step::Done(self.seal(reading)));
                }
                self.reading = Some(reading);
                Ok(Step::Work(SourceWork::Hash(files)))
            }
        }
    }

    fn conclude(&mut self, record: &Record, outcome: SourceOutcome) -> Result<Effects, StageError> {
        let Message::InputOffered(input) = &record.message else {
            return Err(StageError::unexpected(STAGE, &record.message));
        };
        let mut effects = Effects { more: true, ..Effects::default() };
        match outcome {
            SourceOutcome::Listed(listing) => {
                self.reading = Some(Reading { input: input.id, listing, next: 0, already_known: 0 });
            }
            SourceOutcome::Hashed(files) => {
                for (file, hashed) in files {
                    self.decide(input.id, &file, hashed, &mut effects)?;
                }
            }
        }
        Ok(effects)
    }
}

/// How often each MID that the ontology does not know was seen.
type UnknownMids = BTreeMap<String, u64>;
