//! The log folded into what is true of one revision.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use counterpoint_core::variants::ManifestRow;
use counterpoint_log::{LogError, Position, TopicLog};
use counterpoint_messages::{
    ClipCurated, ClipDecoded, ClipFound, ClipProbed, DeadLetter, DecodeError, Fingerprint, InputSealed,
    Message, RecipeName, RecipeSkipped, RecordId, RejectReason, Rejected, SampleComposed, StageName, Topic,
};
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;

use crate::{
    fetcher::fetch_id,
    later::{self, LaterRecord},
    materialise::MadeSamples,
    revision::Revision,
};

/// Name and version that a lineage card bears.
pub const PROGRAM: &str = concat!("counterpoint ", env!("CARGO_PKG_VERSION"));

/// `summary.json`: counts that add up.
///
/// `found` = `unlabelled` + rejected by source and curator + `curated` (+ dead letters of the two);
/// `curated` = rejected by decoder + `decoded`; `decoded` = rejected by gate + `accepted`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
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
    pub composed: BTreeMap<&'static str, u64>,
    /// Clips turned away, by stage and reason.
    pub rejected: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// Recipes not made, by recipe and reason.
    pub skipped: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// Records that a stage gave up on.
    pub dead_letters: u64,
    /// Rows of the label lists that name no file, at the newest input.
    pub labels_without_clip: u64,
    /// Rows of the label lists that could not be read, at the newest input.
    pub broken_rows: u64,
    /// What the label lists want and what there is of it, by class.
    pub coverage: BTreeMap<String, ClassCoverage>,
    /// Revision that all of this is about.
    pub revision: u64,
    /// Records that only a later release can read: where there are any, the counts above lack them.
    pub later_records: u64,
}

/// A class in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ClassCoverage {
    /// Rows of the label lists that curation keeps, at the newest input.
    pub wanted: u64,
    /// Clips found.
    pub on_hand: u64,
    /// Of those, clips that passed the gate.
    pub accepted: u64,
    /// Rows without a clip, by why it could not be fetched; `not_tried` counts the others.
    pub missing: BTreeMap<&'static str, u64>,
}

/// Everything a report tells.
#[derive(Debug, Default)]
pub struct Projection {
    /// Counts.
    pub summary: Summary,
    /// Labels of each labelled clip, counted.
    pub labels: Vec<usize>,
    /// Classes of the curated clips.
    pub curated: Vec<ClipCurated>,
    /// Clips in their normal form.
    pub decoded: Vec<ClipDecoded>,
    /// What the judge said, where there is one.
    pub probed: Vec<ClipProbed>,
    /// Ids of the clips that passed the gate.
    pub accepted: Vec<RecordId>,
    /// Clips turned away.
    pub rejected: Vec<Rejected>,
    /// Samples, in order of their ids.
    pub samples: Vec<SampleComposed>,
    /// Recipes not made.
    pub skipped: Vec<RecipeSkipped>,
    /// Records given up on and not put back.
    pub dead_letters: Vec<DeadLetter>,
    /// What the newest input said of itself.
    pub input: Option<InputSealed>,
    /// Records that only a later release can read, which nothing else here knows of.
    pub later: Vec<LaterRecord>,
    /// Last record read of each partition.
    pub positions: BTreeMap<(Topic, u32), Position>,
}

