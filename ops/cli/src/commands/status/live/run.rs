//! A revision of a run, as its log tells it record by record.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use counterpoint_actors::{later, revision::Revision, tally::Tally};
use counterpoint_log::{Group, GroupDescription, LogError, Received, TopicLog};
use counterpoint_messages::{Message, StageName, Topic};
use counterpoint_pages::live::{Counts, Evaluation, NewClip, Stage, State};
use tokio::time::Instant;

use super::{answers::Answers, newest::Newest, pace::Pace};

/// How often what stages have yet to read is asked for, at most.
const MEASURE_EVERY: Duration = Duration::from_secs(1);
/// How much longer than it took that question rests: counting a long topic is work for the log.
const REST: u32 = 20;
/// How long a topic is waited for that gives none of its records.
const PATIENCE: Duration = Duration::from_secs(10);

/// A revision of a run.
pub(super) struct Run {
    revision: Revision,
    tally: Tally,
    paces: BTreeMap<StageName, Pace>,
    newest: Newest,
    answers: Answers,
    /// Trainings that somebody asked for and that came to an end.
    trained: u64,
    groups: Vec<GroupDescription>,
    measure_at: Instant,
    catching_up: Option<CatchingUp>,
}

/// The log is being read from its beginning.
struct CatchingUp {
    /// When that began, in milliseconds since 1970.
    began_ms: i64,
    /// Topics that have records and gave none yet.
    silent: BTreeSet<Topic>,
    /// Whether any record since the last look was older than this reader.
    any_old: bool,
    /// When the last such record came.
    last_old: Instant,
}

