//! What models made of a run's samples, from the folders below the run's own that its demo leaves: `models/NAME` are
//! results of `train`, `evaluations/NAME` those of `evaluate`, and `judge.json` holds what gate and judge let through.
//!
//! What is not there is left out; what is there and cannot be read is told on the page.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use counterpoint_actors::later;
use counterpoint_core::{
    questions::Stream,
    scoring::{Pair, paired, read_jsonl},
    suite::QuestionName,
};
use counterpoint_log::TopicLog;
use counterpoint_messages::{Message, RecipeName, RecordId, Topic, TraceParent};
use counterpoint_models::Trained;
use counterpoint_pages::report::{
    Change, Conflict, Evaluation, ExamPoint, Given, LossPoint, MAX_CONFLICTS, Models, TrainingFacts,
};
use futures::TryStreamExt as _;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::commands::evaluate::Told;

/// The models that are taught, in the order in which that is done; the last is that of the experiment on classes.
const TAUGHT: [&str; 4] = ["judge", "base", "tuned", "cross-class"];

/// Traces of trainings, by the identities of what came of them.
pub type Traces = BTreeMap<String, String>;

/// The traces of the trainings on a log.
pub async fn traces(log: &dyn TopicLog) -> Traces {
    let mut traces = Traces::new();
    let mut records = log.scan(Topic::Checkpoints);
    // Without them the page only says less.
    while let Ok(Some(record)) = records.try_next().await {
        if let Ok(Some(Message::CheckpointSaved(saved))) = later::read(&record)
            && let Some(trace) = saved.trace.and_then(|trace| trace.recorded())
        {
            traces.insert(saved.identity, trace);
        }
    }
    traces
}

/// What the section on models is filled with; nothing where none was taught or asked.
pub fn models(out: &Path, traces: &Traces) -> Option<Models> {
    let mut reader = Reader { out, problems: Vec::new() };
    let before = reader.evaluation("base");
    let after = reader.evaluation("tuned");
    let trainings: Vec<_> = TAUGHT.iter().filter_map(|name| reader.training(name, traces)).collect();
    if before.is_none() && after.is_none() && trainings.is_empty() && reader.problems.is_empty() {
        return None;
    }
    let (before, said_before) = before.unzip();
    let (after, said_after) = after.unzip();
    let (said_before, said_after) = (said_before.unwrap_or_default(), said_after.unwrap_or_default());
    Some(Models {
        changes: changes(&said_before, &said_after),
        conflicts: conflicts(&said_before, &said_after),
        before,
        after,
        trainings,
        judged: reader.json("judge.json"),
        problems: reader.problems,
    })
}

/// Reads below a folder and notes what cannot be read.
pub(super) struct Reader<'a> {
    /// The folder.
    pub out: &'a Path,
    /// What could not be read, as sentences.
    pub problems: Vec<String>,
}

