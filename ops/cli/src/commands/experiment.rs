//! `experiment`: those of the paper, on a model before and after its tuning.

mod half;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use counterpoint_actors::store::write_atomically;
use counterpoint_core::experiments::{
    Answers, AskedModel, Experiment, ExperimentName, Group, Line, Taught, notes,
};
use counterpoint_messages::{AnswerGiven, Split};
use counterpoint_models::{LocalModel, ModelName, Trained};
use serde::Deserialize;

use super::{
    evaluate::{Evaluation, unanswered},
    run::republishing::republish,
};
use crate::{
    args::{
        Common,
        experiment::{Compared, Experiment as Wanted},
    },
    config::Config,
    local::LocalModels,
    output::{Failure, Outcome, print, print_json, say, thousands},
    progress::{INTERRUPTED, Screen},
};

/// Folder of the experiments below that of the run.
pub const FOLDER: &str = "experiments";
/// File of an experiment with what it came to.
pub const RESULT: &str = "experiment.json";

pub fn run(
    wanted: &Wanted,
    common: &Common,
    screen: &Screen,
    local: Option<&'static dyn LocalModels>,
) -> Outcome {
    let config = Config::load(common)?;
    let (name, compared) = (wanted.name(), wanted.compared());
    if !compared.samples.is_dir() {
        return Err(Failure::Failed(anyhow::anyhow!(
            "{} is no folder: give the output folder of a run by --samples",
            compared.samples.display()
        )));
    }
    let bench = Bench { name, out: &compared.samples, config: &config, common, screen, local };
    let found = match wanted {
        Wanted::CrossClass(cross) => bench.cross_class(cross)?,
        Wanted::Ablations(_) | Wanted::NoneOfTheAbove(_) | Wanted::Mixup(_) => bench.compare(compared)?,
    };
    let Some(found) = found else {
        say("interrupted: what was learned and answered is kept; run the same command again to continue");
        return Ok(ExitCode::from(INTERRUPTED));
    };
    check(&found)?;
    let mut json = serde_json::to_vec_pretty(&found).context("what was found cannot be written down")?;
    json.push(b'\n');
    write_atomically(&bench.folder().join(RESULT), &json).map_err(anyhow::Error::from)?;
    republish(&compared.samples, &config, common)?;
    match common.json {
        true => print_json(&found)?,
        false => tell(&found, &compared.samples),
    }
    Ok(ExitCode::SUCCESS)
}

/// An experiment at work.
struct Bench<'a> {
    name: ExperimentName,
    /// Output folder of the run.
    out: &'a Path,
    config: &'a Config,
    common: &'a Common,
    screen: &'a Screen,
    local: Option<&'static dyn LocalModels>,
}

/// What one model answered.
struct Answered {
    model: AskedModel,
    answers: Vec<AnswerGiven>,
    /// Classes that questions offered.
    classes: usize,
}

impl Bench<'_> {
    fn folder(&self) -> PathBuf {
        self.out.join(FOLDER).join(self.name.as_str())
    }

    /// Asks both models the same; nothing if that was interrupted.
    fn compare(&self, compared: &Compared) -> Result<Option<Experiment>, Failure> {
        let Some(before) = self.ask(&compared.base(), "base")? else { return Ok(None) };
        let Some(after) = self.ask(&compared.tuned(), "tuned")? else { return Ok(None) };
        let answers = Answers {
            before: &before.answers,
            after: &after.answers,
            on_all: None,
            halves: None,
            classes: before.classes,
        };
        let notes = self.notes(compared);
        Ok(Some(Experiment::of(self.name, vec![before.model, after.model], &answers, notes)))
    }

    /// Asks a model about the held-out samples; nothing if that was interrupted.
    fn ask(&self, model: &ModelName, role: &str) -> Result<Option<Answered>, Failure> {
        let folder = self.folder().join(role);
        let evaluation = Evaluation { model, samples: self.out, out: &folder };
        let Self { config, common, screen, local, .. } = *self;
        let (told, asked) =
            evaluation.ask(self.name.suite(), &[Split::Eval], config, common, screen, local)?;
        if asked.interrupted {
            return Ok(None);
        }
        unanswered(&asked)?;
        let answers = asked.collected.answers.into_iter().map(|(_, given)| given).collect();
        Ok(Some(Answered { model: told.asked_model(role), classes: told.classes(), answers }))
    }

    fn notes(&self, compared: &Compared) -> Vec<String> {
        let of = |model: &ModelName| taught(&facts(model).ok()?);
        // Of a base that has an adapter itself, its folder tells half of what it was taught.
        let is_whole =
            |model: &ModelName| !matches!(model, ModelName::Local(LocalModel { adapter: Some(_), .. }));
        let base = Some(compared.base()).filter(is_whole).and_then(|base| of(&base));
        notes(self.name, base.as_ref(), of(&compared.tuned()).as_ref())
    }
}

