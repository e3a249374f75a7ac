//! `evaluate`: a model asked about the samples of a run, and its answers scored.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::ExitCode,
};

use anyhow::Context as _;
use counterpoint_actors::{evaluator, evaluator::Inquiry, store::write_atomically};
use counterpoint_core::{
    experiments::AskedModel,
    questions::NONE_OF_THE_ABOVE,
    scoring::{Score, Scores, scores},
    suite::{Condition, QuestionName, Suite},
};
use counterpoint_messages::{AnswerGiven, Chosen, RecipeName, RecordId, Split, Tokens, TraceParent};
use counterpoint_models::ModelName;
use counterpoint_pages::{
    plot::Matrix,
    report,
    scores::{ScoreRow, ScoresReport, render},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::asking::{Asked, Subject, model};
use crate::{
    args::{self, Common},
    config::{Config, read},
    local::LocalModels,
    output::{Failure, Outcome, print, print_json, say, thousands},
    progress::{INTERRUPTED, Screen},
};

/// Asked without a suite: the main comparison, and what one stream alone comes to.
const CONDITIONS: [Condition; 4] = [
    Condition::Recipe(RecipeName::Aligned),
    Condition::Recipe(RecipeName::Misaligned),
    Condition::Recipe(RecipeName::AudioRemoved),
    Condition::Recipe(RecipeName::FramesZeroed),
];

pub fn run(
    arguments: &args::evaluation::Evaluate,
    common: &Common,
    screen: &Screen,
    local: Option<&'static dyn LocalModels>,
) -> Outcome {
    let config = Config::load(common)?;
    let suite = suite(arguments)?;
    let args::evaluation::Evaluate { model, samples, out, split, .. } = arguments;
    let evaluation = Evaluation { model, samples, out };
    let (told, asked) = evaluation.ask(suite, split, &config, common, screen, local)?;
    if common.json {
        print_json(&told)?;
    } else {
        tell(&told, &arguments.out);
    }
    if asked.interrupted {
        say("interrupted: every answer is kept; run the same command again to continue");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    unanswered(&asked)?;
    Ok(ExitCode::SUCCESS)
}

/// A model to be asked about the samples of a run, and where what it answers is told.
pub struct Evaluation<'a> {
    /// The model.
    pub model: &'a ModelName,
    /// Output folder of the run.
    pub samples: &'a Path,
    /// Folder of the result.
    pub out: &'a Path,
}

impl Evaluation<'_> {
    /// Asks what was not asked yet, and writes what all answers come to.
    ///
    /// # Errors
    /// As of the command.
    pub fn ask(
        &self,
        suite: Suite,
        split: &[Split],
        config: &Config,
        common: &Common,
        screen: &Screen,
        local: Option<&'static dyn LocalModels>,
    ) -> Result<(Told, Asked), Failure> {
        let Self { model: name, samples, out } = *self;
        fs::create_dir_all(out).with_context(|| format!("cannot make folder {}", out.display()))?;
        let (asked, inquiry) = actix::System::new().block_on(async {
            let subject = Subject::open(common, config, samples).await?;
            let inquiry = subject.inquiry(config, suite, split)?;
            let model = model(name, config, common, local)?;
            let asked = subject.ask(inquiry.clone(), model, config, common, samples, screen).await?;
            Ok::<_, Failure>((asked, inquiry))
        })?;
        Ok((write(&asked, &inquiry, out)?, asked))
    }
}

/// Asks the main comparison of the eval split, and tells what it came to; nothing if it was interrupted.
///
/// # Errors
/// As of the command.
pub fn evaluate(
    evaluation: &Evaluation<'_>,
    config: &Config,
    common: &Common,
    screen: &Screen,
    local: Option<&'static dyn LocalModels>,
) -> Result<Option<Told>, Failure> {
    let (told, asked) = evaluation.ask(default_suite(), &[Split::Eval], config, common, screen, local)?;
    if asked.interrupted {
        return Ok(None);
    }
    unanswered(&asked)?;
    Ok(Some(told))
}

/// Fails where questions were given up on: scores without them would be too good.
pub fn unanswered(asked: &Asked) -> Result<(), Failure> {
    let open = asked.collected.open.len();
    if open == 0 {
        return Ok(());
    }
    let reason = asked.given_up.last().map_or("it is not known why", |letter| letter.reason.as_str());
    Err(Failure::Failed(anyhow::anyhow!(
        "{} questions have no answer and are in no score, as their samples failed three times each; the same command \
         tries them again. The last one: {reason}",
        thousands(open as u64)
    )))
}

