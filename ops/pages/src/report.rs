//! What a report is made from: plain data, filled by whoever ran the pipeline.
//!
//! Every part may be left empty; the page then says why it is. Counts are counts of clips unless the
//! name says otherwise.

mod experiments;
mod models;
mod rounds;

use std::collections::BTreeMap;

use counterpoint_messages::{Recipe, RecipeName, RejectReason, Segment, SkipReason, Split, StageName};
use serde::{Deserialize, Serialize};

pub use experiments::Experiments;
pub use models::{
    Change, Conflict, Evaluation, ExamPoint, Given, Judged, LossPoint, MAX_CONFLICTS, Models, Passed,
    Planted, TrainingFacts,
};
pub use rounds::{Round, RoundOutcome, Rounds};

use crate::OpenPoint;

/// One revision of one run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Report {
    /// What the page is about.
    pub head: Head,
    /// What models make of the samples; `None` where none was asked.
    pub models: Option<Models>,
    /// The rounds of training of a run that follows.
    pub rounds: Rounds,
    /// The paper's experiments on them, as far as they were made.
    pub experiments: Experiments,
    /// How many clips reached each step, and where the others were lost.
    pub funnel: Funnel,
    /// The label lists the clips came from.
    pub lists: Vec<LabelListFacts>,
    /// The ontology as pruned.
    pub ontology: Ontology,
    /// What the clips are like.
    pub clips: Clips,
    /// What the label lists want and what there is of it, a row a class.
    pub coverage: Vec<CoverageRow>,
    /// What was composed.
    pub samples: Samples,
    /// The clips that were turned away.
    pub rejected: Excerpt<RejectedClip>,
    /// The records that no stage could get past.
    pub dead_letters: Excerpt<DeadRecord>,
    /// Samples to look at and listen to, one group a host.
    pub gallery: Vec<GalleryGroup>,
    /// Every setting that decides what comes out, by stage and name.
    pub settings: BTreeMap<StageName, BTreeMap<String, String>>,
    /// What was used where the sources leave a choice; what is absent was not part of the run.
    pub open_points: BTreeMap<OpenPoint, String>,
    /// Where the numbers come from.
    pub provenance: Provenance,
}

/// What the page is about.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Head {
    /// Title of the page.
    pub title: String,
    /// Paths the run was given: folders and lists.
    pub created_from: Vec<String>,
    /// The topic log's engine and where it is, e.g. `embedded:out/topics`.
    pub engine: String,
    /// Number of the revision, from 1.
    pub revision: u64,
    /// When the report was made, as people write it.
    pub created_at: String,
    /// Seed of the plan.
    pub seed: u64,
}

/// How many clips reached each step. Each count holds the next one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Funnel {
    /// Media files seen.
    pub found: u64,
    /// Those that a list names.
    pub labelled: u64,
    /// Those whose labels name exactly one class.
    pub curated: u64,
    /// Those brought into the normal form.
    pub decoded: u64,
    /// Those that may become host or donor.
    pub accepted: u64,
    /// Those that have at least one sample.
    pub composed: u64,
    /// Clips turned away, by stage and reason.
    pub rejected: Vec<RejectCount>,
    /// Clips whose record ended in the dead letters, by stage.
    pub dead_letters: BTreeMap<StageName, u64>,
}

/// Clips that one stage turned away for one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectCount {
    /// Stage that turned them away.
    pub stage: StageName,
    /// Why.
    pub reason: RejectReason,
    /// How many.
    pub clips: u64,
}

/// What a segment list holds, whether or not its clips are present.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelListFacts {
    /// Path as given.
    pub path: String,
    /// The list of the published Table 1 that this one is, where it is one.
    pub published: Option<PublishedSplit>,
    /// Segments listed.
    pub segments: u64,
    /// Labels over all segments.
    pub labels: u64,
    /// Segments whose labels name exactly one class.
    pub curated: u64,
}

/// A row of Table 1 in appendix B.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublishedSplit {
    /// `train_unbalanced`.
    TrainUnbalanced,
    /// `train_balanced`.
    TrainBalanced,
    /// `evalsplit`.
    Eval,
}

/// The ontology as a graph; a node may have several parents.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ontology {
    /// Every node once; those that no node names as a child are the roots.
    pub nodes: Vec<OntologyNode>,
}

/// A node and what curation made of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OntologyNode {
    /// Its MID, e.g. `/m/0bt9lr`.
    pub mid: String,
    /// Its name, e.g. `Dog`.
    pub name: String,
    /// MIDs of its children, in the order in which they are shown.
    pub children: Vec<String>,
    /// What became of it.
    pub fate: Fate,
    /// Why, as a sentence for people.
    pub reason: String,
}

/// What curation made of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It gives a class its name.
    Class {
        /// Name of the class.
        class: String,
    },
    /// Its clips count for a class that another node names.
    Absorbed {
        /// Name of the class.
        class: String,
    },
    /// Its label is ignored or spoils a clip.
    Excluded {
        /// The rule that left it out, e.g. `ambiguous`.
        rule: String,
    },
}

