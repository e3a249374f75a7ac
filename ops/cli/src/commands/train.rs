//! `train`: a model taught on the samples of a run.

use std::{
    collections::BTreeSet,
    io::{self, IsTerminal},
    path::{Path, absolute},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use anyhow::Context as _;
use counterpoint_actors::{
    teaching::DataSet,
    training::{self, AskedTraining, Course, Outcome as Became, Wanted},
    tuition::{Results, Tuition, content_of},
};
use counterpoint_core::questions::Wording;
use counterpoint_log::Broker;
use counterpoint_messages::{CheckpointSaved, FormatLevel, RecipeName, StageName, Topic};
use counterpoint_models::{Base, LearnedStep, ModelName, Progress, Trained, Tutor};
use counterpoint_telemetry::{span, trace};

use super::{
    asking::{Subject, check_level, tools},
    reaching::reach,
};
use crate::{
    args::{
        Common,
        models::{Train, TrainedModel},
    },
    config::{Config, read},
    context::{ExistingRun, log_flags},
    local::LocalModels,
    output::{Failure, Outcome, print, print_json, say},
    progress::{Bar, INTERRUPTED, LINE_EVERY, Screen},
};

pub fn run(arguments: &Train, common: &Common, screen: &Screen, local: &'static dyn LocalModels) -> Outcome {
    let config = Config::load(common)?;
    let base = match &arguments.model {
        TrainedModel::Tiny => Base::Nothing,
        TrainedModel::Model(model) => tunable(model)?,
    };
    let classes = arguments.classes.as_deref().map(classes).transpose()?;
    let order = Order {
        base,
        recipe: arguments.recipe.as_deref(),
        recipes: &arguments.recipes,
        seed: arguments.seed,
        wording: Wording::default(),
        classes: classes.as_ref(),
        samples: &arguments.samples,
        out: &arguments.out,
    };
    match order.learn(&config, common, screen, local)? {
        Some(trained) if common.json => print_json(&trained)?,
        Some(trained) => print(&format!(
            "{} steps; ask it by --model {}; losses in {}",
            trained.steps,
            trained.model,
            trained.losses.display()
        )),
        None => {
            say("interrupted: what was learned is kept; run the same command again to continue");
            return Ok(ExitCode::from(INTERRUPTED));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A model as what a tuning begins with.
pub fn tunable(model: &ModelName) -> Result<Base, Failure> {
    match model {
        ModelName::Local(model) if model.adapter.is_none() => Ok(Base::Model(model.clone())),
        ModelName::Local(_) => Err(Failure::usage(
            "a model with an adapter cannot get another one: merge them first, by `counterpoint model merge`",
        )),
        ModelName::Remote(_) => {
            Err(Failure::usage("a model behind a network cannot be trained here: name a checkpoint folder"))
        }
    }
}

/// A model to be taught on the samples of a run.
pub struct Order<'a> {
    /// What it begins with.
    pub base: Base,
    /// Settings: a file, or the name of those built in.
    pub recipe: Option<&'a Path>,
    /// Recipes of the samples that are learned from; none: the settings say.
    pub recipes: &'a [RecipeName],
    /// Seed, where the settings shall not say.
    pub seed: Option<u64>,
    /// How questions are worded.
    pub wording: Wording,
    /// The classes that are learned from, if not all.
    pub classes: Option<&'a BTreeSet<String>>,
    /// Output folder of the run.
    pub samples: &'a Path,
    /// Folder of the result.
    pub out: &'a Path,
}

impl Order<'_> {
    /// Trains, as a stage on the run's log, with progress on the screen; nothing if it was interrupted.
    pub fn learn(
        &self,
        config: &Config,
        common: &Common,
        screen: &Screen,
        local: &'static dyn LocalModels,
    ) -> Result<Option<Trained>, Failure> {
        actix::System::new().block_on(async {
            let subject = Subject::open(common, config, self.samples).await?;
            let flags = log_flags(common, self.samples);
            check_level(&*subject.run.log, FormatLevel::TRAININGS, "trainings", &flags).await?;
            let data_set = subject.data_set(config, self.classes)?;
            let data_set = DataSet { wording: self.wording, ..data_set };
            let prepared = local.prepare(&self.base, self.recipe).map_err(anyhow::Error::from)?;
            let course = Course { base: self.base.clone(), prepared };
            let bytes = serde_json::to_vec(&data_set).context("cannot write down what is learned from")?;
            let object = course.keep(&bytes, &subject.store).map_err(anyhow::Error::from)?;
            let folder = absolute(self.out)
                .with_context(|| format!("{} is no place for a result", self.out.display()))?;
            let wanted = Wanted {
                course,
                recipes: (!self.recipes.is_empty()).then(|| self.recipes.to_vec()),
                seed: self.seed,
                data_set: object,
                samples: data_set.samples.len() as u64,
                folder: folder.display().to_string(),
            };
            self.carry_out(&wanted, subject, config, common, screen, local).await
        })
    }

    async fn carry_out(
        &self,
        wanted: &Wanted,
        subject: Subject,
        config: &Config,
        common: &Common,
        screen: &Screen,
        local: &'static dyn LocalModels,
    ) -> Result<Option<Trained>, Failure> {
        let Subject { run: ExistingRun { log, revision }, store, .. } = subject;
        let outcomes = training::outcomes(&*log).await.map_err(anyhow::Error::from)?;
        let mut planned = wanted.plan(0);
        for attempt in 1.. {
            match outcomes.get(&planned.id) {
                None => break,
                Some(Became::Saved(saved)) if is_there(saved) => return Ok(Some(self.told(saved))),
                // It failed, and somebody may have mended what it failed of; or its result has gone since.
                Some(_) => planned = wanted.plan(attempt),
            }
        }
        let root = tracing::info_span!(
            parent: None,
            span::TRAINING_PLAN,
            training = %planned.id,
            samples = planned.samples,
        );
        let bar = screen.bar("samples", 0);
        let tuition = Tuition {
            tutor: Arc::new(local as &'static dyn Tutor),
            base: self.base.clone(),
            results: Results::Folder(self.out.to_owned()),
            device: common.device.clone(),
            log: Arc::clone(&log),
            watch: shown_on(bar.clone()),
        };
        let tools = tools(config, store, Arc::clone(&log), revision, self.samples)?.with_tuition(tuition);
        let broker = Broker::of(common.broker.as_deref(), self.samples).map_err(anyhow::Error::from)?;
        let id = planned.id;
        let asked = AskedTraining {
            planned,
            effort: config.effort.clone(),
            instance: config.topics.instance(&broker),
            log: Arc::clone(&log),
            tools: Arc::new(tools),
        };
        let position = asked.plan(trace::of(&root)).await.map_err(anyhow::Error::from)?;
        let target = (StageName::Trainer, Topic::Trainings, position);
        let ended = reach(asked.start(), target, screen, |_| bar.tick(), || {}).await;
        bar.finish_and_clear();
        let interrupted = ended.context("the training cannot go on; what was learned is kept")?;
        let mut outcomes = training::outcomes(&*log).await.map_err(anyhow::Error::from)?;
        match outcomes.remove(&id) {
            Some(Became::Saved(saved)) => Ok(Some(self.told(&saved))),
            Some(Became::Failed(failed)) => Err(Failure::Failed(anyhow::Error::msg(failed.detail))),
            Some(Became::GivenUp(letter)) => Err(Failure::Failed(anyhow::anyhow!(
                "the training failed three times, the last time as follows; what was learned is kept: {}",
                letter.reason
            ))),
            None if interrupted => Ok(None),
            None => Err(Failure::Failed(anyhow::anyhow!(
                "the log has no word of what became of training {id}: run the same command again"
            ))),
        }
    }

    /// What a result is told as, by the names that the command line gives it.
    fn told(&self, saved: &CheckpointSaved) -> Trained {
        let model = match &self.base {
            Base::Nothing => self.out.display().to_string(),
            Base::Model(base) => format!("{}+{}", base.checkpoint.display(), self.out.display()),
        };
        Trained {
            folder: self.out.to_owned(),
            model,
            identity: saved.identity.clone(),
            steps: saved.losses.steps,
            losses: self.out.join(Trained::LOSSES),
        }
    }
}

/// Whether the result of a training is where it was put.
fn is_there(saved: &CheckpointSaved) -> bool {
    content_of(Path::new(&saved.folder)).is_ok_and(|content| content == saved.content)
}

/// Tells on the screen how far a training is.
fn shown_on(bar: Bar) -> Box<dyn Fn(&Progress) + Send + Sync> {
    let state = Mutex::new((0, Instant::now()));
    Box::new(move |progress| match *progress {
        Progress::Taken { clips, of } => {
            bar.set_length(of as u64);
            bar.set_position(clips as u64);
        }
        Progress::Step(LearnedStep { part: now, step, of, loss, .. }) => {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let (part, said) = &mut *state;
            if now != *part {
                *part = now;
                bar.reset_eta();
            }
            bar.set_prefix(format!("part {now}"));
            bar.set_length(of);
            // Without the line that a bar says of itself: this one has the loss in it.
            (*bar).set_position(step);
            bar.set_message(format!("loss {loss:.3}"));
            if step == of || (!io::stderr().is_terminal() && said.elapsed() > LINE_EVERY) {
                *said = Instant::now();
                tracing::info!("part {now}: step {step} of {of}, loss {loss:.3}");
            }
        }
        Progress::Examined => {}
    })
}

/// The classes of a file, one a line.
pub fn classes(path: &Path) -> Result<BTreeSet<String>, Failure> {
    let text = read("classes", path)?;
    let names: BTreeSet<String> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if names.is_empty() {
        return Err(Failure::usage(format!("{} names no class: give one a line", path.display())));
    }
    Ok(names)
}
