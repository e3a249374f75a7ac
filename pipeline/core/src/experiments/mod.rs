//! The paper's other experiments at any size: what is asked of which samples, how answers are grouped, and what the
//! numbers come to.
//!
//! Each holds two models against each other, before and after tuning, on the same questions about held-out samples.

mod finding;
mod halves;
mod taught;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use counterpoint_messages::{AnswerGiven, RecipeName, RecordId};
use serde::{Deserialize, Serialize};

pub use halves::{Group, Halves, HalvesError};
pub use taught::{Taught, notes};

use crate::{
    questions::{Stream, Wording},
    scoring::{Interval, Pair, Paired, interval, paired},
    suite::{Asks, Condition, Options, QuestionName, Suite},
};

/// An experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExperimentName {
    /// Sound or picture is taken away, and both are asked about all the same, with nothing but the classes on offer
    /// (appendix I.2, Fig. 12).
    Ablations,
    /// The same with `None of the above` on offer (appendix K, Table 5).
    NoneOfTheAbove,
    /// A model tuned on half of the classes is asked about all of them (appendix H, Table 3).
    CrossClass,
    /// Other sounds are laid over the clip's own (appendix M.3, Fig. 16).
    Mixup,
}

impl ExperimentName {
    /// Every experiment, in the order of reports.
    pub const ALL: [Self; 4] = [Self::Ablations, Self::NoneOfTheAbove, Self::CrossClass, Self::Mixup];

    /// Name on the command line, in files and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ablations => "ablations",
            Self::NoneOfTheAbove => "none-of-the-above",
            Self::CrossClass => "cross-class",
            Self::Mixup => "mixup",
        }
    }

    /// What is asked.
    pub fn suite(self) -> Suite {
        let recipes = match self {
            Self::Ablations | Self::NoneOfTheAbove => {
                vec![RecipeName::Aligned, RecipeName::AudioRemoved, RecipeName::FramesZeroed]
            }
            Self::CrossClass => vec![RecipeName::Aligned, RecipeName::Misaligned],
            Self::Mixup => vec![RecipeName::Aligned, RecipeName::Mixup],
        };
        let conditions = recipes.into_iter().map(Condition::Recipe).collect();
        let questions = Stream::ALL.map(|stream| self.question(stream)).to_vec();
        Suite {
            options: Options::Found,
            wording: Wording::default(),
            ask: vec![Asks { conditions, questions }],
        }
    }

    /// Its question about a stream.
    pub fn question(self, stream: Stream) -> QuestionName {
        match self {
            Self::NoneOfTheAbove => QuestionName::Abstention(stream),
            Self::Ablations | Self::CrossClass | Self::Mixup => QuestionName::Class(stream),
        }
    }
}

impl fmt::Display for ExperimentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an experiment came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// Which one.
    pub experiment: ExperimentName,
    /// The models that were asked, in the order of the measurements.
    pub models: Vec<AskedModel>,
    /// Which classes were learned in tuning, where that is what the experiment is about.
    pub halves: Option<Halves>,
    /// A line a group of classes, condition and question.
    pub lines: Vec<Line>,
    /// What the numbers say, as sentences.
    pub findings: Vec<String>,
    /// What has to be known to read them, as sentences.
    pub notes: Vec<String>,
}

/// A model that was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedModel {
    /// What it is here: `base`, `tuned` or `tuned-on-all`.
    pub role: String,
    /// Its name.
    pub model: String,
    /// What its answers depend on.
    pub identity: String,
    /// Object that holds what it was asked.
    pub inquiry: String,
}

/// Both models on one question under one condition. All shares are from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Whether its classes were learned in tuning; `None` where the experiment does not ask.
    pub group: Option<Group>,
    /// Condition.
    pub condition: Condition,
    /// Question.
    pub question: QuestionName,
    /// Accuracy of a fair choice among the options.
    pub chance: f64,
    /// The model before tuning.
    pub before: Measured,
    /// The model afterwards.
    pub after: Measured,
    /// Both on the questions that both were asked.
    pub change: Paired,
    /// The model that was tuned on all classes, where another one stands for `after`.
    pub on_all: Option<Measured>,
}

/// One model's answers to one question under one condition.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Questions.
    pub n: u64,
    /// Those without an answer, which are wrong.
    pub missing: u64,
    /// Strict accuracy.
    pub accuracy: f64,
    /// Its 95 % interval, clustered by source video.
    pub interval: Interval,
    /// Share of the answers that name another class that is in the sample: that of the other stream, or of an added
    /// sound. `None` where there is no other class.
    pub other: Option<f64>,
}

