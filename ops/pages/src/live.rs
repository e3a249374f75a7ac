//! The page of a run as it is now, and of what changes on it while it goes on.
//!
//! [`render`] makes the page; [`parts`] makes those parts of it that change. The page's script asks its server for
//! `events`: each is a JSON object from names of parts to their HTML, which it puts in place without touching what
//! stays the same, so that players go on and tables stay where they were scrolled to. Clips come from `clips/OBJECT`.
//! Everything is asked of the address that the page came from.

use counterpoint_messages::{RejectReason, Segment, StageName};

use crate::{PageError, environment, filled, page, plot::Series, report::ExamPoint, view::live as view};

/// Clips that the page shows at most.
pub const MAX_CLIPS: usize = 12;

/// A run as it is now.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Live {
    /// Its output folder.
    pub out: String,
    /// The topic log's engine and where it is, e.g. `embedded:out/topics`.
    pub engine: String,
    /// Number of the revision, once there is one.
    pub revision: Option<u64>,
    /// How it is doing.
    pub state: State,
    /// What the page lacks and why, as sentences.
    pub problems: Vec<String>,
    /// Counts over all inputs of the revision.
    pub counts: Counts,
    /// Its stages, in the order in which a clip meets them.
    pub stages: Vec<Stage>,
    /// Trainings whose results, or what they need to go on, lie in the folder.
    pub trainings: Vec<Training>,
    /// Evaluations of its samples, the newest first.
    pub evaluations: Vec<Evaluation>,
    /// The clips that something happened to last, the last first; the page shows at most [`MAX_CLIPS`].
    pub clips: Vec<NewClip>,
}

/// How a run is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// There is nothing to show.
    NotBegun {
        /// Why not.
        why: String,
    },
    /// What is on the log is being read; all counts are too small.
    Reading,
    /// Processes are at work on it.
    GoingOn,
    /// Nobody is at work, and not everything is at its end.
    Stopped,
    /// Nobody is at work, and everything is at its end.
    Finished,
}

impl Default for State {
    fn default() -> Self {
        Self::NotBegun { why: String::new() }
    }
}

/// Clips and samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Media files seen.
    pub found: u64,
    /// Those that no list names.
    pub unlabelled: u64,
    /// Clips with exactly one class.
    pub curated: u64,
    /// Clips in their normal form.
    pub decoded: u64,
    /// Clips that may become host or donor.
    pub accepted: u64,
    /// Clips turned away.
    pub rejected: u64,
    /// Samples composed.
    pub samples: u64,
    /// Recipes that could not be made for a host.
    pub skipped: u64,
    /// Records given up on.
    pub dead_letters: u64,
}

/// A stage and how far it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Which one.
    pub stage: StageName,
    /// Records that it wrote; `None` for one that writes none.
    pub written: Option<u64>,
    /// Records a second that it writes now.
    pub rate: f64,
    /// Records it has yet to read; `None` where it has not begun.
    pub to_read: Option<u64>,
    /// The process that runs it, where one does.
    pub holder: Option<String>,
    /// Clips that it turned away, by reason.
    pub rejected: Vec<(RejectReason, u64)>,
    /// Records that it gave up on.
    pub dead_letters: u64,
}

/// A training, begun or ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Training {
    /// Name of its folder.
    pub name: String,
    /// Whether it is at its end.
    pub is_done: bool,
    /// Loss of each step over all parts, in nats a token of the right answer.
    pub losses: Series,
    /// Steps before which a part begins, and its name.
    pub breaks: Vec<(u64, String)>,
    /// What the model knew of held-out conflicts while it learned, in order, each with the steps of all parts that were
    /// taken before it was asked; empty where it was not.
    pub exams: Vec<(u64, ExamPoint)>,
}

/// What a model was asked about the samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The model, as it was named.
    pub model: String,
    /// Its identity.
    pub identity: String,
    /// A row a condition and question.
    pub rows: Vec<Accuracy>,
}

/// Answers to one question under one condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Accuracy {
    /// Condition.
    pub condition: String,
    /// Question.
    pub question: String,
    /// Answers so far.
    pub answers: u64,
    /// Those that are right, strictly.
    pub right: u64,
    /// Share of right answers among all so far, answer by answer, in percent.
    pub course: Series,
}

/// A clip that something happened to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewClip {
    /// Its id, unique on the page.
    pub id: String,
    /// Source video or file stem; empty where only the id is known.
    pub video: String,
    /// The annotated part of it.
    pub segment: Option<Segment>,
    /// Its class, once it has one.
    pub class: Option<String>,
    /// The object that holds it in its normal form, by its hash, where it can be played.
    pub object: Option<String>,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a clip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It was found.
    Found,
    /// Its labels name exactly one class.
    Curated,
    /// It is in its normal form.
    Decoded,
    /// The judge was asked about it.
    Judged,
    /// It may become host or donor.
    Accepted,
    /// It is the host of so many samples.
    Composed(u64),
    /// It was turned away.
    Rejected {
        /// By which stage.
        stage: StageName,
        /// Why.
        reason: RejectReason,
        /// The value that decided.
        detail: String,
    },
    /// A stage gave up on it.
    GivenUp {
        /// Which one.
        stage: StageName,
        /// What happened.
        reason: String,
    },
}

/// A part of the page that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name, which is the id of the element that holds it.
    pub name: &'static str,
    /// What stands in that element.
    pub html: String,
}

/// Makes the page: the same run gives the same bytes.
///
/// # Errors
/// See [`PageError`].
pub fn render(live: &Live) -> Result<String, PageError> {
    page("live.html", &view::Page::of(live)?)
}

/// Makes the parts of the page that change.
///
/// # Errors
/// See [`PageError`].
pub fn parts(live: &Live) -> Result<Vec<Part>, PageError> {
    let (shown, templates) = (view::Page::of(live)?, environment()?);
    let part = |(name, template)| Ok(Part { name, html: filled(&templates, template, &shown)? });
    view::PARTS.into_iter().map(part).collect()
}
