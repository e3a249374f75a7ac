//! The demo's judge: how it comes to know its classes, and what it lets through.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::Context as _;
use counterpoint_actors::projection::Projection;
use counterpoint_core::corpus::{Corpus, Fault};
use counterpoint_messages::StageName;
use counterpoint_models::{Base, LocalModel, ModelName};
use counterpoint_pages::report::{Judged, Passed, Planted};

use super::{FORMAT, Lesson};
use crate::{
    args::{self, Common},
    commands::demo::{MadeOf, Purpose, Stage},
    config::Config,
    context::ExistingRun,
    local::LocalModels,
    output::{Failure, say, thousands},
    progress::Screen,
};

/// Clips of each class that it learns from, at most: not more than the demo has good ones.
const CLIPS_PER_CLASS: u32 = 32;

/// The run that it learns from, below the demo's folder.
const RUN: &str = "judge";

/// Where it is put, below the demo's folder.
const CHECKPOINT: &str = "models/judge";

/// Has a judge learn from clips of its own; the name by which settings know it, or nothing if it was interrupted.
pub(super) fn teach(
    arguments: &args::Demo,
    config: &Config,
    common: &Common,
    screen: &Screen,
    local: &'static dyn LocalModels,
) -> Result<Option<String>, Failure> {
    let (out, seed) = (&arguments.out, arguments.seed);
    let name = name(out)?;
    let run = out.join(RUN);
    let mut config = config.clone();
    // What it learns from is shown to it like what it will judge.
    config.evaluator.frames_per_second = config.prober.frames_per_second;
    config.evaluator.size = None;
    // Its clips are nobody else's, so their log is its own, wherever the demo's is.
    let common = Common { broker: None, ..common.clone() };
    let clips_per_class = arguments.clips_per_class().min(CLIPS_PER_CLASS);
    let made_of = MadeOf { seed, clips_per_class, format: FORMAT, purpose: Purpose::Judge };
    let stage = Stage { out: &run, config: &config, common: &common, screen };
    if stage.run(&made_of, Some(local))?.is_none() {
        return Ok(None);
    }
    let lesson = Lesson { config: &config, common: &common, samples: &run, seed, screen, local };
    let is_done = lesson.learn(Base::Nothing, "tiny-judge", &out.join(CHECKPOINT))?;
    Ok(is_done.then_some(name))
}

/// The judge's name in settings, which is the same from whatever folder the demo is started.
fn name(out: &Path) -> Result<String, Failure> {
    let folder = fs::canonicalize(out).with_context(|| format!("cannot find {}", out.display()))?;
    let checkpoint = folder.join(CHECKPOINT);
    let is_read_back = |name: &str| {
        let expected = LocalModel { checkpoint: checkpoint.clone(), adapter: None };
        name.parse::<ModelName>() == Ok(ModelName::Local(expected))
    };
    match checkpoint.to_str().filter(|name| is_read_back(name)) {
        Some(name) => Ok(name.to_owned()),
        None => Err(Failure::usage(format!(
            "a model in {} cannot be named in settings: choose an --out whose path is UTF-8 and has no `+` in it",
            folder.display()
        ))),
    }
}

/// What came through the gate of a run on such a corpus, by how the clips were made.
pub(super) fn judged(made_of: &MadeOf, out: &Path, common: &Common) -> Result<Judged, Failure> {
    let projection = actix::System::new().block_on(async {
        let ExistingRun { log, revision } = ExistingRun::open(common, out).await?;
        let projection = Projection::of(&*log, &revision).await.map_err(anyhow::Error::from)?;
        Ok::<_, Failure>(projection)
    })?;
    Ok(by_fault(&made_of.plan(), &verdicts(&projection)))
}

/// Source videos of the clips that came to the gate, and whether it let them through.
fn verdicts(projection: &Projection) -> BTreeMap<&str, bool> {
    let accepted: BTreeSet<_> = projection.accepted.iter().collect();
    let passed = projection.curated.iter().filter(|curated| accepted.contains(&curated.clip.id));
    let lost = projection.rejected.iter().filter(|rejected| rejected.stage == StageName::Gate);
    let passed = passed.map(|curated| (curated.clip.video.as_str(), true));
    passed.chain(lost.map(|rejected| (rejected.video.as_str(), false))).collect()
}

fn by_fault(corpus: &Corpus, verdicts: &BTreeMap<&str, bool>) -> Judged {
    let passed = |fault: Option<Fault>| {
        let clips = corpus.clips.iter().filter(|clip| clip.script.fault == fault);
        // Those that lists name wrongly have not come so far.
        let verdicts = clips.filter_map(|clip| verdicts.get(clip.file_stem.as_str()));
        verdicts.fold(Passed::default(), |sum, is_accepted| Passed {
            accepted: sum.accepted + u64::from(*is_accepted),
            of: sum.of + 1,
        })
    };
    let planted =
        Fault::ALL.map(|fault| Planted { fault: fault.as_str().to_owned(), passed: passed(Some(fault)) });
    Judged { good: passed(None), planted: planted.into() }
}

/// Says what the judge and the gate let through, and whether that can be built upon.
pub(super) fn say_what_passed(judged: &Judged) {
    let told = |Passed { accepted, of }: Passed, clips: &str| {
        let share = 100.0 * accepted as f64 / of.max(1) as f64;
        format!("{} of {} {clips} ({share:.1} %)", thousands(accepted), thousands(of))
    };
    let (good, bad) = (told(judged.good, "good clips"), told(judged.bad(), "with a planted fault"));
    let warning = if judged.loses_most() {
        ". Of the good ones these are fewer than half: the judge does not know its classes, and all that follows \
         rests on few clips"
    } else {
        ""
    };
    say(&format!("let through: {good}, {bad}{warning}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_through_is_told_by_how_it_was_made() {
        let corpus = Corpus::plan(5, 2, FORMAT);
        let of_fault = |fault| {
            let clips = corpus.clips.iter().filter(move |clip| clip.script.fault == fault);
            clips.map(|clip| clip.file_stem.as_str()).collect::<Vec<_>>()
        };
        let (good, wrong) = (of_fault(None), of_fault(Some(Fault::WrongSound)));
        // One that was given up on before the gate is in no count.
        let mut verdicts: BTreeMap<&str, bool> =
            good[..16].iter().map(|video| (*video, *video != good[3])).collect();
        verdicts.extend([(wrong[0], true), (wrong[1], false), (of_fault(Some(Fault::Black))[0], false)]);
        let judged = by_fault(&corpus, &verdicts);
        assert_eq!(judged.good, Passed { accepted: 15, of: 16 });
        let planted: Vec<_> = judged
            .planted
            .iter()
            .map(|planted| (planted.fault.as_str(), planted.passed.accepted, planted.passed.of))
            .collect();
        assert_eq!(planted, [("silent", 0, 0), ("black", 0, 1), ("static", 0, 0), ("wrong_sound", 1, 2)]);
        assert_eq!((judged.bad(), judged.loses_most()), (Passed { accepted: 1, of: 3 }, false));
    }

    #[test]
    fn a_judge_is_named_by_its_whole_path_or_the_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let plain = name(folder.path()).unwrap();
        assert!(Path::new(&plain).is_absolute() && plain.ends_with("/models/judge"), "{plain}");
        let taken_apart = folder.path().join("a+b");
        fs::create_dir(&taken_apart).unwrap();
        let error = name(&taken_apart).unwrap_err();
        assert!(matches!(error, Failure::Usage(_)) && error.to_string().contains("no `+`"), "{error}");
    }
}