/// What is needed of an experiment to make lines of answers.
#[derive(Debug, Clone, Copy)]
pub struct Answers<'a> {
    /// Answers of the model before tuning.
    pub before: &'a [AnswerGiven],
    /// Answers of the model afterwards.
    pub after: &'a [AnswerGiven],
    /// Answers of the model that was tuned on all classes, if it is another one.
    pub on_all: Option<&'a [AnswerGiven]>,
    /// Which classes were learned in tuning, if lines are to be parted by that.
    pub halves: Option<&'a Halves>,
    /// Classes that questions offered.
    pub classes: usize,
}

type Key = (Option<Group>, Condition, QuestionName);

impl Answers<'_> {
    /// The lines that these answers come to; only what both models were asked has one.
    pub fn lines(&self) -> Vec<Line> {
        let (before, after) = (self.by_key(self.before), self.by_key(self.after));
        let on_all = self.on_all.map(|answers| self.by_key(answers));
        let both = before.iter().filter_map(|(key, before)| Some((key, before, after.get(key)?)));
        both.map(|(key, before, after)| {
            let (group, condition, question) = *key;
            let options = question.options(self.classes);
            Line {
                group,
                condition,
                question,
                chance: if options == 0 { 0.0 } else { 1.0 / options as f64 },
                before: measured(before),
                after: measured(after),
                change: change(before, after),
                on_all: on_all.as_ref().and_then(|answers| answers.get(key)).map(|found| measured(found)),
            }
        })
        .collect()
    }

    fn by_key<'a>(&self, answers: &'a [AnswerGiven]) -> BTreeMap<Key, Vec<&'a AnswerGiven>> {
        let mut groups: BTreeMap<Key, Vec<&AnswerGiven>> = BTreeMap::new();
        for answer in answers {
            // What names neither is of no suite.
            let (Ok(condition), Ok(question)) = (answer.condition.parse(), answer.question.parse()) else {
                continue;
            };
            let group = self.halves.map(|halves| halves.group(answer));
            groups.entry((group, condition, question)).or_default().push(answer);
        }
        groups
    }
}

fn measured(answers: &[&AnswerGiven]) -> Measured {
    let n = answers.len() as u64;
    let share = |part: usize| if n == 0 { 0.0 } else { part as f64 / n as f64 };
    let with_others: Vec<_> = answers
        .iter()
        .map(|answer| (answer, others(answer)))
        .filter(|(_, others)| !others.is_empty())
        .collect();
    let named = with_others.iter().filter(|(answer, others)| {
        answer.chosen.strict.as_deref().is_some_and(|named| others.contains(named))
    });
    Measured {
        n,
        missing: answers.iter().filter(|answer| answer.text.is_none()).count() as u64,
        accuracy: share(answers.iter().filter(|answer| answer.is_right()).count()),
        interval: interval(answers.iter().map(|answer| (answer.video.as_str(), answer.is_right()))),
        other: (!with_others.is_empty()).then(|| named.count() as f64 / with_others.len() as f64),
    }
}

/// Classes in the sample that would be wrong to name.
fn others(answer: &AnswerGiven) -> BTreeSet<&str> {
    let there = answer.class_seen.iter().chain(&answer.classes_heard);
    there.filter(|class| **class != answer.expected).map(String::as_str).collect()
}

fn change(before: &[&AnswerGiven], after: &[&AnswerGiven]) -> Paired {
    let after: BTreeMap<RecordId, bool> =
        after.iter().map(|answer| (answer.sample, answer.is_right())).collect();
    paired(before.iter().filter_map(|answer| {
        let after = *after.get(&answer.sample)?;
        Some(Pair { video: &answer.video, before: answer.is_right(), after })
    }))
}

impl Experiment {
    /// An experiment with what its answers come to, and what that says.
    pub fn of(
        experiment: ExperimentName,
        models: Vec<AskedModel>,
        answers: &Answers<'_>,
        notes: Vec<String>,
    ) -> Self {
        let lines = answers.lines();
        let findings = finding::findings(experiment, &lines);
        Self { experiment, models, halves: answers.halves.cloned(), lines, findings, notes }
    }

    /// The line of a condition and question.
    pub fn line(&self, group: Option<Group>, recipe: RecipeName, question: QuestionName) -> Option<&Line> {
        find(&self.lines, group, recipe, question)
    }
}

fn find(lines: &[Line], group: Option<Group>, recipe: RecipeName, question: QuestionName) -> Option<&Line> {
    let condition = Condition::Recipe(recipe);
    lines.iter().find(|line| line.group == group && line.condition == condition && line.question == question)
}

#[cfg(test)]
mod tests;
