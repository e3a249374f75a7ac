use std::collections::{BTreeMap, BTreeSet};

use counterpoint_log::{Headers, LogError, Position, Received, TopicLog};
use counterpoint_messages::{
    ClipAccepted, DeadLetter, Fingerprint, IdSum, InputSealed, MediaObject, Message, PoolComposed,
    PoolSealed, RecipeSkipped, RecordId, RunFinished, SampleComposed, StageName, Topic,
};
use futures::TryStreamExt;

use super::finding::Duplicated;
use crate::{dead_letters::input_of, revision::Revision};

/// What the log says of one revision.
#[derive(Debug)]
pub struct Evidence {
    pub(super) revision: Revision,
    /// Of every stage of the revision.
    fingerprints: BTreeSet<Fingerprint>,
    pub(super) inputs: BTreeSet<RecordId>,
    /// Source video of each clip.
    pub(super) found: BTreeMap<RecordId, String>,
    pub(super) curated: BTreeSet<RecordId>,
    /// Normalised mp4 and FLAC of each clip.
    pub(super) decoded: BTreeMap<RecordId, [MediaObject; 2]>,
    pub(super) accepted: BTreeMap<RecordId, ClipAccepted>,
    /// By id of the record.
    pub(super) rejected: BTreeMap<RecordId, Turned>,
    /// Letters that were not put back, without their raw bytes.
    pub(super) letters: Vec<DeadLetter>,
    pub(super) pools: BTreeMap<RecordId, PoolSealed>,
    pub(super) composed: BTreeMap<RecordId, PoolComposed>,
    pub(super) samples: BTreeMap<RecordId, SampleComposed>,
    pub(super) skipped: BTreeMap<RecordId, RecipeSkipped>,
    pub(super) sealed: Option<InputSealed>,
    pub(super) finished: Option<RunFinished>,
    pub(super) finished_inputs: BTreeSet<RecordId>,
    /// Records that cannot be read, and whether a newer version of this program could.
    pub(super) unreadable: Vec<(Topic, u32, Position, bool)>,
    pub(super) repeated: Vec<Duplicated>,
    /// Whether something came after the end that was written last and calls for another one.
    goes_on: bool,
    /// Whether a letter keeps an input from its end.
    is_cut_off: bool,
    /// Letters that were put back. Topics have no common order, so a run may end before its coordinator has
    /// read the word, and count them as dead.
    pub(super) put_back: u64,
}

/// A clip, or a file at the source, that was turned away.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turned {
    pub(super) clip: RecordId,
    pub(super) stage: StageName,
}

impl Turned {
    /// Whether it was a clip; what the fetcher did not get and what the source turned away never was one.
    pub(super) fn is_clip(&self) -> bool {
        !matches!(self.stage, StageName::Fetcher | StageName::Source)
    }
}

/// How often a key may be there.
#[derive(Default)]
struct Allowed {
    /// Records that were put back.
    put_back: BTreeMap<(Topic, Vec<u8>), u64>,
    inputs: u64,
}