impl Reader<'_> {
    /// The text of a file, which is named as it lies below the run's folder; nothing if it is not there.
    fn text(&mut self, name: &str) -> Option<String> {
        match fs::read_to_string(self.out.join(name)) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                self.problems
                    .push(format!("{name} cannot be read ({error}), so this page lacks what it tells."));
                None
            }
        }
    }

    /// What a file of JSON holds; nothing if it is not there or damaged.
    pub(super) fn json<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let text = self.text(name)?;
        self.noted(serde_json::from_str(&text).map_err(|error| format!("{name}: {error}")))
    }

    /// The lines of a file that lies beside one that was read.
    fn lines<T: DeserializeOwned>(&mut self, name: &str) -> Vec<T> {
        let before = self.problems.len();
        let Some(text) = self.text(name) else {
            if self.problems.len() == before {
                self.problems.push(format!("{name} is not there, so this page lacks what it tells."));
            }
            return Vec::new();
        };
        self.noted(read_jsonl(&text, name).map_err(|error| error.to_string())).unwrap_or_default()
    }

    fn noted<T>(&mut self, read: Result<T, String>) -> Option<T> {
        read.map_err(|error| {
            self.problems.push(format!("This page lacks what a damaged file tells: {error}."));
        })
        .ok()
    }

    fn evaluation(&mut self, name: &str) -> Option<(Evaluation, Vec<Answer>)> {
        let told: Told = self.json(&format!("evaluations/{name}/scores.json"))?;
        let answers = self.lines(&format!("evaluations/{name}/answers.jsonl"));
        Some((told.reported(), answers))
    }

    fn training(&mut self, name: &str, traces: &Traces) -> Option<TrainingFacts> {
        let Facts { trained, course, base, data_set, clips, lessons, version } =
            self.json(&format!("models/{name}/training.json"))?;
        Some(TrainingFacts {
            name: name.to_owned(),
            trace: traces.get(&trained.identity).cloned(),
            identity: trained.identity,
            data_set,
            base,
            recipe: course.parts.iter().map(Part::told).collect(),
            seeds: course.parts.iter().map(|part| part.seed).collect(),
            steps: trained.steps,
            clips,
            lessons,
            version,
            losses: self.lines::<LossPoint>(&format!("models/{name}/{}", Trained::LOSSES)),
            exams: self.exams(&format!("models/{name}/{}", Trained::EXAMS)),
        })
    }

    /// What the model was asked while it learned; nothing where it was not.
    fn exams(&mut self, name: &str) -> Vec<ExamPoint> {
        let Some(text) = self.text(name) else { return Vec::new() };
        self.noted(read_jsonl(&text, name).map_err(|error| error.to_string())).unwrap_or_default()
    }
}

/// What the page tells of `training.json`.
#[derive(Deserialize)]
struct Facts {
    #[serde(flatten)]
    trained: Trained,
    course: Course,
    base: Option<String>,
    data_set: String,
    clips: u64,
    lessons: u64,
    version: String,
}

#[derive(Deserialize)]
struct Course {
    parts: Vec<Part>,
}

/// What the page tells of a part of a training.
#[derive(Deserialize)]
struct Part {
    /// `full`, or the adapters by the name of their kind.
    kind: Value,
    recipes: Vec<String>,
    questions: Vec<String>,
    rate: f64,
    batch: u64,
    accumulation: u64,
    seed: u64,
}

impl Part {
    /// The part in words.
    fn told(&self) -> String {
        let spaced = |names: &[String]| names.join(", ").replace('_', " ");
        let kind = match &self.kind {
            Value::Object(kind) => {
                let settings = kind.values().filter_map(Value::as_object).flatten();
                let settings = settings.map(|(name, value)| match value {
                    Value::String(value) => format!("{name} {value}"),
                    value => format!("{name} {value}"),
                });
                let names = kind.keys().cloned().collect::<Vec<_>>().join(", ");
                format!("{names} ({})", settings.collect::<Vec<_>>().join(", "))
            }
            Value::String(kind) => kind.clone(),
            other => other.to_string(),
        };
        format!(
            "{kind}: {} questions on {}; rate {}, {} \u{d7} {} lessons a step",
            spaced(&self.questions),
            spaced(&self.recipes),
            self.rate,
            self.batch,
            self.accumulation
        )
    }
}

/// What the page tells of a line of `answers.jsonl`.
#[derive(Deserialize)]
struct Answer {
    sample: RecordId,
    condition: String,
    asked: String,
    answer: Option<String>,
    right: bool,
    class_seen: Option<String>,
    classes_heard: Vec<String>,
    video: String,
    sample_trace: Option<TraceParent>,
}

/// The same question about the same sample.
type Key<'a> = (&'a str, &'a str, RecordId);

impl Answer {
    fn key(&self) -> Key<'_> {
        (&self.condition, &self.asked, self.sample)
    }

    fn given(&self) -> Given {
        Given { words: self.answer.clone(), is_right: self.right }
    }
}

