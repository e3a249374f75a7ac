//! `replay`: another checkpoint asked what the one before was asked, and what changed.

use std::{collections::BTreeMap, path::Path, process::ExitCode};

use anyhow::Context as _;
use counterpoint_actors::{
    evaluation::{Collected, Earlier, earlier},
    store::write_atomically,
};
use counterpoint_core::scoring::{Pair, Paired, paired};
use counterpoint_messages::{AnswerGiven, RecordId, Split};
use serde::Serialize;

use super::{
    asking::{Subject, model},
    evaluate::{default_suite, unanswered},
};
use crate::{
    args::{self, Common},
    config::Config,
    local::LocalModels,
    output::{Failure, Outcome, print, print_json, say, thousands},
    progress::{INTERRUPTED, Screen},
};

pub fn run(
    arguments: &args::evaluation::Replay,
    common: &Common,
    screen: &Screen,
    local: Option<&'static dyn LocalModels>,
) -> Outcome {
    let config = Config::load(common)?;
    let out = &arguments.out;
    let (asked, before, previous) = actix::System::new().block_on(async {
        let subject = Subject::open(common, &config, out).await?;
        let model = model(&arguments.checkpoint, &config, common, local)?;
        let identity = model.facts().identity.clone();
        let previous = earlier(&*subject.run.log, &identity).await.map_err(anyhow::Error::from)?;
        let inquiry = match &previous {
            Some(previous) => subject.kept(previous.evaluation)?,
            None => subject.inquiry(&config, default_suite(), &[Split::Eval])?,
        };
        let before = match &previous {
            Some(previous) => {
                subject.collect(&inquiry, &previous.identity).await.map_err(anyhow::Error::from)?
            }
            None => Collected::default(),
        };
        let asked = subject.ask(inquiry, model, &config, common, out, screen).await?;
        Ok::<_, Failure>((asked, before, previous))
    })?;
    let compared = compare(&before, &asked.collected);
    write(&compared.flips, &out.join("flips.csv"))?;
    let told = Told {
        checkpoint: asked.model.name.clone(),
        previous: previous.map(|Earlier { model, .. }| model),
        answers: asked.collected.answers.len() as u64,
        flips: compared.flips.len() as u64,
        comparisons: compared.comparisons,
    };
    if common.json {
        print_json(&told)?;
    } else {
        tell(&told, out);
    }
    if asked.interrupted {
        say("interrupted: every answer is kept; run the same command again to continue");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    unanswered(&asked)?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Serialize)]
struct Told {
    checkpoint: String,
    /// Null where no other model was asked before.
    previous: Option<String>,
    answers: u64,
    flips: u64,
    /// By condition and question.
    comparisons: BTreeMap<String, BTreeMap<String, Paired>>,
}

/// A line of `flips.csv`: an answer that the two models give differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Flip {
    sample: RecordId,
    condition: String,
    question: String,
    expected: String,
    before: String,
    after: String,
    right_before: bool,
    right_after: bool,
}

struct Compared {
    flips: Vec<Flip>,
    comparisons: BTreeMap<String, BTreeMap<String, Paired>>,
}

/// Sets the answers to the same questions beside each other.
fn compare(before: &Collected, after: &Collected) -> Compared {
    type Question<'a> = (RecordId, &'a str, &'a str);
    let key = |given: &'_ AnswerGiven| (given.sample, given.condition.clone(), given.question.clone());
    let earlier: BTreeMap<_, _> = before.answers.iter().map(|(_, given)| (key(given), given)).collect();
    let both: Vec<(Question<'_>, &AnswerGiven, &AnswerGiven)> = after
        .answers
        .iter()
        .filter_map(|(_, given)| {
            let question = (given.sample, given.condition.as_str(), given.question.as_str());
            Some((question, *earlier.get(&key(given))?, given))
        })
        .collect();
    let said = |given: &AnswerGiven| match (&given.chosen.strict, &given.text) {
        (Some(option), _) => option.clone(),
        (None, Some(text)) => text.clone(),
        (None, None) => String::new(),
    };
    let flips = both.iter().filter(|(_, before, after)| said(before) != said(after));
    let flips = flips.map(|((sample, condition, question), before, after)| Flip {
        sample: *sample,
        condition: (*condition).to_owned(),
        question: (*question).to_owned(),
        expected: after.expected.clone(),
        before: said(before),
        after: said(after),
        right_before: before.is_right(),
        right_after: after.is_right(),
    });
    let flips = flips.collect();
    let mut groups: BTreeMap<(&str, &str), Vec<Pair<'_>>> = BTreeMap::new();
    for ((_, condition, question), before, after) in &both {
        let pair = Pair { video: &after.video, before: before.is_right(), after: after.is_right() };
        groups.entry((condition, question)).or_default().push(pair);
    }
    let mut comparisons: BTreeMap<String, BTreeMap<String, Paired>> = BTreeMap::new();
    for ((condition, question), pairs) in groups {
        comparisons.entry(condition.to_owned()).or_default().insert(question.to_owned(), paired(pairs));
    }
    Compared { flips, comparisons }
}

fn write(flips: &[Flip], path: &Path) -> anyhow::Result<()> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    writer.write_record([
        "sample",
        "condition",
        "question",
        "expected",
        "before",
        "after",
        "right_before",
        "right_after",
    ])?;
    for flip in flips {
        writer.serialize(flip)?;
    }
    let bytes = writer.into_inner().context("cannot write the changed answers")?;
    Ok(write_atomically(path, &bytes)?)
}

fn tell(told: &Told, out: &Path) {
    let answers = thousands(told.answers);
    match &told.previous {
        Some(previous) => print(&format!("{answers} answers; the model before is {previous}")),
        None => print(&format!("{answers} answers; no other model was asked before, so nothing is compared")),
    }
    if told.previous.is_some() {
        print(&format!(
            "{:20} {:24} {:>6} {:>8} {:>8} {:>7} {:>7} {:>18} {:>8}",
            "condition", "question", "n", "before", "after", "gained", "lost", "change, 95 %", "p"
        ));
    }
    for (condition, by_question) in &told.comparisons {
        for (question, compared) in by_question {
            let Paired { n, before, after, gained, lost, interval: [low, high], p_value, .. } = *compared;
            print(&format!(
                "{condition:20} {question:24} {:>6} {:>8} {:>8} {:>7} {:>7} {:>18} {p_value:>8.4}",
                thousands(n),
                format!("{:.1} %", 100.0 * before),
                format!("{:.1} %", 100.0 * after),
                thousands(gained),
                thousands(lost),
                format!("{:+.1} to {:+.1}", 100.0 * low, 100.0 * high),
            ));
        }
    }
    print(&format!("{} answers changed: {}", thousands(told.flips), out.join("flips.csv").display()));
}
