//! A model tuned on half of the classes, and asked about all.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use counterpoint_actors::store::write_atomically;
use counterpoint_core::{
    experiments::{Answers, Experiment, Halves},
    questions::Wording,
};
use counterpoint_models::{Base, LocalModel, ModelName, Trained};

use super::{Bench, facts};
use crate::{
    args::experiment::CrossClass,
    commands::{
        asking::Subject,
        train::{Order, classes, tunable},
    },
    context::seed_of_run,
    output::{Failure, say},
};

/// File of the experiment with the classes that the tuning learned from.
const HALVES: &str = "halves.json";
/// File of the experiment with the settings of the tuning.
const RECIPE: &str = "recipe.toml";

impl Bench<'_> {
    /// Tunes on half of the classes and asks the base, that model and the one tuned on all; nothing if that was
    /// interrupted.
    pub(super) fn cross_class(&self, cross: &CrossClass) -> Result<Option<Experiment>, Failure> {
        let halves = self.halves(cross)?;
        let half = match &cross.half {
            Some(half) => half.clone(),
            None => match self.tune(cross, &halves)? {
                Some(half) => half,
                None => return Ok(None),
            },
        };
        let compared = &cross.compared;
        let Some(before) = self.ask(&compared.base(), "base")? else { return Ok(None) };
        let Some(after) = self.ask(&half, "tuned")? else { return Ok(None) };
        let Some(on_all) = self.ask(&compared.tuned(), "tuned-on-all")? else { return Ok(None) };
        let answers = Answers {
            before: &before.answers,
            after: &after.answers,
            on_all: Some(&on_all.answers),
            halves: Some(&halves),
            classes: before.classes,
        };
        let models = vec![before.model, after.model, on_all.model];
        Ok(Some(Experiment::of(self.name, models, &answers, self.notes(compared))))
    }

    /// The classes to learn from, and the others.
    fn halves(&self, cross: &CrossClass) -> Result<Halves, Failure> {
        let subject = actix::System::new().block_on(Subject::open(self.common, self.config, self.out))?;
        let there = subject.classes_found();
        let halves = match &cross.classes {
            Some(path) => Halves::of(&there, &classes(path)?),
            None => {
                let seed = cross.seed.map_or_else(|| seed_of_run(&subject.run.revision), Ok)?;
                Halves::draw(&there, seed)
            }
        };
        halves.map_err(|error| Failure::usage(error.to_string()))
    }

    /// Tunes the base model on samples of nothing but the seen half; nothing if it was interrupted.
    fn tune(&self, cross: &CrossClass, halves: &Halves) -> Result<Option<ModelName>, Failure> {
        let Some(local) = self.local else {
            return Err(Failure::usage("this program has no models in it; run the one that has"));
        };
        let base = tunable(&cross.compared.base())?;
        let Base::Model(LocalModel { checkpoint, .. }) = &base else {
            return Err(Failure::usage("a tuning begins with a model: name it by --base"));
        };
        let adapter = self.out.join("models").join(self.name.as_str());
        let model = LocalModel { checkpoint: checkpoint.clone(), adapter: Some(adapter.clone()) };
        let recipe = match &cross.recipe {
            Some(recipe) => recipe.clone(),
            None => self.recipe_of(&cross.compared.tuned())?,
        };
        self.keep(halves, &adapter)?;
        let names: Vec<_> = halves.seen.iter().map(String::as_str).collect();
        say(&format!(
            "tuning on {} of {} classes: {}",
            names.len(),
            names.len() + halves.unseen.len(),
            names.join(", ")
        ));
        let order = Order {
            base,
            recipe: Some(&recipe),
            recipes: &[],
            seed: None,
            wording: Wording::default(),
            classes: Some(&halves.seen),
            samples: self.out,
            out: &adapter,
        };
        let trained = order.learn(self.config, self.common, self.screen, local)?;
        Ok(trained.map(|_| ModelName::Local(model)))
    }

    /// Notes which classes are learned from, or refuses others than those that the tuning was begun with: its settings
    /// alone do not tell them.
    fn keep(&self, halves: &Halves, adapter: &Path) -> Result<(), Failure> {
        let (folder, path) = (self.folder(), self.folder().join(HALVES));
        match fs::read_to_string(&path) {
            Ok(text) => {
                let kept: Halves =
                    serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
                if kept == *halves {
                    return Ok(());
                }
                let names: Vec<_> = kept.seen.iter().map(String::as_str).collect();
                Err(Failure::usage(format!(
                    "{} was begun with other classes ({}): give these, by --seed or --classes, or remove {} and {}",
                    folder.display(),
                    names.join(", "),
                    path.display(),
                    adapter.display(),
                )))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(&folder)
                    .with_context(|| format!("cannot make folder {}", folder.display()))?;
                let json = serde_json::to_vec_pretty(halves).context("the classes cannot be written down")?;
                Ok(write_atomically(&path, &json).map_err(anyhow::Error::from)?)
            }
            Err(error) => Err(anyhow::anyhow!("cannot read {}: {error}", path.display()).into()),
        }
    }

    /// The settings that a model was tuned with, as a file that a training takes.
    fn recipe_of(&self, tuned: &ModelName) -> Result<PathBuf, Failure> {
        let facts = facts(tuned).map_err(|error| {
            Failure::usage(format!(
                "the settings of the tuning are those in the tuned model's {}, and there is none ({error:#}): name \
                 settings by --recipe",
                Trained::FACTS
            ))
        })?;
        let toml = recipe(&facts)
            .map_err(|error| Failure::usage(format!("{error:#}: name settings by --recipe")))?;
        let path = self.folder().join(RECIPE);
        write_atomically(&path, toml.as_bytes()).map_err(anyhow::Error::from)?;
        Ok(path)
    }
}

/// The settings in what a trained model says of itself.
fn recipe(facts: &serde_json::Value) -> anyhow::Result<String> {
    let holds = |what: &str| format!("{} of the tuned model holds {what}", Trained::FACTS);
    let course = facts.get("course").with_context(|| holds("no settings"))?;
    toml::to_string(course).with_context(|| holds("odd settings"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_settings_of_a_tuning_are_a_recipe_again() {
        let facts = json!({"steps": 200, "course": {
            "tiny": {"width": 96},
            "parts": [{"kind": {"lora": {"rank": 8, "alpha": 16.0}}, "rate": 0.004, "recipes": ["aligned"],
                "length": {"steps": 200}, "weights": {}}],
        }});
        let recipe: serde_json::Value = toml::from_str(&recipe(&facts).unwrap()).unwrap();
        assert_eq!(recipe, facts["course"]);
        assert!(super::recipe(&json!({"steps": 200})).unwrap_err().to_string().contains("no settings"));
    }
}