/// File in which a model that was trained by this program says what it came from.
fn facts(model: &ModelName) -> anyhow::Result<serde_json::Value> {
    let ModelName::Local(LocalModel { checkpoint, adapter }) = model else {
        anyhow::bail!("a model behind a network does not tell what it came from");
    };
    let path = adapter.as_ref().unwrap_or(checkpoint).join(Trained::FACTS);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
}

/// What such a file tells of what was taught.
fn taught(facts: &serde_json::Value) -> Option<Taught> {
    #[derive(Deserialize)]
    struct Course {
        parts: Vec<Part>,
    }
    #[derive(Deserialize)]
    struct Part {
        recipes: Vec<String>,
        questions: Vec<String>,
    }
    let Course { parts } = Course::deserialize(facts.get("course")?).ok()?;
    Some(parts.into_iter().fold(Taught::default(), |mut taught, part| {
        taught.recipes.extend(part.recipes);
        taught.lessons.extend(part.questions);
        taught
    }))
}

/// Refuses what would compare nothing.
fn check(found: &Experiment) -> Result<(), Failure> {
    if let [before, after, ..] = found.models.as_slice()
        && before.identity == after.identity
    {
        return Err(Failure::usage(format!(
            "{} and {} are one and the same model: give one before and one after its tuning",
            before.model, after.model
        )));
    }
    let lacks = |condition| !found.lines.iter().any(|line| line.condition == condition);
    let missing = found.experiment.suite().pairs().into_iter().map(|(condition, _)| condition);
    match missing.into_iter().find(|condition| lacks(*condition)) {
        Some(condition) => Err(Failure::Failed(anyhow::anyhow!(
            "the run has no held-out sample of {condition}, without which there is nothing to find: its plan makes \
             none, or its clips are too few"
        ))),
        None => Ok(()),
    }
}

/// Prints what an experiment came to.
fn tell(found: &Experiment, out: &Path) {
    let grouped = found.lines.iter().any(|line| line.group.is_some());
    let group = |line: &Line| match line.group {
        _ if !grouped => String::new(),
        Some(Group::Seen) => format!("{:8} ", "seen"),
        Some(Group::Unseen) => format!("{:8} ", "unseen"),
        Some(Group::Mixed) | None => format!("{:8} ", "mixed"),
    };
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let ends = |[low, high]: [f64; 2]| format!("{:.1} to {:.1}", 100.0 * low, 100.0 * high);
    print(&format!(
        "{}{:14} {:17} {:>6} {:>8} {:>8} {:>15} {:>8} {:>15} {:>15}",
        if grouped { format!("{:8} ", "classes") } else { String::new() },
        "condition",
        "question",
        "n",
        "chance",
        "before",
        "95 % interval",
        "after",
        "95 % interval",
        "change, 95 %"
    ));
    for line in &found.lines {
        print(&format!(
            "{}{:14} {:17} {:>6} {:>8} {:>8} {:>15} {:>8} {:>15} {:>15}",
            group(line),
            line.condition.as_str(),
            line.question.as_str(),
            thousands(line.before.n),
            percent(line.chance),
            percent(line.before.accuracy),
            ends(line.before.interval),
            percent(line.after.accuracy),
            ends(line.after.interval),
            ends(line.change.interval),
        ));
    }
    for sentence in found.findings.iter().chain(&found.notes) {
        print(sentence);
    }
    let result = out.join(FOLDER).join(found.experiment.as_str()).join(RESULT);
    print(&format!("result: {}", result.display()));
    print(&format!("report: {}", out.join("report.html").display()));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_model_was_taught_is_that_of_all_parts_of_its_training() {
        let facts = json!({"course": {"tiny": {}, "parts": [
            {"recipes": ["audio_removed"], "questions": ["overall"], "rate": 0.1},
            {"recipes": ["aligned", "audio_removed"], "questions": ["class"]},
        ]}});
        let taught = taught(&facts).unwrap();
        assert_eq!(taught.recipes.into_iter().collect::<Vec<_>>(), ["aligned", "audio_removed"]);
        assert_eq!(taught.lessons.into_iter().collect::<Vec<_>>(), ["class", "overall"]);
        assert_eq!(super::taught(&json!({"course": {"parts": [{}]}})), None);
        assert_eq!(super::taught(&json!({})), None);
    }
}
