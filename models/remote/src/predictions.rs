//! Answers given earlier, whoever gave them.
//!
//! A file of JSON lines, one answer each; further members are passed over, so that a file of answers that the
//! evaluation wrote can be read again:
//!
//! | member | is |
//! | --- | --- |
//! | `sample` | the sample's or clip's name ([`Clip::sample`]) |
//! | `clip` | its content id ([`Clip::content`]); `sample`, `clip` or both |
//! | `question` | the prompt, word for word |
//! | `answer` | the answer's text; `null` if there was none |
//! | `option_scores` | optional: logarithms of probabilities, in the order of the options |
//! | `yes_probability` | optional: 0 to 1 |

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
    time::Instant,
};

use counterpoint_models::{
    Answer, AskError, Clip, Decoding, Model, ModelError, ModelFacts, ModelInput, Question, QuestionKind,
    RemoteModel, TokenCounts,
};
use serde::Deserialize;

/// Longest line in bytes.
const MAX_LINE: u64 = 4 << 20;

/// Bad lines that are told.
const MAX_TOLD: usize = 5;

#[derive(Debug, PartialEq, Deserialize)]
struct Row {
    sample: Option<String>,
    clip: Option<String>,
    question: String,
    #[serde(deserialize_with = "Option::deserialize")]
    answer: Option<String>,
    option_scores: Option<Vec<f32>>,
    yes_probability: Option<f32>,
}

impl Row {
    /// What is wrong with it, if anything.
    fn problem(&self) -> Option<&'static str> {
        if self.sample.is_none() && self.clip.is_none() {
            return Some("neither `sample` nor `clip`: name what was asked about");
        }
        if self.yes_probability.is_some_and(|yes| !(0.0..=1.0).contains(&yes)) {
            return Some("`yes_probability` outside of 0 to 1");
        }
        None
    }

    fn said(&self) -> (&Option<String>, &Option<Vec<f32>>, Option<f32>) {
        (&self.answer, &self.option_scores, self.yes_probability)
    }
}

pub(crate) struct Predictions {
    facts: ModelFacts,
    rows: Vec<Row>,
    // By name or content id, and question: line (from 1) and row.
    index: HashMap<(String, String), (usize, usize)>,
}

impl Predictions {
    /// Reads the whole file.
    ///
    /// # Errors
    /// [`ModelError::File`] if it cannot be read, [`ModelError::Content`] with the numbers of the first lines
    /// that are no answers or contradict an earlier one.
    pub(crate) fn open(model: &RemoteModel, path: &Path) -> Result<Self, ModelError> {
        let unreadable = |source| ModelError::File { path: path.to_owned(), source };
        let mut reader = BufReader::new(File::open(path).map_err(unreadable)?);
        let facts = ModelFacts { name: model.to_string(), identity: String::new(), input: ModelInput::Ids };
        let mut this = Self { facts, rows: Vec::new(), index: HashMap::new() };
        let mut hasher = blake3::Hasher::new();
        let (mut problems, mut bad) = (Vec::new(), 0_usize);
        let mut line = Vec::new();
        for number in 1_usize.. {
            line.clear();
            let read = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(unreadable)?;
            if read == 0 {
                break;
            }
            hasher.update(&line);
            let is_cut = u64::try_from(read) == Ok(MAX_LINE) && !line.ends_with(b"\n");
            let added = if is_cut {
                reader.skip_until(b'\n').map_err(unreadable)?;
                Err(format!("longer than {MAX_LINE} bytes"))
            } else {
                this.add(number, &line)
            };
            if let Err(problem) = added {
                bad += 1;
                if problems.len() < MAX_TOLD {
                    problems.push(format!("line {number}: {problem}"));
                }
            }
        }
        if bad > 0 {
            let more = bad.saturating_sub(problems.len());
            let more = if more > 0 { format!("; and {more} more") } else { String::new() };
            let problem = format!("{}{more}", problems.join("; "));
            return Err(ModelError::Content { path: path.to_owned(), problem });
        }
        this.facts.identity = format!("file {}", hasher.finalize().to_hex());
        Ok(this)
    }

