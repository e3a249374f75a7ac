use std::collections::BTreeMap;

use counterpoint_messages::{AnswerGiven, Chosen, RecipeName};
use serde::{Deserialize, Serialize};

use super::{Interval, interval};
use crate::{
    questions::Stream,
    suite::{Condition, QuestionName},
};

/// Share of one answer from which on it is told as constant.
const CONSTANT_SHARE: f64 = 0.9;

/// Scores by condition and question.
pub type Scores = BTreeMap<String, BTreeMap<String, Score>>;

/// What the answers to one question under one condition come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Questions asked.
    pub n: u64,
    /// Source videos that they are about.
    pub videos: u64,
    /// Questions without an answer, which are wrong.
    pub missing: u64,
    /// Share right where the answer is the option and nothing else.
    pub accuracy_strict: f64,
    /// Share right by the option mentioned first.
    pub accuracy_first_mentioned: f64,
    /// Share right by the longest option mentioned.
    pub accuracy_lenient: f64,
    /// 95 % interval of the strict accuracy, clustered by source video.
    pub interval: Interval,
    /// 95 % interval of the lenient accuracy, clustered by source video.
    pub interval_lenient: Interval,
    /// Strict accuracy over all questions.
    pub micro: f64,
    /// Mean of the strict accuracies of the right answers' classes.
    #[serde(rename = "macro")]
    pub macro_mean: f64,
    /// By the right answer.
    pub per_class: BTreeMap<String, ClassScore>,
    /// Which stream answers go by where the two disagree; null where they never do.
    pub selection: Option<Selection>,
    /// Set where nearly all answers are one and the same although the right ones are not.
    pub constant_answer: Option<ConstantAnswer>,
    /// What could be had without the model, or with one stream.
    pub baselines: Baselines,
    /// Answers by the first option mentioned, for each right answer; `-` stands for none.
    pub confusion: BTreeMap<String, BTreeMap<String, u64>>,
}

/// Answers whose right one is the same.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    /// Questions.
    pub n: u64,
    /// Share right, strictly.
    pub accuracy: f64,
}

/// Modality selection rate: where picture and sound show different classes, which of them answers name (first).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// Questions on samples whose streams disagree.
    pub n: u64,
    /// Share that names what is seen.
    pub visual: f64,
    /// Share that names what is heard.
    pub audio: f64,
    /// Share that names neither.
    pub neither: f64,
}

/// An answer that is given whatever is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConstantAnswer {
    /// The answer; `-` if nothing is named.
    pub answer: String,
    /// Share of all answers.
    pub share: f64,
}

/// What accuracy is to be compared with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Baselines {
    /// Of a fair choice among the options; null where none are offered.
    pub chance: Option<f64>,
    /// Of always giving the best single answer.
    pub constant: f64,
    /// The same model's strict accuracy at the same question with the other stream taken away; null where that
    /// was not asked.
    pub single_stream: Option<f64>,
}

/// Scores answers; `options` tells how many options a question offers, 0 for none.
pub fn scores(answers: &[AnswerGiven], options: impl Fn(&str) -> usize) -> Scores {
    let mut groups: BTreeMap<(&str, &str), Vec<&AnswerGiven>> = BTreeMap::new();
    for answer in answers {
        groups.entry((&answer.condition, &answer.question)).or_default().push(answer);
    }
    let mut scores = Scores::new();
    for ((condition, question), answers) in groups {
        let score = score(&answers, options(question));
        scores.entry(condition.to_owned()).or_default().insert(question.to_owned(), score);
    }
    let single: BTreeMap<String, f64> = QuestionName::all()
        .filter_map(|question| {
            let alone = Condition::Recipe(alone(question.stream()?));
            let score = scores.get(alone.as_str())?.get(question.as_str())?;
            Some((question.as_str().to_owned(), score.accuracy_strict))
        })
        .collect();
    for (condition, by_question) in &mut scores {
        for (question, score) in by_question {
            let is_itself = question
                .parse::<QuestionName>()
                .ok()
                .and_then(QuestionName::stream)
                .is_some_and(|stream| condition == Condition::Recipe(alone(stream)).as_str());
            score.baselines.single_stream = single.get(question).copied().filter(|_| !is_itself);
        }
    }
    scores
}