fn suite(arguments: &args::evaluation::Evaluate) -> Result<Suite, Failure> {
    let conditions = &arguments.conditions;
    let suite = match &arguments.suite {
        None if conditions.is_empty() => Ok(Suite::of_classes(&CONDITIONS)),
        None => Ok(Suite::of_classes(conditions)),
        Some(path) => {
            let suite = Suite::from_toml(&read("suite", path)?, &path.display().to_string());
            suite.and_then(|suite| if conditions.is_empty() { Ok(suite) } else { suite.under(conditions) })
        }
    };
    suite.map_err(|error| Failure::usage(error.to_string()))
}

/// What an evaluation came to: `scores.json`.
#[derive(Serialize, Deserialize)]
pub struct Told {
    #[serde(flatten)]
    scores: Scores,
    evaluation: About,
}

impl Told {
    /// The scores.
    pub fn scores(&self) -> &Scores {
        &self.scores
    }

    /// What an experiment says of the model that was asked.
    pub fn asked_model(&self, role: &str) -> AskedModel {
        let About { model, identity, inquiry, .. } = &self.evaluation;
        let [model, identity, inquiry] = [model, identity, inquiry].map(String::clone);
        AskedModel { role: role.to_owned(), model, identity, inquiry }
    }

    /// Classes that questions offered.
    pub fn classes(&self) -> usize {
        self.evaluation.options.len()
    }

    /// What the report of a run shows of it.
    pub fn reported(self) -> report::Evaluation {
        let rows = self.rows();
        let about = self.evaluation;
        report::Evaluation {
            model: about.model,
            identity: about.identity,
            inquiry: about.inquiry,
            splits: about.splits.iter().map(|split| split.as_str().to_owned()).collect(),
            samples: about.samples,
            questions: about.questions,
            unanswered: about.unanswered,
            audio_tokens: about.audio_tokens,
            traces: about.traces,
            warnings: about.warnings,
            rows,
        }
    }

    /// A row a condition and question.
    fn rows(&self) -> Vec<ScoreRow> {
        let of_condition = |(condition, by_question): (&String, &BTreeMap<String, Score>)| {
            let row = |(question, score): (&String, &Score)| {
                row(condition, question, score, &self.evaluation.options)
            };
            by_question.iter().map(row).collect::<Vec<_>>()
        };
        self.scores.iter().flat_map(of_condition).collect()
    }
}

/// What `scores.json` says of the evaluation as a whole.
#[derive(Serialize, Deserialize)]
struct About {
    model: String,
    identity: String,
    /// Object that holds suite, options, splits, decoding and frames.
    inquiry: String,
    splits: Vec<Split>,
    options: Vec<String>,
    samples: u64,
    questions: u64,
    unanswered: u64,
    /// Tokens of sound that the model read; null where it does not tell.
    audio_tokens: Option<u64>,
    cost_usd: Option<f64>,
    /// Traces of the evaluation, one each time that it was begun; none where nothing is recorded.
    #[serde(default)]
    traces: Vec<String>,
    warnings: Vec<String>,
}

/// A line of `answers.jsonl`: the names of these fields are read by other programs and do not change. As a file of
/// predictions it is a model again (`file:answers.jsonl`).
#[derive(Serialize)]
struct Row<'a> {
    sample: RecordId,
    condition: &'a str,
    asked: &'a str,
    /// The words of the question.
    question: &'a str,
    answer: &'a Option<String>,
    problem: &'a Option<String>,
    expected: &'a str,
    right: bool,
    chosen: &'a Chosen,
    option_scores: &'a Option<Vec<f32>>,
    yes_probability: Option<f32>,
    recipe: RecipeName,
    class_seen: &'a Option<String>,
    classes_heard: &'a [String],
    split: Split,
    video: &'a str,
    tokens: Value,
    latency_ms: u64,
    requests: u32,
    cost_usd: Option<f64>,
    model: &'a str,
    identity: &'a str,
    id: RecordId,
    sample_trace: Option<TraceParent>,
    trace: Option<TraceParent>,
}