fn by_key(answers: &[Answer]) -> BTreeMap<Key<'_>, &Answer> {
    answers.iter().map(|answer| (answer.key(), answer)).collect()
}

/// How the accuracies differ on the questions that both were asked.
fn changes(before: &[Answer], after: &[Answer]) -> Vec<Change> {
    let after = by_key(after);
    let mut pairs: BTreeMap<(&str, &str), Vec<Pair<'_>>> = BTreeMap::new();
    for first in before {
        let Some(second) = after.get(&first.key()) else { continue };
        pairs.entry((&first.condition, &first.asked)).or_default().push(Pair {
            video: &first.video,
            before: first.right,
            after: second.right,
        });
    }
    let change = |((condition, question), pairs): ((&str, &str), Vec<Pair<'_>>)| {
        let found = paired(pairs);
        Change {
            condition: condition.to_owned(),
            question: question.to_owned(),
            difference: found.difference,
            interval: found.interval,
        }
    };
    pairs.into_iter().map(change).collect()
}

/// Answers about samples whose streams disagree: half of them about the sound, half about the picture, each the first
/// by the sample's id of its class seen, so that neither a model nor we choose them by what was answered.
fn conflicts(before: &[Answer], after: &[Answer]) -> Vec<Conflict> {
    let (before, after) = (by_key(before), by_key(after));
    let mut chosen = Vec::new();
    for stream in [Stream::Audio, Stream::Visual] {
        let question = QuestionName::Class(stream);
        let asked: BTreeSet<Key<'_>> = before
            .keys()
            .chain(after.keys())
            .filter(|(condition, asked, _)| {
                *condition == RecipeName::Misaligned.as_str() && *asked == question.as_str()
            })
            .copied()
            .collect();
        let rows: Vec<Conflict> = asked
            .iter()
            .filter_map(|key| conflict(before.get(key).copied(), after.get(key).copied()))
            .collect();
        // Once more round for classes that were seen before, where there are few.
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut ranked: Vec<(usize, Conflict)> = Vec::new();
        for row in rows {
            let rank = seen.entry(row.class_seen.clone()).or_default();
            ranked.push((*rank, row));
            *rank += 1;
        }
        ranked.sort_by_key(|(rank, _)| *rank);
        chosen.extend(ranked.into_iter().map(|(_, row)| row).take(MAX_CONFLICTS / 2));
    }
    chosen
}

/// A row of the gallery, of a sample that has both a picture and a sound.
fn conflict(before: Option<&Answer>, after: Option<&Answer>) -> Option<Conflict> {
    let one = before.or(after)?;
    Some(Conflict {
        sample: one.sample.to_string(),
        trace: one.sample_trace.and_then(|trace| trace.recorded()),
        class_seen: one.class_seen.clone()?,
        class_heard: one.classes_heard.first()?.clone(),
        question: one.asked.clone(),
        before: before.map(Answer::given),
        after: after.map(Answer::given),
    })
}

#[cfg(test)]
mod tests {
    use counterpoint_core::scoring::scores;
    use counterpoint_messages::{AnswerGiven, Tokens};
    use serde_json::json;

    use super::*;

    const CLASSES: [&str; 4] = ["Bird", "Cat", "Door", "Rain"];

