//! Finds clips: joins the files of a folder to the rows of the label lists.
//!
//! Reads [`InputOffered`], or [`InputFetched`] for an input that the fetcher has to work on first, and
//! [`Rejected`]; writes [`ClipFound`] for each labelled file it has not brought before, [`Rejected`] for
//! each file that cannot become a clip, and [`InputSealed`] at the end.
//!
//! 1. list the folder, or the part of a bucket, and read the lists (a row is kept only if its clip is there);
//! 2. hash a handful of files at a time, and decide for each: new, known, repeated or conflicting;
//! 3. seal the input.
//!
//! What it has brought is its state, so an input read again, whether after a crash or as a later input,
//! brings nothing twice. A clip that decoder or gate rejected is brought anew, under another id, when its
//! file has other bytes: it may have been read while it was being copied.

pub mod files;
mod known;
mod listing;
pub mod places;
pub mod settling;
mod work;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use counterpoint_core::curation::Curator;
use counterpoint_log::{Received, StateEntry};
use counterpoint_messages::{
    Cause, Clip, ClipFound, ContentHash, Fingerprint, InputFetched, InputOffered, InputSealed, MediaFile,
    Message, RecordId, RejectReason, Rejected, StageName, Topic,
};

pub use self::work::{SourceOutcome, SourceWork};
use self::{
    known::{KnownClip, Totals, TurnedAway},
    listing::{Candidate, LabelledClip, Listing},
    places::{Hashed, Unusable},
};
use crate::{
    settings::SourceSettings,
    stage::{
        Effects, Order, Output, Profile, Record, Stage, StageError, Step, Trace, read_state, state_entry,
    },
};

/// Files hashed before what they brought is committed: enough to make a commit worth its sync, few enough
/// that little is done again after a crash.
const FILES_A_STEP: usize = 32;

const STAGE: StageName = StageName::Source;

/// Key of the state that holds the newest followed input.
const FOLLOWED: &str = "followed";

