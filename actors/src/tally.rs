//! What became of the clips of one revision, counted as the log grows.
//!
//! A [`Projection`](crate::projection::Projection) reads the log from end to end and holds what it read. A tally is
//! told each record once, in whatever order the topics are read as long as the order in each partition is kept, and
//! comes to the same counts. It remembers some hundred bytes a media file and a few a dead letter, whatever their
//! records weigh, and nothing of a sample.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use counterpoint_log::Received;
use counterpoint_messages::{
    ClipFound, DeadLetter, Fingerprint, Message, RecipeName, RecordId, RejectReason, Rejected,
    SampleComposed, StageName,
};

use crate::{fetcher::fetch_id, later, revision::Revision};

/// Counts that mean what those of [`Summary`](crate::projection::Summary) mean.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Media files.
    pub found: u64,
    /// Media files that no label list names.
    pub unlabelled: u64,
    /// Clips with exactly one class.
    pub curated: u64,
    /// Clips in their normal form.
    pub decoded: u64,
    /// Clips that passed the gate.
    pub accepted: u64,
    /// Samples by recipe.
    pub composed: BTreeMap<RecipeName, u64>,
    /// Clips turned away.
    pub rejected: BTreeMap<(StageName, RejectReason), u64>,
    /// Recipes not made.
    pub skipped: u64,
    /// Records that a stage gave up on and that were not put back.
    pub dead_letters: BTreeMap<StageName, u64>,
    /// Records that only a later release can read.
    pub later_records: u64,
}

/// Counts of a revision, and what is needed to go on counting.
#[derive(Debug)]
pub struct Tally {
    stages: BTreeMap<Fingerprint, StageName>,
    counts: Counts,
    written: BTreeMap<StageName, u64>,
    /// By the hash of their paths.
    files: HashMap<u64, File>,
    clips: HashMap<RecordId, Way>,
    /// Rows of the label lists that have a clip.
    there: HashSet<RecordId>,
    /// Rows that the fetcher did not get, with the records that say so.
    missed: HashMap<RecordId, Vec<(RecordId, RejectReason)>>,
    letters: HashMap<RecordId, StageName>,
    put_back: HashSet<RecordId>,
    offered: Option<RecordId>,
    ended: HashSet<RecordId>,
}

/// A media file at the source.
#[derive(Debug, Default)]
struct File {
    turned_away: Option<RejectReason>,
    /// The clip that it became, and the row of the lists.
    clip: Option<(RecordId, RecordId)>,
}

/// What was counted of a clip.
#[derive(Debug, Default)]
struct Way {
    is_found: bool,
    is_curated: bool,
    is_decoded: bool,
    is_accepted: bool,
    /// It was brought again with other bytes, and what became of these no longer counts.
    is_superseded: bool,
    rejected: Option<(StageName, RejectReason)>,
    samples: u16,
}

impl Tally {
    /// Of a revision of which nothing was read yet.
    pub fn new(revision: &Revision) -> Self {
        let stages = revision.stages().into_iter().map(|stage| (revision.fingerprint(stage), stage));
        Self {
            stages: stages.collect(),
            counts: Counts {
                composed: RecipeName::ALL.map(|recipe| (recipe, 0)).into(),
                ..Counts::default()
            },
            written: BTreeMap::new(),
            files: HashMap::new(),
            clips: HashMap::new(),
            there: HashSet::new(),
            missed: HashMap::new(),
            letters: HashMap::new(),
            put_back: HashSet::new(),
            offered: None,
            ended: HashSet::new(),
        }
    }

    /// The counts so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Records that a stage has written, whatever they are.
    pub fn written(&self, stage: StageName) -> u64 {
        self.written.get(&stage).copied().unwrap_or(0)
    }

    /// Samples that a clip is the host of.
    pub fn samples_of(&self, clip: RecordId) -> u64 {
        self.clips.get(&clip).map_or(0, |way| way.samples.into())
    }

    /// Whether everything that the newest input brought is at its end.
    pub fn has_ended(&self) -> bool {
        self.offered.is_some_and(|input| self.ended.contains(&input))
    }

    /// The stage of the revision that wrote a record.
    pub fn writer(&self, record: &Received) -> Option<StageName> {
        record.headers.revision.and_then(|writer| self.stages.get(&writer)).copied()
    }

    /// Counts a record; its message if it is of the revision and news.
    ///
    /// A record that was put back for one stage is no news: it was counted when it came first.
    pub fn take(&mut self, record: &Received) -> Option<Message> {
        let writer = self.writer(record);
        if record.headers.reader.is_some() || (record.headers.revision.is_some() && writer.is_none()) {
            return None;
        }
        let Ok(message) = later::read(record) else {
            self.counts.later_records += 1;
            return None;
        };
        let message = message?;
        if !self.count(&message) {
            return None;
        }
        if let Some(stage) = writer {
            *self.written.entry(stage).or_default() += 1;
        }
        Some(message)
    }