impl<'a> Row<'a> {
    fn of(asked: &'a evaluator::Asked, given: &'a AnswerGiven) -> Self {
        let Tokens { prompt, text, video, audio, answer } = given.tokens;
        Self {
            sample: given.sample,
            condition: &given.condition,
            asked: &given.question,
            question: asked.question.text(),
            answer: &given.text,
            problem: &given.problem,
            expected: &given.expected,
            right: given.is_right(),
            chosen: &given.chosen,
            option_scores: &given.option_scores,
            yes_probability: given.yes_probability,
            recipe: given.recipe,
            class_seen: &given.class_seen,
            classes_heard: &given.classes_heard,
            split: given.split,
            video: &given.video,
            tokens: json!({"prompt": prompt, "text": text, "video": video, "audio": audio, "answer": answer}),
            latency_ms: given.latency_ms,
            requests: given.requests,
            cost_usd: given.cost_usd,
            model: &given.model,
            identity: &given.identity,
            id: given.id,
            sample_trace: given.sample_trace,
            trace: given.trace,
        }
    }
}

/// Writes `answers.jsonl`, `scores.json` and `scores.html`.
pub fn write(asked: &Asked, inquiry: &Inquiry, out: &Path) -> anyhow::Result<Told> {
    let mut lines = Vec::new();
    for (question, given) in &asked.collected.answers {
        serde_json::to_writer(&mut lines, &Row::of(question, given))?;
        lines.push(b'\n');
    }
    write_atomically(&out.join("answers.jsonl"), &lines)?;
    let answers: Vec<_> = asked.collected.answers.iter().map(|(_, given)| given.clone()).collect();
    let scores = scores(&answers, |question| options(question, inquiry.options.len()));
    let told = Told { evaluation: about(asked, inquiry, &answers, &scores), scores };
    let mut json = serde_json::to_vec_pretty(&told)?;
    json.push(b'\n');
    write_atomically(&out.join("scores.json"), &json)?;
    write_atomically(&out.join("scores.html"), render(&page(&told))?.as_bytes())?;
    Ok(told)
}

/// Options that a question offers.
fn options(question: &str, classes: usize) -> usize {
    question.parse().map_or(0, |question: QuestionName| question.options(classes))
}

fn about(asked: &Asked, inquiry: &Inquiry, answers: &[AnswerGiven], scores: &Scores) -> About {
    let samples: BTreeSet<_> = answers.iter().map(|answer| answer.sample).collect();
    let told: Vec<u64> = answers.iter().filter_map(|answer| answer.tokens.audio).map(u64::from).collect();
    let traces: BTreeSet<_> = answers.iter().filter_map(|answer| answer.trace?.recorded()).collect();
    let costs: Vec<f64> = answers.iter().filter_map(|answer| answer.cost_usd).collect();
    let mut warnings = Vec::new();
    for (condition, by_question) in scores {
        for (question, score) in by_question {
            if let Some(constant) = &score.constant_answer {
                warnings.push(format!(
                    "{condition}, {question}: {:.0} % of the answers are `{}`, whatever is right",
                    100.0 * constant.share,
                    constant.answer
                ));
            }
            if score.missing > 0 {
                let (missing, n) = (thousands(score.missing), thousands(score.n));
                warnings.push(format!("{condition}, {question}: {missing} of {n} questions have no answer"));
            }
        }
    }
    About {
        model: asked.model.name.clone(),
        identity: asked.model.identity.clone(),
        inquiry: asked.object.to_string(),
        splits: inquiry.splits.clone(),
        options: inquiry.options.clone(),
        samples: samples.len() as u64,
        questions: answers.len() as u64,
        unanswered: asked.collected.open.len() as u64,
        audio_tokens: (!told.is_empty()).then(|| told.iter().sum()),
        cost_usd: (!costs.is_empty()).then(|| costs.iter().sum()),
        traces: traces.into_iter().collect(),
        warnings,
    }
}