/// See the module.
#[derive(Debug)]
pub struct Source {
    settings: SourceSettings,
    rulebook: Arc<Curator>,
    fingerprint: Fingerprint,
    /// Revisions of the stages that judge a clip by its bytes.
    judges: [Fingerprint; 2],
    /// By video and segment.
    known: HashMap<String, KnownClip>,
    /// Keys of `known` by the id under which the clip was brought last.
    keys: HashMap<RecordId, String>,
    /// By path.
    turned_away: HashMap<String, TurnedAway>,
    totals: Totals,
    /// The newest input that never ends, while no other came after it.
    followed: Option<InputOffered>,
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

impl Source {
    /// A source that has brought nothing yet; `judges` are the decoder and the gate of the revision.
    pub fn new(
        settings: SourceSettings,
        rulebook: Arc<Curator>,
        fingerprint: Fingerprint,
        judges: [Fingerprint; 2],
    ) -> Self {
        Self {
            settings,
            rulebook,
            fingerprint,
            judges,
            known: HashMap::new(),
            keys: HashMap::new(),
            turned_away: HashMap::new(),
            totals: Totals::default(),
            followed: None,
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
        hashed: Hashed,
        effects: &mut Effects,
    ) -> Result<(), StageError> {
        let (hash, bytes) = match hashed {
            Ok(hashed) => hashed,
            Err(error @ Unusable::TooLarge(_)) => {
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
            Some(known) if known.path == file.path && known.may_come_again(hash, &self.judges) => {
                let brought_before = known.brought_before + 1;
                let last = self.clip_id(&key, known.brought_before);
                self.keys.remove(&last);
                self.bring(input, file, labelled, (hash, bytes), brought_before, effects)
            }
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
            None => self.bring(input, file, labelled, (hash, bytes), 0, effects),
        }
    }

    fn bring(
        &mut self,
        input: RecordId,
        file: &Candidate,
        labelled: &LabelledClip,
        (hash, bytes): (ContentHash, u64),
        brought_before: u32,
        effects: &mut Effects,
    ) -> Result<(), StageError> {
        let key = labelled.key();
        let id = self.clip_id(&key, brought_before);
        let clip = Clip {
            id,
            video: labelled.video.clone(),
            segment: labelled.segment,
            split: labelled.split,
            labels: labelled.labels.clone(),
        };
        let media = MediaFile { path: file.path.clone(), hash, bytes };
        let output = Output::of_clip(Topic::Clips, id, id, &labelled.video, ClipFound { clip, media });
        effects.outputs.push(output.in_trace(Trace::Own));
        let known = KnownClip {
            input,
            path: file.path.clone(),
            hash,
            bytes,
            modified_ms: file.modified_ms,
            split: labelled.split,
            labels: labelled.labels.clone(),
            brought_before,
            rejected: None,
        };
        effects.state.push(state_entry(STAGE, format!("clip/{key}"), &known)?);
        self.keys.insert(id, key.clone());
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
        let output = Output::of_clip(Topic::Rejected, rejected.id, clip, &file.video, rejected);
        effects.outputs.push(output.in_trace(Trace::Own));
        let turned_away = TurnedAway { reason, bytes: file.bytes, modified_ms: file.modified_ms };
        effects.state.push(state_entry(STAGE, format!("file/{}", file.path), &turned_away)?);
        self.turned_away.insert(file.path.clone(), turned_away);
        Ok(())
    }

    /// A clip was turned away for what it is: its file gets another chance once it has other bytes. If it was seen
    /// with others already, a followed input is offered anew, as nothing about the file will change again.
    fn rejected_below(&mut self, rejected: &Rejected, by: &Received) -> Result<Effects, StageError> {
        let mut effects = Effects::default();
        let judge = by.headers.revision.filter(|judge| self.judges.contains(judge));
        let Some(judge) = judge else { return Ok(effects) };
        let Some(key) = self.keys.get(&rejected.clip) else { return Ok(effects) };
        let Some(known) = self.known.get_mut(key) else { return Ok(effects) };
        known.rejected = Some(judge);
        effects.state.push(state_entry(STAGE, format!("clip/{key}"), known)?);
        let path = known.path.clone();
        if self.turned_away.remove(&path).is_some() {
            let key = format!("file/{path}").into_bytes();
            effects.state.push(StateEntry { partition: 0, key, value: None });
            if let Some(followed) = &self.followed {
                let id = self.id("again", &rejected.id.to_string());
                let input = InputOffered { id, offered_at_ms: by.written_ms, ..followed.clone() };
                effects.outputs.push(Output::of_run(Topic::Inputs, id, input));
            }
        }
        Ok(effects)
    }

    fn clip_id(&self, key: &str, brought_before: u32) -> RecordId {
        match brought_before {
            0 => self.id("clip", key),
            times => self.id("clip", &format!("{key}#{times}")),
        }
    }

    fn id(&self, kind: &str, name: &str) -> RecordId {
        let detail = format!("{kind}/{name}");
        Cause { stage: STAGE, transform: 1, settings: self.fingerprint, inputs: &[], detail: &detail }.id()
    }

    /// The end of an input, or of the part of it that was fetched so far.
    fn seal(&mut self, offer: &Offer<'_>, reading: Reading) -> Result<Effects, StageError> {
        let Some(of_fetcher) = offer.complete() else { return Ok(Effects::default()) };
        let Reading { input, listing, already_known, .. } = reading;
        let of_input = if self.totals.input == input { self.totals.of_input } else { 0 };
        let mut explanations = listing.explanations;
        explanations.extend(of_fetcher.map(|fetched| fetched.explanations.clone()).unwrap_or_default());
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
            explanations,
            follow: offer.input().follow,
            wanted: listing.wanted,
            missing: of_fetcher.map(|fetched| fetched.missing.clone()).unwrap_or_default(),
            retry_at_ms: of_fetcher.and_then(|fetched| fetched.retry_at_ms),
        };
        let key = self.id("sealed", &input.to_string());
        let mut effects = Effects::output(Output::of_run(Topic::Runs, key, sealed));
        self.followed = offer.input().follow.map(|_| offer.input().clone());
        effects.state.push(match &self.followed {
            Some(input) => state_entry(STAGE, FOLLOWED, input)?,
            None => StateEntry { partition: 0, key: FOLLOWED.into(), value: None },
        });
        Ok(effects)
    }
}

/// Who hands an input to the source.
enum Offer<'a> {
    Plain(&'a InputOffered),
    Fetched(&'a InputFetched),
}

impl<'a> Offer<'a> {
    /// What a record offers; `None` if it is for the fetcher, or about something else.
    fn of(message: &'a Message) -> Option<Self> {
        match message {
            Message::InputOffered(input) if !input.fetch => Some(Self::Plain(input)),
            Message::InputFetched(fetched) => Some(Self::Fetched(fetched)),
            _ => None,
        }
    }

    fn input(&self) -> &'a InputOffered {
        match self {
            Self::Plain(input) => input,
            Self::Fetched(fetched) => &fetched.input,
        }
    }

    /// What the fetcher says of the whole input; `None` as long as more of it comes.
    fn complete(&self) -> Option<Option<&'a InputFetched>> {
        match self {
            Self::Plain(_) => Some(None),
            Self::Fetched(fetched) => fetched.complete.then_some(Some(fetched)),
        }
    }
}

impl Stage for Source {
    type Work = SourceWork;

