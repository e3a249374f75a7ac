//! The demo's main job: a judge, a corpus through the pipeline, a model that collapses on it, and its repair.

mod judge;
mod passed;

use std::{path::Path, process::ExitCode};

use anyhow::Context as _;
use counterpoint_actors::store::write_atomically;
use counterpoint_core::{
    corpus::ClipFormat,
    questions::Wording,
    scoring::{Claim, claims},
};
use counterpoint_models::{Base, LocalModel, ModelName};
use serde::Serialize;

use super::{MadeOf, Stage, check, interrupted};
use crate::{
    args::{self, Common},
    commands::{
        asking,
        evaluate::{Evaluation, evaluate, tell as tell_scores},
        run::{republishing::republish, tell},
        train::Order,
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
    let made_of = MadeOf::demo(arguments, FORMAT);
    check(&made_of, out, &config, common)?;
    let judge = if let Some(judge) = asking::judge(&config)? {
        say(&format!("1 of 5: the judge is {judge}, as the settings say"));
        judge
    } else {
        say("1 of 5: a judge learns to tell whether a class is seen and whether it is heard");
        if !judge::teach(arguments, &config, common, screen, local)? {
            return interrupted();
        }
        // As seen from OUT: what depends on settings must not depend on where OUT lies.
        config.prober.judge = Some(judge::CHECKPOINT.to_owned());
        ModelName::Local(LocalModel { checkpoint: out.join(judge::CHECKPOINT), adapter: None })
    };
    say("2 of 5: a corpus, and what the pipeline and its judge make of it");
    let stage = Stage { out, config: &config, common, screen, judge: Some(judge) };
    let Some(finished) = stage.run(&made_of, Some(local))? else { return interrupted() };
    let judged = passed::judged(&made_of, out, common)?;
    write(&judged, &out.join("judge.json"))?;
    passed::say_what_passed(&judged);
    if finished.summary.accepted == 0 {
        return Err(Failure::Failed(anyhow::anyhow!(
            "nothing was let through, so there is nothing to learn from; {} tells why: choose another --seed and \
             another --out, or name a judge that knows the classes (setting prober.judge)",
            out.join("report.html").display()
        )));
    }

    let (seed, wording) = (arguments.seed, Wording::default());
    let lesson = Lesson { config: &config, common, samples: out, seed, wording, screen, local };
    let base = LocalModel { checkpoint: out.join("models/base"), adapter: None };
    let tuned = LocalModel { adapter: Some(out.join("models/tuned")), ..base.clone() };
    say("3 of 5: a model learns from clips whose picture and sound always fit together");
    if !lesson.learn(Base::Nothing, "tiny", &base.checkpoint)? {
        return interrupted();
    }
    let ask = |model: &LocalModel, name: &str| {
        let model = ModelName::Local(model.clone());
        let evaluation = Evaluation { model: &model, samples: out, out: &out.join("evaluations").join(name) };
        evaluate(&evaluation, &config, common, screen, Some(local))
    };
    let Some(before) = ask(&base, "base")? else { return interrupted() };
    say("4 of 5: it is tuned on clips whose picture and sound do not");
    let adapter = out.join("models/tuned");
    if !lesson.learn(Base::Model(base), "tiny-tuning", &adapter)? {
        return interrupted();
    }
    let Some(after) = ask(&tuned, "tuned")? else { return interrupted() };
    let claims = claims(before.scores(), after.scores());
    write(&claims, &out.join("effect.json"))?;
    say("5 of 5: the report");
    republish(out, &config, common)?;
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

/// Writes down what was found.
fn write(found: &impl Serialize, path: &Path) -> anyhow::Result<()> {
    let json = serde_json::to_vec_pretty(found).context("what was found cannot be written down")?;
    Ok(write_atomically(path, &json)?)
}

/// What trainings of the demo share.
struct Lesson<'a> {
    config: &'a Config,
    common: &'a Common,
    /// Output folder of the run.
    samples: &'a Path,
    seed: u64,
    wording: Wording,
    screen: &'a Screen,
    local: &'static dyn LocalModels,
}

impl Lesson<'_> {
    /// Trains; whether it came to its end.
    fn learn(&self, base: Base, recipe: &str, out: &Path) -> Result<bool, Failure> {
        let order = Order {
            base,
            recipe: Some(recipe.as_ref()),
            recipes: &[],
            seed: Some(self.seed),
            wording: self.wording,
            classes: None,
            samples: self.samples,
            out,
        };
        Ok(order.learn(self.config, self.common, self.screen, self.local)?.is_some())
    }
}