    fn write(out: &Path, name: &str, text: &str) {
        let path = out.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Leaves an evaluation of misaligned samples, of which so many of ten are answered right.
    fn evaluate(out: &Path, name: &str, right: usize) {
        let (mut lines, mut given) = (String::new(), Vec::new());
        for number in 0..40_usize {
            let (seen, heard) = (CLASSES[number % 4], CLASSES[(number + 1) % 4]);
            let is_right = number % 10 < right;
            let said = if is_right { heard } else { seen };
            let line = json!({
                "sample": format!("{number:032x}"), "condition": "misaligned", "asked": "audio",
                "question": "?", "answer": said, "expected": heard, "right": is_right,
                "class_seen": seen, "classes_heard": [heard], "video": format!("video{number}"),
                "sample_trace": format!("00-{:032x}-{:016x}-01", number + 1, number + 1),
            });
            lines += &format!("{line}\n");
            given.push(answered(number, said, heard, seen));
        }
        let mut told = serde_json::to_value(scores(&given, |_| 4)).unwrap();
        told["evaluation"] = json!({
            "model": name, "identity": "abc", "inquiry": "def", "splits": ["eval"], "options": CLASSES,
            "samples": 40, "questions": 40, "unanswered": 0, "audio_tokens": 7, "cost_usd": null, "warnings": [],
        });
        write(out, &format!("evaluations/{name}/scores.json"), &told.to_string());
        write(out, &format!("evaluations/{name}/answers.jsonl"), &lines);
    }

    fn answered(number: usize, said: &str, expected: &str, seen: &str) -> AnswerGiven {
        let chosen = json!({"strict": said, "first_mentioned": said, "lenient": said});
        let id = format!("{number:032x}");
        serde_json::from_value(json!({
            "id": id, "sample": id, "video": format!("video{number}"), "split": "eval", "recipe": "misaligned",
            "class_seen": seen, "classes_heard": [expected], "condition": "misaligned", "question": "audio",
            "expected": expected, "text": said, "chosen": chosen, "tokens": Tokens::default(), "latency_ms": 1,
            "requests": 1, "model": "m", "identity": "abc", "evaluation": "0".repeat(64),
        }))
        .unwrap()
    }

    fn train(out: &Path, name: &str, kind: &Value) {
        let part = json!({
            "kind": kind, "recipes": ["audio_removed"], "questions": ["class"], "rate": 0.004, "warmup": 0.1,
            "batch": 16, "accumulation": 2, "length": {"steps": 2}, "seed": 3,
        });
        let facts = json!({
            "folder": "out/models/base", "model": "out/models/base", "identity": "abc", "steps": 2,
            "losses": "out/models/base/losses.jsonl", "course": {"tiny": {}, "parts": [part]}, "base": null,
            "data_set": "da7a", "clips": 5, "lessons": 10, "version": "0.1.0",
        });
        write(out, &format!("models/{name}/training.json"), &facts.to_string());
        let exams = "{\"part\":1,\"step\":0,\"asked\":\"audio\",\"right\":3,\"of\":4}\n";
        write(out, &format!("models/{name}/exams.jsonl"), exams);
        let losses = "{\"step\":1,\"loss\":2.5,\"lr\":0.1,\"part\":1}\n{\"step\":2,\"loss\":1.5,\"lr\":0.1,\"part\":1}\n";
        write(out, &format!("models/{name}/losses.jsonl"), losses);
    }

    #[test]
    fn a_run_that_no_model_had_to_do_with_has_no_such_section() {
        let out = tempfile::tempdir().unwrap();
        assert_eq!(models(out.path(), &Traces::new()), None);
        train(out.path(), "base", &json!("full"));
        let taught = models(out.path(), &Traces::new()).unwrap();
        assert_eq!((taught.trainings.len(), taught.before, taught.problems), (1, None, vec![]));
    }

    #[test]
    fn what_trainings_and_evaluations_left_is_read_back() {
        let out = tempfile::tempdir().unwrap();
        let out = out.path();
        evaluate(out, "base", 2);
        evaluate(out, "tuned", 9);
        train(out, "judge", &json!("full"));
        train(out, "base", &json!("full"));
        train(out, "tuned", &json!({"lora": {"rank": 8, "alpha": 16.0, "targets": "all-linear"}}));
        write(
            out,
            "judge.json",
            "{\"good\":{\"accepted\":9,\"of\":10},\"planted\":[{\"fault\":\"silent\",\"accepted\":0,\"of\":4}]}",
        );
        let traces = Traces::from([("abc".to_owned(), "0ba5e".to_owned())]);
        let found = models(out, &traces).unwrap();
        assert_eq!(found.problems, Vec::<String>::new());
        let strict = |evaluation: &Option<Evaluation>| evaluation.as_ref().unwrap().rows[0].strict;
        assert_eq!((strict(&found.before), strict(&found.after)), (0.2, 0.9));
        assert_eq!(found.changes.len(), 1);
        assert!((found.changes[0].difference - 0.7).abs() < 1e-9);
        assert!(found.changes[0].interval[0] > 0.5 && found.changes[0].interval[1] < 0.9);
        let [judge, base, tuned] = &found.trainings[..] else { panic!("{:?}", found.trainings) };
        assert_eq!(judge.name, "judge");
        assert_eq!(
            base.recipe,
            ["full: class questions on audio removed; rate 0.004, 16 \u{d7} 2 lessons a step"]
        );
        assert!(
            tuned.recipe[0].starts_with("lora (alpha 16.0, rank 8, targets all-linear): class questions"),
            "{:?}",
            tuned.recipe
        );
        assert_eq!(base.losses.iter().map(|step| step.loss).collect::<Vec<_>>(), [2.5, 1.5]);
        assert_eq!((base.data_set.as_str(), base.trace.as_deref()), ("da7a", Some("0ba5e")));
        assert_eq!((base.exams.len(), base.exams[0].right, base.exams[0].of), (1, 3, 4));
        let judged = found.judged.unwrap();
        assert_eq!((judged.good.accepted, judged.planted[0].passed.of), (9, 4));
    }

    #[test]
    fn the_gallery_shows_every_class_and_is_not_chosen_by_the_answers() {
        let out = tempfile::tempdir().unwrap();
        let out = out.path();
        evaluate(out, "base", 0);
        let samples = |out: &Path| {
            let conflicts = models(out, &Traces::new()).unwrap().conflicts;
            conflicts.into_iter().map(|row| (row.sample, row.class_seen)).collect::<Vec<_>>()
        };
        let chosen = samples(out);
        assert_eq!(chosen.len(), MAX_CONFLICTS / 2);
        let classes: BTreeSet<&str> = chosen.iter().map(|(_, class)| class.as_str()).collect();
        assert_eq!(classes.len(), CLASSES.len());
        evaluate(out, "tuned", 10);
        assert_eq!(samples(out), chosen);
        let first = &models(out, &Traces::new()).unwrap().conflicts[0];
        assert_eq!(first.before, Some(Given { words: Some("Bird".to_owned()), is_right: false }));
        assert_eq!(first.after, Some(Given { words: Some("Cat".to_owned()), is_right: true }));
        assert_eq!(first.trace.as_deref(), Some("00000000000000000000000000000001"));
    }

    #[test]
    fn what_is_damaged_or_lacks_its_companion_is_told_and_the_rest_is_shown() {
        let out = tempfile::tempdir().unwrap();
        let out = out.path();
        evaluate(out, "base", 2);
        evaluate(out, "tuned", 9);
        write(out, "evaluations/tuned/scores.json", "{\"misaligned\": 3}");
        fs::remove_file(out.join("evaluations/base/answers.jsonl")).unwrap();
        train(out, "base", &json!("full"));
        write(out, "models/base/losses.jsonl", "{\"part\":1,\"step\":1,\"loss\":null}\n");
        write(out, "models/cross-class/training.json", "no json");
        fs::create_dir_all(out.join("judge.json")).unwrap();
        let found = models(out, &Traces::new()).unwrap();
        assert!(found.before.is_some() && found.after.is_none() && found.judged.is_none());
        assert_eq!(found.trainings.len(), 1);
        let told = found.problems.join("\n");
        for part in [
            "damaged file tells: evaluations/tuned/scores.json: ",
            "evaluations/base/answers.jsonl is not there",
            "damaged file tells: models/cross-class/training.json: ",
            "models/base/losses.jsonl line 1:",
            "judge.json cannot be read",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert_eq!(found.problems.len(), 5, "{told}");
    }
}