impl Projection {
    /// Folds the log.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub async fn of(log: &dyn TopicLog, revision: &Revision) -> Result<Self, LogError> {
        let revisions = revision.fingerprints();
        let mut projection = Self::default();
        projection.summary.revision = revision.declared.number;
        let mut files: HashMap<String, Outcome> = HashMap::new();
        for message in projection.read(log, Topic::Rejected, &revisions).await? {
            let Message::Rejected(rejected) = message else { continue };
            if rejected.stage == StageName::Source {
                files.insert(rejected.path.clone(), Outcome::TurnedAway(projection.rejected.len()));
            }
            projection.rejected.push(rejected);
        }
        // Clips that were brought again with other bytes: what became of the earlier ones no longer counts.
        let mut superseded = BTreeSet::new();
        let mut there = BTreeSet::new();
        for message in projection.read(log, Topic::Clips, &revisions).await? {
            let Message::ClipFound(ClipFound { clip, media }) = message else { continue };
            let row = fetch_id(&clip.video, clip.segment);
            there.insert(row);
            // A file that was turned away before its labels came is a clip now; one that changed after it
            // became a clip stays one.
            match files.insert(media.path, Outcome::Clip(clip.id, row)) {
                Some(Outcome::Clip(earlier, same)) if same == row => {
                    superseded.insert(earlier);
                }
                _ => projection.labels.push(clip.labels.len()),
            }
        }
        let mut counted = vec![false; projection.rejected.len()];
        for outcome in files.values() {
            if let Outcome::TurnedAway(index) = outcome {
                counted[*index] = true;
            }
        }
        let mut counted = counted.into_iter();
        projection.rejected.retain(|rejected| {
            let counted = counted.next().unwrap_or(false);
            match rejected.stage {
                StageName::Source => counted,
                // It came after all, from elsewhere.
                StageName::Fetcher => !there.contains(&rejected.clip),
                _ => !superseded.contains(&rejected.clip),
            }
        });
        projection.fold_endings(log, &revisions, &superseded).await?;
        for message in projection.read(log, Topic::Probed, &revisions).await? {
            if let Message::ClipProbed(probed) = message {
                projection.probed.push(probed);
            }
        }
        projection.probed.sort_by_key(|probed| probed.id);
        for topic in [Topic::Inputs, Topic::Fetched, Topic::Pools] {
            // Nothing of them is shown, but a stage may wait there for a later release.
            projection.read(log, topic, &revisions).await?;
        }
        projection.summary.later_records = projection.later.len() as u64;
        let summary = &mut projection.summary;
        summary.found = files.len() as u64;
        for rejected in &projection.rejected {
            if rejected.reason == RejectReason::Unlabelled {
                summary.unlabelled += 1;
            } else {
                let by_reason = summary.rejected.entry(rejected.stage.as_str()).or_default();
                *by_reason.entry(rejected.reason.as_str()).or_default() += 1;
            }
        }
        Ok(projection)
    }

    async fn fold_endings(
        &mut self,
        log: &dyn TopicLog,
        revisions: &BTreeSet<Fingerprint>,
        superseded: &BTreeSet<RecordId>,
    ) -> Result<(), LogError> {
        for message in self.read(log, Topic::Curated, revisions).await? {
            if let Message::ClipCurated(curated) = message
                && !superseded.contains(&curated.clip.id)
            {
                self.curated.push(curated);
            }
        }
        for message in self.read(log, Topic::Decoded, revisions).await? {
            if let Message::ClipDecoded(decoded) = message
                && !superseded.contains(&decoded.clip.id)
            {
                self.decoded.push(decoded);
            }
        }
        for message in self.read(log, Topic::Accepted, revisions).await? {
            if let Message::ClipAccepted(accepted) = message {
                self.accepted.push(accepted.clip.id);
            }
        }
        for message in self.read(log, Topic::Samples, revisions).await? {
            if let Message::SampleComposed(sample) = message {
                self.samples.push(sample);
            }
        }
        for message in self.read(log, Topic::Skipped, revisions).await? {
            if let Message::RecipeSkipped(skipped) = message {
                self.skipped.push(skipped);
            }
        }
        let mut requeued = BTreeSet::new();
        for message in self.read(log, Topic::Runs, revisions).await? {
            match message {
                Message::InputSealed(sealed) => self.input = Some(sealed),
                Message::RecordRequeued(record) => {
                    requeued.insert(record.dead_letter);
                }
                _ => {}
            }
        }
        for message in self.read(log, Topic::DeadLetters, revisions).await? {
            if let Message::DeadLetter(letter) = message
                && !requeued.contains(&letter.id)
            {
                self.dead_letters.push(letter);
            }
        }
        self.curated.sort_by_key(|clip| clip.clip.id);
        self.decoded.sort_by_key(|clip| clip.clip.id);
        self.samples.sort_by_key(|sample| sample.id);
        self.skipped.sort_by_key(|skipped| skipped.id);
        self.rejected.sort_by(|a, b| (a.stage, &a.path, a.id).cmp(&(b.stage, &b.path, b.id)));
        let summary = &mut self.summary;
        summary.curated = self.curated.len() as u64;
        summary.decoded = self.decoded.len() as u64;
        summary.accepted = self.accepted.len() as u64;
        summary.dead_letters = self.dead_letters.len() as u64;
        summary.composed = RecipeName::ALL.map(|recipe| (recipe.as_str(), 0)).into();
        for sample in &self.samples {
            *summary.composed.entry(sample.recipe.name().as_str()).or_default() += 1;
        }
        summary.skipped = skips(&self.skipped);
        if let Some(input) = &self.input {
            summary.labels_without_clip = input.labels_without_clip;
            summary.broken_rows = input.broken_rows;
        }
        self.summary.coverage = self.coverage();
        Ok(())
    }

    fn coverage(&self) -> BTreeMap<String, ClassCoverage> {
        let mut coverage: BTreeMap<String, ClassCoverage> = BTreeMap::new();
        let accepted: BTreeSet<_> = self.accepted.iter().collect();
        for clip in &self.curated {
            let class = coverage.entry(clip.class.clone()).or_default();
            class.on_hand += 1;
            class.accepted += u64::from(accepted.contains(&clip.clip.id));
        }
        let Some(input) = &self.input else { return coverage };
        for (name, wanted) in &input.wanted {
            let class = coverage.entry(name.clone()).or_default();
            class.wanted = *wanted;
            let mut left = wanted.saturating_sub(class.on_hand);
            for (reason, rows) in input.missing.get(name).into_iter().flatten() {
                class.missing.insert(reason.as_str(), *rows);
                left = left.saturating_sub(*rows);
            }
            if left > 0 {
                class.missing.insert("not_tried", left);
            }
        }
        coverage
    }

    /// Messages of a topic that are of the revision, each id once (the first one committed).
    async fn read(
        &mut self,
        log: &dyn TopicLog,
        topic: Topic,
        revisions: &BTreeSet<Fingerprint>,
    ) -> Result<Vec<Message>, LogError> {
        let mut seen: BTreeSet<Vec<u8>> = BTreeSet::new();
        let mut messages = Vec::new();
        let mut records = log.scan(topic);
        while let Some(record) = records.try_next().await? {
            self.positions.insert((topic, record.partition), record.position);
            let is_of_revision = record.headers.revision.is_none_or(|revision| revisions.contains(&revision));
            if !is_of_revision || seen.contains(&record.key) {
                continue;
            }
            match later::read(&record) {
                Ok(message) => messages.extend(message),
                Err(record) => self.later.push(record),
            }
            seen.insert(record.key);
        }
        Ok(messages)
    }

    /// `manifest.jsonl`: a line a sample, in order of their ids.
    ///
    /// # Errors
    /// None that a sample can cause; what the JSON writer reports is passed on.
    pub fn manifest(&self, made: &MadeSamples) -> Result<Vec<u8>, serde_json::Error> {
        manifest(&self.samples, made)
    }
}