impl Evidence {
    /// Reads the log once from end to end.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn read(log: &dyn TopicLog, revision: &Revision) -> Result<Self, LogError> {
        let mut evidence = Self {
            revision: revision.clone(),
            fingerprints: revision.fingerprints(),
            inputs: BTreeSet::new(),
            found: BTreeMap::new(),
            curated: BTreeSet::new(),
            decoded: BTreeMap::new(),
            accepted: BTreeMap::new(),
            rejected: BTreeMap::new(),
            letters: Vec::new(),
            pools: BTreeMap::new(),
            composed: BTreeMap::new(),
            samples: BTreeMap::new(),
            skipped: BTreeMap::new(),
            sealed: None,
            finished: None,
            finished_inputs: BTreeSet::new(),
            unreadable: Vec::new(),
            repeated: Vec::new(),
            goes_on: false,
            is_cut_off: false,
            put_back: 0,
        };
        let mut allowed = evidence.read_letters(log).await?;
        for topic in Topic::MESSAGES {
            if topic != Topic::Revisions {
                evidence.read_topic(log, topic, &mut allowed).await?;
            }
        }
        Ok(evidence)
    }

    /// Letters of every revision: what was put back under one is there for all of them.
    async fn read_letters(&mut self, log: &dyn TopicLog) -> Result<Allowed, LogError> {
        let mut letters: BTreeMap<RecordId, (DeadLetter, bool)> = BTreeMap::new();
        let mut cut_off = BTreeSet::new();
        let mut records = log.scan(Topic::DeadLetters);
        while let Some(record) = records.try_next().await? {
            if let Ok(Message::DeadLetter(mut letter)) = Message::decode(&record.value) {
                let is_of_end =
                    letter.stage == StageName::Coordinator && letter.topic == Topic::Runs.to_string();
                if is_of_end || input_of(&letter).is_some() {
                    cut_off.insert(letter.id);
                }
                letter.raw = Vec::new();
                let is_ours = self.is_ours(&record);
                letters.entry(letter.id).or_insert((letter, is_ours));
            }
        }
        let mut allowed = Allowed::default();
        let mut records = log.scan(Topic::Runs);
        while let Some(record) = records.try_next().await? {
            if let Ok(Message::RecordRequeued(word)) = Message::decode(&record.value)
                && let Some((letter, _)) = letters.remove(&word.dead_letter)
                && let Some(topic) = Topic::parse(&letter.topic)
            {
                self.put_back += 1;
                *allowed.put_back.entry((topic, letter.key)).or_default() += 1;
            }
        }
        self.letters =
            letters.into_values().filter_map(|(letter, is_ours)| is_ours.then_some(letter)).collect();
        self.is_cut_off = self.letters.iter().any(|letter| cut_off.contains(&letter.id));
        Ok(allowed)
    }

    fn is_ours(&self, record: &Received) -> bool {
        let Headers { reader, revision, .. } = record.headers;
        reader.or(revision).is_none_or(|stage| self.fingerprints.contains(&stage))
    }

    async fn read_topic(
        &mut self,
        log: &dyn TopicLog,
        topic: Topic,
        allowed: &mut Allowed,
    ) -> Result<(), LogError> {
        let mut times: BTreeMap<Vec<u8>, (u64, bool)> = BTreeMap::new();
        let mut records = log.scan(topic);
        while let Some(record) = records.try_next().await? {
            if !self.is_ours(&record) {
                continue;
            }
            let message = match Message::decode(&record.value) {
                Ok(message) => message,
                Err(error) => {
                    let is_newer = error.is_of_later_release();
                    self.unreadable.push((topic, record.partition, record.position, is_newer));
                    continue;
                }
            };
            // An unreadable file is reported again at every input, for as long as it is unreadable.
            let is_of_file =
                matches!(&message, Message::Rejected(rejected) if rejected.stage == StageName::Source);
            times.entry(record.key).or_insert((0, is_of_file)).0 += 1;
            // One that was put back says again, out of its order, what it said when it came first.
            if record.headers.reader.is_none() {
                self.take(message);
            }
        }
        if topic == Topic::Inputs {
            allowed.inputs = self.inputs.len() as u64;
        }
        for (key, (times, is_of_file)) in times {
            let readable = hex(&key);
            let put_back = allowed.put_back.get(&(topic, key)).copied().unwrap_or(0);
            let allowed = put_back + if is_of_file { allowed.inputs.max(1) } else { 1 };
            if times > allowed {
                self.repeated.push(Duplicated::Record { topic, key: readable, times, allowed });
            }
        }
        Ok(())
    }

    /// The first committed record of an id counts.
    fn take(&mut self, message: Message) {
        match message {
            Message::InputOffered(input) => {
                self.inputs.insert(input.id);
            }
            Message::ClipFound(found) => {
                self.found.entry(found.clip.id).or_insert(found.clip.video);
            }
            Message::ClipCurated(curated) => {
                self.curated.insert(curated.clip.id);
            }
            Message::ClipDecoded(decoded) => {
                self.decoded.entry(decoded.clip.id).or_insert([decoded.media, decoded.sound]);
            }
            Message::ClipAccepted(accepted) => {
                self.accepted.entry(accepted.clip.id).or_insert(accepted);
            }
            Message::Rejected(rejected) => {
                let turned = Turned { clip: rejected.clip, stage: rejected.stage };
                self.rejected.entry(rejected.id).or_insert(turned);
            }
            Message::PoolSealed(sealed) => {
                self.pools.entry(sealed.id).or_insert(sealed);
            }
            Message::SampleComposed(sample) => {
                self.samples.entry(sample.id).or_insert(sample);
            }
            Message::RecipeSkipped(skipped) => {
                self.skipped.entry(skipped.id).or_insert(skipped);
            }
            Message::PoolComposed(composed) => {
                self.composed.entry(composed.pool).or_insert(composed);
            }
            Message::InputSealed(sealed) => {
                self.goes_on = true;
                self.sealed = Some(sealed);
            }
            // Files for people are no part of a run's end.
            Message::RecordRequeued(word) => self.goes_on |= word.stage != StageName::Reporter,
            Message::RunFinished(finished) => {
                self.goes_on = false;
                self.finished_inputs.extend(&finished.inputs);
                self.finished = Some(finished);
            }
            Message::DeadLetter(_)
            | Message::RevisionDeclared(_)
            | Message::FormatDeclared(_)
            | Message::InputFetched(_)
            | Message::ClipProbed(_)
            | Message::TrainingPlanned(_)
            | Message::CheckpointSaved(_)
            | Message::TrainingFailed(_)
            | Message::AnswerGiven(_) => {}
        }
    }

    /// Whether the log says that nothing is to come: each input has its end, and nothing was put back or
    /// sealed after the last one. An input that the source, or its seal that the coordinator gave up on,
    /// leaves clips on their way.
    pub fn is_at_rest(&self) -> bool {
        !self.inputs.is_empty()
            && self.inputs.is_subset(&self.finished_inputs)
            && !self.goes_on
            && !self.is_cut_off
            && !self.unreadable.iter().any(|(.., is_newer)| *is_newer)
    }

    /// Pools sealed.
    pub fn pools(&self) -> usize {
        self.pools.len()
    }

    /// Sum of the ids of the clips found.
    pub(super) fn found_ids(&self) -> IdSum {
        self.found.keys().fold(IdSum::default(), |sum, clip| sum.plus(*clip))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
