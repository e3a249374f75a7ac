//! The demo's main job: a judge, a pipeline that it judges for, a model that collapses, and its repair.

use std::{collections::BTreeMap, path::Path, process::ExitCode};

use anyhow::Context as _;
use counterpoint_actors::store::write_atomically;
use counterpoint_core::{
    corpus::{ClipFormat, Fault},
    scoring::{Claim, claims},
};
use counterpoint_messages::RecipeName;
use counterpoint_models::{Base, LocalModel, ModelName, Stop, Training};
use serde::Serialize;

use super::{MadeOf, Stage, interrupted};
use crate::{
    args::{self, Common},
    commands::{
        asking::Subject,
        evaluate::{Evaluation, evaluate, tell as tell_scores},
        run::{republishing::republish, tell},
        train::learn,
    },
    config::Config,
    local::LocalModels,
    output::{Failure, Outcome, print, say},
    progress::Screen,
};

/// What the clips of the demo are like: as small as a model that is trained in minutes can do with. The noise was
/// set before any tuning was looked at.
const FORMAT: ClipFormat = ClipFormat {
    size: 56,
    frame_rate: 8,
    seconds: 4,
    sample_rate: 16_000,
    sound_noise: 0.05,
    picture_noise: 0.02,
};

/// Good clips of each class that the judge learns from, for each of the run's own.
const JUDGED_SHARE: f64 = 0.75;

/// Added to the seed for the judge's own corpus.
const JUDGES_SEED: u64 = 1 << 32;

pub(super) fn run(
    arguments: &args::Demo,
    mut config: Config,
    common: &Common,
    screen: &Screen,
    local: &'static dyn LocalModels,
) -> Outcome {
    config.decoder.size = u32::from(FORMAT.size);
    config.decoder.seconds = u32::from(FORMAT.seconds);
    config.decoder.frame_rate = u32::from(FORMAT.frame_rate);
    let out = &arguments.out;
    let clips = arguments.clips_per_class();
    let lesson = Lesson { config: &config, seed: arguments.seed, screen, local };

    // The judge has a corpus of its own, so it has seen none of the clips that it judges.
    let apart = Common { broker: None, ..common.clone() };
    let judges = MadeOf {
        seed: arguments.seed.wrapping_add(JUDGES_SEED),
        clips_per_class: ((f64::from(clips) * JUDGED_SHARE) as u32).max(1),
        format: FORMAT,
    };
    let folder = out.join("judge");
    let stage = Stage { out: &folder, config: &config, common: &apart, screen };
    say("1 of 6: a corpus for the judge, and what the pipeline makes of it");
    let Some(_) = stage.run(&judges, None)? else { return interrupted() };
    say("2 of 6: the judge learns what is seen and what is heard");
    let judge = out.join("models/judge");
    if !lesson.learn(&folder, &apart, Base::Nothing, "tiny-judge", &judge)? {
        return interrupted();
    }

    say("3 of 6: the corpus, through the pipeline, judged clip by clip");
    let mut config = config.clone();
    config.prober.judge = Some(judge.display().to_string());
    let made_of = MadeOf { seed: arguments.seed, clips_per_class: clips, format: FORMAT };
    let stage = Stage { out, config: &config, common, screen };
    let Some(finished) = stage.run(&made_of, Some(local))? else { return interrupted() };
    judged(&made_of, &config, common, out)?;

    let base = LocalModel { checkpoint: out.join("models/base"), adapter: None };
    let tuned = LocalModel { adapter: Some(out.join("models/tuned")), ..base.clone() };
    say("4 of 6: a model learns from clips whose picture and sound always fit together");
    if !lesson.learn(out, common, Base::Nothing, "tiny", &base.checkpoint)? {
        return interrupted();
    }
    let ask = |model: &LocalModel, name: &str| {
        let model = ModelName::Local(model.clone());
        let evaluation = Evaluation { model: &model, samples: out, out: &out.join("evaluations").join(name) };
        evaluate(&evaluation, &config, common, screen, Some(local))
    };
    let Some(before) = ask(&base, "base")? else { return interrupted() };
    say("5 of 6: it is tuned on clips whose picture and sound do not");
    let adapter = out.join("models/tuned");
    if !lesson.learn(out, common, Base::Model(base), "tiny-tuning", &adapter)? {
        return interrupted();
    }
    let Some(after) = ask(&tuned, "tuned")? else { return interrupted() };
    let claims = claims(before.scores(), after.scores());
    let json = serde_json::to_vec_pretty(&claims).context("what was found cannot be written down")?;
    write_atomically(&out.join("effect.json"), &json).map_err(anyhow::Error::from)?;
    say("6 of 6: the report");
    republish(&stage.job(), &config, common)?;
    if !common.json {
        for (name, told) in [("base", &before), ("tuned", &after)] {
            print(&format!("the {name} model:"));
            tell_scores(told, &out.join("evaluations").join(name));
        }
    }
    if !common.json {
        for Claim { claim, holds, measured } in &claims {
            print(&format!("{}  {claim} ({measured})", if *holds { "yes" } else { " no" }));
        }
    }
    tell(&finished, out, common)?;
    Ok(ExitCode::SUCCESS)
}

/// What trainings of the demo share.
struct Lesson<'a> {
    config: &'a Config,
    seed: u64,
    screen: &'a Screen,
    local: &'a dyn LocalModels,
}

impl Lesson<'_> {
    /// Trains on the samples of a run; whether it came to its end.
    fn learn(
        &self,
        samples: &Path,
        common: &Common,
        base: Base,
        recipe: &str,
        out: &Path,
    ) -> Result<bool, Failure> {
        let training = Training {
            base,
            recipe: Some(recipe.into()),
            recipes: None,
            seed: Some(self.seed),
            device: common.device.clone(),
            out: out.to_owned(),
            stop: Stop::new(),
        };
        let subject = actix::System::new().block_on(Subject::open(common, self.config, samples))?;
        let material = subject.teaching(self.config, None, samples)?;
        Ok(learn(&training, &material, self.screen, self.local)?.is_some())
    }
}

/// Clips of a kind, and those of them that the judge and the gate let through.
#[derive(Debug, Default, Serialize)]
struct Passed {
    accepted: u64,
    of: u64,
}

/// `judge.json`.
#[derive(Debug, Default, Serialize)]
struct Judged {
    good: Passed,
    planted: BTreeMap<Fault, Passed>,
}

/// Holds what was accepted against what was planted.
fn judged(made_of: &MadeOf, config: &Config, common: &Common, out: &Path) -> Result<(), Failure> {
    let subject = actix::System::new().block_on(Subject::open(common, config, out))?;
    let aligned = subject.samples.iter().filter(|sample| sample.recipe.name() == RecipeName::Aligned);
    let accepted: std::collections::BTreeSet<&str> =
        aligned.filter_map(|sample| sample.host()).map(|host| host.video.as_str()).collect();
    let mut judged = Judged::default();
    let corpus = made_of.plan();
    // Of clips of two classes, or of none, the judge never heard.
    for clip in corpus.clips.iter().filter(|clip| clip.labels == clip.script.picture.labels()) {
        let passed = match clip.script.fault {
            None => &mut judged.good,
            Some(fault) => judged.planted.entry(fault).or_default(),
        };
        passed.of += 1;
        passed.accepted += u64::from(accepted.contains(clip.file_stem.as_str()));
    }
    let json = serde_json::to_vec_pretty(&judged).context("what was judged cannot be written down")?;
    write_atomically(&out.join("judge.json"), &json).map_err(anyhow::Error::from)?;
    Ok(())
}