    fn add(&mut self, number: usize, line: &[u8]) -> Result<(), String> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let row: Row = serde_json::from_slice(line).map_err(|error| format!("no answer: {error}"))?;
        if let Some(problem) = row.problem() {
            return Err(problem.to_owned());
        }
        let at = self.rows.len();
        for name in [&row.sample, &row.clip].into_iter().flatten() {
            let key = (name.clone(), row.question.clone());
            let (earlier, index) = *self.index.entry(key).or_insert((number, at));
            if self.rows.get(index).is_some_and(|known| known.said() != row.said()) {
                return Err(format!("answers the question of line {earlier} on `{name}` in another way"));
            }
        }
        self.rows.push(row);
        Ok(())
    }

    fn answer(&self, clip: &Clip, question: &Question) -> Result<Answer, AskError> {
        let begun = Instant::now();
        let refused = |problem: String| AskError::Refused { model: self.facts.name.clone(), problem };
        let names = clip.sample().into_iter().chain([clip.content().as_str()]);
        let found = names
            .map(|name| (name.to_owned(), question.text().to_owned()))
            .find_map(|key| self.rows.get(self.index.get(&key)?.1));
        let row = found.ok_or_else(|| {
            let name = clip.sample().unwrap_or(clip.content().as_str());
            refused(format!("no line answers this question on `{name}`"))
        })?;
        let text = row.answer.clone().ok_or_else(|| refused("its answer is null".to_owned()))?;
        if let (QuestionKind::Options(options), Some(scores)) = (question.kind(), &row.option_scores)
            && options.len() != scores.len()
        {
            return Err(refused(format!("{} option_scores for {} options", scores.len(), options.len())));
        }
        Ok(Answer {
            text,
            option_scores: row.option_scores.clone(),
            yes_probability: row.yes_probability,
            tokens: TokenCounts::default(),
            latency: begun.elapsed(),
            requests: 0,
            cost_usd: None,
        })
    }
}

impl Model for Predictions {
    fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    fn ask(&mut self, clip: &Clip, questions: &[Question], _: &Decoding) -> Vec<Result<Answer, AskError>> {
        questions.iter().map(|question| self.answer(clip, question)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn open(text: &str) -> Result<Predictions, ModelError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("predictions.jsonl");
        fs::write(&path, text).unwrap();
        Predictions::open(&RemoteModel::Predictions { path: path.clone() }, &path)
    }

    fn clip(digit: &str) -> Clip {
        Clip::new(digit.repeat(64).parse().unwrap())
    }

    fn ask(model: &mut Predictions, clip: &Clip, text: &str) -> Result<Answer, AskError> {
        let questions = [Question::free(text).unwrap()];
        model.ask(clip, &questions, &Decoding::default()).remove(0)
    }

    #[test]
    fn answers_are_found_by_sample_or_content_and_by_the_words_of_the_question() {
        let by_content =
            format!(r#"{{"clip": "{}", "question": "q", "answer": "by content"}}"#, "b".repeat(64));
        let mut model = open(&format!(
            "{}\n\n{by_content}\n{}\n{}",
            r#"{"sample": "s1", "question": "q", "answer": "Cat", "yes_probability": 0.25, "extra": [1]}"#,
            r#"{"sample": "s1", "question": "Q?", "answer": "Ü"}"#,
            r#"{"sample": "s2", "question": "q", "answer": null}"#,
        ))
        .unwrap();
        let first = ask(&mut model, &clip("a").with_sample("s1"), "q").unwrap();
        assert_eq!((first.text.as_str(), first.yes_probability, first.requests), ("Cat", Some(0.25), 0));
        assert_eq!(ask(&mut model, &clip("a").with_sample("s1"), "Q?").unwrap().text, "Ü");
        assert_eq!(ask(&mut model, &clip("b").with_sample("s9"), "q").unwrap().text, "by content");
        for (clip, question) in
            [(clip("a").with_sample("s2"), "q"), (clip("a").with_sample("s1"), "q "), (clip("c"), "q")]
        {
            let missing = ask(&mut model, &clip, question).unwrap_err();
            assert_eq!(missing.fault(), counterpoint_models::Fault::Question, "{missing}");
        }
    }

    #[test]
    fn bad_lines_are_told_by_number() {
        let text = [
            r#"{"sample": "s", "question": "q", "answer": "a"}"#,
            r#"{"sample": "s", "question": "q""#,
            r#"{"question": "q", "answer": "a"}"#,
            r#"{"sample": "s", "question": "q"}"#,
            r#"{"sample": "s", "question": "q", "answer": "b"}"#,
            r#"{"sample": "s", "question": "q", "answer": "a"}"#,
            r#"{"sample": "s", "question": "r", "answer": "a", "yes_probability": 2}"#,
            "no json",
            "\u{0}",
        ]
        .join("\n");
        let error = open(&text).err().unwrap().to_string();
        for part in [
            "line 2: no answer",
            "line 3: neither",
            "line 4: no answer: missing field `answer`",
            "line 5: answers the question of line 1 on `s` in another way",
            "line 7: `yes_probability`",
            "and 2 more",
        ] {
            assert!(error.contains(part), "{part} is not in: {error}");
        }
        assert!(!error.contains("line 6"), "{error}");
        let long = format!("{}\n{{\"sample\": 1}}", "x".repeat(5 << 20));
        let error = open(&long).err().unwrap().to_string();
        assert!(error.contains("line 1: longer than") && error.contains("line 2: no answer"), "{error}");
    }

    #[test]
    fn the_identity_is_that_of_the_content() {
        let row = r#"{"sample": "s", "question": "q", "answer": "a"}"#;
        let identity = |text: &str| open(text).unwrap().facts.identity.clone();
        assert_eq!(identity(row), identity(row));
        assert_ne!(identity(row), identity(&row.replace("\"a\"", "\"b\"")));
    }
}