impl Run {
    /// One of which nothing was read yet; times in milliseconds since 1970.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub(super) async fn new(revision: Revision, log: &dyn TopicLog, now_ms: i64) -> Result<Self, LogError> {
        let topics = log.topics().await?.into_iter().filter(|topic| topic.records > 0);
        let silent =
            topics.map(|topic| topic.topic).filter(|topic| Topic::MESSAGES.contains(topic)).collect();
        let now = Instant::now();
        let catching_up = CatchingUp { began_ms: now_ms, silent, any_old: true, last_old: now };
        Ok(Self {
            tally: Tally::new(&revision),
            revision,
            paces: BTreeMap::new(),
            newest: Newest::default(),
            answers: Answers::default(),
            trained: 0,
            groups: Vec::new(),
            measure_at: now,
            catching_up: Some(catching_up),
        })
    }

    /// Number of the revision.
    pub(super) fn revision(&self) -> u64 {
        self.revision.declared.number
    }

    /// Takes note of a record; whether it says that another revision has begun.
    pub(super) fn take(&mut self, record: &Received, now_ms: i64) -> bool {
        if let Some(catching_up) = &mut self.catching_up {
            catching_up.silent.remove(&record.topic);
            if record.written_ms < catching_up.began_ms {
                catching_up.any_old = true;
                catching_up.last_old = Instant::now();
            }
        }
        let writer = match record.topic {
            Topic::Revisions => {
                return matches!(
                    later::read(record),
                    Ok(Some(Message::RevisionDeclared(declared))) if declared.number > self.revision()
                );
            }
            // Answers are of evaluations, which have no part in the run's revisions.
            Topic::Answers => match later::read(record) {
                Ok(Some(Message::AnswerGiven(given))) if record.headers.reader.is_none() => {
                    self.answers.take(given, record.written_ms);
                    Some(StageName::Evaluator)
                }
                _ => None,
            },
            // So are trainings that somebody asked for.
            Topic::Checkpoints if self.tally.writer(record).is_none() => match later::read(record) {
                Ok(Some(Message::CheckpointSaved(_) | Message::TrainingFailed(_)))
                    if record.headers.reader.is_none() =>
                {
                    self.trained += 1;
                    Some(StageName::Trainer)
                }
                _ => None,
            },
            _ => self.tally.take(record).and_then(|message| {
                self.newest.take(&message, record.written_ms);
                self.tally.writer(record)
            }),
        };
        if let Some(stage) = writer {
            self.paces.entry(stage).or_default().count(record.written_ms, now_ms);
        }
        false
    }

    /// Asks what stages have yet to read and who runs them, if it is time, and whether what was there is read.
    ///
    /// # Errors
    /// If the log does not answer.
    pub(super) async fn look(&mut self, log: &dyn TopicLog) -> Result<(), LogError> {
        if let Some(catching_up) = &mut self.catching_up {
            let is_quiet = catching_up.silent.is_empty() || catching_up.last_old.elapsed() > PATIENCE;
            if !std::mem::take(&mut catching_up.any_old) && is_quiet {
                self.catching_up = None;
            }
        }
        let start = Instant::now();
        if start < self.measure_at {
            return Ok(());
        }
        self.groups = log.groups().await?;
        self.measure_at = start + MEASURE_EVERY.max(start.elapsed() * REST);
        Ok(())
    }

    /// How it is doing.
    pub(super) fn state(&self) -> State {
        let is_meant = |group: &Group| is_asked_for(group.stage) || self.is_of_run(group);
        let mut groups = self.groups.iter().filter(|group| is_meant(&group.group));
        if self.catching_up.is_some() {
            State::Reading
        } else if groups.clone().any(|group| group.holder.is_some()) {
            State::GoingOn
        } else if self.tally.has_ended()
            && groups.all(|group| group.lag == 0 || !is_waited_for(group.group.stage))
        {
            State::Finished
        } else {
            State::Stopped
        }
    }

    /// Its counts.
    pub(super) fn counts(&self) -> Counts {
        let counts = self.tally.counts();
        Counts {
            found: counts.found,
            unlabelled: counts.unlabelled,
            curated: counts.curated,
            decoded: counts.decoded,
            accepted: counts.accepted,
            rejected: counts.rejected.values().sum(),
            samples: counts.composed.values().sum(),
            skipped: counts.skipped,
            dead_letters: counts.dead_letters.values().sum(),
        }
    }

    /// What the page lacks, in words: records that no count has, and evaluations.
    pub(super) fn lacks(&self) -> impl Iterator<Item = String> {
        let records = self.tally.counts().later_records;
        let uncounted = (records > 0).then(|| {
            format!(
                "{} that only a later release can read, and none of these counts has.",
                if records == 1 {
                    "There is a record".to_owned()
                } else {
                    format!("There are {records} records")
                }
            )
        });
        uncounted.into_iter().chain(self.answers.left_out())
    }

    /// Its stages, and evaluator and trainer while anybody asks for their work.
    pub(super) fn stages(&mut self, now_ms: i64) -> Vec<Stage> {
        let of_run = self.revision.stages();
        let mut stages: Vec<_> = of_run.iter().map(|stage| self.stage(*stage, now_ms)).collect();
        for stage in [StageName::Trainer, StageName::Evaluator] {
            if stages.iter().any(|shown| shown.stage == stage && shown.holder.is_some()) {
                continue;
            }
            let working = |group: &&GroupDescription| group.group.stage == stage && group.holder.is_some();
            let lag = self.groups.iter().filter(working).map(|group| group.lag).sum();
            let Some(holder) = self.groups.iter().find(working).and_then(|group| group.holder.clone()) else {
                continue;
            };
            let asked = Stage { to_read: Some(lag), holder: Some(holder), ..self.stage(stage, now_ms) };
            match stages.iter_mut().find(|shown| shown.stage == stage) {
                Some(shown) => *shown = asked,
                None => stages.push(asked),
            }
        }
        stages
    }

    fn is_of_run(&self, group: &Group) -> bool {
        self.revision.stages().contains(&group.stage)
            && group.fingerprint == self.revision.fingerprint(group.stage)
    }

    fn stage(&mut self, stage: StageName, now_ms: i64) -> Stage {
        let rate = self.rate(stage, now_ms);
        let wanted = Group { stage, fingerprint: self.revision.fingerprint(stage) };
        let group = self.groups.iter().find(|group| group.group == wanted);
        let counts = self.tally.counts();
        let rejected = counts.rejected.iter().filter(|((by, _), _)| *by == stage);
        // Those of groups of their own are in no tally, and answers are in none.
        let asked_for = match stage {
            StageName::Trainer => self.trained,
            StageName::Evaluator => self.answers.given(),
            _ => 0,
        };
        Stage {
            stage,
            // What it makes are files.
            written: (stage != StageName::Reporter).then(|| self.tally.written(stage) + asked_for),
            rate,
            to_read: group.map(|group| group.lag),
            holder: group.and_then(|group| group.holder.clone()),
            rejected: rejected.map(|((_, reason), clips)| (*reason, *clips)).collect(),
            dead_letters: counts.dead_letters.get(&stage).copied().unwrap_or(0),
        }
    }

    fn rate(&mut self, stage: StageName, now_ms: i64) -> f64 {
        self.paces.get_mut(&stage).map_or(0.0, |pace| pace.rate(now_ms))
    }

    /// The evaluations of its samples.
    pub(super) fn evaluations(&self) -> Vec<Evaluation> {
        self.answers.shown()
    }

    /// The clips that something happened to last; `plays` says whether their objects can be had.
    pub(super) fn clips(&self, plays: bool) -> Vec<NewClip> {
        self.newest.shown(&self.tally, plays)
    }
}

/// Whether somebody may ask for a stage's work on the samples of a run that has ended, in a group of its own.
fn is_asked_for(stage: StageName) -> bool {
    matches!(stage, StageName::Evaluator | StageName::Trainer)
}

/// Whether a run has not ended before the stage has read everything.
fn is_waited_for(stage: StageName) -> bool {
    stage != StageName::Planner && !is_asked_for(stage)
}