/// The recipe that leaves a stream alone.
fn alone(stream: Stream) -> RecipeName {
    match stream {
        Stream::Visual => RecipeName::AudioRemoved,
        Stream::Audio => RecipeName::FramesZeroed,
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn score(answers: &[&AnswerGiven], options: usize) -> Score {
    let n = answers.len() as u64;
    let is_right = |answer: &AnswerGiven, of: fn(&Chosen) -> &Option<String>| {
        of(&answer.chosen).as_ref() == Some(&answer.expected)
    };
    let strict: fn(&Chosen) -> &Option<String> = |chosen| &chosen.strict;
    let first: fn(&Chosen) -> &Option<String> = |chosen| &chosen.first_mentioned;
    let lenient: fn(&Chosen) -> &Option<String> = |chosen| &chosen.lenient;
    let accuracy = |of| share(answers.iter().filter(|answer| is_right(answer, of)).count() as u64, n);
    let interval_of =
        |of| interval(answers.iter().map(|answer| (answer.video.as_str(), is_right(answer, of))));
    let mut per_class: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut confusion: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    let mut named: BTreeMap<&str, u64> = BTreeMap::new();
    for answer in answers {
        let (count, right) = per_class.entry(answer.expected.clone()).or_default();
        *count += 1;
        *right += u64::from(is_right(answer, strict));
        let name = answer.chosen.first_mentioned.as_deref().unwrap_or("-");
        *confusion.entry(answer.expected.clone()).or_default().entry(name.to_owned()).or_default() += 1;
        *named.entry(name).or_default() += 1;
    }
    let most_common = named.into_iter().max_by_key(|(_, count)| *count);
    let constant_answer = most_common
        .map(|(answer, count)| ConstantAnswer { answer: answer.to_owned(), share: share(count, n) })
        .filter(|constant| constant.share >= CONSTANT_SHARE && per_class.len() > 1 && n > 1);
    let best = per_class.values().map(|(count, _)| *count).max().unwrap_or(0);
    let videos: std::collections::BTreeSet<_> = answers.iter().map(|answer| &answer.video).collect();
    let micro = accuracy(strict);
    let class_shares = per_class.values().map(|(count, right)| share(*right, *count));
    let macro_mean = class_shares.sum::<f64>() / per_class.len().max(1) as f64;
    Score {
        n,
        videos: videos.len() as u64,
        missing: answers.iter().filter(|answer| answer.text.is_none()).count() as u64,
        accuracy_strict: micro,
        accuracy_first_mentioned: accuracy(first),
        accuracy_lenient: accuracy(lenient),
        interval: interval_of(strict),
        interval_lenient: interval_of(lenient),
        micro,
        macro_mean,
        per_class: per_class
            .into_iter()
            .map(|(class, (n, right))| (class, ClassScore { n, accuracy: share(right, n) }))
            .collect(),
        selection: selection(answers),
        constant_answer,
        baselines: Baselines {
            chance: (options > 0).then(|| 1.0 / options as f64),
            constant: share(best, n),
            single_stream: None,
        },
        confusion,
    }
}

fn selection(answers: &[&AnswerGiven]) -> Option<Selection> {
    let (mut n, mut visual, mut audio) = (0_u64, 0_u64, 0_u64);
    for answer in answers {
        let (Some(seen), Some(heard)) = (&answer.class_seen, answer.classes_heard.first()) else { continue };
        // Of a mixup the host's class stands first and is what is seen.
        if seen == heard || (&answer.expected != seen && &answer.expected != heard) {
            continue;
        }
        n += 1;
        visual += u64::from(answer.chosen.first_mentioned.as_ref() == Some(seen));
        audio += u64::from(answer.chosen.first_mentioned.as_ref() == Some(heard));
    }
    let neither = n.saturating_sub(visual).saturating_sub(audio);
    (n > 0).then(|| Selection {
        n,
        visual: share(visual, n),
        audio: share(audio, n),
        neither: share(neither, n),
    })
}