    /// Whether the message is news.
    fn count(&mut self, message: &Message) -> bool {
        match message {
            Message::ClipFound(found) => return self.found(found),
            Message::ClipCurated(curated) => {
                let way = self.clips.entry(curated.clip.id).or_default();
                if std::mem::replace(&mut way.is_curated, true) {
                    return false;
                }
                self.counts.curated += u64::from(!way.is_superseded);
            }
            Message::ClipDecoded(decoded) => {
                let way = self.clips.entry(decoded.clip.id).or_default();
                if std::mem::replace(&mut way.is_decoded, true) {
                    return false;
                }
                self.counts.decoded += u64::from(!way.is_superseded);
            }
            Message::ClipAccepted(accepted) => {
                let way = self.clips.entry(accepted.clip.id).or_default();
                if std::mem::replace(&mut way.is_accepted, true) {
                    return false;
                }
                self.counts.accepted += 1;
            }
            Message::SampleComposed(sample) => self.composed(sample),
            Message::RecipeSkipped(_) => self.counts.skipped += 1,
            Message::Rejected(rejected) => return self.rejected(rejected),
            Message::DeadLetter(letter) => return self.gave_up(letter),
            Message::RecordRequeued(record) => {
                if self.put_back.insert(record.dead_letter)
                    && let Some(stage) = self.letters.get(&record.dead_letter)
                {
                    less(&mut self.counts.dead_letters, *stage);
                }
            }
            Message::InputOffered(input) => self.offered = Some(input.id),
            Message::RunFinished(run) => self.ended.extend(&run.inputs),
            _ => {}
        }
        true
    }

    fn found(&mut self, ClipFound { clip, media }: &ClipFound) -> bool {
        let way = self.clips.entry(clip.id).or_default();
        if std::mem::replace(&mut way.is_found, true) {
            return false;
        }
        let row = fetch_id(&clip.video, clip.segment);
        if self.there.insert(row) {
            // It came after all, from elsewhere.
            for (_, reason) in self.missed.get(&row).into_iter().flatten() {
                self.counts.uncount(StageName::Fetcher, *reason);
            }
        }
        let file = self.files.entry(key(&media.path)).or_default();
        let before = file.clip.replace((clip.id, row));
        match (before, file.turned_away) {
            // What was turned away before its labels came is a clip now.
            (None, Some(reason)) => self.counts.uncount(StageName::Source, reason),
            (Some((earlier, same)), _) if same == row => self.supersede(earlier),
            _ => {}
        }
        self.counts.found = self.files.len() as u64;
        true
    }

    /// The clip came again with other bytes.
    fn supersede(&mut self, earlier: RecordId) {
        let way = self.clips.entry(earlier).or_default();
        if std::mem::replace(&mut way.is_superseded, true) {
            return;
        }
        self.counts.curated -= u64::from(way.is_curated);
        self.counts.decoded -= u64::from(way.is_decoded);
        if let Some((stage, reason)) = way.rejected {
            self.counts.uncount(stage, reason);
        }
    }

    fn rejected(&mut self, Rejected { id, clip, path, stage, reason, .. }: &Rejected) -> bool {
        let (stage, reason) = (*stage, *reason);
        match stage {
            StageName::Source => {
                let file = self.files.entry(key(path)).or_default();
                let before = file.turned_away.replace(reason);
                if file.clip.is_none() {
                    if let Some(before) = before {
                        self.counts.uncount(stage, before);
                    }
                    self.counts.count(stage, reason);
                }
                self.counts.found = self.files.len() as u64;
            }
            StageName::Fetcher => {
                let missed = self.missed.entry(*clip).or_default();
                if missed.iter().any(|(known, _)| known == id) {
                    return false;
                }
                missed.push((*id, reason));
                if !self.there.contains(clip) {
                    self.counts.count(stage, reason);
                }
            }
            stage => {
                let way = self.clips.entry(*clip).or_default();
                if way.rejected.is_some() {
                    return false;
                }
                way.rejected = Some((stage, reason));
                if !way.is_superseded {
                    self.counts.count(stage, reason);
                }
            }
        }
        true
    }

    fn composed(&mut self, sample: &SampleComposed) {
        *self.counts.composed.entry(sample.recipe.name()).or_default() += 1;
        if let Some(host) = sample.host() {
            let way = self.clips.entry(host.clip).or_default();
            way.samples = way.samples.saturating_add(1);
        }
    }

    fn gave_up(&mut self, letter: &DeadLetter) -> bool {
        if self.letters.insert(letter.id, letter.stage).is_some() {
            return false;
        }
        if !self.put_back.contains(&letter.id) {
            *self.counts.dead_letters.entry(letter.stage).or_default() += 1;
        }
        true
    }
}

impl Counts {
    fn count(&mut self, stage: StageName, reason: RejectReason) {
        match reason {
            RejectReason::Unlabelled => self.unlabelled += 1,
            reason => *self.rejected.entry((stage, reason)).or_default() += 1,
        }
    }

    fn uncount(&mut self, stage: StageName, reason: RejectReason) {
        match reason {
            RejectReason::Unlabelled => self.unlabelled -= 1,
            reason => less(&mut self.rejected, (stage, reason)),
        }
    }
}

/// One less of what was counted; what is none is not there.
fn less<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

/// A path in few bytes.
fn key(path: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}