/// A manifest of these samples.
pub(crate) fn manifest(samples: &[SampleComposed], made: &MadeSamples) -> Result<Vec<u8>, serde_json::Error> {
    let mut lines = Vec::new();
    for sample in samples {
        let row = ManifestRow::of(sample, PROGRAM);
        let row = match made.get(sample.id) {
            Some(file) => row.made(file.path.clone(), file.blake3),
            None => row,
        };
        serde_json::to_writer(&mut lines, &row)?;
        lines.push(b'\n');
    }
    Ok(lines)
}

/// What became of a media file at the source.
enum Outcome {
    /// Its id, and what it is whatever its bytes.
    Clip(RecordId, RecordId),
    /// Place in the list of rejects.
    TurnedAway(usize),
}

/// The samples of a revision, in order of their ids.
///
/// # Errors
/// If the log cannot be read.
pub async fn samples_of(log: &dyn TopicLog, revision: &Revision) -> Result<Vec<SampleComposed>, LogError> {
    let sample = |message| match message {
        Message::SampleComposed(sample) => Some(sample),
        _ => None,
    };
    let mut samples: Vec<_> = all_of(log, revision, Topic::Samples).await?.filter_map(sample).collect();
    samples.sort_by_key(|sample| sample.id);
    Ok(samples)
}

/// The recipes that a revision did not make, in order of their ids.
///
/// # Errors
/// If the log cannot be read.
pub async fn skipped_of(log: &dyn TopicLog, revision: &Revision) -> Result<Vec<RecipeSkipped>, LogError> {
    let skip = |message| match message {
        Message::RecipeSkipped(skipped) => Some(skipped),
        _ => None,
    };
    let mut skipped: Vec<_> = all_of(log, revision, Topic::Skipped).await?.filter_map(skip).collect();
    skipped.sort_by_key(|skipped| skipped.id);
    Ok(skipped)
}

/// The messages of a revision on a topic; warns of those that only a later release can read.
async fn all_of(
    log: &dyn TopicLog,
    revision: &Revision,
    topic: Topic,
) -> Result<impl Iterator<Item = Message>, LogError> {
    let mut projection = Projection::default();
    let messages = projection.read(log, topic, &revision.fingerprints()).await?;
    for record in &projection.later {
        tracing::warn!("{record}; what it says is left out");
    }
    Ok(messages.into_iter())
}

/// How often each recipe was not made, by reason.
pub fn skips<'a>(
    skipped: impl IntoIterator<Item = &'a RecipeSkipped>,
) -> BTreeMap<&'static str, BTreeMap<&'static str, u64>> {
    let mut skips: BTreeMap<_, BTreeMap<_, u64>> = BTreeMap::new();
    for skipped in skipped {
        *skips.entry(skipped.recipe.as_str()).or_default().entry(skipped.reason.as_str()).or_default() += 1;
    }
    skips
}

/// The revision that the log was worked on under last; `None` on a new log.
///
/// # Errors
/// If the log cannot be read; [`LogError::Invalid`] if a later release declared it.
pub async fn newest_revision(log: &dyn TopicLog) -> Result<Option<Revision>, LogError> {
    let mut records = log.scan(Topic::Revisions);
    let mut newest = Ok(None);
    while let Some(record) = records.next().await.transpose()? {
        match later::read(&record) {
            Ok(Some(Message::RevisionDeclared(declared))) => newest = Ok(Some(Revision::of(declared))),
            Err(record @ LaterRecord { reason: DecodeError::Newer { .. }, .. }) => {
                newest = Err(LogError::Invalid { detail: record.to_string() });
            }
            // Declarations of other kinds are about something else.
            Ok(_) | Err(_) => {}
        }
    }
    newest
}
