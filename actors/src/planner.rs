//! Plans a training whenever enough new samples have come.
//!
//! Reads [`SampleComposed`]; writes a [`counterpoint_messages::TrainingPlanned`] for every so many samples of the train
//! split. A round learns from all samples that there are by then, and begins with the model that the settings name, not
//! with the checkpoint of the round before: so a checkpoint depends on nothing but its data set and its settings, rounds
//! can be compared, none has seen early samples more often than late ones, and one that failed is missed by no other.

use std::collections::BTreeSet;

use counterpoint_core::{media_job::SampleRequest, questions::Wording};
use counterpoint_log::StateEntry;
use counterpoint_messages::{
    Cause, ContentHash, Fingerprint, Message, RecordId, SampleComposed, Split, StageName, Topic,
    TrainingPlanned,
};
use serde::{Deserialize, Serialize};

use crate::{
    Tools,
    stage::{
        Effects, Fault, Order, Output, Profile, Record, Stage, StageError, Step, Trace, Work, read_state,
        state_entry,
    },
    teaching::{DataSet, add_to_exam, classes_of},
    training::Course,
};

const STAGE: StageName = StageName::Planner;

/// Rounds of training: what they begin with and how, and when there is one.
#[derive(Debug, Clone, PartialEq)]
pub struct Rounds {
    /// From what, and how.
    pub course: Course,
    /// Which frames and which sound models get.
    pub request: SampleRequest,
    /// New samples of the train split that begin a round.
    pub every: u64,
    /// Seed of all that is random.
    pub seed: u64,
}

impl Rounds {
    /// Hash of what lies in files beside the settings, or in settings of other stages.
    pub fn contents(&self) -> ContentHash {
        let Self { course, request, .. } = self;
        let SampleRequest { frames_per_second, size, rate } = request;
        let (base, settings) = (&course.prepared.base, course.settings());
        ContentHash::of(format!("{base:?} {settings} {frames_per_second} {size} {rate}").as_bytes())
    }
}

/// See the module.
#[derive(Debug)]
pub struct Planner {
    rounds: Rounds,
    fingerprint: Fingerprint,
    tally: Tally,
    /// Samples of the train split.
    samples: BTreeSet<RecordId>,
    /// Samples by which trainings are watched.
    exam: BTreeSet<RecordId>,
}

/// What has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Tally {
    /// Rounds planned.
    rounds: u32,
    /// Samples since.
    new: u64,
    /// Classes of all samples.
    classes: BTreeSet<String>,
}

/// A data set to be stored, and the settings that go with it.
#[derive(Debug)]
pub struct StoreDataSet {
    course: Course,
    data_set: Vec<u8>,
}

impl Work for StoreDataSet {
    type Outcome = ContentHash;

    fn perform(self, tools: &Tools) -> Result<ContentHash, Fault> {
        Ok(self.course.keep(&self.data_set, &tools.store)?)
    }
}

impl Planner {
    /// A planner of these rounds.
    pub fn new(rounds: Rounds, fingerprint: Fingerprint) -> Self {
        Self { rounds, fingerprint, tally: Tally::default(), samples: BTreeSet::new(), exam: BTreeSet::new() }
    }

    /// Counts a sample.
    fn take(&mut self, sample: &SampleComposed) {
        self.tally.classes.extend(classes_of(sample).map(str::to_owned));
        add_to_exam(&mut self.exam, sample);
        if sample.split == Split::Train && self.samples.insert(sample.id) {
            self.tally.new += 1;
        }
    }

    fn data_set(&self) -> Result<Vec<u8>, StageError> {
        let data_set = DataSet {
            samples: self.samples.iter().copied().collect(),
            exam: self.exam.iter().copied().collect(),
            classes: self.tally.classes.iter().cloned().collect(),
            wording: Wording::default(),
            request: self.rounds.request.clone(),
        };
        serde_json::to_vec(&data_set).map_err(|error| StageError::Content(error.to_string()))
    }

    fn state(&self, sample: &SampleComposed) -> Result<Vec<StateEntry>, StageError> {
        let mut state = vec![state_entry(STAGE, "tally", &self.tally)?];
        if self.samples.contains(&sample.id) {
            state.push(state_entry(STAGE, format!("sample/{}", sample.id), &())?);
        }
        if self.exam.contains(&sample.id) {
            state.push(state_entry(STAGE, "exam", &self.exam)?);
        }
        Ok(state)
    }
}

impl Stage for Planner {
    type Work = StoreDataSet;

    fn profile(&self) -> Profile {
        Profile { stage: STAGE, inputs: vec![Topic::Samples], order: Order::Sequential, blameless: false }
    }

    fn restore(&mut self, state: &[StateEntry]) -> Result<(), StageError> {
        (self.tally, self.samples, self.exam) = (Tally::default(), BTreeSet::new(), BTreeSet::new());
        for entry in state {
            let key = String::from_utf8_lossy(&entry.key);
            if let Some(sample) = key.strip_prefix("sample/").and_then(|id| id.parse().ok()) {
                self.samples.insert(sample);
            } else if key == "tally" {
                self.tally = read_state(STAGE, entry)?;
            } else if key == "exam" {
                self.exam = read_state(STAGE, entry)?;
            }
        }
        Ok(())
    }

    fn plan(&mut self, record: &Record) -> Result<Step<StoreDataSet>, StageError> {
        let sample = sample(record)?;
        self.take(sample);
        if self.tally.new < self.rounds.every {
            return Ok(Step::Done(Effects { state: self.state(sample)?, ..Effects::default() }));
        }
        Ok(Step::Work(StoreDataSet { course: self.rounds.course.clone(), data_set: self.data_set()? }))
    }

    fn conclude(&mut self, record: &Record, data_set: ContentHash) -> Result<Effects, StageError> {
        let sample = sample(record)?;
        self.tally.rounds += 1;
        self.tally.new = 0;
        let round = self.tally.rounds;
        let (settings, detail) = (self.fingerprint, format!("round {round} {data_set}"));
        let id = Cause { stage: STAGE, transform: 1, settings, inputs: &[], detail: &detail }.id();
        let planned = TrainingPlanned {
            id,
            round: Some(round),
            seed: Some(self.rounds.seed),
            ..self.rounds.course.planned(data_set, self.samples.len() as u64)
        };
        let output = Output::of_run(Topic::Trainings, id, planned).in_trace(Trace::Own);
        Ok(Effects { outputs: vec![output], state: self.state(sample)?, ..Effects::default() })
    }
}

fn sample(record: &Record) -> Result<&SampleComposed, StageError> {
    match &record.message {
        Message::SampleComposed(sample) => Ok(sample),
        other => Err(StageError::unexpected(STAGE, other)),
    }
}