fn page(told: &Told) -> ScoresReport {
    let about = &told.evaluation;
    let splits: Vec<_> = about.splits.iter().map(|split| split.as_str()).collect();
    let heard = about.audio_tokens.map_or_else(|| "not told".to_owned(), thousands);
    let facts = [
        ("Samples", thousands(about.samples)),
        ("Questions", thousands(about.questions)),
        ("Split", splits.join(", ")),
        ("Classes offered", thousands(about.options.len() as u64)),
        ("Tokens of sound", heard),
        ("Identity", about.identity.clone()),
        ("Questions kept as object", about.inquiry.clone()),
        ("Traces", if about.traces.is_empty() { "not recorded".to_owned() } else { about.traces.join(", ") }),
    ];
    ScoresReport {
        model: about.model.clone(),
        facts: facts.map(|(name, value)| (name.to_owned(), value)).into(),
        warnings: about.warnings.clone(),
        rows: told.rows(),
    }
}

fn row(condition: &str, question: &str, score: &Score, classes: &[String]) -> ScoreRow {
    ScoreRow {
        condition: condition.to_owned(),
        question: question.to_owned(),
        n: score.n,
        missing: score.missing,
        strict: score.accuracy_strict,
        interval: score.interval,
        first_mentioned: score.accuracy_first_mentioned,
        lenient: score.accuracy_lenient,
        macro_mean: score.macro_mean,
        chance: score.baselines.chance,
        constant: score.baselines.constant,
        single_stream: score.baselines.single_stream,
        selection: score.selection.map(|selection| [selection.visual, selection.audio]),
        confusion: confusion(&score.confusion, classes),
    }
}

/// The counts as a square: classes in their order, then what else is named, and at the end no answer.
fn confusion(counts: &BTreeMap<String, BTreeMap<String, u64>>, classes: &[String]) -> Matrix {
    let others = ["yes", "no", NONE_OF_THE_ABOVE, "-"].map(str::to_owned);
    let known = classes.iter().chain(&others);
    let is_named =
        |name: &String| counts.contains_key(name) || counts.values().any(|row| row.contains_key(name));
    let names: Vec<String> = known.filter(|name| is_named(name)).cloned().collect();
    let count = |right: &String, named: &String| {
        counts.get(right).and_then(|row| row.get(named)).copied().unwrap_or_default()
    };
    let rows = names.iter().map(|right| names.iter().map(|named| count(right, named)).collect());
    Matrix { counts: rows.collect(), names }
}

/// Prints the scores.
pub fn tell(told: &Told, out: &Path) {
    print(&format!(
        "{:20} {:24} {:>6} {:>8} {:>16} {:>8} {:>8} {:>8}",
        "condition", "question", "n", "strict", "95 % interval", "lenient", "chance", "1 stream"
    ));
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let maybe = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), percent);
    for (condition, by_question) in &told.scores {
        for (question, score) in by_question {
            let [low, high] = score.interval.map(|end| 100.0 * end);
            print(&format!(
                "{condition:20} {question:24} {:>6} {:>8} {:>16} {:>8} {:>8} {:>8}",
                thousands(score.n),
                percent(score.accuracy_strict),
                format!("{low:.1} to {high:.1}"),
                percent(score.accuracy_lenient),
                maybe(score.baselines.chance),
                maybe(score.baselines.single_stream),
            ));
        }
    }
    for warning in &told.evaluation.warnings {
        say(warning);
    }
    print(&format!("scores: {}", out.join("scores.html").display()));
}

/// The default suite as replays ask it where nobody was asked before.
pub fn default_suite() -> Suite {
    Suite::of_classes(&CONDITIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_an_evaluation_is_named_like_a_condition() {
        assert!("evaluation".parse::<Condition>().is_err());
        assert_eq!((options("audio", 8), options("visual_chain_of_thought", 8)), (8, 8));
        assert_eq!(
            (options("audio_abstention", 8), options("match", 8), options("visual_open_form", 8)),
            (9, 2, 0)
        );
    }

    #[test]
    fn a_confusion_matrix_has_the_classes_that_occur_and_what_else_was_said() {
        let counts = BTreeMap::from([
            ("Rain".to_owned(), BTreeMap::from([("Rain".to_owned(), 3), ("-".to_owned(), 1)])),
            ("Cat".to_owned(), BTreeMap::from([("Rain".to_owned(), 2)])),
        ]);
        let classes = ["Cat", "Door", "Rain"].map(str::to_owned);
        let matrix = confusion(&counts, &classes);
        assert_eq!(matrix.names, ["Cat", "Rain", "-"]);
        assert_eq!(matrix.counts, [[0, 2, 0], [0, 3, 1], [0, 0, 0]].map(Vec::from));
    }
}
