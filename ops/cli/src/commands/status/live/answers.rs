//! What models answered, evaluation by evaluation.

use std::collections::{BTreeMap, BTreeSet};

use counterpoint_messages::{AnswerGiven, ContentHash};
use counterpoint_pages::live::{Accuracy, Evaluation};

/// Evaluations that are kept, those of a large experiment and more; the oldest go.
const EVALUATIONS: usize = 32;
/// Conditions with their questions that are kept of an evaluation.
const ROWS: usize = 64;

/// The model's identity, and the object that says what was asked.
type Key = (String, ContentHash);

/// The newest evaluations on the log, whichever process they are of.
#[derive(Debug, Default)]
pub(super) struct Answers {
    evaluations: BTreeMap<Key, Asked>,
    /// Evaluations that went. Where one goes on, its later answers alone would look like all of them.
    gone: BTreeSet<Key>,
    given: u64,
}

#[derive(Debug)]
struct Asked {
    model: String,
    /// When the last answer was written, in milliseconds since 1970.
    at_ms: i64,
    rows: BTreeMap<(String, String), Accuracy>,
}

impl Answers {
    /// One more answer, written at this time.
    pub(super) fn take(&mut self, given: AnswerGiven, written_ms: i64) {
        self.given += 1;
        let right = given.is_right();
        let key = (given.identity, given.evaluation);
        if self.gone.contains(&key) {
            return;
        }
        let asked = self.evaluations.entry(key).or_insert_with(|| Asked {
            model: given.model,
            at_ms: written_ms,
            rows: BTreeMap::new(),
        });
        asked.at_ms = asked.at_ms.max(written_ms);
        let key = (given.condition, given.question);
        if asked.rows.len() < ROWS || asked.rows.contains_key(&key) {
            let row = asked.rows.entry(key).or_insert_with_key(|(condition, question)| Accuracy {
                condition: condition.clone(),
                question: question.clone(),
                answers: 0,
                right: 0,
                course: Default::default(),
            });
            row.answers += 1;
            row.right += u64::from(right);
            row.course.push(100.0 * row.right as f64 / row.answers as f64);
        }
        if self.evaluations.len() > EVALUATIONS {
            let oldest = self.evaluations.iter().min_by_key(|(_, asked)| asked.at_ms);
            if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                self.evaluations.remove(&key);
                self.gone.insert(key);
            }
        }
    }

    /// Answers on the log.
    pub(super) fn given(&self) -> u64 {
        self.given
    }

    /// What is not shown, in words, where there is any.
    pub(super) fn left_out(&self) -> Option<String> {
        let gone = self.gone.len();
        (gone > 0).then(|| {
            format!(
                "{} not shown: there is room for {EVALUATIONS}.",
                if gone == 1 {
                    "An older evaluation is".to_owned()
                } else {
                    format!("{gone} older evaluations are")
                }
            )
        })
    }

    /// The evaluations, the newest first.
    pub(super) fn shown(&self) -> Vec<Evaluation> {
        let mut evaluations: Vec<_> = self.evaluations.iter().collect();
        evaluations.sort_by_key(|(_, asked)| std::cmp::Reverse(asked.at_ms));
        let evaluation = |((identity, _), asked): (&Key, &Asked)| Evaluation {
            model: asked.model.clone(),
            identity: identity.clone(),
            rows: asked.rows.values().cloned().collect(),
        };
        evaluations.into_iter().map(evaluation).collect()
    }
}

#[cfg(test)]
mod tests {
    use counterpoint_messages::{Chosen, RecipeName, RecordId, Split, Tokens};

    use super::*;

    fn answer(identity: &str, question: &str, is_right: bool) -> AnswerGiven {
        let named = if is_right { "Cat" } else { "Bird" };
        AnswerGiven {
            id: RecordId::default(),
            sample: RecordId::default(),
            video: "video".to_owned(),
            split: Split::Eval,
            recipe: RecipeName::Misaligned,
            class_seen: Some("Bird".to_owned()),
            classes_heard: vec!["Cat".to_owned()],
            condition: "misaligned".to_owned(),
            question: question.to_owned(),
            expected: "Cat".to_owned(),
            text: Some(named.to_owned()),
            problem: None,
            chosen: Chosen { strict: Some(named.to_owned()), ..Chosen::default() },
            option_scores: None,
            yes_probability: None,
            tokens: Tokens::default(),
            latency_ms: 1,
            requests: 1,
            cost_usd: None,
            model: format!("out/models/{identity}"),
            identity: identity.to_owned(),
            evaluation: ContentHash::default(),
            sample_trace: None,
            trace: None,
        }
    }

    #[test]
    fn answers_are_counted_by_evaluation_condition_and_question() {
        let mut answers = Answers::default();
        for (at, is_right) in (0..).zip([true, false, false, false]) {
            answers.take(answer("base", "audio", is_right), at);
        }
        answers.take(answer("base", "visual", true), 4);
        answers.take(answer("tuned", "audio", true), 5);
        let shown = answers.shown();
        let models: Vec<_> = shown.iter().map(|evaluation| evaluation.model.as_str()).collect();
        assert_eq!(models, ["out/models/tuned", "out/models/base"], "the newest comes first");
        let rows = &shown[1].rows;
        assert_eq!((rows[0].question.as_str(), rows[0].answers, rows[0].right), ("audio", 4, 1));
        let course: Vec<_> = rows[0].course.points().iter().map(|point| point.value).collect();
        assert_eq!(course, [100.0, 50.0, 100.0 / 3.0, 25.0]);
        assert_eq!((rows[1].right, answers.given()), (1, 6));
    }

    #[test]
    fn however_many_evaluations_and_questions_there_are_few_are_kept() {
        let mut answers = Answers::default();
        for number in 0..100 {
            for question in 0..100 {
                answers.take(answer(&format!("model{number}"), &format!("question{question}"), true), number);
            }
        }
        let shown = answers.shown();
        assert_eq!((shown.len(), shown[0].rows.len()), (EVALUATIONS, ROWS));
        assert_eq!(shown[0].identity, "model99");
    }

    #[test]
    fn an_evaluation_that_made_way_does_not_come_back_with_its_rest_alone() {
        let mut answers = Answers::default();
        let models = EVALUATIONS as i64;
        for number in 0..models {
            answers.take(answer(&format!("model{number}"), "audio", true), number);
        }
        assert_eq!((answers.shown().len(), answers.left_out()), (EVALUATIONS, None));
        answers.take(answer("newest", "audio", true), models);
        answers.take(answer("model0", "audio", false), models + 1);
        let shown = answers.shown();
        assert_eq!((shown.len(), shown[0].identity.as_str()), (EVALUATIONS, "newest"));
        assert!(shown.iter().all(|evaluation| evaluation.identity != "model0"));
        assert_eq!(answers.given(), EVALUATIONS as u64 + 2, "they are answers all the same");
        assert!(answers.left_out().unwrap().starts_with("An older evaluation is not shown"));
    }
}