/// What the clips are like.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Clips {
    /// Picture sizes of the files as they were found.
    pub resolutions: Vec<Resolution>,
    /// Lengths of the files as they were found, in seconds.
    pub durations_s: Vec<f64>,
    /// Edge of the square every picture is cropped to, in pixels.
    pub crop_px: u32,
    /// Length every clip is cut to, in seconds.
    pub clip_s: f64,
    /// Clips per class.
    pub classes: Vec<ClassCount>,
    /// What picture and sound are like.
    pub signal: Signal,
}

/// Files of one picture size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// Width as displayed, in pixels.
    pub width: u32,
    /// Height as displayed, in pixels.
    pub height: u32,
    /// How many.
    pub clips: u64,
}

/// Clips of one class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassCount {
    /// Name of the class.
    pub class: String,
    /// Clips whose labels name it alone.
    pub curated: u64,
    /// Those that were accepted.
    pub accepted: u64,
}

/// A class as the label lists want it and as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoverageRow {
    /// Name of the class.
    pub class: String,
    /// Rows of the label lists that name it alone.
    pub wanted: u64,
    /// Clips found.
    pub on_hand: u64,
    /// Of those, clips accepted.
    pub accepted: u64,
    /// Rows without a clip, by reason.
    pub missing: Vec<(String, u64)>,
}

/// Signal statistics of the decoded clips, one value a clip.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Signal {
    /// Integrated loudness in LUFS.
    pub loudness_lufs: Measured,
    /// Share of silence, 0 to 1.
    pub silent_share: Measured,
    /// Share of black frames, 0 to 1.
    pub black_share: Measured,
    /// Mean luma change between frames, 0 to 1.
    pub motion: Measured,
    /// Hard cuts.
    pub cuts: Measured,
}

/// One statistic and the limit a clip had to keep.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Measured {
    /// One value a clip; what is not finite is left out.
    pub values: Vec<f64>,
    /// The limit, where the settings give one.
    pub limit: Option<Limit>,
}

/// A limit on a statistic.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Values below it are rejected.
    AtLeast(f64),
    /// Values above it are rejected.
    AtMost(f64),
}

/// What was composed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Samples {
    /// Samples by recipe and split.
    pub composed: Vec<SampleCount>,
    /// Recipes that could not be made for a host.
    pub skipped: Vec<SkipCount>,
}

/// Samples of one recipe and split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleCount {
    /// Recipe.
    pub recipe: RecipeName,
    /// Split.
    pub split: Split,
    /// How many.
    pub samples: u64,
}

/// Hosts for which one recipe was skipped for one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkipCount {
    /// Recipe.
    pub recipe: RecipeName,
    /// Why.
    pub reason: SkipReason,
    /// How many hosts.
    pub hosts: u64,
}

/// The first rows of a table that may be too long for a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excerpt<Row> {
    /// The first rows; the page shows at most [`crate::MAX_ROWS`] of them.
    pub rows: Vec<Row>,
    /// How many there are in all.
    pub total: u64,
}

impl<Row> Default for Excerpt<Row> {
    fn default() -> Self {
        Self { rows: Vec::new(), total: 0 }
    }
}

/// A clip that a stage turned away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedClip {
    /// Path of its file.
    pub path: String,
    /// Stage that turned it away.
    pub stage: StageName,
    /// Why.
    pub reason: RejectReason,
    /// The value that decided and what would mend it.
    pub detail: String,
}

/// A record that a stage gave up on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadRecord {
    /// Stage that gave up.
    pub stage: StageName,
    /// Topic the record stood on.
    pub topic: String,
    /// Partition of that topic.
    pub partition: u32,
    /// Its position there.
    pub position: u64,
    /// Attempts made.
    pub attempts: u32,
    /// What happened.
    pub reason: String,
}

/// A host and the samples made from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GalleryGroup {
    /// The clip that gives the picture.
    pub host: GalleryClip,
    /// Its samples.
    pub variants: Vec<GalleryVariant>,
}

/// A clip as a parent of samples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GalleryClip {
    /// Source video.
    pub video: String,
    /// The part of it that is shown.
    pub segment: Option<Segment>,
    /// Its class.
    pub class: String,
    /// Bytes of its mp4; `None` where the file could not be made.
    pub mp4: Option<Vec<u8>>,
}

/// A sample beside its parents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GalleryVariant {
    /// Id of the sample.
    pub sample: String,
    /// How it was put together.
    pub recipe: Recipe,
    /// Class of what the picture shows; `None` where it is black.
    pub class_seen: Option<String>,
    /// Classes of what can be heard.
    pub classes_heard: Vec<String>,
    /// Split.
    pub split: Split,
    /// The clips that give sound to the host, in the order in which the recipe uses them.
    pub donors: Vec<GalleryClip>,
    /// Seed of the plan.
    pub seed: u64,
    /// Bytes of its mp4; `None` where the file could not be made.
    pub mp4: Option<Vec<u8>>,
}

/// Where the numbers come from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of the program.
    pub program_version: String,
    /// Fingerprint of each stage: its settings and those of the stages above it.
    pub fingerprints: BTreeMap<StageName, String>,
    /// How far the topics had been read.
    pub positions: Vec<LogPosition>,
}

/// The position up to which a partition had been read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPosition {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: u32,
    /// Position after the last record read.
    pub position: u64,
}