    fn profile(&self) -> Profile {
        let inputs = vec![Topic::Inputs, Topic::Fetched, Topic::Rejected];
        Profile { stage: STAGE, inputs, order: Order::Sequential, blameless: true }
    }

    fn restore(&mut self, state: &[StateEntry]) -> Result<(), StageError> {
        *self = Self::new(self.settings.clone(), Arc::clone(&self.rulebook), self.fingerprint, self.judges);
        for entry in state {
            let key = String::from_utf8_lossy(&entry.key);
            if let Some(clip) = key.strip_prefix("clip/") {
                let known: KnownClip = read_state(STAGE, entry)?;
                self.keys.insert(self.clip_id(clip, known.brought_before), clip.to_owned());
                self.known.insert(clip.to_owned(), known);
            } else if let Some(path) = key.strip_prefix("file/") {
                self.turned_away.insert(path.to_owned(), read_state(STAGE, entry)?);
            } else if key == "totals" {
                self.totals = read_state(STAGE, entry)?;
            } else if key == FOLLOWED {
                self.followed = Some(read_state(STAGE, entry)?);
            }
        }
        Ok(())
    }

    fn plan(&mut self, record: &Record) -> Result<Step<SourceWork>, StageError> {
        let Some(offer) = Offer::of(&record.message) else {
            return match &record.message {
                Message::Rejected(rejected) => {
                    self.rejected_below(rejected, &record.received).map(Step::Done)
                }
                Message::InputOffered(_) => Ok(Step::Done(Effects::default())),
                other => Err(StageError::unexpected(STAGE, other)),
            };
        };
        let input = offer.input();
        match self.reading.take().filter(|reading| reading.input == input.id) {
            None => Ok(Step::Work(SourceWork::List {
                input: input.clone(),
                extensions: self.settings.extensions.clone(),
                rulebook: Arc::clone(&self.rulebook),
            })),
            Some(mut reading) => {
                let files = self.next_files(&mut reading);
                if files.is_empty() {
                    return self.seal(&offer, reading).map(Step::Done);
                }
                self.reading = Some(reading);
                Ok(Step::Work(SourceWork::Hash(files)))
            }
        }
    }

    fn conclude(&mut self, record: &Record, outcome: SourceOutcome) -> Result<Effects, StageError> {
        let Some(offer) = Offer::of(&record.message) else {
            return Err(StageError::unexpected(STAGE, &record.message));
        };
        let input = offer.input().id;
        let mut effects = Effects { more: true, ..Effects::default() };
        match outcome {
            SourceOutcome::Listed(listing) => {
                self.reading = Some(Reading { input, listing, next: 0, already_known: 0 });
            }
            SourceOutcome::Hashed(files) => {
                for (file, hashed) in files {
                    self.decide(input, &file, hashed, &mut effects)?;
                }
            }
        }
        Ok(effects)
    }
}

/// How often each MID that the ontology does not know was seen.
type UnknownMids = BTreeMap<String, u64>;
